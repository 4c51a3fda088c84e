"""Runs on a disk that fills up: one line, whole rows, and the same command goes on when there is room."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from stub_engine import stub_job

from topicgen.errors import UserError

DOCUMENTS = 3_000
ROOMY, TIGHT = "8m", "128k"


def mount(folder: Path, size: str, *more: str) -> bool:
    if not sys.platform.startswith("linux") or shutil.which("mount") is None:
        return False
    options = ",".join([*more, f"size={size}"])
    return subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True).returncode == 0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not mount(folder, TIGHT):
        pytest.skip("mounting is not permitted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.fixture
def texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("TOPICGEN_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "in.txt"
    path.write_text("\n\n".join(f"Document {number} of many." for number in range(DOCUMENTS)))
    return str(path)


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv", "out.parquet"])
def test_a_full_disk_ends_in_one_line_and_the_run_goes_on_when_there_is_room(
    disk: Path, texts: str, tmp_path: Path, name: str
) -> None:
    assert stub_job([texts], str(tmp_path / name), cache=False).run() == 0
    rows = disk / (name if name == "out.jsonl" else f".{name}.run.jsonl")
    with pytest.raises(UserError, match=f"{name}: cannot be written: No space left on device"):
        stub_job([texts], str(disk / name), cache=False).run()
    lines = rows.read_bytes().splitlines(keepends=True)
    assert 32 < len(lines) < DOCUMENTS
    assert all(line.startswith(b"{") and line.endswith(b"}\n") for line in lines)
    with pytest.raises(UserError, match="No space left on device"):
        stub_job([texts], str(disk / name), cache=False).run()
    assert mount(disk, ROOMY, "remount")
    said: list[str] = []
    assert stub_job([texts], str(disk / name), cache=False, say=said.append).run() == 0
    assert "goes on after" in said[0]
    assert (disk / name).read_bytes() == (tmp_path / name).read_bytes()


def test_a_disk_that_has_room_for_the_rows_but_not_for_the_table_keeps_the_rows(
    disk: Path, texts: str, tmp_path: Path
) -> None:
    assert mount(disk, "800k", "remount")
    job = {"cache": False, "with_text": True}
    assert stub_job([texts], str(tmp_path / "out.csv"), **job).run() == 0
    with pytest.raises(UserError, match=r"out\.csv: cannot be written: No space left on device"):
        stub_job([texts], str(disk / "out.csv"), **job).run()
    assert not (disk / "out.csv").exists()
    assert not list(disk.glob(".*.part"))
    assert len((disk / ".out.csv.run.jsonl").read_bytes().splitlines()) == DOCUMENTS
    assert mount(disk, ROOMY, "remount")
    assert stub_job([texts], str(disk / "out.csv"), **job).run() == 0
    assert (disk / "out.csv").read_bytes() == (tmp_path / "out.csv").read_bytes()


def test_a_full_disk_of_the_cache_costs_the_cache_only(
    disk: Path, texts: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOPICGEN_CACHE", str(disk))
    warned: list[str] = []
    assert stub_job([texts], str(tmp_path / "out.jsonl"), warn=warned.append).run() == 0
    [warning] = warned
    assert "the cache is not used any more" in warning


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mounts as Linux does")
def test_a_read_only_disk_fails_before_the_model_loads(disk: Path, texts: str) -> None:
    assert mount(disk, ROOMY, "remount", "ro")
    with pytest.raises(UserError, match=r"out\.jsonl: cannot be written: Read-only file system"):
        stub_job([texts], str(disk / "out.jsonl"), model="no model that could be loaded").run()
