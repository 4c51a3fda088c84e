"""Packs of prompts, then one token after the other in, logits of what follows out: a Llama that only generates.

The same function as transformers' LlamaForCausalLM. Prompts are computed without padding, and the prefix that all
share once; logits are computed where a token is chosen, and the last layer where it is read.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch.nn.attention import SDPBackend, sdpa_kernel

from topicgen.engines.packed_cache import Pack, Writing, pack
from topicgen.engines.packed_weights import Eight, LayerWeights, Matrix, Weights
from topicgen.llama import fp8
from topicgen.llama.arithmetic import norm, turn
from topicgen.llama.compiled import compiled

Rows = tuple[torch.Tensor, ...]
"""(rows, width), or the same in FP8 and the scale of each row."""


def _ready(x: torch.Tensor, eight: bool) -> Rows:
    return fp8.rounded(x) if eight else (x,)


def _normed(x: torch.Tensor, weight: torch.Tensor, epsilon: float, eight: bool) -> Rows:
    return _ready(norm(x, weight, epsilon), eight)


def _added(
    x: torch.Tensor, change: torch.Tensor, weight: torch.Tensor, epsilon: float, eight: bool
) -> tuple[torch.Tensor, Rows]:
    x = x + change
    return x, _normed(x, weight, epsilon, eight)


def _gated(gate_up: torch.Tensor, eight: bool) -> Rows:
    gate, up = gate_up.chunk(2, -1)
    return _ready(F.silu(gate) * up, eight)


def _turned(
    mixed: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, heads: int, kv_heads: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(rows, heads, width) of queries, keys and values."""
    q, k, v = torch.split(mixed.view(len(mixed), -1, cos.shape[-1]), [heads, kv_heads, kv_heads], 1)
    return turn(q, cos, sin), turn(k, cos, sin), v


def _times(x: Rows, matrix: Matrix) -> torch.Tensor:
    if isinstance(matrix, Eight):
        return fp8.multiply(x[0], x[1], matrix.values, matrix.scale)
    return F.linear(x[0], matrix.values)


