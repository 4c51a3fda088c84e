"""Prompts of a group in, the places of their keys and values out: one row of slots for each document.

    slot       0 1 2 | 3 4 5 6 . . | a b a b ...
    document   prefix| its prompt  | written tokens, one slot for each beam and step

All rows of a group are equally long. Slots between a prompt and the written tokens stay hidden, as do the tokens of
beams that a beam does not descend from, so that nothing is moved when beams are chosen anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

HIDDEN = -1e9  # added to a score that must not count; finite, because a row without any other must not become NaN
PROMPT_SLOTS, WRITTEN_SLOTS = 64, 8  # multiples, so that few forms are captured, and rows of scores are aligned
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Pack:
    """Some documents of a group in one row of tokens without padding; the shared prefix is not in it.

    Attributes:
        ids: (tokens,) token ids.
        positions: (tokens,) places in the prompt, the prefix counted.
        places: (tokens,) slots of the group's cache, numbered through all its rows.
        seen: (keys,) slots of everything that the documents see, one document after the other.
        queries, keys: (documents + 1,) int32, where each document's tokens and keys begin.
        last: (documents,) the last token of each document.
        longest: Most tokens, and most keys, of one document.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    places: torch.Tensor
    seen: torch.Tensor
    queries: torch.Tensor
    keys: torch.Tensor
    last: torch.Tensor
    longest: tuple[int, int]


def _offsets(lengths: Numbers) -> Numbers:
    """0, 1, ... within each stretch."""
    return np.arange(int(lengths.sum()), dtype=np.int64) - np.repeat(lengths.cumsum() - lengths, lengths)


def pack(prompts: Sequence[Sequence[int]], first: int, prefix: int, slots: int, device: torch.device) -> Pack:
    """One pack of prompts without their prefix.

    Args:
        prompts: Tokens after the prefix, at least one each.
        first: The number of the first of these documents in its group.
        prefix: Tokens of the prefix, which is in the cache.
        slots: Slots of a row.
        device: Where to compute.
    """
    lengths = np.array([len(prompt) for prompt in prompts])
    documents = np.arange(first, first + len(prompts)) * slots
    positions = prefix + _offsets(lengths)
    seen = prefix + lengths

    def there(values: Numbers, kind: torch.dtype = torch.int64) -> torch.Tensor:
        made = torch.from_numpy(values).to(kind)
        return made.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else made

    return Pack(
        ids=there(np.fromiter((i for prompt in prompts for i in prompt), np.int64, lengths.sum())),
        positions=there(positions),
        places=there(np.repeat(documents, lengths) + positions),
        seen=there(np.repeat(documents, seen) + _offsets(seen)),
        queries=there(np.concatenate([[0], lengths.cumsum()]), torch.int32),
        keys=there(np.concatenate([[0], seen.cumsum()]), torch.int32),
        last=there(lengths.cumsum() - 1),
        longest=(int(lengths.max()), int(seen.max())),
    )


def parts(lengths: Sequence[int], capacity: int) -> list[tuple[int, int]]:
    """Stretches of documents whose tokens fit into packs of ``capacity``, of nearly equal size; a longer one alone."""
    total = sum(lengths)
    room = max(1, total / max(1, -(-total // capacity)))
    found, start, filled = [], 0, 0
    for number, length in enumerate(lengths):
        if number > start and (filled + length > capacity or filled >= room):
            found.append((start, number))
            start, filled = number, 0
        filled += length
    return [*found, (start, len(lengths))]


def row_slots(longest: int, steps: int, beams: int) -> tuple[int, int]:
    """Slots of a row, and the first of them for written tokens."""
    written = -(-longest // PROMPT_SLOTS) * PROMPT_SLOTS
    return written + -(-steps * beams // WRITTEN_SLOTS) * WRITTEN_SLOTS, written


class Writing:
    """What a step reads of a group of documents that are being written: the same tensors in each step.

    Attributes:
        keys_values: (layers, 2, documents, slots, key heads, width), the cache.
        tokens, positions: (documents * beams,) the newest tokens, and their places in the text.
        slots: (beams,) where their keys and values go.
        bias: (documents, beams, slots) what is added to the scores: 0, or HIDDEN.
    """

    def __init__(self, keys_values: torch.Tensor, beams: int) -> None:
        _, _, documents, slots, _, _ = keys_values.shape
        device = keys_values.device
        self.keys_values = keys_values
        self.tokens = torch.zeros(documents * beams, dtype=torch.int64, device=device)
        self.positions = torch.zeros_like(self.tokens)
        self.slots = torch.zeros(beams, dtype=torch.int64, device=device)
        self.bias = torch.zeros(documents, beams, slots, dtype=keys_values.dtype, device=device)

    @property
    def documents(self) -> int:
        return self.keys_values.shape[2]

    @property
    def beams(self) -> int:
        return len(self.slots)

    def begin(self, lengths: torch.Tensor, written: int) -> None:
        """Shows each document its prompt. ``lengths``: (documents,), ``written``: the first slot for new tokens."""
        hidden = torch.arange(self.bias.shape[2], device=lengths.device) >= lengths[:, None]
        self.bias.copy_((HIDDEN * hidden.to(self.bias.dtype))[:, None].expand_as(self.bias))
        self.positions.copy_((lengths - 1).repeat_interleave(self.beams))
        self.slots.copy_(torch.arange(written - self.beams, written, device=lengths.device))

    def put(self, tokens: torch.Tensor, parents: torch.Tensor | None = None) -> None:
        """Takes the next token of each beam, which sees itself and what its parent saw.

        tokens: (documents, beams); parents: the same, numbers of beams, or None where each goes on alone.
        """
        self.tokens.copy_(tokens.flatten())
        self.positions.add_(1)
        self.slots.add_(self.beams)
        if parents is not None:
            self.bias.copy_(self.bias.gather(1, parents[:, :, None].expand_as(self.bias)))
        own = self.slots.expand(self.documents, -1)[:, :, None]
        self.bias.scatter_(2, own, 0)
