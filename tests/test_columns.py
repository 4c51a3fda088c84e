"""The columns that hold text, id and what is kept."""

from pathlib import Path
from typing import Any

import pytest
from reading import Reading, jsonl, parquet

from topicgen.config import ReaderSettings
from topicgen.errors import UserError
from topicgen.reader import Problems, check_inputs, read_documents

# Columns


@pytest.mark.parametrize(
    ("header", "settings", "message"),
    [
        ("id,date,text", {"text_column": "body"}, "no column 'body'; its columns are id, date, text"),
        ("id,date,text", {"id_column": "key"}, "no column 'key'; its columns are id, date, text"),
        ("id,date,text", {"keep": ("stars",)}, "no column 'stars'; its columns are id, date, text"),
        ("id,title,words", {}, "which column holds the text? Use --text-column with one of: id, title, words"),
        ("body,abstract", {}, "which column holds the text? Use --text-column with one of: body, abstract"),
        ("id;text", {"text_column": "text"}, "its columns are id;text; if ';' separates the fields, use --delimiter"),
        ("id|text", {}, "if '|' separates the fields, use --delimiter"),
        ("id\ttext", {}, r"if '\t' separates the fields, use --delimiter $'\t'"),
        ("text,text", {}, "two columns are named 'text'"),
        ('id,"text', {}, "no header can be read"),
        ('"a\nb",c', {}, "with one of: 'a\\nb', c"),
    ],
)
def test_wrong_columns_are_refused_at_the_call(
    reading: Reading, header: str, settings: dict[str, Any], message: str
) -> None:
    path = reading.folder / "reviews.csv"
    path.write_text(f"{header}\n")
    with pytest.raises(UserError) as caught:
        read_documents([str(path)], ReaderSettings(**settings), reading.problems)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("header", "notice"),
    [
        ("id,text", None),
        ("words", "text column: 'words' (the only one)"),
        ("id,Body,date", "text column: 'Body' (the only one with a usual name)"),
    ],
)
def test_text_column_is_guessed_and_the_guess_is_said_once(reading: Reading, header: str, notice: str | None) -> None:
    reading.texts("x.csv", f"{header}\n")
    assert reading.notices == ([notice] if notice else [])


def test_text_column_of_jsonl_and_parquet_may_be_the_only_string(reading: Reading) -> None:
    assert reading.texts("x.jsonl", jsonl({"n": 1, "words": "a"}, {"n": 2, "words": "b"})) == ["a", "b"]
    assert reading.texts("x.parquet", parquet(n=[1], words=["a"])) == ["a"]
    assert reading.notices == ["text column: 'words' (the only one that holds strings)"] * 2


def test_id_column_is_no_candidate_for_text(reading: Reading) -> None:
    assert reading.texts("x.jsonl", jsonl({"key": "k", "words": "a"}), id_column="key") == ["a"]


def test_key_may_be_absent_from_the_first_objects_but_not_from_the_sample(reading: Reading) -> None:
    rows = [{"text": "a"}] * 50 + [{"text": "b", "stars": 5}]
    documents = reading.read("x.jsonl", jsonl(*rows), keep=("stars",))
    assert [d.columns["stars"] for d in documents] == [None] * 50 + [5]
    assert [d.position for d in documents] == list(range(1, 52))
    with pytest.raises(UserError, match="no column 'score'; its columns are text, stars"):
        reading.read("x.jsonl", jsonl(*rows), keep=("score",))


def test_kept_id_becomes_the_id(reading: Reading) -> None:
    settings = {"keep": ("stars", "id", "stars")}
    (document,) = reading.read("x.csv", "id,text,stars\n7,a,5\n", **settings)
    assert (document.id, dict(document.columns)) == ("7", {"stars": "5"})
    (document,) = reading.read("x.csv", "id,text,key\n7,a,k\n", id_column="key", keep=("id",))
    assert (document.id, dict(document.columns)) == ("k", {"id": "7"})


def test_columns_of_a_folder_are_checked_in_every_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text\na\n")
    (tmp_path / "b.csv").write_text("words,more\n")
    (tmp_path / "notes.txt").write_text("n")
    with pytest.raises(UserError, match=r"b\.csv: which column"):
        check_inputs([str(tmp_path)], ReaderSettings())
    (tmp_path / "b.csv").unlink()
    documents = list(read_documents([str(tmp_path)], ReaderSettings(keep=("text",)), Problems()))
    assert [(d.text, d.columns["text"]) for d in documents] == [("a", "a"), ("n", None)]


# Ids


def test_duplicate_and_missing_ids_are_quarantined(reading: Reading) -> None:
    content = "id,text\nx,a\nx,b\n,c\ny,d\n"
    assert reading.texts("x.csv", content, id_column="id") == ["a", "d"]
    assert reading.quarantined() == [(3, "duplicate id 'x'"), (4, "the id is empty")]


def test_ids_are_unique_over_all_inputs(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("id,text\nx,a\n")
    problems = Problems()
    assert len(list(read_documents([str(tmp_path)], ReaderSettings(id_column="id"), problems))) == 1
    assert problems.quarantined == 1


def test_ids_are_text_or_integers(reading: Reading) -> None:
    rows = [{"id": value, "text": "t"} for value in (7, "8", 1.5, True, None, [])] + [{"text": "t"}]
    documents = reading.read("x.jsonl", jsonl(*rows), id_column="id")
    assert [d.id for d in documents] == ["7", "8"]
    reasons = [reason for _, reason in reading.quarantined()]
    assert reasons[0] == "the id is of type float, not text or an integer"
    assert reasons[2] == "the id is empty"
    assert len(reasons) == 5


def test_row_with_bad_text_does_not_take_its_id(reading: Reading) -> None:
    rows = [{"id": 1, "text": 5}, {"id": 1, "text": "good"}]
    assert reading.texts("x.jsonl", jsonl(*rows), id_column="id", text_column="text") == ["good"]
