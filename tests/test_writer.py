"""Topics as rows of JSON lines, CSV and Parquet."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from writing import EMPTY, PLAIN, csv_rows, names, topic, write

from topicgen import parquet_output
from topicgen.config import WriterSettings
from topicgen.errors import UsageError
from topicgen.records import PassageTopic, RankedTopic, Topic
from topicgen.writer import json_line, open_writer, output_format

# Format


@pytest.mark.parametrize(
    ("path", "given", "terminal", "expected"),
    [
        (None, None, True, "table"),
        (None, None, False, "jsonl"),
        (None, "csv", True, "csv"),
        ("x.jsonl", None, True, "jsonl"),
        ("x.CSV", None, False, "csv"),
        ("x.parquet", None, False, "parquet"),
        ("x.txt", "csv", False, "csv"),
    ],
)
def test_output_format(path: str | None, given: str | None, terminal: bool, expected: str) -> None:
    assert output_format(path, given, terminal) == expected


@pytest.mark.parametrize(
    ("path", "given"), [("x.txt", None), ("x", None), (None, "parquet"), ("x", "table"), (None, "xml")]
)
def test_output_format_that_does_not_fit_is_a_usage_error(path: str | None, given: str | None) -> None:
    with pytest.raises(UsageError):
        output_format(path, given, False)


# Rows


def test_fields_come_in_order(tmp_path: Path) -> None:
    ranked = (RankedTopic("Solar panels", 0.5), RankedTopic("Roofs", 0.123456))
    row = Topic("a", "Solar panels", 0.912361, "ok", "x.csv", 3, ranked, "The text", {"stars": 5, "topic": "old"})
    settings = WriterSettings(with_text=True, keep=("topic", "stars", "absent"), several=True)
    parsed = json.loads(json_line(row, settings))
    assert list(parsed.items()) == [
        ("id", "a"),
        ("topic", "Solar panels"),
        ("score", 0.9124),
        ("status", "ok"),
        ("topics", [{"topic": "Solar panels", "score": 0.5}, {"topic": "Roofs", "score": 0.1235}]),
        ("source", "x.csv"),
        ("position", 3),
        ("input_topic", "old"),
        ("stars", 5),
        ("absent", None),
        ("text", "The text"),
    ]


def test_names_stay_unique_when_the_prefixed_name_is_kept_too() -> None:
    row = topic(topic=1, input_topic=2)
    parsed = json.loads(json_line(row, WriterSettings(keep=("topic", "input_topic"))))
    assert (parsed["input_topic"], parsed["input_input_topic"]) == (1, 2)


def test_json_is_strict_and_unescaped() -> None:
    row = topic(x=float("nan"), y=[float("inf"), "Grüße 👩‍🚀"])
    line = json_line(row, WriterSettings(keep=("x", "y")))
    assert '"x": null, "y": [null, "Grüße 👩‍🚀"]' in line


def test_empty_document_has_a_null_score(tmp_path: Path) -> None:
    for name in ("x.jsonl", "x.csv", "x.parquet"):
        write(tmp_path / name, [EMPTY])
    assert json.loads((tmp_path / "x.jsonl").read_text())["score"] is None
    assert (tmp_path / "x.csv").read_text().splitlines()[1] == "b,,,empty,x.csv,2"
    assert pq.read_table(tmp_path / "x.parquet").to_pylist()[0]["score"] is None


# JSON lines


def test_json_lines_grow_in_place_with_each_write(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    with open_writer(str(path), WriterSettings()) as writer:
        for count in (1, 2):
            writer.write([PLAIN])
            assert len(path.read_text().splitlines()) == count


def test_text_that_utf_8_lacks_stays_json(tmp_path: Path) -> None:
    write(tmp_path / "x.jsonl", [topic("\ud800")])
    assert json.loads((tmp_path / "x.jsonl").read_text())["id"] == "\ud800"


# CSV


def test_csv_has_a_header_and_json_in_nested_cells(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    ranked = (RankedTopic("Solar panels", 0.5),)
    columns = {"tags": ["ü", 1], "flag": True, "n": 5, "x": float("nan")}
    row = Topic("a", 'Say "hi", or\nnot', 0.5, "ok", "x.csv", 1, ranked, columns=columns)
    write(path, [row], keep=tuple(columns), several=True)
    assert b"\r" not in path.read_bytes()
    (parsed,) = csv_rows(path)
    assert parsed["topic"] == 'Say "hi", or\nnot'
    assert parsed["topics"] == '[{"topic": "Solar panels", "score": 0.5}]'
    assert [parsed[name] for name in columns] == ['["ü", 1]', "true", "5", ""]


def test_carriage_returns_in_cells_become_line_feeds(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    write(path, [topic(k="a\rb\r\nc")], keep=("k",))
    (parsed,) = csv_rows(path)
    assert parsed["k"] == "a\nb\nc"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝"])
def test_formula_cells_are_escaped_when_asked(tmp_path: Path, start: str) -> None:
    cell = f"{start}cmd|' /C calc'!A0"
    for name, escape in (("yes.csv", True), ("no.csv", False)):
        write(tmp_path / name, [topic(k=cell)], keep=("k",), escape_formulas=escape)
        (parsed,) = csv_rows(tmp_path / name)
        assert parsed["k"] == ("'" if escape else "") + cell.replace("\r", "\n")


@pytest.mark.parametrize("number", [-5, -1.5, "-5", "+1.5e3", "-.5"])
def test_numbers_are_not_escaped(tmp_path: Path, number: Any) -> None:
    write(tmp_path / "x.csv", [topic(k=number)], keep=("k",), escape_formulas=True)
    (parsed,) = csv_rows(tmp_path / "x.csv")
    assert parsed["k"] == str(number)


def test_formula_in_a_column_name_is_escaped(tmp_path: Path) -> None:
    write(tmp_path / "x.csv", [], keep=("=1+1",), escape_formulas=True)
    assert (tmp_path / "x.csv").read_text().rstrip().endswith(",'=1+1")


# Parquet


def kept_column(path: Path) -> tuple[pa.DataType, list[Any]]:
    column = pq.read_table(path)["k"]
    return column.type, column.to_pylist()


@pytest.mark.parametrize("rows_in_group", [1, 100])
@pytest.mark.parametrize(
    ("values", "kind", "stored"),
    [
        ([None, 1, 2], pa.int64(), [None, 1, 2]),
        ([1, 2.5, None], pa.float64(), [1.0, 2.5, None]),
        ([True, None], pa.bool_(), [True, None]),
        (["a", None], pa.string(), ["a", None]),
        ([1, "a", [2]], pa.string(), ["1", "a", "[2]"]),
        ([True, 1], pa.string(), ["true", "1"]),
        ([2**70, 1], pa.string(), [str(2**70), "1"]),
        ([None, None], pa.string(), [None, None]),
        (["\ud800"], pa.string(), ["?"]),
        ([], pa.string(), []),
    ],
)
def test_kept_column_gets_the_narrowest_type_that_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_in_group: int, values: list[Any], kind: Any, stored: list[Any]
) -> None:
    monkeypatch.setattr(parquet_output, "MAX_GROUP_ROWS", rows_in_group)
    write(tmp_path / "x.parquet", [topic(k=value) for value in values], keep=("k",))
    assert kept_column(tmp_path / "x.parquet") == (kind, stored)
    assert names(tmp_path) == ["x.parquet"]


def test_passages_are_written_in_every_format(tmp_path: Path) -> None:
    long = replace(PLAIN, passages=(PassageTopic("Solar panels", 0.61239, 0.91236, 0, 120),))
    expected = [{"topic": "Solar panels", "weight": 0.6124, "score": 0.9124, "offset": 0, "length": 120}]
    for name in ("x.jsonl", "x.csv", "x.parquet"):
        write(tmp_path / name, [long, PLAIN], passages=True)
    first, second = map(json.loads, (tmp_path / "x.jsonl").read_text().splitlines())
    assert (first["passages"], "passages" in second) == (expected, False)
    cells = [row["passages"] for row in csv_rows(tmp_path / "x.csv")]
    assert (json.loads(cells[0]), cells[1]) == (expected, "")
    assert pq.read_table(tmp_path / "x.parquet")["passages"].to_pylist() == [expected, None]


def test_parquet_has_typed_fields_and_bounded_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_output, "MAX_GROUP_CHARACTERS", 10_000)
    path = tmp_path / "x.parquet"
    ranked = (RankedTopic("Solar panels", 0.5),)
    rows = [Topic("a", "t", 0.5, "ok", "x", n, ranked, "x" * 1_000) for n in range(30)]
    write(path, rows, several=True, with_text=True)
    table = pq.read_table(path)
    assert table.to_pylist()[0]["topics"] == [{"topic": "Solar panels", "score": 0.5}]
    assert table.schema.names == ["id", "topic", "score", "status", "topics", "source", "position", "text"]
    assert (table.schema.field("score").type, table.schema.field("position").type) == (pa.float64(), pa.int64())
    assert pq.ParquetFile(path).num_row_groups == 3
