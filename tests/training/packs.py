"""Helpers of the tests of training: tiny bases, rows and packs."""

from collections.abc import Sequence
from pathlib import Path

import torch

from topicgen.training.memory import Plan
from topicgen.training.rows import TokenRow

ALL = 99  # more layers than any model of the tests has
EXACT = Plan("float32", False, 0, 4096, False, "test")


def random_rows(count: int, vocabulary: int, seed: int = 0) -> list[TokenRow]:
    """Rows of 3 to 20 tokens with topics of 1 to 5."""
    generator = torch.Generator().manual_seed(seed)

    def number(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (1,), generator=generator))

    rows = []
    for _ in range(count):
        text, topic = number(2, 15), number(1, 5)
        ids = tuple(torch.randint(3, vocabulary, (text + topic,), generator=generator).tolist())
        rows.append(TokenRow(ids, text))
    return rows


def shifted(adapter: torch.nn.Module, seed: int = 1) -> None:
    """Moves all matrices of an adapter away from their start, so that B is not zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in adapter.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_((0.2 * noise).to(parameter.dtype))


def paths(folder: Path, names: Sequence[str]) -> list[str]:
    return [str(folder / name) for name in names]
