"""Standard input and what was reported."""

import io
from pathlib import Path

import pytest
from commands import Command
from reading import Reading

from topicgen.config import ReaderSettings
from topicgen.errors import UserError
from topicgen.reader import Problems, read_documents


def test_table_on_standard_input_is_read_with_its_format(reading: Reading) -> None:
    settings = ReaderSettings(input_format="csv")
    documents = list(read_documents(["-"], settings, reading.problems, stdin=io.BytesIO(b"text\na\n")))
    assert [(d.text, d.source) for d in documents] == [("a", "-")]


def test_quarantine_file_appears_with_the_first_bad_row_only(reading: Reading) -> None:
    reading.texts("x.csv", "text\na\n")
    assert not (reading.folder / "bad.jsonl").exists()
    assert reading.problems.summary() == []


def test_quarantine_that_cannot_be_written_is_a_clean_error(tmp_path: Path) -> None:
    for path in (tmp_path / "absent" / "bad.jsonl", Path("/dev/full")):
        with pytest.raises(UserError, match="the quarantine file cannot be written"):
            Problems(path).quarantine("x.csv", 1, "reason", "raw")


def test_summary_names_the_first_bad_rows(reading: Reading) -> None:
    reading.texts("x.csv", "id,text\n" + "1\n" * 5)
    where = f"{reading.folder}/x.csv"
    lines = reading.problems.summary()
    assert lines[0] == f"rows left out: 5, written to {reading.folder}/bad.jsonl"
    assert lines[1] == f"  {where}:2: row has 1 fields, the header 2"
    assert lines[-1] == "  and 2 more"


def test_two_runs_at_once_keep_their_bad_rows_apart(command: Command) -> None:
    paths = []
    first, second = (Problems(command.folder / "quarantine.jsonl", fresh=True) for _ in range(2))
    for number, problems in enumerate((first, second, first)):
        problems.quarantine("a.csv", number, "ragged", "1,2,3")
        paths.append(problems.path)
    for problems in (first, second):
        problems.close()
    assert [row["line"] for row in command.rows("quarantine.jsonl")] == [0, 2]
    assert [row["line"] for row in command.rows("quarantine-2.jsonl")] == [1]
    assert [path.name for path in paths if path] == ["quarantine.jsonl", "quarantine-2.jsonl", "quarantine.jsonl"]
