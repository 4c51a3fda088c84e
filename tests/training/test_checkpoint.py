"""Checkpoints that are cut off, changed, killed while they are written, or written to a full disk."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest
import torch
from writing import full_disk, names

from topicgen.errors import UserError
from topicgen.training import checkpoint
from topicgen.training.checkpoint import (
    DamagedCheckpointError,
    TrainingState,
    load_checkpoint,
    newest_checkpoint,
    prune,
    save_checkpoint,
)

# Forks for each number that it reads, so that torch is imported once; the fork saves until it is killed.
SAVER = """
import os, sys
from pathlib import Path
import torch
from topicgen.training.checkpoint import TrainingState, prune, save_checkpoint

torch.set_num_threads(1)
folder = Path(sys.argv[1])

def save(first):
    for step in range(first, first + 100_000):
        # Each step is saved twice, so that kills also fall into replacing.
        for turn in (0, 1):
            weights = torch.full((40_000,), float(step), dtype=torch.float64)
            save_checkpoint(folder, TrainingState(step, {"weights": weights}, {"step": step, "turn": turn}))
        prune(folder, 2, ())
        print(step, flush=True)

for line in sys.stdin:
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        save(int(line))
    os.wait()
    print("killed", flush=True)
"""


def state(step: int, **values: Any) -> TrainingState:
    generator = torch.Generator().manual_seed(step)
    tensors = {
        "adapter.a": torch.randn(8, 3, generator=generator),
        "adapter.b": torch.randn(4, generator=generator).to(torch.bfloat16),
        "optimizer.state.0.state1": torch.randint(0, 256, (64,), dtype=torch.uint8, generator=generator),
        "optimizer.state.0.step": torch.tensor(float(step)),
        "empty": torch.zeros(0, 5),
    }
    return TrainingState(step, tensors, {"best": float("inf"), "history": [{"step": 1, "loss": 0.1}], **values})


def assert_same(found: TrainingState | None, expected: TrainingState) -> None:
    assert found is not None
    assert (found.step, found.values) == (expected.step, expected.values)
    assert found.tensors.keys() == expected.tensors.keys()
    for name, tensor in expected.tensors.items():
        assert found.tensors[name].dtype == tensor.dtype
        assert torch.equal(found.tensors[name], tensor)


def no_warning(message: str) -> None:
    raise AssertionError(message)


def test_state_comes_back_exactly(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "new" / "folder", state(123))
    assert path.name == "checkpoint-000123"
    assert names(path) == ["manifest.json", "state.json", "state.safetensors"]
    assert_same(load_checkpoint(path), state(123))
    assert_same(newest_checkpoint(path.parent, no_warning), state(123))


def test_tensors_that_share_memory_are_saved(tmp_path: Path) -> None:
    table = torch.arange(12.0).reshape(3, 4)
    path = save_checkpoint(tmp_path, TrainingState(1, {"a": table, "b": table, "c": table.T, "d": table[1]}, {}))
    found = load_checkpoint(path).tensors
    assert torch.equal(found["b"], table)
    assert torch.equal(found["c"], table.T)
    assert torch.equal(found["d"], table[1])


def test_no_checkpoint_is_none(tmp_path: Path) -> None:
    (tmp_path / "checkpoint-500").mkdir()  # as another tool names its own
    assert newest_checkpoint(tmp_path, no_warning) is None
    assert newest_checkpoint(tmp_path / "missing", no_warning) is None


# Damage


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def zero(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:-20] + b"\0" * 20)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def to_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("name", ["state.safetensors", "state.json", "manifest.json"])
@pytest.mark.parametrize("damage", [flip, zero, cut, empty, Path.unlink, to_folder])
def test_damaged_checkpoint_is_refused_and_the_previous_one_taken(tmp_path: Path, name: str, damage: Any) -> None:
    save_checkpoint(tmp_path, state(10))
    newest = save_checkpoint(tmp_path, state(20))
    damage(newest / name)
    with pytest.raises(DamagedCheckpointError, match=r"checkpoint-000020: damaged checkpoint: .*(state|manifest)\."):
        load_checkpoint(newest)
    warnings: list[str] = []
    assert_same(newest_checkpoint(tmp_path, warnings.append), state(10))
    assert len(warnings) == 1
    assert "checkpoint-000020" in warnings[0]


def test_every_flipped_bit_of_a_manifest_is_seen_or_harmless(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, state(20))
    manifest = path / "manifest.json"
    whole = manifest.read_bytes()
    for position in range(len(whole)):
        changed = bytearray(whole)
        changed[position] ^= 1 << (position % 8)
        manifest.write_bytes(bytes(changed))
        try:
            found = load_checkpoint(path)
        except DamagedCheckpointError:
            continue
        assert_same(found, state(20))


@pytest.mark.parametrize(
    "manifest",
    [
        "[]",
        "3",
        "[" * 100_000,
        '{"format": 2}',
        '{"format": 1, "step": 20, "files": []}',
        '{"format": 1, "step": 20, "files": {"state.safetensors": 1, "state.json": 2}}',
    ],
)
def test_manifest_of_another_kind_is_refused(tmp_path: Path, manifest: str) -> None:
    path = save_checkpoint(tmp_path, state(20))
    (path / "manifest.json").write_text(manifest)
    with pytest.raises(DamagedCheckpointError, match=r"manifest\.json is "):
        load_checkpoint(path)


def test_pickled_state_is_refused_unread(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, state(20))
    (path / "state.safetensors").unlink()
    torch.save({"a": torch.ones(1)}, path / "optimizer.pt")
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["files"]["optimizer.pt"] = manifest["files"].pop("state.safetensors")
    (path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DamagedCheckpointError):
        load_checkpoint(path)


def test_checkpoint_under_the_name_of_another_step_is_refused(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, state(10)).rename(tmp_path / "checkpoint-000900")
    with pytest.raises(DamagedCheckpointError, match="says step 10"):
        load_checkpoint(path)
    assert_same(load_checkpoint(path.rename(tmp_path / "copy")), state(10))


# Replacing and pruning


def test_checkpoint_of_the_same_step_is_replaced(tmp_path: Path) -> None:
    flip(save_checkpoint(tmp_path, state(10)) / "state.safetensors")
    save_checkpoint(tmp_path, state(10, turn=2))
    assert names(tmp_path) == ["checkpoint-000010"]
    assert_same(newest_checkpoint(tmp_path, no_warning), state(10, turn=2))


def test_checkpoint_is_found_when_its_replacement_never_came(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, state(5))
    save_checkpoint(tmp_path, state(10)).rename(tmp_path / ".checkpoint-000010.old")
    assert_same(newest_checkpoint(tmp_path, no_warning), state(10))
    save_checkpoint(tmp_path, state(20))
    assert names(tmp_path) == ["checkpoint-000005", "checkpoint-000010", "checkpoint-000020"]
    assert_same(load_checkpoint(tmp_path / "checkpoint-000010"), state(10))


def test_folders_of_killed_saves_are_swept(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, state(10))
    shutil.copytree(tmp_path / "checkpoint-000010", tmp_path / ".checkpoint-000010.old")
    (tmp_path / ".checkpoint-000020.0123abcd.part").mkdir()
    (tmp_path / ".checkpoint-000020.0123abcd.part" / "state.json").write_text("{")
    (tmp_path / ".other.part").mkdir()
    save_checkpoint(tmp_path, state(20))
    assert names(tmp_path) == [".other.part", "checkpoint-000010", "checkpoint-000020"]


def test_prune_keeps_the_newest_and_the_spared(tmp_path: Path) -> None:
    for step in (1, 2, 3, 4, 5):
        save_checkpoint(tmp_path, state(step))
    prune(tmp_path, 2, {1})
    assert names(tmp_path) == ["checkpoint-000001", "checkpoint-000004", "checkpoint-000005"]
    prune(tmp_path, 0, ())
    assert names(tmp_path) == []


def test_prune_does_not_count_damaged_checkpoints(tmp_path: Path) -> None:
    for step in (1, 2, 3, 4):
        save_checkpoint(tmp_path, state(step))
    for step in (3, 4):
        flip(tmp_path / f"checkpoint-00000{step}" / "state.safetensors")
    prune(tmp_path, 1, ())
    assert names(tmp_path) == ["checkpoint-000002", "checkpoint-000003", "checkpoint-000004"]
    assert_same(newest_checkpoint(tmp_path, lambda message: None), state(2))


# Failures of the system


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB; only root can mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("cannot mount a small file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_full_disk_leaves_the_previous_checkpoint(small_disk: Path) -> None:
    save_checkpoint(small_disk, state(10))
    large = TrainingState(20, {"weights": torch.ones(100_000)}, {})
    with pytest.raises(UserError, match="checkpoint-000020: the checkpoint cannot be saved: No space left on device"):
        save_checkpoint(small_disk, large)
    assert names(small_disk) == ["checkpoint-000010"]
    assert_same(newest_checkpoint(small_disk, no_warning), state(10))
    save_checkpoint(small_disk, state(30))


@pytest.mark.parametrize("step", [10, 20])
def test_failed_write_leaves_the_previous_checkpoint(tmp_path: Path, step: int) -> None:
    save_checkpoint(tmp_path, state(10))
    with full_disk(5000), pytest.raises(UserError, match="cannot be saved: File too large; earlier") as caught:
        save_checkpoint(tmp_path, TrainingState(step, {"weights": torch.ones(100_000)}, {}))
    assert "\n" not in str(caught.value)
    assert names(tmp_path) == ["checkpoint-000010"]
    assert_same(newest_checkpoint(tmp_path, no_warning), state(10))


def test_failed_replacement_gives_the_old_checkpoint_its_name_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(tmp_path, state(10))
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if self.name.endswith(".part"):
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(UserError, match="Input/output error"):
        save_checkpoint(tmp_path, state(10, turn=2))
    assert names(tmp_path) == ["checkpoint-000010"]
    assert_same(newest_checkpoint(tmp_path, no_warning), state(10))


def test_interrupted_save_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(folder: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "_sync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(tmp_path, state(10))
    assert names(tmp_path) == []


def test_file_in_place_of_the_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be saved"):
        save_checkpoint(tmp_path / "file", state(1))
    with pytest.raises(UserError, match="cannot be read: Not a directory"):
        newest_checkpoint(tmp_path / "file", no_warning)


def test_kill_at_any_moment_leaves_a_whole_newest_checkpoint(tmp_path: Path, stack: ExitStack) -> None:
    moments = random.Random(3407)
    done = torn = 0
    command = [sys.executable, "-c", SAVER, str(tmp_path)]
    process = stack.enter_context(subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True, bufsize=1))
    stack.callback(process.kill)
    assert process.stdin is not None
    assert process.stdout is not None
    for _ in range(20):
        process.stdin.write(f"{done + 1}\n")
        saving = int(process.stdout.readline())
        for _ in range(moments.randint(1, 3)):
            reported = int(process.stdout.readline())
        # The kill falls somewhere into the saves that follow.
        with suppress(subprocess.TimeoutExpired):
            process.wait(moments.uniform(0, 0.03))
        os.kill(saving, signal.SIGKILL)
        assert "killed\n" in iter(process.stdout.readline, "")
        torn += any(name.startswith(".") for name in names(tmp_path))
        found = newest_checkpoint(tmp_path, no_warning)
        assert found is not None
        assert found.step >= reported
        assert found.values["step"] == found.step
        assert torch.equal(found.tensors["weights"], torch.full((40_000,), float(found.step), dtype=torch.float64))
        done = found.step
    assert torn, "no kill fell into a save"
    save_checkpoint(tmp_path, state(done + 1))
    assert all(name.startswith("checkpoint-") for name in names(tmp_path))
