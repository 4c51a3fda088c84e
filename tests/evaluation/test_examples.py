"""Labelled tables and predictions."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from topicgen.errors import UserError
from topicgen.evaluation.examples import LabelledColumns, read_labelled, read_predictions
from topicgen.reader import Problems
from topicgen.records import Example

ROWS = [
    {"id": "a", "text": "Solar cells are cheap.", "topic": "Solar cells", "title": "On cells", "category": 3},
    {"id": "b", "text": "Glaciers melt.", "topic": "Glaciers", "title": "", "category": None},
]


@pytest.fixture
def table(tmp_path: Path) -> Any:
    def write(rows: list[dict[str, Any]], name: str = "rows.jsonl") -> str:
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return str(path)

    return write


def read(path: str, **columns: Any) -> Any:
    return read_labelled(path, LabelledColumns(**columns), Problems(), lambda _: None)


def predicted(path: str, ids: str = "ab", notify: Any = lambda _: None, column: str | None = None) -> list[str]:
    return read_predictions(path, column, [Example(name, "text") for name in ids], Problems(), notify)


def test_columns_with_usual_names_are_found(table: Any) -> None:
    labelled = read(table(ROWS))
    assert labelled.examples[0] == Example("a", "Solar cells are cheap.", ("Solar cells",), "On cells", "3")
    assert labelled.examples[1] == Example("b", "Glaciers melt.", ("Glaciers",))


def test_several_references_and_columns_of_systems(table: Any) -> None:
    rows = [{**ROWS[0], "second": "Cheap solar cells", "other": " PV "}, {**ROWS[1], "second": None, "other": None}]
    labelled = read(table(rows), references=("topic", "second"), predictions=("other",))
    assert [example.references for example in labelled.examples] == [
        ("Solar cells", "Cheap solar cells"),
        ("Glaciers",),
    ]
    assert labelled.predictions == {"other": ["PV", ""]}


def test_two_possible_references_are_not_guessed(table: Any) -> None:
    with pytest.raises(UserError, match="Use --topic-column with topic or label"):
        read(table([{**ROWS[0], "label": "x"}]))


def test_a_missing_column_lists_those_there_are(table: Any) -> None:
    with pytest.raises(UserError, match=r"no column 'gold'; its columns are id, text"):
        read(table(ROWS), references=("gold",))


def test_a_reference_that_is_no_text_is_named_with_its_row(table: Any) -> None:
    with pytest.raises(UserError, match=r"row 2: column 'topic' holds list, not text"):
        read(table([ROWS[0], {**ROWS[1], "topic": ["x"]}]))


def test_empty_references_are_counted(table: Any) -> None:
    assert read(table([ROWS[0], {**ROWS[1], "topic": " "}])).without_reference == 1


def test_a_table_without_rows_and_a_text_file_are_refused(table: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no row"):
        read(table([], "empty.jsonl"), text="text")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(UserError, match="a table is needed"):
        read(str(tmp_path / "notes.txt"))


def test_a_reference_is_not_taken_for_the_text(table: Any) -> None:
    with pytest.raises(UserError, match="no column is left for the text"):
        read(table([{"id": "a", "topic": "Sun"}]))
    assert read(table([{"id": "a", "topic": "Sun", "words": "Some text"}])).examples[0].text == "Some text"


def test_a_category_that_is_no_number_is_none(tmp_path: Path) -> None:
    rows = {"text": ["a", "b"], "topic": ["x", "y"], "category": [1.0, float("nan")]}
    pq.write_table(pa.table(rows), tmp_path / "rows.parquet")
    assert [e.category for e in read(str(tmp_path / "rows.parquet")).examples] == ["1.0", None]


def test_rows_that_were_left_out_forbid_matching_by_position(tmp_path: Path) -> None:
    (tmp_path / "preds.csv").write_text("topic\na\nb,c\nd\n")
    with pytest.raises(UserError, match="cannot be matched by position"):
        predicted(str(tmp_path / "preds.csv"))


def test_predictions_are_matched_by_id_in_any_order(table: Any) -> None:
    rows = [{"id": "b", "topic": "Ice"}, {"id": "z", "topic": "Zebras"}, {"id": "a", "topic": "Sun"}]
    said: list[str] = []
    assert predicted(table(rows), notify=said.append) == ["Sun", "Ice"]
    assert "1 predictions for other documents" in said[0]


def test_predictions_without_ids_are_matched_by_position(table: Any) -> None:
    said: list[str] = []
    assert predicted(table([{"prediction": "Sun"}, {"prediction": None}]), notify=said.append) == ["Sun", ""]
    assert "matched by position" in said[-1]


def test_missing_ids_are_named(table: Any) -> None:
    with pytest.raises(UserError, match=r"no prediction for 1 of 2 ids: b"):
        predicted(table([{"id": "a", "topic": "Sun"}]))


def test_other_numbers_of_rows_without_ids_are_refused(table: Any) -> None:
    with pytest.raises(UserError, match=r"3 predictions for 2 documents"):
        predicted(table([{"topic": "x"}] * 3))


def test_predictions_without_a_column_of_topics_ask_for_one(table: Any) -> None:
    path = table([{"id": "a", "answer": "Sun"}, {"id": "b", "answer": "Ice"}])
    with pytest.raises(UserError, match="--predictions-column with id or answer"):
        predicted(path)
    assert predicted(path, column="answer") == ["Sun", "Ice"]
