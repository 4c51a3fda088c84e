"""Statistics of documents in, values with bootstrap intervals out; all systems share the same resamples."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Aggregate = Callable[[Array], Array]

FEWEST = 10  # documents; resamples of fewer differ too little to say how certain a difference is
_BLOCK = 2_000_000  # draws at a time: memory stays linear in the number of documents


@dataclass(frozen=True, slots=True)
class Interval:
    """A value with the ends of its bootstrap confidence interval."""

    mean: float
    low: float
    high: float

    def percent(self) -> str:
        return f"{100 * self.mean:.1f} [{100 * self.low:.1f}, {100 * self.high:.1f}]"

    def as_dict(self) -> dict[str, float]:
        return {"mean": self.mean, "low": self.low, "high": self.high}


@dataclass(frozen=True, slots=True)
class Difference:
    """How much one system is above another on the same documents; p is two-sided, None for too few documents."""

    difference: float
    low: float
    high: float
    p: float | None

    def as_dict(self) -> dict[str, float | None]:
        return {"difference": self.difference, "low": self.low, "high": self.high, "p": self.p}


def mean_of(sums: Array) -> Array:
    """The mean, where the statistics of a document are its value and 1: (..., 2) to (...)."""
    return ratio_of(sums)


def ratio_of(sums: Array) -> Array:
    """Sum of the first statistic over the sum of the second, NaN where that is 0: (..., 2) to (...)."""
    numerator, denominator = sums[..., 0], sums[..., 1]
    return np.divide(numerator, denominator, out=np.full_like(numerator, np.nan), where=denominator != 0)


def values_as_statistics(values: Sequence[float]) -> Array:
    """(documents,) values to the (documents, 2) statistics that ``mean_of`` takes; NaN counts for nothing."""
    data = np.asarray(values, dtype=np.float64)
    known = ~np.isnan(data)
    return np.stack([np.where(known, data, 0.0), known.astype(np.float64)], axis=1)


def resampled_sums(statistics: Array, *, samples: int, seed: int) -> Array:
    """Sums of (documents, k) statistics over each bootstrap resample of the documents: (samples, k).

    The resamples depend on the number of documents and the seed only, so that systems are compared on the same ones.
    """
    size = len(statistics)
    generator = np.random.default_rng(seed)
    sums = np.empty((samples, statistics.shape[1]))
    block = max(1, _BLOCK // max(1, size))
    for first in range(0, samples, block):
        count = min(block, samples - first)
        drawn = generator.integers(size, size=(count, size))
        drawn += np.arange(count)[:, None] * size
        times = np.bincount(drawn.ravel(), minlength=count * size).reshape(count, size)
        sums[first : first + count] = times @ statistics
    return sums


def interval(statistics: Array, aggregate: Aggregate, resampled: Array, level: float = 0.95) -> Interval:
    """The value on all documents, and its percentile bootstrap interval (Efron 1979).

    Resamples without any document that counts say nothing.
    """
    low, high = np.nanquantile(aggregate(resampled), [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(aggregate(statistics.sum(axis=0))), float(low), float(high))


def difference(
    statistics: tuple[Array, Array], aggregate: Aggregate, resampled: tuple[Array, Array], level: float = 0.95
) -> Difference:
    """Paired bootstrap of the first system's value minus the second's (Koehn 2004; Berg-Kirkpatrick et al. 2012).

    p is twice the smaller share of resamples on one side of zero; the observed sample counts, so it is never 0.
    """
    drawn = aggregate(resampled[0]) - aggregate(resampled[1])
    drawn = drawn[~np.isnan(drawn)]
    observed = float(aggregate(statistics[0].sum(axis=0)) - aggregate(statistics[1].sum(axis=0)))
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    side = min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))
    few = np.count_nonzero(statistics[0][:, -1]) < FEWEST
    return Difference(observed, float(low), float(high), None if few else min(1.0, 2 * (side + 1) / (len(drawn) + 1)))


def bootstrap(values: Sequence[float], *, samples: int = 2000, level: float = 0.95, seed: int = 0) -> Interval:
    """Percentile bootstrap interval of the mean of one score for each document.

    Raises:
        ValueError: When there is no value.
    """
    if len(values) == 0:
        raise ValueError("an interval needs at least one value")
    statistics = values_as_statistics(values)
    return interval(statistics, mean_of, resampled_sums(statistics, samples=samples, seed=seed), level)
