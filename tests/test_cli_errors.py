"""Wrong invocations: one line on stderr, the documented exit code, nothing loaded, nothing lost."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import PATIENCE, Command

from topicgen.errors import EXIT_FAILURE, EXIT_USAGE
from topicgen.generate import TopicGenerator

BEES = "Bees make honey from nectar."
FAILURE, USAGE = EXIT_FAILURE, EXIT_USAGE


@pytest.fixture
def place(command: Command) -> Command:
    """A folder with good and bad inputs."""
    folder = command.folder
    command.write("a.txt", f"{BEES}\n")
    command.write("b.txt", f"{BEES}\n")
    command.write("a.csv", f"id,text\n1,{BEES}\n")
    command.write("two.csv", f"text,text\n1,{BEES}\n")
    command.write("many.csv", f"x,y,z\n1,2,{BEES}\n")
    command.write("latin.txt", "Café".encode("latin-1"))
    command.write("latin.csv", "text\nCafé\n".encode("latin-1"))
    command.write("broken.parquet", b"PAR1 and no more")
    command.write("no.parquet", b"")
    command.write("picture.png", b"\x89PNG")
    command.write("nosuffix", BEES)
    command.write("rows.json.gz", b"")
    command.write("full.jsonl", "{}\n")
    (folder / "empty").mkdir()
    os.mkfifo(folder / "pipe.txt")
    (folder / "loop.txt").symlink_to("loop.txt")
    (folder / "dangling.txt").symlink_to("absent.txt")
    (folder / "model").mkdir()
    (folder / "hard.txt").hardlink_to(folder / "a.txt")
    return command


NO_MODEL_NEEDED: list[Any] = [
    ("absent.txt", FAILURE, "absent.txt: cannot be read: No such file or directory"),
    ("dangling.txt", FAILURE, "dangling.txt: cannot be read"),
    ("loop.txt", FAILURE, "loop.txt: cannot be read"),
    ("pipe.txt", FAILURE, "pipe.txt: a named pipe"),
    ("/dev/null", FAILURE, "not a regular file"),
    ("empty", FAILURE, "empty: the folder has no file"),
    ("picture.png", FAILURE, "picture.png: unknown file type '.png'"),
    ("nosuffix", FAILURE, "nosuffix: unknown file type ''"),
    ("rows.json.gz", FAILURE, "rows.json.gz: unknown file type '.json'; known are .txt"),
    ("a.txt a.txt", USAGE, "a.txt is given twice"),
    ("- -", USAGE, "given twice"),
    ("broken.parquet", FAILURE, "broken.parquet: cannot be read as Parquet"),
    ("no.parquet", FAILURE, "no.parquet: cannot be read as Parquet"),
    ("two.csv", FAILURE, "two columns are named 'text'"),
    ("many.csv", FAILURE, "which column holds the text? Use --text-column with one of: x, y, z"),
    ("a.csv --text-column body", FAILURE, "a.csv: no column 'body'; its columns are id, text"),
    ("a.csv --keep date", FAILURE, "a.csv: no column 'date'"),
    ("a.csv --id-column key", FAILURE, "a.csv: no column 'key'"),
    ("a.txt --keep date", USAGE, "read as text, which has no columns"),
    ("a.txt --encoding utf-9", USAGE, "unknown encoding 'utf-9'"),
    ("a.csv --delimiter ab", USAGE, "the delimiter must be one character"),
    ("a.txt --topics 0", USAGE, "topics must be between 1 and 20, not 0"),
    ("a.txt --topics 2 --temperature 1", USAGE, "set temperature to 0"),
    ("a.txt --max-topic-tokens 0", USAGE, "max_topic_tokens must be between 1 and 256, not 0"),
    ("a.txt --temperature nan", USAGE, "temperature must be between 0 and 5, not nan"),
    ("a.txt --seed -1", USAGE, "seed must be between 0"),
    ("a.txt -o a.txt", USAGE, "unknown output type '.txt'"),
    ("a.txt -o a.txt --format jsonl", USAGE, "a.txt: is also an input"),
    ("a.csv -o ./a.csv --force", USAGE, "is also an input"),
    ("a.txt -o out", USAGE, "unknown output type ''"),
    ("a.txt -o full.jsonl", FAILURE, "full.jsonl: exists already"),
    ("a.txt -o absent/out.jsonl", FAILURE, "there is no folder absent"),
    ("a.txt -o b.txt/out.jsonl", FAILURE, "b.txt/out.jsonl: "),
    ("a.txt -o empty --format jsonl", FAILURE, "empty: is a folder"),
    ("a.txt -o loop.txt --format jsonl", FAILURE, "loop.txt: cannot be written"),
    ("a.txt -o /proc/topics.jsonl", FAILURE, "/proc/topics.jsonl: cannot be written"),
    ("a.txt -o /proc/topics.parquet", FAILURE, "/proc/topics.parquet: cannot be written"),
    ("a.txt --format parquet", USAGE, "Parquet needs a file"),
    ("a.txt -o out.jsonl --format table", USAGE, "a table is for the terminal"),
    ("a.csv --quarantine a.csv", USAGE, "a.csv: is also an input; choose another --quarantine"),
    ("a.txt -o out.jsonl --quarantine out.jsonl", USAGE, "out.jsonl: is also the output"),
    ("a.txt --quarantine b.txt", USAGE, "b.txt: exists already and is no quarantine file"),
    ("a.txt -o hard.txt --format jsonl --force", USAGE, "hard.txt: is also an input"),
]

OF_THE_MODEL: list[tuple[str, int, str]] = [
    ("a.txt --threads 0", USAGE, "threads must be at least 1, not 0"),
    ("a.txt --threads -2", USAGE, "threads must be at least 1, not -2"),
    ("a.txt --model maxi", FAILURE, "no model 'maxi'"),
    ("a.txt --model a.txt", FAILURE, "a.txt: is a file; a model is a folder"),
    ("a.txt --model model", FAILURE, "model: no config.json"),
    ("a.txt --model nobody/nothing", FAILURE, "model 'nobody/nothing' is no folder here"),
    ("latin.txt", FAILURE, "latin.txt:1: not valid utf-8"),
    ("latin.csv", FAILURE, "latin.csv:2: not valid utf-8"),
]


@pytest.mark.parametrize(("line", "code", "message"), NO_MODEL_NEEDED)
def test_wrong_invocation_is_refused_on_one_line_before_the_model_loads(
    place: Command, line: str, code: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_: object, **__: object) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(TopicGenerator, "load", load)
    before = sorted(place.folder.rglob("*"))
    result = place.here("generate", *line.split())
    assert (result.code, result.out) == (code, "")
    assert message in result.complaint
    assert sorted(place.folder.rglob("*")) == before


@pytest.mark.parametrize(("line", "code", "message"), OF_THE_MODEL)
def test_failure_of_the_model_or_while_reading_is_one_line(place: Command, line: str, code: int, message: str) -> None:
    result = place.here("generate", *line.split())
    assert (result.code, result.out) == (code, "")
    assert message in result.complaint


@pytest.mark.parametrize("line", ["", "generate", "write a.txt", "generate a.txt --topics x", "generate a.txt --speed"])
def test_wrong_arguments_show_the_usage(place: Command, line: str) -> None:
    result = place.run(*line.split())
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("usage: topicgen")
    assert "Traceback" not in result.err


def test_failure_while_reading_keeps_earlier_rows(place: Command) -> None:
    result = place.here("generate", "a.txt", "latin.txt", "-o", "out.jsonl", "--force")
    assert result.code == FAILURE
    assert [row["source"] for row in place.rows("out.jsonl")] == ["a.txt"]


@pytest.mark.parametrize("option", ["--model=maxi", "--threads=0"])
@pytest.mark.parametrize("name", ["full.jsonl", "full.csv", "full.parquet"])
def test_forced_output_survives_a_model_that_does_not_load(place: Command, name: str, option: str) -> None:
    (place.folder / name).write_text("{}\n")
    before = set(place.folder.iterdir())
    assert place.here("generate", "a.txt", "-o", name, "--force", option).code in (FAILURE, USAGE)
    assert (place.folder / name).read_text() == "{}\n"
    assert set(place.folder.iterdir()) == before


def closed(stream: int) -> Callable[[], None]:
    return lambda: os.close(stream)


@pytest.mark.parametrize(
    ("stream", "line", "code", "said"),
    [
        (0, "generate a.txt", 0, ""),
        (0, "generate -", FAILURE, "topicgen: -: standard input is closed\n"),
        (1, "generate a.txt", FAILURE, "topicgen: standard output is closed; send it to a file, or to /dev/null\n"),
        (1, "doctor", FAILURE, "topicgen: standard output is closed; send it to a file, or to /dev/null\n"),
        (2, "generate a.txt", 0, ""),
        (2, "generate absent.txt", FAILURE, ""),
    ],
)
def test_closed_streams_are_no_reason_for_a_traceback(
    place: Command, stream: int, line: str, code: int, said: str
) -> None:
    process = place.start(*line.split(), preexec_fn=closed(stream))
    _, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err.decode()) == (code, said)


@pytest.mark.parametrize("line", ["generate a.txt", "generate a.csv --format csv", "doctor", "doctor --json"])
def test_full_disk_behind_standard_output_is_one_line(place: Command, line: str) -> None:
    with Path("/dev/full").open("wb") as full:
        process = place.start(*line.split(), stdout=full)
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == FAILURE
    [said] = err.decode().splitlines()
    assert said.startswith("topicgen: standard output: ")
    assert said.endswith("No space left on device")


def test_network_is_not_used(place: Command) -> None:
    refuse = """
import socket
class Refused(socket.socket):
    def __new__(cls, *arguments, **named):
        raise AssertionError("a socket was opened")
socket.socket = Refused
"""
    result = place.run("generate", "a.txt", wrapper=refuse, HF_HUB_OFFLINE="")
    assert (result.code, result.err, len(result.rows)) == (0, "", 1)
    probe = place.run("generate", "a.txt", wrapper=f"{refuse}\nsocket.create_connection(('127.0.0.1', 9))")
    assert "a socket was opened" in probe.err


def test_a_run_goes_on_when_nobody_reads_its_notices(place: Command) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = place.start("generate", "a.csv", "-o", "out.jsonl", stderr=writer)
    os.close(writer)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert len(place.rows("out.jsonl")) == 1


def test_an_output_may_have_a_name_that_is_no_utf_8(place: Command) -> None:
    result = place.here("generate", "a.csv", "-o", os.fsdecode(b"out\xe9.jsonl"), "-q")
    assert result.code == 0
    assert (place.folder / os.fsdecode(b"out\xe9.jsonl")).stat().st_size
