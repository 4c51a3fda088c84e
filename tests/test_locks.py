"""A lock that one process holds, and that dies with it."""

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from topicgen.errors import UserError
from topicgen.locks import _taken, exclusive, holder

HOLD = """
import sys, time
from pathlib import Path
from topicgen.locks import exclusive
with exclusive(Path(sys.argv[1]), "x"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_writer_is_refused_and_told_the_first_and_a_killed_one_lets_go(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", HOLD, path], **pipes) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        assert holder(path) == process.pid
        with pytest.raises(UserError, match=f"out.jsonl: process {process.pid} is writing it"):
            exclusive(path, "out.jsonl").__enter__()
        process.send_signal(signal.SIGKILL)
    assert path.exists()
    assert holder(path) is None
    with exclusive(path, "out.jsonl"):
        assert holder(path) == os.getpid()
    assert not path.exists()
    assert holder(path) is None


def test_one_that_only_looks_does_not_keep_a_writer_out(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.touch()
    with path.open("rb") as looking, path.open("r+b") as writer:
        fcntl.flock(looking, fcntl.LOCK_SH)
        assert _taken(writer.fileno()) is False  # to be tried again, rather than refused
        fcntl.flock(looking, fcntl.LOCK_UN)
        assert _taken(writer.fileno()) is True
