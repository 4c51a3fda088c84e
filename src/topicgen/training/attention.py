"""Queries, keys and values of a pack in, attention in which each document sees the prefix and itself out."""

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from topicgen.training.compiled import compiled
from topicgen.training.packing import BLOCK, Pack

Attend = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""(heads, rows, width), (key heads, tokens, width) twice -> (heads, rows, width)."""


class PerDocument:
    """Attention document by document: exact in any precision, for processors without fused masks.

    Args:
        pack: The pack.
        kept_only: Whether the queries are those of the kept rows rather than all rows.
    """

    def __init__(self, pack: Pack, kept_only: bool) -> None:
        tokens = torch.arange(len(pack.ids))
        shared = tokens[: pack.prefix]
        rows = pack.kept if kept_only else tokens
        spans = [] if kept_only else [(0, pack.prefix, shared)]
        for (start, stop), kept in zip(pack.bounds, pack.kept_bounds, strict=True):
            first, last = kept if kept_only else (start, stop)
            spans.append((first, last, torch.cat([shared, tokens[start:stop]])))
        spans.append((spans[-1][1], len(rows), tokens[:1]))  # filling, which nobody reads
        self._spans = [
            (first, last, seen, pack.positions[rows[first:last], None] >= pack.positions[seen])
            for first, last, seen in spans
            if last > first
        ]

    def __call__(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        groups = q.shape[0] // k.shape[0]
        k, v = k.repeat_interleave(groups, 0), v.repeat_interleave(groups, 0)
        done = [
            F.scaled_dot_product_attention(q[None, :, first:last], k[None, :, seen], v[None, :, seen], attn_mask=mask)[
                0
            ]
            for first, last, seen, mask in self._spans
        ]
        return torch.cat(done, 1)


class Fused:
    """FlexAttention (Dong et al. 2024) with a block mask: one kernel for a whole pack on a GPU."""

    def __init__(self, pack: Pack, kept_only: bool) -> None:
        self._mask = _block_mask(pack, kept_only)

    def __call__(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = compiled(flex_attention)(q[None], k[None], v[None], block_mask=self._mask, enable_gqa=True)
        return out[0]


def _block_mask(pack: Pack, kept_only: bool) -> BlockMask:
    """The blocks that hold anything to see, from the bounds of the documents; within them each row is asked."""
    documents, positions, prefix = pack.documents, pack.positions, pack.prefix
    asking = pack.kept if kept_only else torch.arange(len(documents), device=documents.device)
    q_document, q_position = documents[asking], positions[asking]

    def sees(_batch: torch.Tensor, _head: torch.Tensor, q: torch.Tensor, kv: torch.Tensor) -> torch.Tensor:
        same = (q_document[q] == documents[kv]) | (kv < prefix)
        return same & (q_position[q] >= positions[kv])

    blocks = seen_blocks(pack, kept_only)
    counts = blocks.sum(1, dtype=torch.int32)[None, None]
    order = torch.argsort(blocks.int(), dim=1, descending=True, stable=True).int()[None, None]
    device = documents.device
    return BlockMask.from_kv_blocks(
        counts.to(device),
        order.contiguous().to(device),
        BLOCK_SIZE=BLOCK,
        mask_mod=sees,
        seq_lengths=(len(asking), len(documents)),
    )


def seen_blocks(pack: Pack, kept_only: bool) -> torch.Tensor:
    """(query blocks, key blocks) bool: where a query may see a key. Filling sees itself, and is not read."""
    tokens = len(pack.ids)
    end = pack.bounds[-1][1] if pack.bounds else pack.prefix
    spans = [*zip(pack.kept_bounds if kept_only else pack.bounds, pack.bounds, strict=True)]
    rows = len(pack.kept) if kept_only else tokens
    filled = spans[-1][0][1] if spans else 0
    if not kept_only:
        spans.append(((0, pack.prefix), (0, pack.prefix)))
    if filled < rows:
        spans.append(((filled, rows), (0, 1) if kept_only else (end, tokens)))
    blocks = torch.zeros(-(-rows // BLOCK), -(-tokens // BLOCK), dtype=torch.bool)
    blocks[:, : -(-pack.prefix // BLOCK)] = True
    for (first, last), (start, stop) in spans:
        for block in range(first // BLOCK, -(-last // BLOCK)):
            upto = stop if kept_only else min(stop, (block + 1) * BLOCK)
            blocks[block, start // BLOCK : -(-upto // BLOCK)] = True
    return blocks


def attention(pack: Pack, kept_only: bool = False) -> Attend:
    """What attends over a pack: fused on a GPU, document by document elsewhere."""
    return Fused(pack, kept_only) if pack.ids.is_cuda else PerDocument(pack, kept_only)
