"""Properties of the readers: any bytes are read or refused cleanly, and what was written comes back."""

import csv
import gzip
import io
import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from topicgen.config import ReaderSettings
from topicgen.errors import UserError
from topicgen.reader import Problems, read_documents
from topicgen.records import Document
from topicgen.streams import decode, split_lines
from topicgen.units import read_units

UNITS = st.sampled_from(["paragraph", "line", "file"])
CHARACTERS = st.characters(exclude_categories=["Cs"])
TEXTS = st.text(CHARACTERS)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


def read(folder: Path, name: str, data: bytes, **settings: Any) -> list[Document]:
    path = folder / name
    path.write_bytes(data)
    problems = Problems(folder / "bad.jsonl")
    try:
        return list(read_documents([str(path)], ReaderSettings(**settings), problems))
    finally:
        problems.close()


def read_or_refuse(folder: Path, name: str, data: bytes, **settings: Any) -> None:
    """Reads; the only error that may come out is a UserError of one line, and all text can be written."""
    try:
        documents = read(folder, name, data, **settings)
    except UserError as error:
        assert "\n" not in str(error)
        assert str(error).startswith(str(folder / name))
        return
    assert len({document.id for document in documents}) == len(documents)
    for document in documents:
        document.text.encode()
        json.dumps(dict(document.columns), ensure_ascii=False).encode()


@st.composite
def mutated(draw: st.DrawFn, whole: Callable[[], bytes]) -> bytes:
    """Valid data with a few bytes changed, removed or repeated."""
    data = bytearray(whole())
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        stop = draw(st.integers(start, min(len(data), start + 8)))
        data[start:stop] = draw(st.binary(max_size=8))
    return bytes(data[: draw(st.integers(0, len(data)) | st.just(len(data)))])


def whole_csv() -> bytes:
    return 'id,text,stars\n1,"a ""quoted""\nwörd",5\n2,plain,\n3,,x\n'.encode()


def whole_jsonl() -> bytes:
    rows = [{"id": 1, "text": "a\ud800", "stars": [1, {"x": None}]}, {"id": "2", "text": None, "stars": 5}]
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


@cache
def whole_parquet(compression: str = "snappy") -> bytes:
    columns = {
        "id": list(range(300)),
        "text": [f"text {n % 50}" if n % 7 else None for n in range(300)],
        "stars": [[n] for n in range(300)],
    }
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, row_group_size=100, compression=compression)
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


# Any bytes


