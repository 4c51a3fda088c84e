"""Token rows -> packs: one shared prompt prefix and many documents behind it, without padding between them.

    row       0 1 2 | 3 4 5 6 | 7 8 9
    token     prefix| doc A   | doc B       each document sees the prefix and itself, never another document
    position  0 1 2 | 3 4 5 6 | 3 4 5       positions go on after the prefix, as if each document stood alone

Only rows whose next token belongs to a topic are read (``kept``).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from topicgen.errors import UserError
from topicgen.training.rows import TokenRow

PREFIX, PADDING = -1, -2  # in place of a document's number
BLOCK = 128  # rows of a block of FlexAttention's masks


@dataclass(frozen=True, slots=True)
class Fill:
    """Fixed sizes that packs are filled up to, so that compiled layers meet one shape only.

    tokens: size of every pack. kept: kept rows are filled up to a multiple of it.
    """

    tokens: int
    kept: int


@dataclass(frozen=True, slots=True)
class Pack:
    """Several documents behind one prefix.

    Attributes:
        ids: (tokens,) int64.
        positions: (tokens,) int64.
        documents: (tokens,) int32, the document of each row, PREFIX or PADDING.
        kept: (kept,) int64, rows whose output is read.
        targets: (kept,) int64, the tokens that they should predict.
        weights: (kept,) float32, 1, or 0 for filling.
        prefix: Tokens of the prefix.
        bounds: First and last + 1 row of each document.
        kept_bounds: The same, in ``kept``.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    documents: torch.Tensor
    kept: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor
    prefix: int
    bounds: tuple[tuple[int, int], ...]
    kept_bounds: tuple[tuple[int, int], ...]

    def to(self, device: torch.device) -> "Pack":
        """The pack with its tensors on a device."""
        names = ("ids", "positions", "documents", "kept", "targets", "weights")
        moved = {name: getattr(self, name).to(device, non_blocking=True) for name in names}
        return Pack(**moved, prefix=self.prefix, bounds=self.bounds, kept_bounds=self.kept_bounds)


def plan(lengths: Sequence[int], prefix: int, capacity: int) -> list[list[int]]:
    """Groups of rows that fit into packs of ``capacity`` tokens, as few as can be and of nearly the same size.

    Raises:
        UserError: When one row and the prefix do not fit.
    """
    require_room(lengths, prefix, capacity)
    room = capacity - prefix
    count = max(1, -(-sum(lengths) // room)) if lengths else 0
    while True:
        groups = balanced(lengths, count)
        if all(sum(lengths[i] for i in group) <= room for group in groups):
            return groups
        count += 1


def require_room(lengths: Sequence[int], prefix: int, capacity: int) -> None:
    """Raises UserError when a row of one of these lengths and the prefix do not fit into a pack."""
    longest = max(lengths, default=0) + prefix
    if longest > capacity:
        raise UserError(
            f"an example of {longest} tokens does not fit into packs of {capacity}; raise pack_tokens or lower"
            " max_length"
        )


def balanced(lengths: Sequence[int], count: int) -> list[list[int]]:
    """``count`` groups of rows of nearly the same size.

    The longest row goes to the emptiest group each time (longest processing time first; Graham 1969).
    """
    groups: list[list[int]] = [[] for _ in range(count)]
    filled = [0] * count
    for i in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        emptiest = min(range(count), key=filled.__getitem__)
        groups[emptiest].append(i)
        filled[emptiest] += lengths[i]
    return [sorted(group) for group in groups]


def pack(prefix: Sequence[int], rows: Sequence[TokenRow], fill: Fill | None = None) -> Pack:
    """One pack, filled up to fixed sizes where asked for."""
    ids, positions, documents = list(prefix), list(range(len(prefix))), [PREFIX] * len(prefix)
    kept: list[int] = []
    targets: list[int] = []
    bounds, kept_bounds = [], []
    for number, row in enumerate(rows):
        start, first = len(ids), len(kept)
        ids += row.ids
        positions += range(len(prefix), len(prefix) + len(row.ids))
        documents += [number] * len(row.ids)
        kept += range(start + row.answer - 1, len(ids) - 1)
        targets += row.ids[row.answer :]
        bounds.append((start, len(ids)))
        kept_bounds.append((first, len(kept)))
    weights = [1.0] * len(kept)
    if fill:
        empty = fill.tokens - len(ids)
        ids += [0] * empty
        positions += [0] * empty
        documents += [PADDING] * empty
        more = -len(kept) % fill.kept
        kept += [0] * more
        targets += [0] * more
        weights += [0.0] * more
    return Pack(
        torch.tensor(ids),
        torch.tensor(positions),
        torch.tensor(documents, dtype=torch.int32),
        torch.tensor(kept),
        torch.tensor(targets),
        torch.tensor(weights),
        len(prefix),
        tuple(bounds),
        tuple(kept_bounds),
    )


def packs(prefix: Sequence[int], rows: Sequence[TokenRow], capacity: int, fill: Fill | None = None) -> list[Pack]:
    """All rows in packs of at most ``capacity`` tokens, or of the fixed size."""
    groups = plan([len(row.ids) for row in rows], len(prefix), fill.tokens if fill else capacity)
    return [pack(prefix, [rows[i] for i in group], fill) for group in groups]


def fixed_sizes(prefix: int, steps: Sequence[Sequence[TokenRow]], capacity: int) -> Fill:
    """Sizes for which the examples of each of these steps fit into as few packs as can be, and little is filled up.

    Args:
        prefix: Tokens of the prefix.
        steps: The examples of some steps that others are like.
        capacity: Longest pack.
    """
    lengths = [[len(row.ids) for row in step] for step in steps]
    longest = max(max(step) for step in lengths) + prefix
    capacity = max(capacity, longest)
    count = max(len(plan(step, prefix, capacity)) for step in lengths)
    tokens = kept = 0
    for step, own in zip(steps, lengths, strict=True):
        for group in balanced(own, count):
            tokens = max(tokens, prefix + sum(own[i] for i in group))
            kept = max(kept, sum(own[i] - step[i].answer for i in group))
    return Fill(math.ceil(max(tokens, longest) / BLOCK) * BLOCK, math.ceil(kept / BLOCK) * BLOCK)
