"""The command line as a process: signals, pipes, terminals, and how fast it starts."""

import json
import os
import pty
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO

import pytest
from commands import PATIENCE, Command
from passages import PASSAGES

from topicgen.engines.onnx import lacking

BEES = "Bees make honey from nectar."
LONG_RUN = "\n\n".join(f"{PASSAGES[number % len(PASSAGES)]} Part {number}." for number in range(5_000))


@contextmanager
def started(command: Command, *arguments: str, **options: object) -> Iterator["subprocess.Popen[bytes]"]:
    """A running command, which Ctrl-C reaches however the tests were started."""
    process = command.start(
        *arguments, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler), **options
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def wait_until(happened: Callable[[], bool], process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.01)
        assert process.returncode is None, "the run ended before it was interrupted"


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [
        (signal.SIGINT, 130, "topicgen: interrupted; what was written is kept"),
        (signal.SIGTERM, 143, "topicgen: terminated; what was written is kept"),
    ],
)
def test_interrupted_run_keeps_whole_rows(command: Command, number: int, code: int, said: str) -> None:
    command.write("long.txt", LONG_RUN)
    with started(command, "generate", "long.txt", "-o", "out.jsonl") as process:
        out = command.folder / "out.jsonl"
        wait_until(lambda: out.exists() and b"\n" in out.read_bytes(), process)
        process.send_signal(number)
        began = time.monotonic()
        _, err = process.communicate(timeout=PATIENCE)
    assert time.monotonic() - began < 5
    rows = command.rows("out.jsonl")
    goes_on, last = err.decode().splitlines()
    assert (process.returncode, last) == (code, said)
    counted = re.fullmatch(r"topicgen: out\.jsonl: the same command goes on after (\d+) documents", goes_on)
    assert counted
    # The signal may come when rows stand in the file and are not counted yet; those are written again.
    assert int(counted[1]) <= len(rows)
    assert 0 < len(rows) < 5_000
    assert [row["position"] for row in rows] == list(range(1, len(rows) + 1))
    assert (command.folder / "out.jsonl").read_bytes().endswith(b"\n")


IMPATIENT = """
import atexit, io, signal
number = signal.Signals[sys.argv.pop(1)]
class Stream(io.TextIOWrapper):
    def write(self, text):
        written = super().write(text)
        self.flush()
        signal.raise_signal(number)
        return written
sys.stdout, sys.stderr = (Stream(stream.detach(), encoding="utf-8") for stream in (sys.stdout, sys.stderr))
signal.signal(signal.SIGINT, signal.default_int_handler)
class Last:
    def __del__(self, again=signal.raise_signal):
        again(number)
last = Last()
atexit.register(signal.raise_signal, number)
"""
"""A wrapper: a signal comes with the first topic, again with each line about it, and twice more at the end."""


@pytest.mark.parametrize(("name", "code", "said"), [("SIGTERM", 143, "terminated"), ("SIGINT", 130, "interrupted")])
def test_signals_that_come_again_change_nothing(command: Command, name: str, code: int, said: str) -> None:
    command.write("a.txt", BEES)
    result = command.run(name, "generate", "a.txt", wrapper=IMPATIENT)
    assert (result.code, result.complaint) == (code, f"topicgen: {said}; what was written is kept")
    assert len(result.rows) == 1


ENDLESS = """
import os, threading
def wait():
    threading.main_thread().join()
    while not threading.Event().wait(0.1):
        os.kill(os.getpid(), number)
threading.Thread(target=wait).start()
"""
"""More of it: a thread that never ends, and the signal again and again while Python waits for it."""


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_signal_ends_a_program_that_threads_hold_up(command: Command, name: str, code: int) -> None:
    command.write("a.txt", BEES)
    result = command.run(name, "generate", "a.txt", wrapper=IMPATIENT + ENDLESS)
    assert (result.code, len(result.err.splitlines())) == (code, 1)


def test_interrupted_stream_leaves_a_table_that_can_be_read(command: Command) -> None:
    with started(command, "generate", "-", "-o", "out.csv", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write("\n\n".join(PASSAGES[:40]).encode())
        process.stdin.flush()
        part = command.folder
        wait_until(lambda: any(b"\n" in path.read_bytes()[100:] for path in part.glob(".out.csv.*.part")), process)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err.decode()) == (143, "topicgen: terminated; what was written is kept\n")
    assert [path.name for path in command.folder.iterdir()] == ["out.csv"]
    assert len((command.folder / "out.csv").read_text().splitlines()) > 1


@pytest.mark.parametrize("form", ["jsonl", "csv", "table"])
def test_reader_that_leaves_early_ends_the_run_quietly(command: Command, form: str) -> None:
    command.write("long.txt", LONG_RUN)
    with started(command, "generate", "long.txt", "--format", form) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        err = process.stderr.read()
        assert process.wait(PATIENCE) == 0
    assert err == b""


