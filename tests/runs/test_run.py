"""What a second command finds in an output, and does."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from commands import PATIENCE, Command, Result

from topicgen import TopicGenerator
from topicgen.locks import exclusive
from topicgen.models import ModelFolder
from topicgen.runs.run import Run

BEES, CATS = "Bees make honey from nectar.", "Cats sleep for most of the day."
FAST = ("--max-topic-tokens", "1", "--no-second-look")
OUT = ("-o", "out.jsonl")


class Interrupted:
    """Lets runs end as Ctrl-C ends them, after some windows."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch

    def after(self, windows: int, call: Callable[[], Result], error: type[BaseException] = KeyboardInterrupt) -> Result:
        write, left = Run.write, windows

        def stopped(run: Run, topics: Any) -> None:
            nonlocal left
            if not left:
                raise error
            left -= 1
            write(run, topics)

        with self._patch.context() as patch:
            patch.setattr(Run, "write", stopped)
            return call()


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> Interrupted:
    return Interrupted(monkeypatch)


@pytest.fixture
def many(command: Command) -> Command:
    """A folder with 110 documents in ``in.txt``: windows of 32, 64 and 14."""
    command.write("in.txt", "\n\n".join(f"{(BEES, CATS)[n % 2]} {n}" for n in range(110)))
    return command


def forbid_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: object, **__: object) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(TopicGenerator, "load", load)


def record(command: Command, output: str = "out.jsonl") -> dict[str, Any]:
    return dict(json.loads((command.folder / f"{output}.run.json").read_text()))


def visible(command: Command) -> list[str]:
    return sorted(path.name for path in command.folder.iterdir())


# The same command


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv"])
def test_an_interrupted_run_goes_on_and_says_after_how_many_documents(
    many: Command, interrupted: Interrupted, name: str
) -> None:
    def call(output: str = name) -> Result:
        return many.here("generate", "in.txt", "-o", output, *FAST)

    assert call(f"whole-{name}").code == 0
    stopped = interrupted.after(1, call)
    assert stopped.code == 130
    assert f"{name}: the same command goes on after 32 documents" in stopped.err
    assert (many.folder / name).exists() == (name == "out.jsonl")
    assert record(many, name)["state"] == "interrupted"
    resumed = call()
    assert (resumed.code, resumed.err.splitlines()[0]) == (
        0,
        f"topicgen: {name}: goes on after 32 documents of an earlier run",
    )
    assert "110 topics written" in resumed.err
    assert "32 of them by an earlier run" in resumed.err
    assert (many.folder / name).read_bytes() == (many.folder / f"whole-{name}").read_bytes()
    assert visible(many) == sorted(["in.txt", name, f"{name}.run.json", f"whole-{name}", f"whole-{name}.run.json"])


def test_a_torn_end_is_cut_off(many: Command, interrupted: Interrupted) -> None:
    def call() -> Result:
        return many.here("generate", "in.txt", *OUT, *FAST)

    call()
    path = many.folder / "out.jsonl"
    whole = path.read_bytes()
    for tail in (b'{"id": "x", "topic": "to', b"\0" * 5_000, b"{}\n", b"\n", b'{"id": 3}\n'):
        path.unlink()
        interrupted.after(2, call)
        path.write_bytes(path.read_bytes() + tail)
        assert "goes on after 96 documents" in call().err
        assert path.read_bytes() == whole


def test_a_run_is_cut_back_to_whole_windows(many: Command, interrupted: Interrupted) -> None:
    def call() -> Result:
        return many.here("generate", "in.txt", *OUT, *FAST)

    interrupted.after(2, call)
    path = many.folder / "out.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:95]))
    assert "goes on after 32 documents" in call().err
    assert len(many.rows("out.jsonl")) == 110


