"""Dates and themes of documents in; the share of each theme by period, and which rise or fall, out."""

import datetime
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from topicgen.extras import require

Unit = Literal["year", "quarter", "month", "week", "day"]
Direction = Literal["rising", "falling", "steady"]
Array = NDArray[np.float64]

UNITS: dict[Unit, float] = {"year": 365.25, "quarter": 91.3, "month": 30.4, "week": 7, "day": 1}
"""Days of each unit, the longest first."""

FEWEST_PERIODS = 6  # that a unit must give, if a shorter one can
FEWEST_DOCUMENTS = 10  # of a theme, to test it
LEVEL = 0.05  # false discoveries among the themes that are called rising or falling


@dataclass(frozen=True, slots=True)
class Trend:
    """How a theme went.

    Attributes:
        counts: Documents in each period.
        shares: The same over all documents of the period; 0 where it has none.
        slope: Change of the share from one period to the next, by weighted least squares.
        p: Two-sided, after Benjamini and Hochberg; None where there is too little to test.
        direction: ``rising`` or ``falling`` when p is below 0.05.
    """

    counts: list[int]
    shares: list[float]
    slope: float
    p: float | None
    direction: Direction


@dataclass(frozen=True, slots=True)
class Trends:
    """All themes over time; periods are consecutive, those without documents included."""

    unit: Unit
    periods: list[str]
    themes: dict[str, Trend]

    def as_dict(self) -> dict[str, Any]:
        """As trends.json holds it."""
        themes = {
            theme: {"shares": t.shares, "counts": t.counts, "slope": t.slope, "p": t.p, "direction": t.direction}
            for theme, t in self.themes.items()
        }
        return {"unit": self.unit, "periods": self.periods, "themes": themes}


def trends_of(dates: Sequence[datetime.date | None], themes: Sequence[str], order: Sequence[str]) -> Trends | None:
    """The trends of themes; documents without a date do not count; None without any date.

    The unit is the longest that gives six periods, and not shorter than the dates are exact. Whether a theme rises or
    falls is tested by the trend test for proportions (Cochran 1954, Armitage 1955): is the share of the theme linear in
    time with a slope of zero? Documents come in bursts rather than one by one, so the variance is scaled by what the
    periods scatter beyond the binomial around the line (quasi-likelihood, McCullagh and Nelder 1989), and never down;
    p is of Student's t with two degrees of freedom fewer than there are periods with documents. Over the themes, p is
    adjusted by Benjamini and Hochberg (1995).

    Args:
        dates: Of each document.
        themes: Id of the theme of each document.
        order: Ids of the themes that are wanted, in order.

    Raises:
        UserError: When the library scipy is missing.
    """
    known = [(date, theme) for date, theme in zip(dates, themes, strict=True) if date is not None]
    if not known:
        return None
    unit = choose_unit([date for date, _ in known])
    numbers = [_number(date, unit) for date, _ in known]
    first, last = min(numbers), max(numbers)
    rows = {theme: row for row, theme in enumerate(order)}
    counts = np.zeros((len(order), last - first + 1))
    totals = np.zeros(last - first + 1)
    for number, (_, theme) in zip(numbers, known, strict=True):
        totals[number - first] += 1
        if theme in rows:
            counts[rows[theme], number - first] += 1
    shares = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    tested = [trend_test(row, totals) for row in counts]
    adjusted = benjamini_hochberg([p for _, p in tested])
    found = {}
    for theme, row, share, (slope, _), p in zip(order, counts, shares, tested, adjusted, strict=True):
        direction: Direction = "steady"
        if p is not None and p < LEVEL:
            direction = "rising" if slope > 0 else "falling"
        found[theme] = Trend([int(n) for n in row], [round(float(s), 6) for s in share], slope, p, direction)
    return Trends(unit, [_label(number, unit) for number in range(first, last + 1)], found)


def trend_test(counts: Array, totals: Array) -> tuple[float, float | None]:
    """Slope of ``counts / totals`` in time, and its two-sided p; None where there is too little to test.

    Args:
        counts: Documents of the theme in each period, shape (periods,).
        totals: All documents of the period, shape (periods,).
    """
    filled = np.flatnonzero(totals)
    time, n, x = filled.astype(np.float64), totals[filled], counts[filled]
    share = x.sum() / n.sum()
    time -= (n * time).sum() / n.sum()
    spread = (n * time**2).sum()
    if spread == 0:
        return 0.0, None
    slope = float((time * x).sum() / spread)
    variance = share * (1 - share)
    degrees = len(filled) - 2
    if degrees < 1 or variance <= 0 or min(x.sum(), (n - x).sum()) < FEWEST_DOCUMENTS:
        return slope, None
    scatter = ((x - n * (share + slope * time)) ** 2 / n).sum() / variance / degrees
    t = slope / math.sqrt(max(1.0, scatter) * variance / spread)
    return slope, float(2 * require("scipy.special", "themes").stdtr(degrees, -abs(t)))


def benjamini_hochberg(values: Sequence[float | None]) -> list[float | None]:
    """p values adjusted so that, below a level, at most that share of false discoveries is expected; None stays."""
    order = sorted((p, row) for row, p in enumerate(values) if p is not None)
    adjusted: list[float | None] = [None] * len(values)
    lowest = 1.0
    for rank, (p, row) in reversed(list(enumerate(order, 1))):
        lowest = min(lowest, p * len(order) / rank)
        adjusted[row] = lowest
    return adjusted


def choose_unit(dates: Sequence[datetime.date]) -> Unit:
    """The longest unit that fits often enough into the time, but none that is shorter than the dates are exact."""
    span = (max(dates) - min(dates)).days + 1
    exact: Unit = "day"
    if all(date.day == 1 for date in dates):
        months = {date.month for date in dates}
        exact = "year" if months == {1} else "quarter" if months <= {1, 4, 7, 10} else "month"
    elif all(date.weekday() == 0 for date in dates):
        exact = "week"
    for unit, days in UNITS.items():
        if unit == exact or span / days >= FEWEST_PERIODS:
            return unit
    return "day"


def _number(date: datetime.date, unit: Unit) -> int:
    """The period of a date; the next one has the next number."""
    if unit == "year":
        return date.year
    if unit == "quarter":
        return 4 * date.year + (date.month - 1) // 3
    if unit == "month":
        return 12 * date.year + date.month - 1
    return (date.toordinal() - 1) // 7 if unit == "week" else date.toordinal()


def _label(number: int, unit: Unit) -> str:
    if unit == "year":
        return f"{number:04d}"
    if unit == "quarter":
        return f"{number // 4:04d}-Q{number % 4 + 1}"
    if unit == "month":
        return f"{number // 12:04d}-{number % 12 + 1:02d}"
    date = datetime.date.fromordinal(7 * number + 1 if unit == "week" else number)
    if unit == "day":
        return date.isoformat()
    year, week, _ = date.isocalendar()
    return f"{year:04d}-W{week:02d}"
