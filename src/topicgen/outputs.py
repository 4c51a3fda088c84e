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

    def start(self, keep: int = 0) -> None:
        """Gives up what the output held before, but for its first ``keep`` bytes.

        Until then, closing leaves an earlier file as it was.
        """
        if self._started:
            return
        self._started = True
        self._whole = keep
        if self.path is not None and self._target is None:
            with self.guard():
                if stat.S_ISREG(os.fstat(self.stream.fileno()).st_mode):
                    os.ftruncate(self.stream.fileno(), keep)

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

    def sync(self) -> None:
        """As ``flush``, and what is complete lasts through a power cut."""
        self.flush()
        with self.guard(), suppress(io.UnsupportedOperation):
            os.fsync(self.stream.fileno())

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
            if self._target is not None and keep and self._started and not self._failed:
                keep = False  # unless all of it reaches the disk
                self.sync()
                keep = True
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
                sync(self._target.parent)
            else:
                path.unlink(missing_ok=True)


def standard_output(stdout: IO[str], errors: str) -> Output:
    """Returns standard output, switched to UTF-8; ``errors`` is what to do with text that it cannot encode."""
    if isinstance(stdout, io.TextIOWrapper):
        stdout.reconfigure(encoding="utf-8", errors=errors)
    return Output("standard output", stdout)


def open_file(name: str, *, in_place: bool, binary: bool, force: bool) -> Output:
    """Opens a file for writing; raises UserError when that fails or, without ``force``, when it has content."""
    path, regular = output_path(name)
    if regular and not force:
        refuse_content(name, path)
    with writable(name):
        # Moving a file onto a device would replace the device.
        target = None if in_place or not regular else path
        part = _sibling(target) if target else path
        return Output(name, _open_stream(part, binary), part, target)


def open_lines(name: str, path: Path) -> Output:
    """Opens a text file that grows in place; what it holds is kept until ``Output.start``."""
    with writable(name):
        return Output(name, _open_stream(path, binary=False), path)


def output_path(name: str) -> tuple[Path, bool]:
    """Where an output lies, links followed, and whether it is a file, or will be, rather than a device or pipe.

    Raises UserError for a folder, or where there is no folder to hold it.
    """
    given = Path(name)
    with writable(name):
        path = given.resolve()
        mode = path.stat().st_mode if path.exists() else stat.S_IFREG
        if stat.S_ISDIR(mode):
            raise UserError(f"{name}: is a folder; name a file in it")
        if not path.parent.is_dir():
            raise UserError(f"{name}: there is no folder {given.parent}; create it first")
        return path, stat.S_ISREG(mode)


def refuse_content(name: str, path: Path) -> None:
    """Raises UserError when there is a file with content."""
    with writable(name):
        if path.exists() and path.stat().st_size:
            raise UserError(f"{name}: exists already; use --force to replace it, or another name")


@contextmanager
def writable(name: str) -> Iterator[None]:
    """Turns what the system raises for a place that cannot be written into a UserError."""
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(f"{name}: cannot be written: {getattr(error, 'strerror', None) or error}") from None


def sync(path: Path) -> None:
    """Makes a file, or the names in a folder, last through a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems cannot
            os.fsync(handle)
    finally:
        os.close(handle)


def replace_whole(path: Path, content: bytes) -> None:
    """Writes a file, in place of an earlier one, whole or not at all, so that it lasts through a power cut.

    Raises:
        OSError: When it cannot be written; an earlier file is as it was.
    """
    part = _sibling(path)
    try:
        part.write_bytes(content)
        sync(part)
        part.replace(path)
        sync(path.parent)
    finally:
        part.unlink(missing_ok=True)


def _open_stream(path: Path, binary: bool) -> IO[Any]:
    if binary:
        return path.open("wb")
    return path.open("a", encoding="utf-8", errors="backslashreplace", newline="")


def _sibling(target: Path) -> Path:
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")


def refuse_input_as_output(path: str | None, inputs: Sequence[str], name: str = "output") -> None:
    """Raises UsageError when a file to write is one of the inputs, under any name."""
    if path is None:
        return
    for given in inputs:
        if given != "-" and same_file(path, given):
            raise UsageError(f"{path}: is also an input; choose another {name}")


def same_file(one: str, other: str) -> bool:
    """Whether two names lead to one file, by links of any kind too."""
    with suppress(OSError, ValueError, RuntimeError):
        if Path(one).resolve() == Path(other).resolve():
            return True
        return Path(one).samefile(other)
    return False
