"""The commands of the usage: what goes in and which rows come out."""

import csv
import io
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from commands import Command
from passages import PASSAGES

from topicgen import __version__
from topicgen.engines.choice import choose_engine
from topicgen.evaluation.examples import read_predictions
from topicgen.models import find_model
from topicgen.reader import Problems
from topicgen.records import Example
from topicgen.themes.collection import CollectionColumns, read_collection

BEES, CATS = "Bees make honey from nectar.", "Cats sleep for most of the day."
FIELDS = ["id", "topic", "score", "status", "source", "position"]
TABLE_FIELDS = [*FIELDS, "passages"]
TABLE = f"id,date,text,stars\nx1,2024-05-01,{BEES},5\nx2,2024-05-02,{CATS},\nx3,,,1\n"


@pytest.fixture
def notes(command: Command) -> Path:
    return command.write("notes.txt", f"{BEES}\n\n{CATS}\n")


# The three commands of the usage


def test_text_file_becomes_json_lines_when_piped(command: Command, notes: Path) -> None:
    result = command.run("generate", "notes.txt")
    assert (result.code, result.err) == (0, "")
    assert [list(row) for row in result.rows] == [FIELDS, FIELDS]
    first, second = result.rows
    assert (first["source"], first["position"], second["position"]) == ("notes.txt", 1, 2)
    assert first["id"] != second["id"]
    assert first["topic"]
    assert 0 < first["score"] < 1
    assert first["status"] == "ok"


def test_csv_columns_are_kept_in_parquet(command: Command) -> None:
    command.write("abstracts.csv", TABLE)
    result = command.run(
        "generate", "abstracts.csv", "--text-column", "text", "--keep", "id,date", "-o", "topics.parquet"
    )
    assert (result.code, result.out) == (0, "")
    assert result.complaint.startswith("topicgen: 3 topics written to topics.parquet in ")
    assert result.complaint.endswith(", 1 empty")
    rows = pq.read_table(command.folder / "topics.parquet").to_pylist()
    assert list(rows[0]) == [*TABLE_FIELDS, "date"]
    assert [(row["id"], row["date"]) for row in rows] == [("x1", "2024-05-01"), ("x2", "2024-05-02"), ("x3", "")]
    assert (rows[2]["topic"], rows[2]["score"], rows[2]["status"]) == ("", None, "empty")
    there = sorted(path.name for path in command.folder.iterdir())
    assert there == ["abstracts.csv", "topics.parquet", "topics.parquet.run.json"]


def test_standard_input_is_text(command: Command, notes: Path) -> None:
    result = command.run("generate", "-", stdin=notes.read_bytes())
    assert (result.code, result.err) == (0, "")
    assert [(row["source"], row["position"]) for row in result.rows] == [("-", 1), ("-", 2)]
    from_file = command.here("generate", "notes.txt").rows
    assert [row["topic"] for row in result.rows] == [row["topic"] for row in from_file]


def test_rows_are_the_same_in_each_run(command: Command) -> None:
    command.write("passages.txt", "\n\n".join(PASSAGES[:20]))
    first = command.here("generate", "passages.txt")
    assert len(first.rows) == 20
    assert command.here("generate", "passages.txt", "--no-cache").out == first.out


# Formats


def test_each_format_holds_the_same_rows(command: Command) -> None:
    command.write("x.csv", TABLE)
    arguments = ("generate", "x.csv", "--keep", "id,stars", "--with-text", "--topics", "2")
    for name in ("out.jsonl", "out.csv", "out.parquet"):
        assert command.here(*arguments, "-o", name).code == 0
    lines = command.rows("out.jsonl")
    fields = ["id", "topic", "score", "status", "topics", "source", "position", "stars", "text"]
    assert list(lines[0]) == fields
    table = pq.read_table(command.folder / "out.parquet")
    assert table["passages"].null_count == len(lines)
    assert table.drop_columns("passages").to_pylist() == lines
    cells = list(csv.DictReader(io.StringIO((command.folder / "out.csv").read_text(), newline="")))
    assert list(cells[0]) == [*fields[:7], "passages", *fields[7:]]
    for cell, row in zip(cells, lines, strict=True):
        assert json.loads(cell["topics"]) == row["topics"]
        plain = {name: "" if value is None else str(value) for name, value in row.items() if name != "topics"}
        assert {name: cell[name] for name in plain} == plain


def test_rows_of_long_documents_can_be_evaluated_and_grouped(command: Command) -> None:
    long = " ".join(PASSAGES * 2).replace('"', "")
    texts = [long, BEES, CATS]
    command.write("x.csv", "id,text\n" + "".join(f'{number},"{text}"\n' for number, text in enumerate(texts)))
    arguments = ("generate", "x.csv", "--keep", "id", "--max-topic-tokens", "4", "--with-text", "-o")
    for name in ("out.jsonl", "out.csv", "out.parquet"):
        assert command.here(*arguments, name).code == 0
        path = str(command.folder / name)
        examples = [Example(str(number), text) for number, text in enumerate(texts)]
        topics = read_predictions(path, None, examples, Problems(), print)
        members = read_collection([path], CollectionColumns(), Problems(), print).members
        assert [(member.topic, member.text) for member in members] == list(zip(topics, texts, strict=True))
    assert len(command.rows("out.jsonl")[0]["passages"]) > 1


def test_format_can_be_named(command: Command, notes: Path) -> None:
    result = command.here("generate", "notes.txt", "--format", "csv")
    assert result.out.splitlines()[0] == ",".join(TABLE_FIELDS)
    table = command.here("generate", "notes.txt", "--format", "table")
    assert table.out.split()[:3] == ["Topic", "Score", "Text"]
    command.here("generate", "notes.txt", "--format", "csv", "-o", "out.txt")
    assert (command.folder / "out.txt").read_text() == result.out
    assert command.here("generate", "notes.txt", "-o", "-").rows


