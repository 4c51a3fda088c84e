"""A frozen matrix in FP8 for both passes: rows of the input and of the matrix get a scale each.

E4M3 (Micikevicius et al. 2022) in the forward and in the backward pass. The matrix is kept in both layouts, because the
chip multiplies FP8 in one only; each layout is rounded from the original, so that no error is added to the other's.
"""

from typing import Any, NamedTuple

import torch

LARGEST = 448.0  # of float8_e4m3fn
TINY = 1e-12
CAPABILITY = (8, 9)  # compute capability of the first GPUs that multiply FP8


class Scaled(NamedTuple):
    """A frozen matrix (out, in) in FP8.

    forward: (out, in), forward_scale: (1, out); backward: (in, out), backward_scale: (1, in).
    """

    forward: torch.Tensor
    forward_scale: torch.Tensor
    backward: torch.Tensor
    backward_scale: torch.Tensor


def rounded(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(rows, width) -> the same in FP8, and the scale of each row, (rows, 1) float32."""
    scale = x.abs().amax(1, keepdim=True).float().clamp(min=TINY) / LARGEST
    return (x.float() / scale).to(torch.float8_e4m3fn), scale


def scaled(weight: torch.Tensor) -> Scaled:
    """A frozen matrix (out, in) in both layouts."""
    forward, forward_scale = rounded(weight)
    backward, backward_scale = rounded(weight.t().contiguous())
    return Scaled(forward, forward_scale.t().contiguous(), backward, backward_scale.t().contiguous())


def multiply(x: torch.Tensor, x_scale: torch.Tensor, matrix: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """x (rows, in) times matrix (out, in) transposed, both in FP8: (rows, out) bfloat16.

    x_scale: (rows, 1), scale: (1, out).
    """
    return torch._scaled_mm(
        x, matrix.t(), scale_a=x_scale, scale_b=scale, out_dtype=torch.bfloat16, use_fast_accum=True
    )


class _Product(torch.autograd.Function):
    """x (rows, in) @ weight.T; the gradient of x is computed in FP8 too, the weight has none."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, w: torch.Tensor, ws: torch.Tensor, b: torch.Tensor, bs: torch.Tensor) -> Any:
        ctx.save_for_backward(b, bs)
        return multiply(*rounded(x), w, ws)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        matrix, scale = ctx.saved_tensors
        return multiply(*rounded(grads[0]), matrix, scale), None, None, None, None


def product(x: torch.Tensor, weight: Scaled) -> torch.Tensor:
    """x (rows, in) times a frozen matrix: (rows, out) bfloat16."""
    result: torch.Tensor = _Product.apply(x, *weight)  # type: ignore[no-untyped-call]
    return result
