"""What the page learns of a file before and while it is read."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from topicgen.config import ReaderSettings
from topicgen.errors import UserError
from topicgen.reader import Problems, read_documents
from topicgen.serving.uploads import Upload, preview, read_upload

REVIEWS = b"id,review,city\na,Bees make honey.,Oslo\nb,Trains run at night.,Rome\n"


@pytest.fixture
def upload(tmp_path: Path) -> Any:
    def make(name: str, content: bytes) -> Upload:
        path = tmp_path / "uploaded"
        path.write_bytes(content)
        return Upload(name, path)

    return make


def rows(upload: Upload, keep_rest: bool = True, **settings: Any) -> list[dict[str, Any]]:
    return list(read_upload(upload, ReaderSettings(**settings), keep_rest=keep_rest))


def test_preview_of_a_table_has_columns_first_rows_and_what_suggests_itself(upload: Any) -> None:
    assert preview(upload("r.csv", REVIEWS), ReaderSettings()) == {
        "format": "csv",
        "columns": ["id", "review", "city"],
        "text": "review",
        "id": "id",
        "delimiter": None,
        "rows": [["a", "Bees make honey.", "Oslo"], ["b", "Trains run at night.", "Rome"]],
    }


def test_preview_of_text_has_its_first_units(upload: Any) -> None:
    found = preview(upload("notes.txt", b"One.\n\nTwo\nlines.\n\nThree.\n\nFour."), ReaderSettings())
    assert found["columns"] == []
    assert found["rows"] == [["One."], ["Two\nlines."], ["Three."]]


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_separator_that_the_header_suggests_is_taken(upload: Any, delimiter: str) -> None:
    found = preview(upload("r.csv", REVIEWS.replace(b",", delimiter.encode())), ReaderSettings())
    assert found["delimiter"] == delimiter
    assert found["columns"] == ["id", "review", "city"]


def test_text_column_that_does_not_suggest_itself_is_left_open(upload: Any) -> None:
    assert preview(upload("a.csv", b"a,b\n1,2\n"), ReaderSettings())["text"] is None


def test_json_lines_have_the_columns_of_several_rows(upload: Any) -> None:
    content = b'{"text": "x"}\n' + b'{"text": "y", "date": "2024"}\n'
    assert preview(upload("a.jsonl", content), ReaderSettings())["columns"] == ["text", "date"]
    assert rows(upload("a.jsonl", content), text_column="text")[1]["columns"] == {"date": None}


@pytest.mark.parametrize("name", ["r.csv", "r.csv.gz", "r.jsonl", "r.txt"])
def test_beginning_of_a_file_is_enough_for_its_preview(upload: Any, name: str) -> None:
    line = json.dumps({"review": "é" * 2000}, ensure_ascii=False) if "jsonl" in name else "é" * 2000
    content = ("review\n\n" + f"{line}\n\n" * 200).encode()
    content = gzip.compress(content, compresslevel=0) if name.endswith("gz") else content
    cut = content[: 30_001 if name != "r.jsonl" else 30_000]
    assert preview(upload(name, cut), ReaderSettings())["rows"][0]


def test_columns_of_the_same_name_are_refused_at_once(upload: Any) -> None:
    with pytest.raises(UserError, match=r"^r\.csv: two columns are named 'a'"):
        preview(upload("r.csv", b"a,b,a\n1,2,3\n"), ReaderSettings())


def test_preview_cuts_long_cells(upload: Any) -> None:
    [[cell]] = preview(upload("a.csv", b"text\n" + b"x" * 10_000 + b"\n"), ReaderSettings())["rows"]
    assert len(cell) <= 301


def test_rows_are_those_of_the_command_line(upload: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("notes.txt").write_bytes(b"One.\n\nTwo.")
    documents = read_documents(["notes.txt"], ReaderSettings(), Problems())
    expected = [{"id": d.id, "text": d.text, "position": d.position, "columns": {}} for d in documents]
    assert rows(upload("notes.txt", b"One.\n\nTwo.")) == [{"fields": []}, *expected, {"problems": []}]


def test_other_columns_are_kept_under_names_that_are_free(upload: Any) -> None:
    content = b"id,text,score,theme,city\na,Bees.,7,insects,Oslo\n"
    head, row, end = rows(upload("r.csv", content), text_column="text", id_column="id")
    assert head == {"fields": ["input_score", "input_theme", "city"]}
    assert row["id"] == "a"
    assert row["columns"] == {"input_score": "7", "input_theme": "insects", "city": "Oslo"}
    assert end == {"problems": []}
    assert rows(upload("r.csv", content), keep_rest=False, text_column="text")[0] == {"fields": []}


def test_integers_that_javascript_cannot_hold_become_text(upload: Any, tmp_path: Path) -> None:
    table = pa.table({"text": ["Bees."], "n": [2**53], "small": [2**53 - 1], "deep": [[-(2**60)]]})
    pq.write_table(table, tmp_path / "uploaded")
    found = rows(Upload("a.parquet", tmp_path / "uploaded"), text_column="text")
    assert found[1]["columns"] == {"n": str(2**53), "small": 2**53 - 1, "deep": [str(-(2**60))]}


def test_bad_rows_are_told_at_the_end(upload: Any) -> None:
    *_, end = rows(upload("r.csv", REVIEWS + b"c,too,many,fields\n"), text_column="review")
    assert end["problems"][0] == "rows left out: 1"
    assert "r.csv:4: row has 4 fields, the header 3" in end["problems"][1]


@pytest.mark.parametrize(
    ("name", "content", "settings", "message"),
    [
        ("a.docx", b"", {}, "a.docx: unknown file type"),
        ("../../etc/passwd", b"", {}, "../../etc/passwd: unknown file type"),
        ("r.csv", REVIEWS, {"text_column": "body"}, "r.csv: no column 'body'"),
        ("r.parquet", b"PAR1", {}, "r.parquet: cannot be read as Parquet"),
    ],
)
def test_file_that_cannot_be_read_is_refused_before_its_first_row(
    upload: Any, name: str, content: bytes, settings: dict[str, str], message: str
) -> None:
    with pytest.raises(UserError, match="^" + message.replace(".", r"\.")):
        read_upload(upload(name, content), ReaderSettings(**settings), keep_rest=True)
