"""Cells of date columns."""

import datetime
from typing import Any

import pytest

from topicgen.themes.dates import read_dates


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("2019-05-04", "2019-05-04"),
        ("2019-05-04T10:00:00Z", "2019-05-04"),
        ("2019-05-04 00:00:00.000000", "2019-05-04"),
        ("20190504", "2019-05-04"),
        ("2019-05", "2019-05-01"),
        ("2019", "2019-01-01"),
        (2019, "2019-01-01"),
        (2019.0, "2019-01-01"),
        ("2019.0", "2019-01-01"),
        ("4 May 2019", "2019-05-04"),
        ("May 4th, 2019", "2019-05-04"),
        ("May 2019", "2019-05-01"),
        ("4.5.2019", "2019-05-04"),
        ("Sat, 04 May 2019 10:00:00 GMT", "2019-05-04"),
        ("2019-Q2", "2019-04-01"),
        ("2019-W18", "2019-04-29"),
        (1556928000, "2019-05-04"),
        (1556928000000, "2019-05-04"),
        ("31/12/2019", "2019-12-31"),
        ("12/31/2019", "2019-12-31"),
    ],
)
def test_common_forms_are_read(cell: Any, expected: str) -> None:
    assert read_dates([cell]) == [datetime.date.fromisoformat(expected)]


@pytest.mark.parametrize(
    "cell",
    ["", None, "soon", "2019-02-31", "0000-01-01", True, float("nan"), float("inf"), "4/5/2019", [2019], "9" * 99],
)
def test_what_is_not_certain_is_no_date(cell: Any) -> None:
    assert read_dates([cell]) == [None]


def test_another_cell_of_the_column_settles_the_order_of_day_and_month() -> None:
    assert read_dates(["4/5/2019", "31/12/2019"])[0] == datetime.date(2019, 5, 4)
    assert read_dates(["4/5/2019", "12/31/2019"])[0] == datetime.date(2019, 4, 5)
    assert read_dates(["4/5/2019", "12/31/2019", "31/12/2019"])[0] is None
