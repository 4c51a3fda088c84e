"""A frozen Llama and an adapter: packs in, logits of the kept rows out.

The same function as transformers' LlamaForCausalLM with PEFT's LoRA, computed only where somebody reads the result:
the last layer gives keys and values for all rows, and everything else for the kept rows only.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch.utils.checkpoint import checkpoint

from topicgen.training import fp8
from topicgen.training.attention import Attend, attention
from topicgen.training.compiled import compiled
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


def _norm(x: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
    wide = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
    return weight * (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + epsilon)).to(x.dtype)


def _turn(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotary position embedding (Su et al. 2021) of (rows, heads, width)."""
    first, second = x.chunk(2, -1)
    return x * cos[:, None] + torch.cat([-second, first], -1) * sin[:, None]


def _queries_keys_values(
    x: torch.Tensor, norm: torch.Tensor, qkv: Matrix, pair: Pair, cos: torch.Tensor, sin: torch.Tensor, shape: Shape
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    h = _norm(x, norm, shape.epsilon)
    mixed = low_rank(h, _times(h, qkv), pair, shape.scale, shape.dropout)
    heads = mixed.view(len(x), -1, shape.width)
    q, k, v = torch.split(heads, [shape.heads, shape.kv_heads, shape.kv_heads], 1)
    return _turn(q, cos, sin).transpose(0, 1), _turn(k, cos, sin).transpose(0, 1), v.transpose(0, 1)


def _rest(
    x: torch.Tensor, seen: torch.Tensor, w: Frozen, o: Pair, gate_up: Pair, down: Pair, shape: Shape
) -> torch.Tensor:
    """What follows attention: ``seen`` is (heads, rows, width)."""
    seen = seen.transpose(0, 1).flatten(1)
    x = x + low_rank(seen, _times(seen, w.o), o, shape.scale, shape.dropout)
    h = _norm(x, w.post_norm, shape.epsilon)
    gate, up = low_rank(h, _times(h, w.gate_up), gate_up, shape.scale, shape.dropout).chunk(2, -1)
    y = F.silu(gate) * up
    return x + low_rank(y, _times(y, w.down), down, shape.scale, shape.dropout)


class PackedLlama(torch.nn.Module):
    """A frozen Llama with a trainable adapter.

    Args:
        layers: One function for each layer that gives its frozen weights; those of 4-bit layers are made when asked.
        embedding: (vocabulary, width), may stay in main memory.
        norm, head: The final norm's weight and the output matrix (vocabulary, width).
        rotary: transformers' rotary embedding of the model.
        adapter: The trainable matrices.
        shape: What the layers must know.
        compile_layers: Whether to compile the layers.
        recompute: Whether layers are computed again in the backward pass, which keeps only their inputs.
    """

    def __init__(
        self,
        layers: list[Callable[[], Frozen]],
        embedding: torch.Tensor,
        norm: torch.Tensor,
        head: torch.Tensor,
        rotary: Any,
        adapter: Adapter,
        shape: Shape,
        *,
        compile_layers: bool = False,
        recompute: bool = False,
    ) -> None:
        super().__init__()
        self._layers = layers
        self._embedding, self._final_norm, self._head, self._rotary = embedding, norm, head, rotary
        self.adapter = adapter
        self.shape = shape
        self.recompute = recompute
        self._before: Any = _queries_keys_values
        self._after: Any = _rest
        if compile_layers:
            # One graph serves all layers: weights are arguments.
            self._before, self._after = compiled(_queries_keys_values), compiled(_rest)

    @property
    def device(self) -> torch.device:
        """Where packs are computed."""
        return self._head.device

    def _layer(
        self, number: int, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, attend: Attend
    ) -> torch.Tensor:
        w = self._layers[number]()
        shape = self.shape if self.training else self.shape._replace(dropout=0.0)
        pairs = self.adapter.pair
        q, k, v = self._before(x, w.input_norm, w.qkv, pairs(number, "q_proj", "k_proj", "v_proj"), cos, sin, shape)
        made: torch.Tensor = self._after(
            x,
            attend(q, k, v),
            w,
            pairs(number, "o_proj"),
            pairs(number, "gate_proj", "up_proj"),
            pairs(number, "down_proj"),
            shape,
        )
        return made

    def _last(
        self, number: int, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, kept: torch.Tensor, attend: Attend
    ) -> torch.Tensor:
        """The last layer for the kept rows; the others give keys and values only. Small, so never compiled."""
        w = self._layers[number]()
        shape = self.shape if self.training else self.shape._replace(dropout=0.0)
        pairs = self.adapter.pair
        wide = shape.heads * shape.width
        asking, kept_cos, kept_sin = x[kept], cos[kept], sin[kept]
        q_only = shape._replace(kv_heads=0)
        kv_only = shape._replace(heads=0)
        q, _, _ = _queries_keys_values(
            asking, w.input_norm, _rows(w.qkv, 0, wide), pairs(number, "q_proj"), kept_cos, kept_sin, q_only
        )
        _, k, v = _queries_keys_values(
            x, w.input_norm, _rows(w.qkv, wide, None), pairs(number, "k_proj", "v_proj"), cos, sin, kv_only
        )
        return _rest(
            asking,
            attend(q, k, v),
            w,
            pairs(number, "o_proj"),
            pairs(number, "gate_proj", "up_proj"),
            pairs(number, "down_proj"),
            shape,
        )

    def logits(self, pack: Pack) -> torch.Tensor:
        """(kept, vocabulary): what follows each kept row."""
        x = F.embedding(pack.ids.to(self._embedding.device), self._embedding).to(self.device)
        # With a gradient from the first layer on, one compiled graph serves all layers.
        x.requires_grad_(torch.is_grad_enabled())
        cos, sin = (part[0].to(x.dtype) for part in self._rotary(x, pack.positions[None]))
        attend = attention(pack)
        for number in range(len(self._layers) - 1):
            if self.recompute and torch.is_grad_enabled():
                x = checkpoint(self._layer, number, x, cos, sin, attend, use_reentrant=False)
            else:
                x = self._layer(number, x, cos, sin, attend)
        x = self._last(len(self._layers) - 1, x, cos, sin, pack.kept, attention(pack, kept_only=True))
        return F.linear(_norm(x, self._final_norm, self.shape.epsilon), self._head)

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
