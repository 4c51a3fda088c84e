"""Rows of the page as Parquet."""

import json
from typing import Any

import pyarrow.parquet as pq
import pytest

from topicgen.errors import UserError
from topicgen.serving.exports import parquet_file

ROW = {"id": "a", "topic": "Bees", "score": 0.5, "status": "ok", "source": "r.csv", "position": 1, "text": "Bees."}


def lines(*rows: Any, fields: list[str] | None = None) -> list[bytes]:
    return [json.dumps(row).encode() for row in ({"fields": fields or []}, *rows)]


def test_rows_come_back_with_typed_columns_in_their_order() -> None:
    rows = [
        ROW | {"n": 1, "city": "Oslo", "theme": "Insects"},
        ROW | {"n": 2.5, "city": None, "theme": None, "topic": "", "score": None, "status": "empty"},
    ]
    with parquet_file(lines(*rows, fields=["n", "city", "theme"])) as file:
        table = pq.read_table(file)
    assert table.column_names == [
        "id", "topic", "score", "status", "source", "position", "n", "city", "theme", "text"
    ]  # fmt: skip
    assert table.to_pylist() == [{name: row[name] for name in table.column_names} for row in rows]
    assert str(table.schema.field("n").type) == "double"


def test_no_rows_are_a_file_too() -> None:
    with parquet_file(lines()) as file:
        assert pq.read_table(file).num_rows == 0


@pytest.mark.parametrize(
    "change",
    [{"id": 1}, {"topic": None}, {"score": "high"}, {"score": float("nan")}, {"score": True}, {"status": "fine"},
     {"position": 1.5}, {"position": 2**70}, {"text": ["x"]}],
    ids=str,
)  # fmt: skip
def test_row_that_is_no_topic_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"^row 2 is no topic"):
        parquet_file(lines(ROW, ROW | change))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "the first line"),
        ([b"[]"], "line 1 is no object"),
        ([b'{"fields": [1]}'], "the first line"),
        ([b'{"fields": []}', b"{"], "line 2 is not JSON"),
        ([b'{"fields": []}', b"[" * 100_000], "line 2 is not JSON"),
    ],
)
def test_what_are_no_rows_is_refused(content: list[bytes], message: str) -> None:
    with pytest.raises(UserError, match=message):
        parquet_file(content)
