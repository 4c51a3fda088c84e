"""``topicgen runs``."""

import json
import os
from typing import Any

import pytest
from commands import Command

from topicgen.locks import exclusive

FAST = ("--max-topic-tokens", "2", "--no-second-look")
TABLE = "id,text\n1,Bees make honey.\n2,\n3,a,b\n"


@pytest.fixture
def finished(command: Command) -> Command:
    """A finished run with an empty and a bad row."""
    command.write("in.csv", TABLE)
    assert command.here("generate", "in.csv", "-o", "out.csv", *FAST).code == 3
    return command


def state(command: Command, output: str = "out.csv") -> dict[str, Any]:
    result = command.here("runs", output, "--json")
    assert (result.code, result.err) == (0, "")
    return dict(json.loads(result.out))


def change(command: Command, **fields: Any) -> None:
    path = command.folder / "out.csv.run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_a_finished_run_is_told_with_its_failures_and_settings(finished: Command) -> None:
    told = state(finished)
    assert (told["state"], told["process"], told["documents"]) == ("finished", None, 2)
    assert told["statuses"] == {"empty": 1, "ok": 1}
    assert (told["rows_left_out"], told["quarantine"]) == (1, "out.csv.quarantine.jsonl")
    assert told["documents_per_second"] > 0
    assert told["fingerprint"]["max_topic_tokens"] == 2
    text = finished.here("runs", "out.csv").out
    for expected in ("state             finished", "2 (1 empty, 1 ok)", "1 (out.csv.quarantine.jsonl)", "1 file of "):
        assert expected in text


def test_a_killed_run_is_interrupted_and_its_rows_are_counted(finished: Command) -> None:
    change(finished, state="running", documents=0, statuses={}, ended=None, resumed="2026-01-01T00:00:00+00:00")
    rows = finished.write(".out.csv.run.jsonl", '{"id": "1", "topic": "x", "score": 0.5, "status": "ok", "k": 1}\n{"id')
    os.utime(rows, (1767225610, 1767225610))  # ten seconds later
    told = state(finished)
    assert (told["state"], told["documents"], told["statuses"]) == ("interrupted", 1, {"ok": 1})
    assert (told["rows_left_out"], told["ended"]) == (1, "2026-01-01T00:00:10.000+00:00")


def test_a_run_at_work_is_told_with_its_process(finished: Command) -> None:
    change(finished, state="running")
    with exclusive(finished.folder / ".out.csv.lock", "out.csv"):
        assert (state(finished)["state"], state(finished)["process"]) == ("running", os.getpid())
        assert f"running by process {os.getpid()}" in finished.here("runs", "out.csv").out


def test_a_failed_run_is_told_with_its_error(command: Command) -> None:
    command.write("in.txt", b"Bees make honey.\n\nCaf\xe9")
    assert command.here("generate", "in.txt", "-o", "out.csv", *FAST).code == 1
    told = state(command)
    assert (told["state"], told["documents"]) == ("failed", 1)
    assert "in.txt:3: not valid utf-8" in told["error"]
    assert told["error"] in command.here("runs", "out.csv").out


def test_several_runs_are_a_line_each(finished: Command) -> None:
    finished.here("generate", "in.csv", "-o", "b.jsonl", *FAST)
    lines = finished.here("runs", "out.csv", "b.jsonl", "--json").out.splitlines()
    assert [json.loads(line)["output"] for line in lines] == ["out.csv", "b.jsonl"]


def test_an_output_that_is_no_run_is_told(command: Command) -> None:
    command.write("x.jsonl", "{}\n")
    result = command.here("runs", "x.jsonl")
    assert (result.code, result.complaint) == (
        1,
        "topicgen: x.jsonl: belongs to no run: there is no x.jsonl.run.json",
    )
    command.write("x.jsonl.run.json", '{"format": 99}')
    assert "is no record of a run" in command.here("runs", "x.jsonl").complaint
