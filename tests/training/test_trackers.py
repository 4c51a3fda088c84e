"""Trackers write where they should, tell where to look, keep secrets, and never stop a training."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from commands import PATIENCE

from topicgen.errors import UserError
from topicgen.training import trackers
from topicgen.training.settings import TrainingSettings
from topicgen.training.trackers import open_tracker

RUN = """
import socket, sys
from pathlib import Path

connect = socket.socket.connect
def local_only(self, address):
    if self.family != socket.AF_UNIX:
        sys.stderr.write(f"NETWORK {address}\\n")
        raise OSError("no network in tests")
    return connect(self, address)
socket.socket.connect = local_only

from topicgen.training.settings import TrainingSettings
from topicgen.training.trackers import open_tracker

settings = TrainingSettings(report_to=sys.argv[1], project="letters", run_name="first")
config = {"lora_r": 4242, "base": "mini-base-name"}
tracker = open_tracker(settings, Path(sys.argv[2]), config, lambda line: sys.stderr.write(f"NOTE {line}\\n"))
for step in range(1, 6):
    tracker.log(step, {"loss": 1 / step, "learning_rate": 1e-4})
tracker.close(False)
"""


def tracked(name: str, folder: Path, **environment: str) -> str:
    """Runs a training's calls in a process of their own; returns what it told people."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("WANDB_", "TRACKIO_", "HF_TOKEN"))}
    done = subprocess.run(
        [sys.executable, "-c", RUN, name, str(folder), "--secret=ARGUMENT-SECRET"],
        env={**kept, "HOME": str(folder.parent / "home"), "HF_HUB_OFFLINE": "1", **environment},
        cwd=folder.parent,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "NETWORK" not in done.stderr
    return done.stderr


def test_none_takes_everything(tmp_path: Path) -> None:
    tracker = open_tracker(TrainingSettings(), tmp_path / "run", {}, pytest.fail)
    tracker.log(1, {"loss": 1.0})
    tracker.close(True)
    assert not (tmp_path / "run").exists()


def test_wandb_writes_an_offline_run_without_secrets(tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    folder = tmp_path / "run"
    told = tracked("wandb", folder, WANDB_MODE="offline", WANDB_API_KEY="K" * 40)
    (written,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    assert f"wandb sync {written.parent}" in told
    content = written.read_bytes()
    assert b"loss" in content
    assert b"mini-base-name" in content
    everything = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()) + told.encode()
    assert b"ARGUMENT-SECRET" not in everything
    assert b"K" * 40 not in everything
    assert not list(folder.rglob("requirements.txt")) + list(folder.rglob("wandb-metadata.json"))


@pytest.mark.parametrize("mode", [None, "online"])
def test_wandb_without_a_key_ends_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str | None
) -> None:
    pytest.importorskip("wandb")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    if mode:
        monkeypatch.setenv("WANDB_MODE", mode)
    with pytest.raises(UserError, match="set WANDB_API_KEY, or WANDB_MODE=offline"):
        open_tracker(TrainingSettings(report_to="wandb"), tmp_path, {}, pytest.fail)
    assert list(tmp_path.iterdir()) == []


def test_tensorboard_holds_the_losses(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    told = tracked("tensorboard", tmp_path / "run")
    assert f"tensorboard --logdir {tmp_path / 'run' / 'tensorboard'}" in told
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard" / "first"))
    events.Reload()
    losses = [(event.step, event.value) for event in events.Scalars("loss")]
    assert losses == [(step, pytest.approx(1 / step)) for step in range(1, 6)]
    (shown,) = events.Tensors("settings/text_summary")
    assert b"4242" in shown.tensor_proto.string_val[0]


def test_trackio_keeps_the_losses_here(tmp_path: Path) -> None:
    pytest.importorskip("trackio")
    told = tracked("trackio", tmp_path / "run", TRACKIO_DIR=str(tmp_path / "trackio"))
    assert "trackio show --project letters" in told
    read = """
import json
from trackio.sqlite_storage import SQLiteStorage
print(json.dumps([(row["step"], row["loss"]) for row in SQLiteStorage.get_logs("letters", "first")]))
"""
    environment = {**os.environ, "TRACKIO_DIR": str(tmp_path / "trackio")}
    shown = subprocess.run([sys.executable, "-c", read], env=environment, capture_output=True, text=True, check=True)
    assert json.loads(shown.stdout) == [[step, 1 / step] for step in range(1, 6)]
    assert b"ARGUMENT-SECRET" not in b"".join(p.read_bytes() for p in (tmp_path / "trackio").rglob("*") if p.is_file())


@pytest.mark.parametrize("name", ["wandb", "tensorboard", "trackio"])
def test_missing_library_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match=rf"pip install 'topicgen\[{name}\]'"):
        open_tracker(TrainingSettings(report_to=name), tmp_path, {}, pytest.fail)  # type: ignore[arg-type]


def test_failing_tracker_is_told_once_without_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def log(step: int, values: Mapping[str, float]) -> None:
        raise ConnectionError(f"refused\nfor {'K' * 40}")

    def opened(*_: Any) -> Any:
        return log, log

    monkeypatch.setitem(trackers._OPEN, "tensorboard", opened)
    monkeypatch.setenv("WANDB_API_KEY", "K" * 40)
    told: list[str] = []
    tracker = open_tracker(TrainingSettings(report_to="tensorboard"), tmp_path, {}, told.append)
    tracker.log(1, {"loss": 1.0})
    tracker.log(2, {"loss": 1.0})
    tracker.close(False)
    assert told == ["tensorboard: stopped, training goes on without it: refused for (key)"]


def test_tracker_that_cannot_start_is_one_line(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"^tensorboard: cannot start: "):
        open_tracker(TrainingSettings(report_to="tensorboard"), tmp_path / "file", {}, pytest.fail)
