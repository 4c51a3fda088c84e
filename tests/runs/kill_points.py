"""Kills a run before each of its calls that change files, one after the other, and resumes it.

Called as ``kill_points.py OUTPUT``, in a folder with ``in.csv``; prints how many kills there were.
"""

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import pyarrow as pa
from stub_engine import stub_job

from topicgen import job
from topicgen.cache import cache_folder
from topicgen.config import ReaderSettings
from topicgen.models import find_model

MINI = find_model("mini")
MINI.digest, MINI.tokenizer, pa.table({"a": ["loads pandas"]})
job.find_model = lambda _: MINI
OUTPUT = sys.argv[1]
CALLS = [(os, "fsync"), (os, "ftruncate"), (os, "open"), (Path, "replace"), (Path, "unlink"), (Path, "open")]


def run(kill_at: int | None) -> int:
    """Runs in a child process, which dies before its call of this number; returns its exit code."""
    child = os.fork()
    if child == 0:
        if kill_at is not None:
            arm(kill_at)
        os._exit(stub_job(["in.csv"], OUTPUT, reader=ReaderSettings(keep=("id", "note")), with_text=True).run())
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def arm(kill_at: int) -> None:
    calls = 0

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **named)

        return call

    for owner, name in CALLS:
        setattr(owner, name, counted(getattr(owner, name)))


def files() -> dict[str, bytes]:
    """All that a run leaves, but for its record."""
    return {path.name: path.read_bytes() for path in Path.cwd().iterdir() if not path.name.endswith(".run.json")}


def clear() -> None:
    shutil.rmtree(cache_folder(), ignore_errors=True)
    for path in Path.cwd().iterdir():
        if path.name != "in.csv":
            path.unlink()


def main() -> None:
    clear()
    code, expected = run(None), files()
    assert code == 3, code
    kills = 0
    while True:
        clear()
        killed = run(kills + 1)
        if killed == 3:
            break  # there are no more calls
        assert killed == -signal.SIGKILL, killed
        kills += 1
        if kills % 3 == 0:
            run(kills // 3)  # killed again while it resumes
        assert run(None) == 3
        assert files() == expected, f"kill {kills}: {sorted(files())}"
    print(kills)


main()
