"""A path or standard output -> an open output; its failures become one-line errors, its whole rows are kept."""

import io
import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from topicgen.errors import UsageError, UserError


class Output:
    """An open output.

    With a ``target``, the stream belongs to a hidden file beside it that takes the target's place at the end.
    """

    def __init__(self, name: str, stream: IO[Any], path: Path | None = None, target: Path | None = None) -> None:
        self.name = name
        self.stream = stream
        self.path = path
        self._target = target
        self._whole = 0
        self._started = False
        self._failed = False
        self._closed = False

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Turns a failure of the system, such as a full disk, into a UserError; a closed pipe passes."""
        try:
            yield
        except BrokenPipeError:
            self._failed = True
            raise
        except OSError as error:
            self._failed = True
            raise UserError(f"{self.name}: cannot be written: {error.strerror or error}") from None

    def start(self) -> None:
        """Gives up what the output held before; until then, closing leaves an earlier file as it was."""
        if self._started:
            return
        self._started = True
        if self.path is not None and self._target is None:
            with self.guard():
                if stat.S_ISREG(os.fstat(self.stream.fileno()).st_mode):
                    os.ftruncate(self.stream.fileno(), 0)

    def write(self, text: str) -> int:
        """Writes text; it may stay in a buffer until ``flush``."""
        with self.guard():
            return int(self.stream.write(text))

    def flush(self) -> None:
        """Hands all that was written to the system; what is complete now stays so, whatever fails later."""
        with self.guard():
            self.stream.flush()
            if self.path is not None:
                self._whole = os.fstat(self.stream.fileno()).st_size

    def restart(self) -> Path:
        """Starts an empty file in place of the one so far, whose path is returned; it is the caller's to delete."""
        if self.path is None or self._target is None:
            raise ValueError("only an output with a target can start again")
        old = self.path
        with self.guard():
            self.stream.close()
            self.path = _sibling(self._target)
            self.stream = self.path.open("xb")
        return old

    def close(self, keep: bool = True) -> None:
        """Closes a file and moves it into its place; without ``keep`` a hidden file is dropped instead."""
        if self._closed:
            return
        self._closed = True
        if self.path is None:
            if not self._failed:
                self.flush()
            return
        try:
            with self.guard():
                self.stream.close()
        finally:
            self._settle(self.path, keep)

    def _settle(self, path: Path, keep: bool) -> None:
        if self._failed and self._started and keep:
            # A row that was cut off in its middle is worse than none.
            with suppress(OSError):
                os.truncate(path, self._whole)
        if self._target is None:
            return
        with self.guard():
            if keep and self._started and not (self._failed and not self._whole):
                path.replace(self._target)
            else:
                path.unlink(missing_ok=True)


def standard_output(stdout: IO[str], errors: str) -> Output:
    """Returns standard output, switched to UTF-8; ``errors`` is what to do with text that it cannot encode."""
    if isinstance(stdout, io.TextIOWrapper):
        stdout.reconfigure(encoding="utf-8", errors=errors)
    return Output("standard output", stdout)


def open_file(name: str, *, in_place: bool, binary: bool, force: bool) -> Output:
    """Opens a file for writing; raises UserError when that fails or, without ``force``, when it has content."""
    given = Path(name)
    try:
        path = given.resolve()
        mode = path.stat().st_mode if path.exists() else stat.S_IFREG
        if stat.S_ISDIR(mode):
            raise UserError(f"{name}: is a folder; name a file in it")
        if stat.S_ISREG(mode) and not force and path.exists() and path.stat().st_size:
            raise UserError(f"{name}: exists already; use --force to replace it, or another name")
        if not path.parent.is_dir():
            raise UserError(f"{name}: there is no folder {given.parent}; create it first")
        # Moving a file onto a device would replace the device.
        target = None if in_place or not stat.S_ISREG(mode) else path
        part = _sibling(target) if target else path
        return Output(name, _open_stream(part, binary), part, target)
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(f"{name}: cannot be written: {getattr(error, 'strerror', None) or error}") from None


def _open_stream(path: Path, binary: bool) -> IO[Any]:
    if binary:
        return path.open("wb")
    return path.open("a", encoding="utf-8", errors="backslashreplace", newline="")


def _sibling(target: Path) -> Path:
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")


def refuse_input_as_output(path: str | None, inputs: Sequence[str]) -> None:
    """Raises UsageError when the output is one of the inputs, under any name."""
    if path is None:
        return
    output = Path(path)
    for given in inputs:
        with suppress(OSError, ValueError, RuntimeError):
            if given != "-" and Path(given).resolve() == output.resolve():
                raise UsageError(f"{path}: is also an input; choose another output")
