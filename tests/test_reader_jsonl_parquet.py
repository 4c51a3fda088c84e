"""JSON lines and Parquet inputs."""

import gzip
import io
import json
import tracemalloc
from datetime import datetime
from decimal import Decimal

import pyarrow as pa
import pytest
from reading import Reading, jsonl, parquet

from topicgen import quarantine, tables
from topicgen.config import ReaderSettings
from topicgen.errors import UserError
from topicgen.reader import read_documents

# JSON lines


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"text": "a"', "not JSON: Expecting ',' delimiter (column 13)"),
        ("[1]", "not a JSON object"),
        ('{"other": 1}', "no column 'text'"),
        ('{"text": 5}', "column 'text' is of type int, not a string"),
        ('{"text": ["a"]}', "column 'text' is of type list, not a string"),
        ('{"text": NaN}', "column 'text' is of type float, not a string"),
        ('{"text": ' + "[" * 100_000, "the JSON is nested too deeply"),
        ('{"text": ' + "9" * 5_000 + "}", "not JSON that can be read: Exceeds the limit"),
    ],
)
def test_bad_line_is_quarantined_and_the_others_are_read(reading: Reading, line: str, reason: str) -> None:
    content = jsonl({"text": "a"}) + line + "\n" + jsonl({"text": "b"})
    documents = reading.read("x.jsonl", content)
    assert [(d.text, d.position) for d in documents] == [("a", 1), ("b", 3)]
    ((number, found),) = reading.quarantined()
    assert number == 2
    assert found.startswith(reason)


def test_bad_first_line_does_not_stop_the_guess(reading: Reading) -> None:
    assert reading.texts("x.ndjson", "{broken\n" + jsonl({"words": "a"})) == ["a"]
    assert reading.problems.quarantined == 1


def test_line_above_the_bound_is_not_held(reading: Reading, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MAX_ROW_CHARACTERS", 10_000)
    path = reading.folder / "x.jsonl"
    path.write_text(jsonl({"text": "a"}, {"text": "x" * 10_000_000}, {"text": "b"}))
    tracemalloc.start()
    found = [d.text for d in read_documents([str(path)], ReaderSettings(), reading.problems)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == ["a", "b"]
    assert reading.quarantined() == [(2, "the row has more than 10,000 characters")]
    assert peak < 2_000_000
    raw = json.loads((reading.folder / "bad.jsonl").read_text())["raw"]
    assert len(raw) == quarantine.MAX_RAW_CHARACTERS


def test_lone_surrogates_are_replaced_and_counted(reading: Reading) -> None:
    line = r'{"id": "\udc00", "text": "a\ud83db \ud83d\ude00", "k": {"\udfff": ["\ud800"]}}' + "\n"
    (document,) = reading.read("x.jsonl", line, keep=("id", "k"))
    assert (document.id, document.text) == ("\ufffd", "a\ufffdb 😀")
    assert document.columns["k"] == {"\ufffd": ["\ufffd"]}
    assert reading.problems.replaced == 4
    assert not reading.problems.failed


def test_kept_values_are_carried_as_they_are(reading: Reading) -> None:
    kept = {"a": 1, "b": 1.5, "c": None, "d": [1, {"x": True}], "e": "s"}
    (document,) = reading.read("x.jsonl", jsonl({"text": "t", **kept}), keep=tuple(kept))
    assert dict(document.columns) == kept


def test_kept_value_nested_too_deeply_is_quarantined(reading: Reading) -> None:
    line = '{"text": "t", "k": ' + "[" * 150 + "]" * 150 + "}\n"
    assert reading.texts("x.jsonl", line + jsonl({"text": "b", "k": 1}), keep=("k",)) == ["b"]
    assert reading.quarantined() == [(1, "a kept column is nested more than 100 deep")]


def test_truncated_gzip_within_the_sample_keeps_its_rows(reading: Reading) -> None:
    rows = jsonl(*({"text": f"{n * 7919 % 1000}" * 9} for n in range(60)))
    data = gzip.compress(rows.encode())[:-60]
    path = reading.folder / "x.jsonl.gz"
    path.write_bytes(data)
    documents = read_documents([str(path)], ReaderSettings(text_column="text"), reading.problems)
    assert len(list(documents)) > 10
    assert "the gzip data ends early" in reading.problems.incomplete[0]


# Parquet


def test_parquet_reads_text_ids_and_kept_columns(reading: Reading) -> None:
    content = parquet(
        id=[1, 2],
        text=pa.array(["a", "b"]).dictionary_encode(),
        when=[datetime(2024, 1, 2, 3, 4, 5), None],
        nano=pa.array([1, 2], pa.timestamp("ns")),
        price=[Decimal("1.50"), None],
        tags=[["x"], None],
        more=[{"k": b"\xff"}, None],
        unused=[1, 2],
    )
    keep = ("id", "when", "nano", "price", "tags", "more")
    documents = reading.read("x.parquet", content, keep=keep)
    assert [(d.id, d.text, d.position) for d in documents] == [("1", "a", 1), ("2", "b", 2)]
    assert dict(documents[0].columns) == {
        "when": "2024-01-02 03:04:05.000000",
        "nano": "1970-01-01 00:00:00.000000001",
        "price": "1.50",
        "tags": ["x"],
        "more": {"k": "ff"},
    }
    json.dumps([dict(d.columns) for d in documents])


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
def test_parquet_string_types_are_text(reading: Reading, kind: pa.DataType) -> None:
    assert reading.texts("x.parquet", parquet(text=pa.array(["a", None], kind))) == ["a", ""]


def test_parquet_text_column_of_another_type_is_refused(reading: Reading) -> None:
    with pytest.raises(UserError, match=r"x\.parquet: column 'n' holds int64, not text"):
        reading.read("x.parquet", parquet(n=[1], text=["a"]), text_column="n")


@pytest.mark.parametrize("damage", ["empty", "garbage", "cut", "zeroed"])
def test_damaged_parquet_is_refused(reading: Reading, damage: str) -> None:
    whole = parquet(text=[f"text {n}" for n in range(1_000)])
    contents = {"empty": b"", "garbage": b"PAR1" * 50, "cut": whole[: len(whole) // 2]}
    contents["zeroed"] = whole[:4] + bytes(400) + whole[404:]
    with pytest.raises(UserError, match=r"x\.parquet: cannot be read as Parquet"):
        reading.read("x.parquet", contents[damage])


def test_parquet_may_be_gzipped_or_come_on_standard_input(reading: Reading) -> None:
    content = parquet(text=["a", "b"])
    assert reading.texts("x.parquet.gz", gzip.compress(content)) == ["a", "b"]
    settings = ReaderSettings(input_format="parquet")
    documents = read_documents(["-"], settings, reading.problems, stdin=io.BytesIO(content))
    assert [(d.text, d.source) for d in documents] == [("a", "-"), ("b", "-")]


def test_truncated_parquet_gzip_is_incomplete(reading: Reading) -> None:
    content = gzip.compress(parquet(text=["a"] * 100))[:-20]
    assert reading.texts("x.parquet.gz", content) == []
    assert "x.parquet.gz: the gzip data ends early (after 0 rows)" in reading.problems.incomplete[0]


def test_parquet_duplicate_id_is_quarantined_with_its_row(reading: Reading) -> None:
    assert reading.texts("x.parquet", parquet(id=[1, 1], text=["a", "b"]), id_column="id") == ["a"]
    assert reading.quarantined() == [(2, "duplicate id '1'")]