@given(
    st.binary() | TEXTS.map(str.encode),
    UNITS,
    st.sampled_from([None, "latin-1", "utf-16", "utf-7", "shift_jis", "iso2022_jp", "idna", "unicode_escape"]),
    st.integers(1, 20),
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_any_bytes_as_text(folder: Path, data: bytes, unit: str, encoding: str | None, limit: int) -> None:
    read_or_refuse(folder, "x.txt", data, unit=unit, encoding=encoding, max_characters=limit)


TABLE_SETTINGS = st.sampled_from(
    [{}, {"text_column": "text"}, {"text_column": "text", "id_column": "id"}, {"keep": ("id", "stars")}]
)


@given(st.binary() | TEXTS.map(str.encode) | mutated(whole_csv), TABLE_SETTINGS, st.sampled_from([None, ";", " ", "x"]))
def test_any_bytes_as_csv(folder: Path, data: bytes, settings: dict[str, Any], delimiter: str | None) -> None:
    read_or_refuse(folder, "x.csv", data, delimiter=delimiter, **settings)


@given(st.binary() | JSON_VALUES.map(lambda value: json.dumps(value).encode()) | mutated(whole_jsonl), TABLE_SETTINGS)
def test_any_bytes_as_jsonl(folder: Path, data: bytes, settings: dict[str, Any]) -> None:
    read_or_refuse(folder, "x.jsonl", data, **settings)


@given(
    st.binary()
    | mutated(lambda: gzip.compress(whole_csv() * 50))
    | TEXTS.map(lambda text: gzip.compress(text.encode())),
    st.sampled_from(["x.txt.gz", "x.csv.gz", "x.jsonl.gz", "x.parquet.gz"]),
)
def test_any_bytes_as_gzip(folder: Path, data: bytes, name: str) -> None:
    read_or_refuse(folder, name, data)


@given(
    st.binary()
    | st.sampled_from(["snappy", "zstd", "none"]).flatmap(lambda kind: mutated(lambda: whole_parquet(kind))),
    TABLE_SETTINGS,
)
def test_any_bytes_as_parquet(folder: Path, data: bytes, settings: dict[str, Any]) -> None:
    read_or_refuse(folder, "x.parquet", data, **settings)


# What was written comes back


def blocks(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


@given(TEXTS, st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le"]), st.integers(1, 9))
def test_text_comes_back_whatever_the_blocks(text: str, encoding: str, size: int) -> None:
    # A leading NUL after the mark of UTF-16 makes the mark of UTF-32.
    text = text.lstrip("\ufeff\0")
    asked = encoding if encoding == "utf-16-le" else None
    decoded = "".join(decode("x", iter(blocks(text.encode(encoding), size)), asked))
    assert decoded == text.replace("\r\n", "\n").replace("\r", "\n")


@given(st.lists(st.text(st.sampled_from("ab \n\r\t\u2028\x85"), max_size=12), max_size=6), UNITS, st.integers(1, 12))
def test_units_agree_with_the_definition_on_the_whole_text(chunks: list[str], unit: Any, limit: int) -> None:
    whole = "".join(chunks).replace("\r", "")
    chunks = [chunk.replace("\r", "") for chunk in chunks]
    separator = {"paragraph": r"\n(?:\s*\n)+", "line": r"\n", "file": r"(?!)"}[unit]
    units = [part.strip() for part in re.split(separator, whole) if part.strip()]
    expected = [(text[:limit].rstrip(), len(text) > limit) for text in units]
    assert list(read_units(chunks, unit, limit)) == expected


@given(st.lists(st.text("ab\n", max_size=12), max_size=6), st.integers(1, 12))
def test_lines_agree_with_the_definition_on_the_whole_text(chunks: list[str], limit: int) -> None:
    lines = "".join(chunks).removesuffix("\n").split("\n") if any(chunks) else []
    assert list(split_lines(chunks, limit)) == [(line[:limit], len(line) > limit) for line in lines]


LINES = TEXTS.map(lambda text: re.sub(r"[\r\n]", "", text).strip()).filter(bool)


@given(
    st.lists(st.lists(LINES, min_size=1, max_size=3).map("\n".join), max_size=5), st.sampled_from(["\n", "\r\n", "\r"])
)
def test_paragraphs_joined_by_blank_lines_come_back(folder: Path, paragraphs: list[str], line_end: str) -> None:
    data = "\n\n".join(paragraphs).replace("\n", line_end).encode("utf-8-sig")
    assert [d.text for d in read(folder, "x.txt", data)] == paragraphs


@given(st.lists(st.tuples(TEXTS, TEXTS)), st.sampled_from("\t,;|"), st.sampled_from(["\n", "\r\n"]))
def test_csv_rows_come_back(folder: Path, rows: list[tuple[str, str]], delimiter: str, line_end: str) -> None:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator=line_end, quoting=csv.QUOTE_ALL)
    writer.writerows([("text", "note"), *rows])
    documents = read(folder, "x.csv", buffer.getvalue().encode(), delimiter=delimiter, keep=("note",))
    expected = [
        (a.replace("\r\n", "\n").replace("\r", "\n"), b.replace("\r\n", "\n").replace("\r", "\n")) for a, b in rows
    ]
    assert [(d.text, d.columns["note"]) for d in documents] == [(a if a.strip() else "", b) for a, b in expected]


@given(st.lists(st.tuples(TEXTS, JSON_VALUES)), st.booleans())
def test_json_values_come_back(folder: Path, rows: list[tuple[str, Any]], escaped: bool) -> None:
    objects = [{"text": text, "note": value} for text, value in rows]
    data = "".join(json.dumps(row, ensure_ascii=escaped) + "\n" for row in objects).encode()
    documents = read(folder, "x.jsonl", data, keep=("note",))
    assert [(d.text, d.columns["note"]) for d in documents] == [(a if a.strip() else "", b) for a, b in rows]


@given(st.lists(st.tuples(st.none() | TEXTS, st.none() | st.integers(-(2**63), 2**63 - 1)), min_size=1))
def test_parquet_rows_come_back(folder: Path, rows: list[tuple[str | None, int | None]]) -> None:
    columns = {"text": pa.array([a for a, _ in rows], pa.string()), "n": pa.array([b for _, b in rows], pa.int64())}
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    documents = read(folder, "x.parquet", buffer.getvalue(), keep=("n",))
    assert [(d.text, d.columns["n"]) for d in documents] == [(a if a and a.strip() else "", b) for a, b in rows]
