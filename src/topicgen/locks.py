"""A lock file that one process at a time holds, and that a killed process lets go."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from topicgen.errors import UserError


@contextmanager
def exclusive(path: Path, name: str) -> Iterator[None]:
    """Holds the lock file ``path`` and removes it at the end; a killed process leaves it, held by nobody.

    Args:
        path: The lock file.
        name: What is written meanwhile, as the user knows it.

    Raises:
        UserError: When another process holds it; the message names its process id.
        OSError: When the file cannot be made.
    """
    lock = _acquire(path, name)
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()  # while it is held: see _acquire
        os.close(lock)


def holder(path: Path) -> int | None:
    """Process id of who holds a lock file, 0 where it is not known; None when nobody does."""
    try:
        lock = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return _process(lock)
    finally:
        os.close(lock)
    return None


def _acquire(path: Path, name: str) -> int:
    """A descriptor that holds the lock.

    The file is deleted while it is held, so one that was opened before and locked after may be a file without a name,
    which keeps nobody out: then again.
    """
    while True:
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if _taken(lock) and os.fstat(lock).st_ino == path.stat().st_ino:
                os.ftruncate(lock, 0)
                os.pwrite(lock, str(os.getpid()).encode(), 0)
                return lock
        except BlockingIOError:
            process = _process(lock)
            os.close(lock)
            who = f"process {process}" if process else "another process"
            raise UserError(f"{name}: {who} is writing it; try again when it has ended") from None
        except FileNotFoundError:
            pass
        except OSError:
            os.close(lock)
            raise
        os.close(lock)


def _taken(lock: int) -> bool:
    """Whether the lock was got; False beside one that only looks, BlockingIOError beside another writer."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False


def _process(lock: int) -> int:
    content = os.pread(lock, 20, 0)
    return int(content) if content.isdigit() else 0