def test_rows_come_before_the_input_ends(command: Command) -> None:
    with started(command, "generate", "-", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("\n\n".join(PASSAGES[:40]).encode())
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["position"] == 1
        process.stdin.close()
        assert len(process.stdout.read().splitlines()) == 39


def shown(terminal: int) -> str:
    """All that was written to a terminal until its other side was closed."""
    parts = []
    with suppress(OSError):  # what Linux raises at the end
        while part := os.read(terminal, 1 << 16):
            parts.append(part)
    return b"".join(parts).decode()


def on_a_terminal(command: Command, stream: str, *arguments: str) -> tuple[str, str]:
    """Runs a command with one stream on a terminal; returns what that showed, and what the other stream got."""
    ours, theirs = pty.openpty()
    other = "stdout" if stream == "stderr" else "stderr"
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    with (command.folder / "other").open("w+b") as file:
        streams: dict[str, int | IO[bytes]] = {stream: theirs, other: file}
        with started(command, *arguments, env=environment, **streams) as process:
            os.close(theirs)
            text = shown(ours)
            assert process.wait(PATIENCE) == 0
    os.close(ours)
    return text, (command.folder / "other").read_text()


def test_progress_on_a_terminal_shows_documents_per_second(command: Command) -> None:
    command.write("a.txt", "\n\n".join(f"{text} {number}." for number in range(4) for text in PASSAGES))
    bar, out = on_a_terminal(command, "stderr", "generate", "a.txt", "--max-topic-tokens", "4")
    assert re.search(r"\d+\.\d/s", bar)
    assert f"/{4 * len(PASSAGES)}" in bar
    assert len(out.splitlines()) == 4 * len(PASSAGES)


def test_quiet_run_shows_no_progress(command: Command) -> None:
    command.write("a.txt", BEES)
    assert on_a_terminal(command, "stderr", "generate", "a.txt", "-q")[0] == ""


def test_no_progress_where_stderr_is_no_terminal(command: Command) -> None:
    command.write("a.txt", BEES)
    assert command.run("generate", "a.txt").err == ""


def test_topics_on_a_terminal_are_a_table(command: Command) -> None:
    command.write("a.txt", f"{BEES}\n\n\u202eCats \x1b[31msleep.")
    table, err = on_a_terminal(command, "stdout", "generate", "a.txt")
    assert err == ""
    lines = table.splitlines()
    assert "Topic" in lines[0]
    assert BEES in table
    assert "\u202e" not in table
    assert "\x1b[31m" not in table


# How fast it starts


REPORT = """
import atexit
heavy = {"torch", "transformers", "numpy", "ctranslate2", "pyarrow", "tokenizers", "rich"}
atexit.register(lambda: sys.stderr.write(" ".join(sorted(heavy & set(sys.modules)))))
"""


def best_of_three(run: Callable[[], object]) -> float:
    times = []
    for _ in range(3):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


@pytest.mark.parametrize("line", ["--help", "generate --help", "doctor --help", "--version"])
def test_help_imports_nothing_heavy(command: Command, line: str) -> None:
    result = command.run(*line.split(), wrapper=REPORT)
    assert (result.code, result.err) == (0, "")
    assert "topicgen" in result.out


def test_help_comes_within_half_a_second(command: Command) -> None:
    assert best_of_three(lambda: command.run("--help")) < 0.5


def test_generate_imports_no_torch(command: Command) -> None:
    command.write("a.txt", BEES)
    engines = {"ct2": "ctranslate2 numpy tokenizers"} | ({} if lacking() else {"onnx": "numpy tokenizers"})
    for engine, libraries in engines.items():
        command.run("generate", "a.txt", "--engine", engine)  # makes its form of the model, with other libraries
        result = command.run("generate", "a.txt", "--engine", engine, "--no-cache", wrapper=REPORT)
        assert len(result.rows) == 1
        assert result.err == libraries


def test_first_topic_comes_within_two_seconds(command: Command) -> None:
    command.write("a.txt", f"{BEES}\n")

    def run() -> None:
        with started(command, "generate", "a.txt") as process:
            assert process.stdout is not None
            assert process.stdout.readline()
            process.wait(PATIENCE)

    assert best_of_three(run) < 2


LOADING = """
import importlib.abc, signal
number = signal.Signals[sys.argv.pop(1)]
signal.signal(signal.SIGINT, signal.default_int_handler)
class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "ctranslate2":
            try:
                signal.raise_signal(number)
            except BaseException:
                raise ImportError("initialization failed")
sys.meta_path.insert(0, Finder())
"""
"""A wrapper: a signal comes while a library is loaded, which makes an error of its own of it, as compiled ones do."""


@pytest.mark.parametrize(("name", "code", "said"), [("SIGTERM", 143, "terminated"), ("SIGINT", 130, "interrupted")])
def test_a_signal_while_a_library_is_loaded_is_one(command: Command, name: str, code: int, said: str) -> None:
    command.write("a.txt", BEES)
    result = command.run(name, "generate", "a.txt", "--engine", "ct2", wrapper=LOADING)
    assert (result.code, result.complaint) == (code, f"topicgen: {said}; what was written is kept")
