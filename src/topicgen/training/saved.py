"""A folder of checkpoints of transformers' trainer -> the newest whole one, its history, its adapter: no pickles."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from topicgen.errors import UserError
from topicgen.runs.fingerprint import Fingerprint
from topicgen.training.identity import require_same
from topicgen.training.optimizer_state import flatten_optimizer, restore_optimizer

STATE, ADAPTER = "trainer_state.json", "adapter_model.safetensors"
OPTIMIZER, OPTIMIZER_VALUES = "optimizer.safetensors", "optimizer.json"
IDENTITY = "identity.json"


@dataclass(frozen=True, slots=True)
class Saved:
    """One checkpoint.

    Attributes:
        path: Its folder.
        step: Optimiser steps done.
        log: What the trainer logged until then.
    """

    path: Path
    step: int
    log: Sequence[Mapping[str, Any]]


def newest_saved(folder: Path) -> Saved | None:
    """The newest whole checkpoint; one that was cut off while it was written lacks the state, which comes last."""
    steps = [int(path.name.partition("-")[2]) for path in _checkpoints(folder)]
    for step in sorted(steps, reverse=True):
        if saved := _read(folder / f"checkpoint-{step}"):
            return saved
    return None


def named_saved(path: Path) -> Saved:
    """The checkpoint in a folder; raises UserError when it is none."""
    if saved := _read(path):
        return saved
    raise UserError(f"{path}: no whole checkpoint of the unsloth backend; it holds {STATE}, {ADAPTER}, {OPTIMIZER}")


def _checkpoints(folder: Path) -> list[Path]:
    return [path for path in folder.glob("checkpoint-*") if path.name.partition("-")[2].isdecimal()]


def _read(path: Path) -> Saved | None:
    try:
        state = json.loads((path / STATE).read_text(encoding="utf-8"))
        step, log = int(state["global_step"]), list(state["log_history"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    whole = all((path / name).is_file() for name in (ADAPTER, OPTIMIZER, OPTIMIZER_VALUES))
    return Saved(path, step, log) if whole else None


def claim(folder: Path, identity: Fingerprint, *, anew: bool) -> None:
    """Makes the folder one of this run's checkpoints; ``anew`` deletes those of an older one.

    Raises:
        UserError: When it holds checkpoints of other data, another base, other settings or the other backend.
    """
    file = folder / IDENTITY
    if anew:
        for path in _checkpoints(folder):
            shutil.rmtree(path)
    elif _checkpoints(folder):
        require_same(folder, json.loads(file.read_text("utf-8")) if file.exists() else None, identity)
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(identity) + "\n", encoding="utf-8")


def load_adapter(path: Path) -> dict[str, torch.Tensor]:
    """The LoRA matrices of a checkpoint by PEFT's names; raises UserError when they cannot be read."""
    try:
        return load_file(path / ADAPTER)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path / ADAPTER}: cannot be read ({error}); use --resume never to start anew") from None


def save_optimizer(path: Path, optimizer: torch.optim.Optimizer, values: Mapping[str, Any]) -> None:
    """Writes an optimiser's state, and JSON values beside it."""
    tensors, state = flatten_optimizer(optimizer)
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, path / OPTIMIZER)
    (path / OPTIMIZER_VALUES).write_text(json.dumps({"optimizer": state, **values}), encoding="utf-8")


def load_optimizer(path: Path, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Gives an optimiser the state of a checkpoint; returns the values beside it."""
    try:
        tensors = load_file(path / OPTIMIZER)
        values: dict[str, Any] = json.loads((path / OPTIMIZER_VALUES).read_text(encoding="utf-8"))
    except (OSError, ValueError, SafetensorError) as error:
        raise UserError(f"{path}: damaged checkpoint ({error}); delete it, and the one before is taken") from None
    restore_optimizer(optimizer, tensors, values["optimizer"])
    return values
