"""Shares over time, and the test of their trend."""

import datetime
import math
import random

import numpy as np
import pytest

from topicgen.themes.trends import benjamini_hochberg, choose_unit, trend_test, trends_of

DAY = datetime.date(2020, 1, 1)


def days(span: int, step: int = 1) -> list[datetime.date]:
    return [DAY + datetime.timedelta(n) for n in range(0, span, step)]


@pytest.mark.parametrize(
    ("dates", "unit"),
    [
        (days(4000, 30), "year"),
        (days(900, 10), "quarter"),
        (days(300, 5), "month"),
        (days(60), "week"),
        (days(20), "day"),
        ([datetime.date(y, 1, 1) for y in (2020, 2021)], "year"),
        ([datetime.date(2020, m, 1) for m in (1, 2, 3)], "month"),
        ([datetime.date(2020, 1, 6) + datetime.timedelta(7 * n) for n in range(4)], "week"),
        (days(1), "day"),
    ],
)
def test_the_unit_follows_from_the_span_and_from_how_exact_the_dates_are(dates: list[datetime.date], unit: str) -> None:
    assert choose_unit(dates) == (unit if len(dates) > 1 else "year")


def test_the_statistic_is_that_of_cochran_and_armitage() -> None:
    """Without scatter around the line the variance is the binomial one: z = T / sqrt(Var T)."""
    counts, totals = np.array([10.0, 15, 20, 25, 30]), np.array([100.0] * 5)
    slope, p = trend_test(counts, totals)
    assert slope == pytest.approx(0.05)
    share, time = 0.2, np.arange(5)
    t_statistic = float((time * (counts - totals * share)).sum())
    variance = share * (1 - share) * float((totals * time**2).sum() - (totals * time).sum() ** 2 / totals.sum())
    z = t_statistic / math.sqrt(variance)
    # Survival function of Student's t with 3 degrees of freedom, in closed form.
    angle = math.atan(z / math.sqrt(3))
    assert p == pytest.approx(1 - 2 / math.pi * (angle + math.sin(angle) * math.cos(angle)), rel=1e-9)


def test_bursts_are_no_trend() -> None:
    """Half of 40 collections without a trend, but with bursts, would be called rising by the plain binomial test."""
    chance = np.random.default_rng(3)
    totals = np.full(12, 200.0)
    found = [trend_test(chance.binomial(200, chance.beta(2, 8, 12)).astype(float), totals)[1] for _ in range(200)]
    assert np.mean([p is not None and p < 0.05 for p in found]) < 0.1


def test_rising_falling_and_steady_themes_are_told_apart() -> None:
    chance, dates, themes = random.Random(5), [], []
    for month in range(24):
        for _ in range(100):
            dates.append(datetime.date(2020 + month // 12, month % 12 + 1, chance.randrange(1, 28)))
            themes.append(chance.choices(["t1", "t2", "t3"], [10 + month, 34 - month, 40])[0])
    found = trends_of(dates, themes, ["t1", "t2", "t3"])
    assert found is not None
    assert {t: trend.direction for t, trend in found.themes.items()} == {
        "t1": "rising",
        "t2": "falling",
        "t3": "steady",
    }
    assert sum(sum(trend.counts) for trend in found.themes.values()) == 2400
    assert all(
        math.isclose(sum(shares), 1, abs_tol=1e-5)
        for shares in zip(*(t.shares for t in found.themes.values()), strict=True)
    )


def test_periods_are_consecutive_and_undated_documents_do_not_count() -> None:
    dates = [datetime.date(2020, 1, 1), None, datetime.date(2023, 1, 1)]
    found = trends_of(dates, ["t1", "t1", "t2"], ["t1", "t2"])
    assert found is not None
    assert found.periods == ["2020", "2021", "2022", "2023"]
    assert found.themes["t1"].counts == [1, 0, 0, 0]
    assert (found.themes["t1"].p, found.themes["t1"].direction) == (None, "steady")
    assert found.as_dict()["themes"]["t2"]["shares"] == [0, 0, 0, 1]


def test_without_dates_there_are_no_trends() -> None:
    assert trends_of([None], ["t1"], ["t1"]) is None


def test_one_theme_alone_is_steady() -> None:
    found = trends_of(days(400), ["t1"] * 400, ["t1"])
    assert found is not None
    assert found.themes["t1"].direction == "steady"


def test_p_values_are_adjusted_as_benjamini_and_hochberg_say() -> None:
    assert benjamini_hochberg([0.01, None, 0.04, 0.03, 0.005]) == pytest.approx([0.02, None, 0.04, 0.04, 0.02])


def test_names_of_weeks_and_quarters() -> None:
    weeks = trends_of(days(60), ["t1"] * 60, ["t1"])
    quarters = trends_of(days(900, 10), ["t1"] * 90, ["t1"])
    assert weeks is not None and quarters is not None
    assert (weeks.periods[0], quarters.periods[:2]) == ("2020-W01", ["2020-Q1", "2020-Q2"])