class PackedModel:
    """Computes a Llama's logits.

    Args:
        weights: The model.

    ``fused`` says whether the functions between matrix products are compiled, which takes half a minute the first time.
    """

    def __init__(self, weights: Weights) -> None:
        self._w = weights
        self._eight = isinstance(weights.layers[0].o, Eight)
        self.fused = False
        self._varlen: Callable[..., torch.Tensor] | None = _varlen() if self.device.type == "cuda" else None
        self._kernels = [SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]

    @property
    def device(self) -> torch.device:
        return self._w.head.device

    def cache(self, documents: int, slots: int) -> torch.Tensor:
        """Room for keys and values: (layers, 2, documents, slots, key heads, width), filled with zeros.

        What was never written is hidden, but zero times infinity would still spoil a sum.
        """
        w = self._w
        size = (len(w.layers), 2, documents, slots, w.kv_heads, w.cos.shape[1])
        return torch.zeros(size, device=self.device, dtype=w.head.dtype)

    def prefix(self, ids: Sequence[int]) -> torch.Tensor:
        """Keys and values of what all prompts begin with: (layers, 2, tokens, key heads, width)."""
        cache = self.cache(1, len(ids))
        if len(ids):
            self.read(pack([ids], 0, 0, len(ids), self.device), cache)
        return cache[:, :, 0]

    def _fast(self, function: Callable[..., Any]) -> Any:
        return compiled(function, any_rows=True) if self.fused else function

    def read(self, pack: Pack, cache: torch.Tensor) -> torch.Tensor:
        """Puts keys and values of a pack into the cache; (documents, vocabulary) logits of the next tokens."""
        w = self._w
        x = F.embedding(pack.ids, w.embedding)
        cos, sin = w.cos[pack.positions], w.sin[pack.positions]
        h = _normed(x, w.layers[0].input_norm, w.epsilon, self._eight)
        for number, layer in enumerate(w.layers):
            slots = cache[number].flatten(1, 2)  # (2, all slots, key heads, width)
            if number + 1 < len(w.layers):
                q, k, v = self._fast(_turned)(_times(h, layer.qkv), cos, sin, w.heads, w.kv_heads)
            else:
                q, k, v = self._last(h, layer, cos, sin, pack)
                x = x[pack.last]
            slots[0].index_copy_(0, pack.places, k)
            slots[1].index_copy_(0, pack.places, v)
            seen = self._attend(q, slots[0][pack.seen], slots[1][pack.seen], pack, len(x) < len(pack.ids))
            x, h = self._rest(x, seen.flatten(1), number)
        return self._logits(x)

    def _last(
        self, h: Rows, layer: LayerWeights, cos: torch.Tensor, sin: torch.Tensor, pack: Pack
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Keys and values of all tokens, queries of the last ones."""
        w = self._w
        wide = w.heads * w.cos.shape[1]
        asking = tuple(part[pack.last] for part in h)
        q, _, _ = _turned(_times(asking, layer.qkv.rows(0, wide)), cos[pack.last], sin[pack.last], w.heads, 0)
        _, k, v = _turned(_times(h, layer.qkv.rows(wide, None)), cos, sin, 0, w.kv_heads)
        return q, k, v

    def _rest(self, x: torch.Tensor, seen: torch.Tensor, number: int) -> tuple[torch.Tensor, Rows]:
        """What follows attention, up to what the next layer reads."""
        w, layer = self._w, self._w.layers[number]
        change = _times(self._fast(_ready)(seen, True) if self._eight else (seen,), layer.o)
        x, h = self._fast(_added)(x, change, layer.post_norm, w.epsilon, self._eight)
        change = _times(self._fast(_gated)(_times(h, layer.gate_up), self._eight), layer.down)
        if number + 1 == len(w.layers):
            return x + change, ()
        made: tuple[torch.Tensor, Rows] = self._fast(_added)(
            x, change, w.layers[number + 1].input_norm, w.epsilon, self._eight
        )
        return made

    def _logits(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(norm(x, self._w.norm, self._w.epsilon), self._w.head)

    def _attend(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, pack: Pack, last_only: bool) -> torch.Tensor:
        """Each document's queries see its keys, the prefix included, up to themselves: (queries, heads, width)."""
        longest, most_keys = pack.longest
        starts = torch.arange(len(q) + 1, device=q.device, dtype=torch.int32) if last_only else pack.queries
        if self._varlen:
            return self._varlen(q, k, v, starts, pack.keys, 1 if last_only else longest, most_keys)
        spans, seen = starts.tolist(), pack.keys.tolist()
        done = []
        for number in range(len(spans) - 1):
            mine, others = slice(*spans[number : number + 2]), slice(*seen[number : number + 2])
            one, keys, values = q[mine].transpose(0, 1), k[others].transpose(0, 1), v[others].transpose(0, 1)
            mask = torch.ones(one.shape[1], keys.shape[1], dtype=torch.bool, device=q.device)
            mask = mask.tril(keys.shape[1] - one.shape[1])
            done.append(F.scaled_dot_product_attention(one, keys, values, attn_mask=mask, enable_gqa=True))
        return torch.cat(done, 1).transpose(0, 1)

    def step(self, writing: Writing) -> torch.Tensor:
        """(documents * beams, vocabulary) logits of what follows the newest tokens, which go into the cache."""
        w = self._w
        documents, beams = writing.documents, writing.beams
        x = F.embedding(writing.tokens, w.embedding)
        cos, sin = w.cos[writing.positions], w.sin[writing.positions]
        h = _normed(x, w.layers[0].input_norm, w.epsilon, self._eight)
        groups = w.heads // w.kv_heads
        # Heads that share keys are queries beside each other, so that keys are read once.
        bias = writing.bias.repeat_interleave(groups, 1)[:, None].expand(-1, w.kv_heads, -1, -1)
        for number, layer in enumerate(w.layers):
            q, k, v = self._fast(_turned)(_times(h, layer.qkv), cos, sin, w.heads, w.kv_heads)
            keys, values = writing.keys_values[number]
            for cached, new in ((keys, k), (values, v)):
                cached.index_copy_(1, writing.slots, new.view(documents, beams, w.kv_heads, -1))
            q = q.view(documents, beams, w.kv_heads, groups, -1).transpose(1, 2).flatten(2, 3)
            with sdpa_kernel(self._kernels):
                seen = F.scaled_dot_product_attention(q, keys.transpose(1, 2), values.transpose(1, 2), attn_mask=bias)
            seen = seen.reshape(documents, w.kv_heads, beams, -1).transpose(1, 2).reshape(documents * beams, -1)
            x, h = self._rest(x, seen, number)
        return self._logits(x)


def _varlen() -> Callable[..., torch.Tensor]:
    """Attention of PyTorch over documents without padding (FlashAttention; Dao 2023), causal from the end."""
    from torch.nn.attention.varlen import varlen_attn

    known = inspect.signature(varlen_attn).parameters

    def attend(
        q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, queries: torch.Tensor, keys: torch.Tensor, *longest: int
    ) -> torch.Tensor:
        options: dict[str, Any] = {"enable_gqa": True} if "enable_gqa" in known else {}
        if not options:  # before torch 2.12
            k, v = (x.repeat_interleave(q.shape[1] // k.shape[1], 1) for x in (k, v))
        made: Any = varlen_attn(q, k, v, queries, keys, *longest, window_size=(-1, 0), **options)
        return made  # type: ignore[no-any-return]

    return attend
