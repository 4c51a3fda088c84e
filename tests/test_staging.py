"""Folders that are replaced whole or not at all."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from topicgen.errors import UserError
from topicgen.staging import locked, staged

OWN = ("data",)


def write(folder: Path, content: str) -> None:
    with locked(folder) as real, staged(real, OWN) as (staging, commit):
        (staging / "data").write_text(content)
        commit()


def test_a_folder_is_replaced_and_what_others_put_there_stays(tmp_path: Path) -> None:
    folder = tmp_path / "themes"
    write(folder, "old")
    (folder / "notes.txt").write_text("mine")
    write(folder, "new")
    assert ((folder / "data").read_text(), (folder / "notes.txt").read_text()) == ("new", "mine")
    assert [path.name for path in tmp_path.iterdir()] == ["themes"]


def test_without_commit_and_after_an_error_nothing_changes(tmp_path: Path) -> None:
    folder = tmp_path / "themes"
    write(folder, "old")
    with pytest.raises(RuntimeError), locked(folder) as real, staged(real, OWN) as (staging, _):
        (staging / "data").write_text("half")
        raise RuntimeError
    assert (folder / "data").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["themes"]


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "themes"
    with locked(folder), pytest.raises(UserError, match=f"process {os.getpid()} is writing it"), locked(folder):
        pass
    write(folder, "later")
    assert (folder / "data").read_text() == "later"


@pytest.mark.parametrize("moment", ["before", "between", "after"])
def test_a_writer_that_is_killed_leaves_the_old_folder_or_the_new_one(tmp_path: Path, moment: str) -> None:
    folder = tmp_path / "themes"
    write(folder, "old")
    code = f"""
import os, signal
from pathlib import Path
from topicgen import staging
real_rename, calls = Path.rename, []
def rename(self, target):
    done = real_rename(self, target)
    calls.append(target)
    if len(calls) == {["before", "between", "after"].index(moment)}:
        os.kill(os.getpid(), signal.SIGKILL)
    return done
Path.rename = rename
folder = Path({str(folder)!r})
with staging.locked(folder) as real, staging.staged(real, ("data",)) as (path, commit):
    (path / "data").write_text("new")
    if {moment!r} == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    commit()
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    with locked(folder):
        assert (folder / "data").read_text() == ("new" if moment == "after" else "old")
    assert [path.name for path in tmp_path.iterdir()] == ["themes"]


def test_a_place_that_cannot_be_written_is_told() -> None:
    with pytest.raises(UserError, match="cannot be written"), locked(Path("/proc/themes")):
        pass