def test_formulas_are_escaped_on_request(command: Command) -> None:
    command.write("x.csv", 'text,note\nBees make honey.,"=HYPERLINK(""http://x"")"\n')
    arguments = ("generate", "x.csv", "--keep", "note", "--format", "csv")
    plain, safe = (
        next(csv.DictReader(io.StringIO(command.here(*arguments, *more).out)))["note"]
        for more in ((), ("--escape-formulas",))
    )
    assert plain == '=HYPERLINK("http://x")'
    assert safe == "'" + plain


# Options


def test_text_is_carried_on_request(command: Command, notes: Path) -> None:
    assert [row["text"] for row in command.here("generate", "notes.txt", "--with-text").rows] == [BEES, CATS]


def test_several_topics_are_listed(command: Command, notes: Path) -> None:
    for row in command.here("generate", "notes.txt", "--topics", "3").rows:
        assert len(row["topics"]) == 3
        assert row["topics"][0] == {"topic": row["topic"], "score": row["score"]}


def test_longest_topic_is_kept_to(command: Command, notes: Path) -> None:
    short = command.here("generate", "notes.txt", "--max-topic-tokens", "2").rows
    assert all(len(row["topic"].split()) <= 2 for row in short)


def test_sampling_depends_on_the_seed(command: Command) -> None:
    command.write("passages.txt", "\n\n".join(PASSAGES[:6]))
    outs = [
        command.here("generate", "passages.txt", "--temperature", "1", "--seed", seed).out for seed in ("1", "1", "2")
    ]
    assert outs[0] == outs[1] != outs[2]


def test_precision_and_threads_may_be_chosen(command: Command, notes: Path) -> None:
    result = command.here("generate", "notes.txt", "--precision", "float32", "--threads", "1", "-v")
    assert len(result.rows) == 2
    assert "'threads': 1, 'precision': 'float32'" in result.err


def test_unit_says_what_a_document_is(command: Command, notes: Path) -> None:
    command.write("lines.txt", f"{BEES}\n{CATS}\n")
    assert len(command.here("generate", "lines.txt", "--unit", "line").rows) == 2
    assert len(command.here("generate", "lines.txt").rows) == 1
    assert len(command.here("generate", "notes.txt", "--unit", "file").rows) == 1


def test_folder_and_files_are_read_in_order_without_the_output(command: Command, notes: Path) -> None:
    (command.folder / "in").mkdir()
    command.write("in/b.jsonl", json.dumps({"text": BEES}) + "\n")
    command.write("in/a.txt", CATS)
    command.write("in/topics.jsonl", "")
    result = command.here("generate", "in", "notes.txt", "-o", "in/topics.jsonl")
    assert result.code == 0
    sources = [row["source"] for row in command.rows("in/topics.jsonl")]
    assert sources == ["in/a.txt", "in/b.jsonl", "notes.txt", "notes.txt"]


def test_delimiter_and_encoding_may_be_given(command: Command) -> None:
    command.write("x.csv", "text;stars\nDas Café öffnet früh.;5\n".encode("latin-1"))
    arguments = ("--encoding", "latin-1", "--delimiter", ";", "--keep", "stars", "--with-text")
    [row] = command.here("generate", "x.csv", *arguments).rows
    assert (row["text"], row["stars"]) == ("Das Café öffnet früh.", "5")


def test_table_on_standard_input_is_read_with_its_format(command: Command) -> None:
    result = command.here("generate", "-", "--input-format", "csv", "--keep", "id", stdin=TABLE.encode())
    assert [row["id"] for row in result.rows] == ["x1", "x2", "x3"]


def test_guess_of_the_text_column_is_said_unless_quiet(command: Command) -> None:
    command.write("x.csv", f"n,body\n1,{BEES}\n")
    assert "text column: 'body'" in command.here("generate", "x.csv").complaint
    assert command.here("generate", "x.csv", "-q").err == ""


def test_quiet_run_says_nothing_and_verbose_run_names_model_and_speed(command: Command, notes: Path) -> None:
    assert command.here("generate", "notes.txt", "-q", "-o", "quiet.jsonl").err == ""
    lines = command.here("generate", "notes.txt", "-v", "--no-cache").err.splitlines()
    engine = choose_engine(find_model("mini"))
    assert lines[0].startswith(f"topicgen: model mini, engine {engine}")
    assert lines[1].startswith(f"topicgen: engine {engine}: ")
    assert lines[2].startswith("topicgen: 2 topics written in ")
    assert lines[2].endswith("/s)")


def test_existing_output_is_replaced_by_force_only(command: Command, notes: Path) -> None:
    command.write("out.jsonl", "old\n")
    refused = command.here("generate", "notes.txt", "-o", "out.jsonl")
    assert (refused.code, refused.complaint) == (
        1,
        "topicgen: out.jsonl: exists already; use --force to replace it, or another name",
    )
    assert (command.folder / "out.jsonl").read_text() == "old\n"
    assert command.here("generate", "notes.txt", "-o", "out.jsonl", "--force").code == 0
    assert len(command.rows("out.jsonl")) == 2


def test_model_may_be_a_folder(command: Command, notes: Path) -> None:
    from models import copy_of_mini

    copy_of_mini(command.folder / "model")
    ours = command.here("generate", "notes.txt", "--model", "model")
    assert ours.out == command.here("generate", "notes.txt").out


def test_version_is_printed(command: Command) -> None:
    result = command.run("--version")
    assert (result.code, result.out) == (0, f"topicgen {__version__}\n")
