"""Files -> SHA-256 digests, which are remembered for large files."""

import hashlib
import os
import time
from contextlib import suppress
from pathlib import Path

from topicgen.cache import cache_folder

LARGE_BYTES = 256 << 20  # half a second of hashing
SETTLED_SECONDS = 2  # a file that changed just now may change again within the same tick of the clock
_LENGTH = 32


def file_digest(path: Path) -> bytes:
    """SHA-256 of a file's bytes.

    Of a large file it is kept in the cache folder, under the file's place, size and times of change, so that a second
    look costs no reading.

    Raises:
        OSError: When the file cannot be read.
    """
    with path.open("rb") as stream:
        known = _memory(path, os.fstat(stream.fileno()))
        if known is not None:
            with suppress(OSError):
                if len(kept := known.read_bytes()) == _LENGTH:
                    return kept
        digest = hashlib.file_digest(stream, "sha256").digest()
    if known is not None:
        _remember(known, digest)
    return digest


def _memory(path: Path, state: os.stat_result) -> Path | None:
    """Where the digest of a file in this state is kept; None for files that are small, or not settled."""
    if state.st_size < LARGE_BYTES or time.time() - max(state.st_mtime, state.st_ctime) < SETTLED_SECONDS:
        return None
    # The time of the last change of the inode tells also of files that were replaced together with their own times.
    identity = (os.fspath(path.resolve()), state.st_dev, state.st_ino, state.st_size)
    key = repr((*identity, state.st_mtime_ns, state.st_ctime_ns)).encode("utf-8", "surrogatepass")
    return cache_folder() / "digests" / hashlib.sha256(key).hexdigest()


def _remember(known: Path, digest: bytes) -> None:
    part = known.with_name(f".{known.name}.{os.getpid()}")
    with suppress(OSError):  # a cache that cannot be written is done without
        known.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(digest)
        part.replace(known)