def test_a_finished_run_says_so_and_loads_no_model(many: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    many.here("generate", "in.txt", "-o", "out.csv", *FAST)
    before = {path.name: path.read_bytes() for path in many.folder.iterdir()}
    forbid_loading(monkeypatch)
    again = many.here("generate", "in.txt", "-o", "out.csv", *FAST)
    assert (again.code, again.complaint) == (
        0,
        "topicgen: out.csv: is finished, 110 documents; use --force to start anew",
    )
    assert {path.name: path.read_bytes() for path in many.folder.iterdir()} == before


def test_bad_rows_are_the_same_after_a_resumption(command: Command, interrupted: Interrupted) -> None:
    rows = [f"{number},{BEES}" for number in range(100)]
    command.write("in.csv", "\n".join(["id,text", *rows[:10], "1,2,3", *rows[10:], f"5,{CATS}"]) + "\n")

    def call(output: str = "out.jsonl") -> Result:
        return command.here("generate", "in.csv", "--keep", "id", "-o", output, *FAST)

    whole = call("whole.jsonl")
    interrupted.after(2, call)
    resumed, finished = call(), call()
    assert (whole.code, resumed.code, finished.code) == (3, 3, 3)
    for name in ("{}.jsonl", "{}.jsonl.quarantine.jsonl"):
        ours, expected = ((command.folder / name.format(stem)).read_bytes() for stem in ("out", "whole"))
        assert ours == expected
    assert "rows left out: 2, written to out.jsonl.quarantine.jsonl" in resumed.err
    assert (record(command)["left_out"], record(command)["statuses"]) == (2, {"ok": 100})


def test_a_run_that_failed_goes_on_when_the_reason_is_gone(many: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from topicgen.engines import CT2Engine

    def call() -> Result:
        return many.here("generate", "in.txt", "--engine", "ct2", *OUT, *FAST)

    generate = CT2Engine.generate
    with monkeypatch.context() as patch:
        calls = iter([generate])
        patch.setattr(CT2Engine, "generate", lambda *a, **k: next(calls, out_of_memory)(*a, **k))
        assert call().code == 1
    assert (record(many)["state"], record(many)["documents"]) == ("failed", 32)
    assert call().code == 0
    assert "error" in record(many)
    assert record(many)["error"] is None


def out_of_memory(*_: object, **__: object) -> None:
    raise MemoryError


def test_a_deleted_output_is_written_anew(many: Command) -> None:
    for _ in range(2):
        assert many.here("generate", "in.txt", *OUT, *FAST).code == 0
        assert len(many.rows("out.jsonl")) == 110
        (many.folder / "out.jsonl").unlink()


# Another command


CT2 = [*FAST, "--engine", "ct2"]  # auto may take another engine for another precision
CHANGES = {
    "topics (was 1, is 2)": ["in.txt", "--topics", "2"],
    "deterministic (was False, is True)": ["in.txt", "--deterministic"],
    "precision (was auto, is float32)": ["in.txt", "--precision", "float32"],
    "engine (was ct2, is hf)": ["in.txt", "--engine", "hf"],
    "unit (was paragraph, is line)": ["in.txt", "--unit", "line"],
    "with_text (was False, is True)": ["in.txt", "--with-text"],
    "model (was ": ["in.txt", "--model", "other"],
    "input (was 1 file of ": ["in.txt", "more.txt"],
}


@pytest.mark.parametrize("state", ["a finished", "an unfinished"])
def test_what_changed_is_told_and_refused(
    many: Command, interrupted: Interrupted, mini: ModelFolder, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    shutil.copytree(mini.path, many.folder / "other")
    with (many.folder / "other/prompt.json").open("a") as prompt:
        prompt.write(" ")
    many.write("more.txt", CATS)
    interrupted.after(1 if state == "an unfinished" else 9, lambda: many.here("generate", "in.txt", *OUT, *CT2))
    before = (many.folder / "out.jsonl").read_bytes()
    forbid_loading(monkeypatch)
    for told, arguments in CHANGES.items():
        refused = many.here("generate", *CT2, *arguments, *OUT)
        assert refused.code == 1
        assert f"belongs to {state} run with other settings: {told}" in refused.complaint
        assert refused.complaint.count("(was ") == 1
    assert (many.folder / "out.jsonl").read_bytes() == before


def test_force_starts_anew_whatever_there_is(many: Command, interrupted: Interrupted) -> None:
    many.write("out.jsonl", "mine\n")
    assert "exists already; use --force" in many.here("generate", "in.txt", *OUT, *FAST).complaint
    interrupted.after(1, lambda: many.here("generate", "in.txt", *OUT, "--force", *FAST))
    assert len(many.rows("out.jsonl")) == 32
    many.write("in.txt", f"{BEES}\n\n{CATS}")
    refused = many.here("generate", "in.txt", *OUT, *FAST)
    assert "input (was 1 file of" in refused.complaint
    assert many.here("generate", "in.txt", *OUT, "--force", *FAST).code == 0
    assert len(many.rows("out.jsonl")) == 2
    many.write("out.jsonl.run.json", "{}")
    refused = many.here("generate", "in.txt", *OUT, *FAST)
    assert "out.jsonl.run.json: is no record of a run" in refused.complaint
    assert many.here("generate", "in.txt", *OUT, "--force", *FAST).code == 0


def test_a_changed_input_of_the_same_size_and_time_is_noticed(many: Command, interrupted: Interrupted) -> None:
    def call() -> Result:
        return many.here("generate", "in.txt", *OUT, *FAST)

    interrupted.after(1, call)
    path = many.folder / "in.txt"
    times = path.stat()
    path.write_text(path.read_text().replace("Bees", "Wasp", 1))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert "input (was 1 file of" in call().complaint
    path.write_text(path.read_text().replace("Wasp", "Bees", 1))  # the same content at another time is the same input
    assert call().code == 0


def test_a_finished_output_that_was_changed_is_refused(many: Command) -> None:
    many.here("generate", "in.txt", *OUT, *FAST)
    (many.folder / "out.jsonl").write_text("mine\n")
    refused = many.here("generate", "in.txt", *OUT, *FAST)
    assert (refused.code, "was changed after its run had finished" in refused.complaint) == (1, True)
    assert (many.folder / "out.jsonl").read_text() == "mine\n"


def test_rows_of_other_documents_are_noticed(many: Command, interrupted: Interrupted) -> None:
    def call() -> Result:
        return many.here("generate", "in.txt", *OUT, *FAST)

    interrupted.after(1, call)
    path = many.folder / "out.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[1], *lines[:31]]))
    assert "row 32 is of document" in call().err.splitlines()[-1]


def test_seed_threads_and_place_of_the_model_do_not_matter(
    many: Command, mini: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(mini.path, many.folder / "model")
    many.here("generate", "in.txt", *OUT, *FAST)
    forbid_loading(monkeypatch)
    more = ("--seed", "7", "--threads", "1", "--model", "model")
    assert many.here("generate", "in.txt", *OUT, *FAST, *more).code == 0


# Two writers


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv"])
@pytest.mark.parametrize("inputs", ["in.txt", "-"])
def test_a_second_writer_is_refused_before_the_model_loads(
    many: Command, monkeypatch: pytest.MonkeyPatch, name: str, inputs: str
) -> None:
    forbid_loading(monkeypatch)
    with exclusive(many.folder / f".{name}.lock", name):
        refused = many.here("generate", inputs, "-o", name, "--force", stdin=BEES.encode())
    assert (refused.code, refused.complaint) == (
        1,
        f"topicgen: {name}: process {os.getpid()} is writing it; try again when it has ended",
    )
    assert visible(many) == ["in.txt"]


def test_the_lock_of_a_running_process_keeps_others_out_until_it_is_killed(many: Command) -> None:
    many.write("long.txt", "\n\n".join(f"{BEES} {n}" for n in range(20_000)))
    with many.start("generate", "long.txt", "-o", "out.jsonl", *FAST) as process:
        rows = many.folder / "out.jsonl"
        for _ in range(100 * PATIENCE):
            if rows.exists() and rows.stat().st_size:
                break
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.01)
        refused = many.here("generate", "long.txt", "-o", "out.jsonl", "--force", *FAST)
        assert f"process {process.pid} is writing it" in refused.complaint
        process.send_signal(signal.SIGKILL)
    many.write("in.txt", BEES)
    assert many.here("generate", "in.txt", *OUT, "--force", *FAST).code == 0


# No runs


def test_standard_input_makes_no_run(command: Command) -> None:
    for name in ("out.jsonl", "out.csv"):
        assert command.here("generate", "-", "-o", name, *FAST, stdin=BEES.encode()).code == 0
        refused = command.here("generate", "-", "-o", name, *FAST, stdin=BEES.encode())
        assert "exists already" in refused.complaint
    assert visible(command) == ["out.csv", "out.jsonl"]


def test_standard_input_takes_the_place_of_a_run_by_force_only(many: Command, interrupted: Interrupted) -> None:
    interrupted.after(1, lambda: many.here("generate", "in.txt", "-o", "out.csv", *FAST))
    refused = many.here("generate", "-", "-o", "out.csv", *FAST, stdin=BEES.encode())
    assert "belongs to an unfinished run" in refused.complaint
    assert many.here("generate", "-", "-o", "out.csv", "--force", *FAST, stdin=BEES.encode()).code == 0
    assert visible(many) == ["in.txt", "out.csv"]


# The cache


def test_texts_that_were_done_before_come_from_the_cache(many: Command) -> None:
    many.here("generate", "in.txt", "-o", "first.jsonl", *FAST)
    more = many.here("generate", "in.txt", *OUT, *FAST)
    assert more.complaint.endswith("110 from the cache")
    assert many.rows("out.jsonl") == many.rows("first.jsonl")
    without = many.here("generate", "in.txt", "-o", "third.jsonl", "--no-cache", *FAST)
    assert "from the cache" not in without.complaint


def test_sampled_topics_are_not_cached(command: Command) -> None:
    command.write("in.txt", f"{BEES}\n\n{CATS}")
    for seed in ("1", "2"):
        arguments = ("--temperature", "1", "--seed", seed, *FAST)
        assert "from the cache" not in command.here("generate", "in.txt", "-o", f"{seed}.jsonl", *arguments).complaint


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv"])
def test_a_file_in_the_place_of_an_unfinished_run_is_kept(many: Command, interrupted: Interrupted, name: str) -> None:
    def call() -> Result:
        return many.here("generate", "in.txt", "-o", name, *FAST)

    interrupted.after(1, call)
    for rows in many.folder.glob(f".{name}*"):
        rows.unlink()  # of the CSV
    many.write(name, "what somebody else wrote\n")
    refused = call()
    assert refused.code == 1
    assert "use --force" in refused.complaint
    assert (many.folder / name).read_text() == "what somebody else wrote\n"
