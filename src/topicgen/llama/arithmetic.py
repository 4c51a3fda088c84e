"""Rows of numbers in, normed or turned rows out: what stands between the matrix products of a Llama."""

import torch


def norm(x: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
    """Root mean square norm (Zhang and Sennrich 2019) of (rows, width), computed in float32 at least."""
    wide = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
    return weight * (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + epsilon)).to(x.dtype)


def turn(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotary position embedding (Su et al. 2021) of (rows, heads, width)."""
    first, second = x.chunk(2, -1)
    return x * cos[:, None] + torch.cat([-second, first], -1) * sin[:, None]
