"""The cells of a date column in, dates out; what cannot be read for certain is None."""

import datetime
import re
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from typing import Any

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = r"(jan|feb|mar|apr|may|jun|jul|aug|sept?|oct|nov|dec)[a-z]*\.?"
_YEAR_FIRST = re.compile(r"(\d{4})[-/.](\d{1,2})(?:[-/.](\d{1,2}))?(?:[T ].*)?")
_COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})")
_DAY_FIRST = re.compile(r"(\d{1,2})\.\s?(\d{1,2})\.\s?(\d{4})(?:\s.*)?")
_EITHER = re.compile(r"(\d{1,2})([/-])(\d{1,2})\2(\d{4})(?:\s.*)?")
_WEEK = re.compile(r"(\d{4})-?W(\d{2})(?:-?(\d))?", re.IGNORECASE)
_QUARTER = re.compile(r"(\d{4})[- ]?Q([1-4])|Q([1-4])[- /]?(\d{4})", re.IGNORECASE)
_WORDS = (
    re.compile(rf"(?P<day>\d{{1,2}})(?:st|nd|rd|th|\.)?[\s-]+{_MONTH}[\s-]+(?P<year>\d{{4}})", re.IGNORECASE),
    re.compile(rf"{_MONTH}\s+(?P<day>\d{{1,2}})(?:st|nd|rd|th)?,?\s+(?P<year>\d{{4}})", re.IGNORECASE),
    re.compile(rf"{_MONTH}[\s,-]+(?P<year>\d{{4}})", re.IGNORECASE),
)
_LONGEST = 64  # characters; no date is longer

# Numbers between these are seconds since 1970 (from 1973 on), and a thousand times as many are milliseconds.
_FIRST_SECOND, _LAST_SECOND = 10**8, 10**10


def read_dates(values: Sequence[Any]) -> list[datetime.date | None]:
    """The date of each cell of one column, None for an empty or unreadable one.

    Read are ISO dates with or without time, years, months ("2024-05", "May 2024"), quarters and weeks (by their first
    day), "4 May 2024", "May 4, 2024", "4.5.2024", dates of e-mails, and seconds or milliseconds since 1970. A cell such
    as "4/5/2024" counts only where the column settles the order: some day is over 12, and no other cell contradicts it.
    """
    order = _order(values)
    return [_date(value, order) for value in values]


def _order(values: Sequence[Any]) -> str | None:
    """``day`` or ``month``: what comes first in "4/5/2024"; None where the cells do not settle it."""
    found = [match for value in values if isinstance(value, str) and (match := _EITHER.fullmatch(value.strip()))]
    day, month = (any(int(match[group]) > 12 for match in found) for group in (1, 3))
    return None if day == month else "day" if day else "month"


def _date(value: Any, order: str | None) -> datetime.date | None:
    if isinstance(value, bool) or value is None:
        return None
    try:
        if isinstance(value, (int, float)):
            return _from_number(value)
        return _from_text(value.strip(), order) if isinstance(value, str) and len(value) <= _LONGEST else None
    except (ValueError, OverflowError, TypeError):  # such as 31 February, or year 0
        return None


def _from_number(value: float) -> datetime.date | None:
    if value != int(value):
        return None
    if 1000 <= value <= 9999:
        return datetime.date(int(value), 1, 1)
    if 10_000_000 <= value <= 99_991_231:
        return _from_text(str(int(value)), None)
    for unit in (1, 1000):
        if _FIRST_SECOND * unit <= value < _LAST_SECOND * unit:
            return datetime.datetime.fromtimestamp(value / unit, datetime.UTC).date()
    return None


def _from_text(text: str, order: str | None) -> datetime.date | None:
    if text.endswith(".0") and text[:-2].isdecimal():  # a number that passed through a table of floats
        text = text[:-2]
    if text.isdecimal() and text.isascii() and len(text) != 8:
        return _from_number(int(text))
    if match := _YEAR_FIRST.fullmatch(text) or _COMPACT.fullmatch(text):
        return datetime.date(int(match[1]), int(match[2]), int(match[3] or 1))
    if match := _WEEK.fullmatch(text):
        return datetime.date.fromisocalendar(int(match[1]), int(match[2]), int(match[3] or 1))
    if match := _QUARTER.fullmatch(text):
        return datetime.date(int(match[1] or match[4]), 3 * int(match[2] or match[3]) - 2, 1)
    if match := _DAY_FIRST.fullmatch(text):
        return datetime.date(int(match[3]), int(match[2]), int(match[1]))
    if match := _EITHER.fullmatch(text):
        first, second, year = int(match[1]), int(match[3]), int(match[4])
        if order is None:
            return datetime.date(year, first, second) if first == second else None
        return datetime.date(year, *((second, first) if order == "day" else (first, second)))
    for pattern in _WORDS:
        if match := pattern.fullmatch(text):
            month = _MONTHS.index(match[1 if pattern is not _WORDS[0] else 2][:3].lower()) + 1
            return datetime.date(int(match["year"]), month, int(match.groupdict().get("day") or 1))
    return parsedate_to_datetime(text).date() if "," in text else None
