"""Bootstrap intervals and paired differences."""

import time

import numpy as np
import pytest

from topicgen.intervals import (
    bootstrap,
    difference,
    interval,
    mean_of,
    ratio_of,
    resampled_sums,
    values_as_statistics,
)


def test_the_interval_holds_the_mean_and_narrows_with_the_square_root_of_the_documents() -> None:
    random = np.random.default_rng(1)
    small, large = (bootstrap(random.normal(0.5, 0.2, size).tolist()) for size in (100, 10_000))
    assert small.low < small.mean < small.high
    assert (small.high - small.low) / (large.high - large.low) == pytest.approx(10, rel=0.15)
    # The normal approximation, for a check that shares no code.
    assert large.high - large.low == pytest.approx(2 * 1.96 * 0.2 / 100, rel=0.1)


def test_every_resample_draws_as_many_documents_as_there_are() -> None:
    sums = resampled_sums(np.ones((37, 1)), samples=200, seed=0)
    assert (sums == 37).all()


def test_the_same_seed_gives_the_same_resamples_whatever_is_summed() -> None:
    values = np.random.default_rng(0).random((50, 3))
    together = resampled_sums(values, samples=150, seed=4)
    alone = resampled_sums(values[:, 1:2], samples=150, seed=4)
    assert np.allclose(together[:, 1], alone[:, 0])
    assert not np.allclose(together, resampled_sums(values, samples=150, seed=5))


def test_documents_without_a_value_do_not_count() -> None:
    statistics = values_as_statistics([1.0, float("nan"), 0.0])
    found = interval(statistics, mean_of, resampled_sums(statistics, samples=100, seed=0))
    assert found.mean == 0.5


def test_a_ratio_of_nothing_is_none() -> None:
    assert np.isnan(ratio_of(np.zeros((4, 2)))).all()


def test_resamples_without_a_value_do_not_widen_the_interval() -> None:
    """Two of twenty documents count, and both score 1: about one resample in eight has neither."""
    statistics = values_as_statistics([1.0, 1.0, *[float("nan")] * 18])
    found = interval(statistics, mean_of, resampled_sums(statistics, samples=500, seed=0))
    assert (found.low, found.mean, found.high) == (1, 1, 1)


def test_a_handful_of_documents_has_no_p() -> None:
    nothing = [float("nan")] * 20  # documents that do not count
    pair = values_as_statistics([1.0] * 9 + nothing), values_as_statistics([0.0] * 9 + nothing)
    drawn = tuple(resampled_sums(one, samples=100, seed=0) for one in pair)
    assert difference((pair[0], pair[1]), mean_of, (drawn[0], drawn[1])).p is None


def test_a_constant_lead_is_certain_where_the_single_intervals_overlap() -> None:
    random = np.random.default_rng(2)
    weak = random.random(200)
    pair = values_as_statistics((weak + 0.02).tolist()), values_as_statistics(weak.tolist())
    drawn = tuple(resampled_sums(one, samples=500, seed=0) for one in pair)
    found = difference((pair[0], pair[1]), mean_of, (drawn[0], drawn[1]))
    assert found.low == pytest.approx(0.02)
    assert found.high == pytest.approx(0.02)
    assert found.p == pytest.approx(2 / 501)
    single = [interval(one, mean_of, sums) for one, sums in zip(pair, drawn, strict=True)]
    assert single[1].high > single[0].low


def test_equal_systems_show_no_difference() -> None:
    values = values_as_statistics(np.random.default_rng(3).random(100).tolist())
    drawn = resampled_sums(values, samples=300, seed=0)
    found = difference((values, values), mean_of, (drawn, drawn))
    assert (found.difference, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_no_value_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one"):
        bootstrap([])


def test_ten_thousand_documents_and_a_thousand_resamples_take_seconds() -> None:
    began = time.perf_counter()
    resampled_sums(np.random.default_rng(0).random((10_000, 40)), samples=1000, seed=0)
    assert time.perf_counter() - began < 8
