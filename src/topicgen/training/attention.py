"""Queries, keys and values of a pack in, attention in which each document sees the prefix and itself out."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from topicgen.llama.compiled import compiled
from topicgen.training.packing import BLOCK, Pack

QUERY_BLOCKS = 4  # blocks of queries that share a copy of the prefix
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
    """FlexAttention (Dong et al. 2024) with a block mask: one kernel for a whole pack on a GPU.

    All rows see the prefix, and the kernel's backward pass computes the gradient of a block of keys in one place, row
    after row. Keys and values therefore start with several copies of the prefix, each for a few blocks of queries.
    """

    def __init__(self, pack: Pack, kept_only: bool) -> None:
        self._prefix = pack.prefix
        self._copies, self._room = copies(pack, kept_only)
        self._mask = block_mask(pack, kept_only)

    def _with_copies(self, x: torch.Tensor) -> torch.Tensor:
        shared = F.pad(x[:, : self._prefix], (0, 0, 0, self._room - self._prefix))
        return torch.cat([shared.repeat(1, self._copies, 1), x], 1)

    def __call__(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        attend: Any = compiled(flex_attention) if q.is_cuda else flex_attention
        k, v = self._with_copies(k), self._with_copies(v)
        out: torch.Tensor = attend(q[None], k[None], v[None], block_mask=self._mask, enable_gqa=True)
        return out[0]


def copies(pack: Pack, kept_only: bool) -> tuple[int, int]:
    """How many copies of the prefix stand before the keys of a pack, and the rows of each, which fill whole blocks."""
    rows = len(pack.kept) if kept_only else len(pack.ids)
    return max(1, -(-rows // BLOCK) // QUERY_BLOCKS), -(-pack.prefix // BLOCK) * BLOCK


def block_mask(pack: Pack, kept_only: bool) -> BlockMask:
    """The blocks that hold anything to see, from the bounds of the documents; within them each row is asked."""
    device, (count, room) = pack.documents.device, copies(pack, kept_only)
    asking = pack.kept if kept_only else torch.arange(len(pack.ids), device=device)
    q_document, q_position = pack.documents[asking], pack.positions[asking]
    # Copies are numbered below all documents. What a query may not see there stands behind every query.
    first = -10
    q_copy = first - torch.arange(len(asking), device=device) // BLOCK % count
    behind = 1 << 30
    row = torch.arange(room, device=device)
    in_copy = torch.where(row < pack.prefix, row, behind)
    kv_position = torch.cat([in_copy.repeat(count), pack.positions])
    kv_position[count * room :][: pack.prefix] = behind
    kv_document = torch.cat([first - torch.arange(count, device=device).repeat_interleave(room), pack.documents])

    def sees(_batch: torch.Tensor, _head: torch.Tensor, q: torch.Tensor, kv: torch.Tensor) -> torch.Tensor:
        same = (q_document[q] == kv_document[kv]) | (q_copy[q] == kv_document[kv])
        return same & (q_position[q] >= kv_position[kv])

    blocks = seen_blocks(pack, kept_only)
    counts = blocks.sum(1, dtype=torch.int32)[None, None]
    order = torch.argsort(blocks.int(), dim=1, descending=True, stable=True).int()[None, None]
    return BlockMask.from_kv_blocks(
        counts.to(device),
        order.contiguous().to(device),
        BLOCK_SIZE=BLOCK,
        mask_mod=sees,
        seq_lengths=(len(asking), len(kv_document)),
    )


def seen_blocks(pack: Pack, kept_only: bool) -> torch.Tensor:
    """(query blocks, key blocks) bool: where a query may see a key. Filling sees itself, and is not read."""
    tokens = len(pack.ids)
    count, room = copies(pack, kept_only)
    end = pack.bounds[-1][1] if pack.bounds else pack.prefix
    spans = [*zip(pack.kept_bounds if kept_only else pack.bounds, pack.bounds, strict=True)]
    rows = len(pack.kept) if kept_only else tokens
    filled = spans[-1][0][1] if spans else 0
    if filled < rows:
        spans.append(((filled, rows), (0, 1) if kept_only else (end, tokens)))
    shared = count * room // BLOCK
    blocks = torch.zeros(-(-rows // BLOCK), shared + -(-tokens // BLOCK), dtype=torch.bool)
    for block in range(len(blocks)):
        start = block % count * (room // BLOCK)
        blocks[block, start : start + room // BLOCK] = True
    for (first, last), (start, stop) in spans:
        for block in range(first // BLOCK, -(-last // BLOCK)):
            upto = stop if kept_only else min(stop, (block + 1) * BLOCK)
            blocks[block, shared + start // BLOCK : shared + -(-upto // BLOCK)] = True
    return blocks


def attention(pack: Pack, kept_only: bool = False) -> Attend:
    """What attends over a pack: fused on a GPU, document by document elsewhere."""
    return Fused(pack, kept_only) if pack.ids.is_cuda else PerDocument(pack, kept_only)
