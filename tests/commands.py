"""The command line as the tests call it: in a process of its own, or in this one where that is enough."""

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from topicgen.cli import main

PATIENCE = 300  # seconds after which a hanging command fails its test; a busy machine is slow


@dataclass(frozen=True)
class Result:
    """What a command left: exit code, standard output and standard error."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def complaint(self) -> str:
        """The only line on standard error."""
        (line,) = self.err.splitlines()
        assert line.startswith("topicgen: "), line
        return line


WITHOUT_TORCH = """
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "transformers", "sentence_transformers"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
"""
"""A wrapper for commands: these libraries are not installed."""


class Command:
    """Runs ``topicgen`` in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def rows(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / name).read_text(encoding="utf-8").splitlines()]

    def here(self, *arguments: str, stdin: bytes = b"") -> Result:
        """Runs in this process, where the libraries are loaded already."""
        out, err = Stream(), Stream()
        with contextlib.chdir(self.folder), replaced_stdin(stdin):
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = main(arguments)
            return Result(code, out.text(), err.text())

    def run(self, *arguments: str, stdin: bytes = b"", wrapper: str | None = None, **environment: str) -> Result:
        """Runs in a process of its own; ``wrapper`` is Python code that runs before the command."""
        done = subprocess.run(
            self.argv(*arguments, wrapper=wrapper),
            input=stdin,
            cwd=self.folder,
            env=os.environ | environment,
            capture_output=True,
            timeout=PATIENCE,
        )
        return Result(done.returncode, done.stdout.decode(), done.stderr.decode())

    def start(self, *arguments: str, **options: Any) -> "subprocess.Popen[bytes]":
        """Starts a process of its own, with pipes for its output."""
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(self.argv(*arguments), cwd=self.folder, **(pipes | options))

    @staticmethod
    def argv(*arguments: str, wrapper: str | None = None) -> list[str]:
        if wrapper is None:
            return [sys.executable, "-m", "topicgen", *arguments]
        code = f"import sys\n{wrapper}\nfrom topicgen.cli import main\nsys.exit(main())"
        return [sys.executable, "-c", code, *arguments]


class Stream(io.TextIOWrapper):
    """Standard output or error that keeps what it got."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", newline="")

    def text(self) -> str:
        self.flush()
        content: Callable[[], bytes] = self.buffer.getvalue
        return content().decode()


@contextlib.contextmanager
def replaced_stdin(content: bytes) -> Iterator[None]:
    """Lets standard input hold the given bytes."""
    before, sys.stdin = sys.stdin, io.TextIOWrapper(io.BytesIO(content))
    try:
        yield
    finally:
        sys.stdin = before
