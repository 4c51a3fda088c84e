"""A folder's name in, a locked empty folder to fill out, which takes the name whole or not at all."""

import secrets
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from topicgen.errors import UserError
from topicgen.locks import exclusive
from topicgen.outputs import sync


@contextmanager
def locked(folder: Path) -> Iterator[Path]:
    """Keeps others from writing a folder meanwhile; gives its real path, and mends what a killed writer left.

    Raises:
        UserError: When another process is writing it, or nothing can be written beside it.
    """
    with ExitStack() as held:
        try:
            folder = folder.resolve()
            folder.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(exclusive(_beside(folder, "lock"), str(folder)))
        except (OSError, RuntimeError, ValueError) as error:
            raise UserError(f"{folder}: cannot be written: {getattr(error, 'strerror', None) or error}") from None
        with _told(folder):
            _mend(folder)
        yield folder


@contextmanager
def staged(folder: Path, own: Collection[str]) -> Iterator[tuple[Path, Callable[[], None]]]:
    """An empty folder of the same name beside a locked one, and what puts it in its place.

    Until the second is called nothing has changed; a process that is killed leaves the earlier folder, or the new one.

    Args:
        folder: As ``locked`` gives it.
        own: Names in the earlier folder that are given up; all others are kept.

    Raises:
        UserError: When it cannot be written.
    """
    root = _beside(folder, f"{secrets.token_hex(4)}.part")
    staging = root / folder.name
    with _told(folder):
        staging.mkdir(parents=True)

    def commit() -> None:
        with _told(folder):
            for file in [path for path in staging.rglob("*") if path.is_file()]:
                sync(file)
            _swap(staging, folder, own)

    try:
        with _told(folder):
            yield staging, commit
    finally:
        shutil.rmtree(root, ignore_errors=True)


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """Turns a failure of the system, such as a full disk, into a UserError; a closed pipe passes."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UserError(f"{folder}: cannot be written: {error.strerror or error}") from None


def _beside(folder: Path, ending: str) -> Path:
    return folder.with_name(f".{folder.name}.{ending}")


def _swap(staging: Path, folder: Path, own: Collection[str]) -> None:
    old = _beside(folder, "old")
    if folder.exists():
        folder.rename(old)
    try:
        staging.rename(folder)
    except OSError:
        if old.exists():
            old.rename(folder)
        raise
    sync(folder.parent)
    _clear(old, folder, own)


def _clear(old: Path, folder: Path, own: Collection[str]) -> None:
    """Deletes the earlier folder; what others put into it moves on."""
    if not old.exists():
        return
    for path in old.iterdir():
        if path.name not in own and not (folder / path.name).exists():
            path.rename(folder / path.name)
    shutil.rmtree(old, ignore_errors=True)


def _mend(folder: Path) -> None:
    """Gives a folder back whose replacement never came, and removes what a killed process was filling."""
    old = _beside(folder, "old")
    if old.exists() and not folder.exists():
        old.rename(folder)
    elif old.exists():
        _clear(old, folder, [path.name for path in folder.iterdir()])
    for part in folder.parent.glob(f".{_escaped(folder.name)}.????????.part"):
        shutil.rmtree(part, ignore_errors=True)


def _escaped(name: str) -> str:
    import glob

    return glob.escape(name)
