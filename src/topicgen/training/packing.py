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

    The longest row goes to the emptiest pack each time (longest processing time first; Graham 1969).

    Raises:
        UserError: When one row and the prefix do not fit.
    """
    room = capacity - prefix
    if lengths and max(lengths) > room:
        raise UserError(
            f"an example of {max(lengths) + prefix} tokens does not fit into packs of {capacity}; raise pack_tokens or"
            " lower max_length"
        )
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    count = max(1, -(-sum(lengths) // room)) if lengths else 0
    while True:
        groups: list[list[int]] = [[] for _ in range(count)]
        filled = [0] * count
        for i in order:
            emptiest = min(range(count), key=filled.__getitem__)
            if filled[emptiest] + lengths[i] > room:
                break
            groups[emptiest].append(i)
            filled[emptiest] += lengths[i]
        else:
            return [sorted(group) for group in groups]
        count += 1


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


def fixed_sizes(prefix: int, rows: Sequence[TokenRow], per_step: int, capacity: int) -> Fill:
    """Sizes for which the examples of nearly every step fit into as few packs as can be, and little is filled up.

    A step has ``per_step`` examples drawn at random, so that its tokens lie within 1.65 standard deviations above
    their mean in 95 of 100 steps.
    """
    lengths = torch.tensor([float(len(row.ids)) for row in rows])
    answers = torch.tensor([float(len(row.ids) - row.answer) for row in rows])
    spread = 1.65 * math.sqrt(per_step) * float(lengths.std(correction=0))
    whole = per_step * float(lengths.mean()) + spread
    count = math.ceil(whole / (capacity - prefix))
    longest = int(lengths.max()) + prefix
    tokens = max(prefix + math.ceil(whole / count) + int(lengths.mean()) // 8, longest)
    tokens = min(math.ceil(tokens / BLOCK) * BLOCK, max(capacity // BLOCK * BLOCK, math.ceil(longest / BLOCK) * BLOCK))
    kept = float(answers.mean()) * (tokens - prefix) / float(lengths.mean())
    return Fill(tokens, math.ceil(1.25 * kept / BLOCK) * BLOCK)
