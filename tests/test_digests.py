"""Digests of files, remembered for large ones."""

import hashlib
import os
from pathlib import Path

import pytest

from topicgen import digests
from topicgen.digests import file_digest


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that counts as large and settled."""
    monkeypatch.setattr(digests, "LARGE_BYTES", 10)
    monkeypatch.setattr(digests, "SETTLED_SECONDS", -1)
    monkeypatch.setenv("TOPICGEN_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "large"
    path.write_bytes(b"0123456789")
    return path


def kept(path: Path) -> list[Path]:
    return list((path.parent / "cache/digests").glob("*"))


def test_digest_is_that_of_the_bytes_and_kept(large: Path) -> None:
    assert file_digest(large) == hashlib.sha256(b"0123456789").digest()
    [memory] = kept(large)
    memory.write_bytes(b"x" * 32)
    assert file_digest(large) == b"x" * 32  # not read again


def test_a_change_that_hides_its_time_is_seen(large: Path) -> None:
    file_digest(large)
    before = large.stat()
    large.write_bytes(b"9876543210")
    os.utime(large, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file_digest(large) == hashlib.sha256(b"9876543210").digest()


def test_small_and_fresh_files_are_read_each_time(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "SETTLED_SECONDS", 60)
    file_digest(large)
    monkeypatch.setattr(digests, "LARGE_BYTES", 11)
    file_digest(large)
    assert kept(large) == []


def test_damaged_memory_and_a_cache_that_cannot_be_written_do_no_harm(large: Path) -> None:
    digest = file_digest(large)
    [memory] = kept(large)
    memory.write_bytes(b"short")
    assert file_digest(large) == digest
    os.environ["TOPICGEN_CACHE"] = "/proc/cache"
    assert file_digest(large) == digest
