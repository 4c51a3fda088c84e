"""A frozen Llama and an adapter: packs in, logits of the kept rows out.

The same function as transformers' LlamaForCausalLM with PEFT's LoRA, computed only where somebody reads the result:
the last layer gives keys and values for all rows, and everything else for the kept rows only.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch.utils.checkpoint import checkpoint

from topicgen.llama import fp8
from topicgen.llama.arithmetic import norm, turn
from topicgen.llama.compiled import compiled
from topicgen.training.attention import Attend, attention
from topicgen.training.lora import Adapter, low_rank
from topicgen.training.packing import Pack

Matrix = torch.Tensor | fp8.Scaled
Pair = tuple[tuple[torch.Tensor, ...], tuple[torch.Tensor, ...]]


class Frozen(NamedTuple):
    """The frozen weights of one layer: matrices that read the same input are one."""

    input_norm: torch.Tensor
    qkv: Matrix
    o: Matrix
    post_norm: torch.Tensor
    gate_up: Matrix
    down: Matrix


class Shape(NamedTuple):
    """What a layer must know of the architecture and of the adapter."""

    heads: int
    kv_heads: int
    width: int
    epsilon: float
    scale: float
    dropout: float


def _times(x: torch.Tensor, matrix: Matrix) -> torch.Tensor:
    return fp8.product(x, matrix) if isinstance(matrix, fp8.Scaled) else F.linear(x, matrix)


def _queries_keys_values(
    x: torch.Tensor, weight: torch.Tensor, qkv: Matrix, pair: Pair, cos: torch.Tensor, sin: torch.Tensor, shape: Shape
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    h = norm(x, weight, shape.epsilon)
    mixed = low_rank(h, _times(h, qkv), pair, shape.scale, shape.dropout)
    heads = mixed.view(len(x), -1, shape.width)
    q, k, v = torch.split(heads, [shape.heads, shape.kv_heads, shape.kv_heads], 1)
    return turn(q, cos, sin).transpose(0, 1), turn(k, cos, sin).transpose(0, 1), v.transpose(0, 1)


def _rest(
    x: torch.Tensor, seen: torch.Tensor, w: Frozen, o: Pair, gate_up: Pair, down: Pair, shape: Shape
) -> torch.Tensor:
    """What follows attention: ``seen`` is (heads, rows, width)."""
    seen = seen.transpose(0, 1).flatten(1)
    x = x + low_rank(seen, _times(seen, w.o), o, shape.scale, shape.dropout)
    h = norm(x, w.post_norm, shape.epsilon)
    gate, up = low_rank(h, _times(h, w.gate_up), gate_up, shape.scale, shape.dropout).chunk(2, -1)
    y = F.silu(gate) * up
    return x + low_rank(y, _times(y, w.down), down, shape.scale, shape.dropout)


class Layer(torch.nn.Module):
    """One layer: its frozen weights, and its part of the adapter. A module, because that is what FSDP wraps.

    Args:
        weights: Gives the frozen weights; those of 4-bit layers are made when asked.
        pairs: The adapter's matrices of some modules of this layer. No tensors and no module, so that FSDP, which
            shares out what a module owns, leaves the adapter alone.
        shape: What the layer must know.
        compile_layers: Whether to compile it.
    """

    def __init__(
        self, weights: Callable[[], Frozen], pairs: Callable[..., Pair], shape: Shape, *, compile_layers: bool = False
    ) -> None:
        super().__init__()
        self._weights, self._pairs, self._shape = weights, pairs, shape
        self._before: Any = _queries_keys_values
        self._after: Any = _rest
        if compile_layers:
            # One graph serves all layers: weights are arguments.
            self._before, self._after = compiled(_queries_keys_values), compiled(_rest)

    def forward(
        self,
        x: torch.Tensor,
        cos: torch.Tensor,
        sin: torch.Tensor,
        attend: Attend,
        kept: torch.Tensor | None = None,
        recompute: bool = False,
    ) -> torch.Tensor:
        """(rows, width) for all rows of x, or for the kept ones."""
        if kept is not None:
            return self._some(x, cos, sin, attend, kept)
        if recompute:
            random = self._shape_now.dropout > 0  # its state is read and set at a price
            # Reentrant: the forward pass records nothing. Short packs wait for the processor, and took a quarter less
            # time so. It asks for an input with a gradient, which x has (see logits below).
            made: torch.Tensor = checkpoint(
                self._all, x, cos, sin, attend, use_reentrant=True, preserve_rng_state=random
            )
            return made
        return self._all(x, cos, sin, attend)

    @property
    def _shape_now(self) -> Shape:
        return self._shape if self.training else self._shape._replace(dropout=0.0)

    def _all(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, attend: Attend) -> torch.Tensor:
        w, shape, pairs = self._weights(), self._shape_now, self._pairs
        q, k, v = self._before(x, w.input_norm, w.qkv, pairs("q_proj", "k_proj", "v_proj"), cos, sin, shape)
        seen = attend(q, k, v)
        o, gate_up, down = pairs("o_proj"), pairs("gate_proj", "up_proj"), pairs("down_proj")
        made: torch.Tensor = self._after(x, seen, w, o, gate_up, down, shape)
        return made

    def _some(
        self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, attend: Attend, kept: torch.Tensor
    ) -> torch.Tensor:
        """The kept rows; the others give keys and values only. Small, so never compiled."""
        w, shape, pairs = self._weights(), self._shape_now, self._pairs
        wide = shape.heads * shape.width
        asking, kept_cos, kept_sin = x[kept], cos[kept], sin[kept]
        q_only = shape._replace(kv_heads=0)
        kv_only = shape._replace(heads=0)
        q, _, _ = _queries_keys_values(
            asking, w.input_norm, _rows(w.qkv, 0, wide), pairs("q_proj"), kept_cos, kept_sin, q_only
        )
        _, k, v = _queries_keys_values(
            x, w.input_norm, _rows(w.qkv, wide, None), pairs("k_proj", "v_proj"), cos, sin, kv_only
        )
        o, gate_up, down = pairs("o_proj"), pairs("gate_proj", "up_proj"), pairs("down_proj")
        return _rest(asking, attend(q, k, v), w, o, gate_up, down, shape)


class PackedLlama(torch.nn.Module):
    """A frozen Llama with a trainable adapter.

    Args:
        layers: All layers; the last computes the kept rows only.
        embedding: (vocabulary, width), may stay in main memory.
        norm, head: The final norm's weight and the output matrix (vocabulary, width).
        rotary: transformers' rotary embedding of the model.
        adapter: The trainable matrices.
        epsilon: Of the final norm.
        recompute: How many layers, from the first on, are computed again in the backward pass, and keep their inputs
            only.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        embedding: torch.Tensor,
        norm: torch.Tensor,
        head: torch.Tensor,
        rotary: Any,
        adapter: Adapter,
        epsilon: float,
        *,
        recompute: int = 0,
    ) -> None:
        super().__init__()
        self._layers = torch.nn.ModuleList(layers)
        self._embedding, self._final_norm, self._head, self._rotary = embedding, norm, head, rotary
        self.adapter = adapter
        self._epsilon = epsilon
        self.recompute = recompute

    @property
    def device(self) -> torch.device:
        """Where packs are computed."""
        return self._head.device

    def logits(self, pack: Pack) -> torch.Tensor:
        """(kept, vocabulary): what follows each kept row."""
        x = F.embedding(pack.ids.to(self._embedding.device), self._embedding).to(self.device)
        # With a gradient from the first layer on, one compiled graph serves all layers.
        x.requires_grad_(torch.is_grad_enabled())
        cos, sin = (part[0].to(x.dtype) for part in self._rotary(x, pack.positions[None]))
        attend = attention(pack)
        *whole, last = self._layers
        again = self.recompute if torch.is_grad_enabled() else 0
        for number, layer in enumerate(whole):
            x = layer(x, cos, sin, attend, recompute=number < again)
        x = last(x, cos, sin, attention(pack, kept_only=True), pack.kept)
        return F.linear(norm(x, self._final_norm, self._epsilon), self._head)

    def loss(self, pack: Pack) -> torch.Tensor:
        """Sum of the cross-entropies of the topic tokens, in nats."""
        logits = self.logits(pack)
        logits = logits if logits.dtype == torch.float64 else logits.float()
        return (F.cross_entropy(logits, pack.targets, reduction="none") * pack.weights.to(logits.dtype)).sum()


def _rows(matrix: Matrix, first: int, last: int | None) -> Matrix:
    """Some rows of a frozen matrix (out, in)."""
    if isinstance(matrix, fp8.Scaled):
        part = slice(first, last)
        return fp8.Scaled(
            matrix.forward[part],
            matrix.forward_scale[:, part].contiguous(),
            matrix.backward[:, part].contiguous(),
            matrix.backward_scale,
        )
    return matrix[first:last]
