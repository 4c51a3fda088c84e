"""Topics and their references in, scores out: pure functions over strings and numbers."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

_WORD = re.compile(r"[a-z0-9]+")


def words(text: str) -> list[str]:
    """Lowercase words ``[a-z0-9]+``, the tokenisation of ROUGE (Lin 2004) without stemming."""
    return _WORD.findall(text.lower())


def _f1(overlap: int, predicted: int, expected: int) -> float:
    return 2 * overlap / (predicted + expected) if overlap else 0.0


def rouge_n(prediction: str, reference: str, n: int) -> float:
    """ROUGE-N F1 of one pair, 0 to 1: n-grams that both share, counted at most as often as either has them."""
    grams = []
    for text in (prediction, reference):
        tokens = words(text)
        grams.append(Counter(zip(*(tokens[i:] for i in range(n)), strict=False)))
    return _f1((grams[0] & grams[1]).total(), grams[0].total(), grams[1].total())


def rouge_l(prediction: str, reference: str) -> float:
    """ROUGE-L F1 of one pair, 0 to 1: the longest common subsequence of words."""
    left, right = words(prediction), words(reference)
    row = [0] * (len(right) + 1)
    for token in left:
        diagonal = 0
        for j, other in enumerate(right, 1):
            above = row[j]
            row[j] = diagonal + 1 if token == other else max(above, row[j - 1])
            diagonal = above
    return _f1(row[-1], len(left), len(right))


def exact_match(prediction: str, reference: str) -> float:
    """1 when both are the same text apart from case and outer white space, else 0."""
    return float(prediction.strip().lower() == reference.strip().lower())


SCORES: dict[str, Callable[[str, str], float]] = {
    "rouge1": lambda prediction, reference: rouge_n(prediction, reference, 1),
    "rouge2": lambda prediction, reference: rouge_n(prediction, reference, 2),
    "rougeL": rouge_l,
    "exact": exact_match,
}
"""The scores of one prediction against its reference, by name."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with the ends of its bootstrap confidence interval."""

    mean: float
    low: float
    high: float

    def percent(self) -> str:
        return f"{100 * self.mean:.1f} [{100 * self.low:.1f}, {100 * self.high:.1f}]"


def bootstrap(values: Sequence[float], *, samples: int = 2000, level: float = 0.95, seed: int = 0) -> Interval:
    """Percentile bootstrap interval of a mean (Efron 1979); ``values`` has one score for each document."""
    data = np.asarray(values, dtype=np.float64)
    if data.size == 0:
        raise ValueError("an interval needs at least one value")
    draws = np.random.default_rng(seed).integers(data.size, size=(samples, data.size))
    low, high = np.quantile(data[draws].mean(axis=1), [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(data.mean()), float(low), float(high))
