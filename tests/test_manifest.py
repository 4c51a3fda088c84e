"""The folder of a run in parts."""

import json
from pathlib import Path

import pytest

from topicgen.errors import UserError
from topicgen.manifest import MANIFEST, PartFolder, sha256

HEADER = {"model": "a", "blocks": 2}


def add(folder: PartFolder, number: int, content: str = "row\n") -> None:
    file = folder.path / f"part-{number}.jsonl"
    file.write_text(content)
    folder.add({"block": number, "file": file.name, "rows": 1, "sha256": sha256(file)})


def opened(path: Path, force: bool = False, **changes: object) -> PartFolder:
    return PartFolder(str(path), HEADER | changes, force=force)


def test_parts_are_known_when_the_folder_is_opened_again(tmp_path: Path) -> None:
    with opened(tmp_path / "out") as folder:
        add(folder, 1)
    with opened(tmp_path / "out") as again:
        assert list(again.parts) == [1]
    lines = [json.loads(line) for line in (tmp_path / "out" / MANIFEST).read_text().splitlines()]
    assert (lines[0], lines[1]["block"]) == (HEADER, 1)


@pytest.mark.parametrize("damage", ["changed", "gone"])
def test_part_that_is_not_as_it_was_is_not_taken(tmp_path: Path, damage: str) -> None:
    with opened(tmp_path) as folder:
        add(folder, 0)
        add(folder, 1)
    file = tmp_path / "part-1.jsonl"
    file.write_text("row") if damage == "changed" else file.unlink()
    with opened(tmp_path) as again:
        assert list(again.parts) == [0]
        assert not file.exists()
        add(again, 1)
    assert list(opened(tmp_path).parts) == [0, 1]


def test_line_that_was_cut_off_and_files_that_no_line_names_are_dropped(tmp_path: Path) -> None:
    with opened(tmp_path) as folder:
        add(folder, 0)
        add(folder, 1)
    manifest = tmp_path / MANIFEST
    manifest.write_text(manifest.read_text()[:-9])
    (tmp_path / ".part-000001.abcd").write_text("half")
    with opened(tmp_path) as again:
        assert list(again.parts) == [0]
        add(again, 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == [MANIFEST, "part-0.jsonl", "part-1.jsonl"]
    assert list(opened(tmp_path).parts) == [0, 1]


def test_other_run_is_refused_and_replaced_by_force(tmp_path: Path) -> None:
    with opened(tmp_path) as folder:
        add(folder, 0)
    with pytest.raises(UserError, match="holds a run with another model; use --force to replace it"):
        opened(tmp_path, model="b")
    assert list(opened(tmp_path).parts) == [0]
    assert opened(tmp_path, model="b", force=True).parts == {}
    assert not (tmp_path / "part-0.jsonl").exists()


def test_second_writer_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path), pytest.raises(UserError, match="another run is writing it"):
        opened(tmp_path, force=True)


def test_folder_with_other_files_is_refused_also_by_force(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear")
    with pytest.raises(UserError, match="holds other files"):
        opened(tmp_path, force=True)
    with pytest.raises(UserError, match="cannot be written"):
        opened(tmp_path / "letter.txt")
