"""The state of a training run -> a checkpoint folder that is whole or absent; checkpoints -> the newest sound state."""

import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from topicgen.errors import UserError

FORMAT = 1
TENSORS, VALUES, MANIFEST = "state.safetensors", "state.json", "manifest.json"

_NAME = re.compile(r"checkpoint-(\d{6,12})")
_REPLACED = re.compile(r"\.(checkpoint-\d{6,12})\.old")
_STAGING = re.compile(r"\.checkpoint-\d{6,12}\.[0-9a-f]{8}\.part")


class DamagedCheckpointError(UserError):
    """A folder that is no whole checkpoint of topicgen."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: damaged checkpoint: {reason}")


@dataclass
class TrainingState:
    """Everything that an interrupted run needs to end with the same weights."""

    step: int  # optimiser steps done
    tensors: dict[str, torch.Tensor]  # adapter, optimiser; flat names; on the CPU when loaded
    values: dict[str, Any]  # JSON: schedule, data position, history, best loss, settings digest, data fingerprint


def save_checkpoint(folder: Path, state: TrainingState) -> Path:
    """Writes ``folder/checkpoint-000123``; it appears whole or not at all, in place of one of the same step.

    What a killed process left half written in ``folder`` is removed first.

    Raises:
        UserError: When the disk is full or cannot be written; earlier checkpoints are as they were.
    """
    target = folder / f"checkpoint-{state.step:06d}"
    staging = _hidden(target)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        staging.mkdir()
        _write(staging, state)
        _move(staging, target)
    except OSError as error:
        reason = f"{error.strerror or error}; earlier checkpoints are as they were"
        raise UserError(f"{target}: the checkpoint cannot be saved: {reason}") from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return target


def load_checkpoint(path: Path) -> TrainingState:
    """Reads a checkpoint after comparing every byte with its checksum.

    Raises:
        DamagedCheckpointError: When a file is missing, cut off or changed, or the folder is of another format.
    """
    step, contents = _verified(path)
    try:
        tensors = load(contents[TENSORS])
        values = json.loads(contents[VALUES])
    except (SafetensorError, ValueError, RecursionError) as error:
        raise DamagedCheckpointError(path, f"cannot be read ({' '.join(str(error).split())})") from None
    if not isinstance(values, dict):
        raise DamagedCheckpointError(path, f"{VALUES} holds no mapping")
    return TrainingState(step, tensors, values)


def newest_checkpoint(folder: Path, warn: Callable[[str], None]) -> TrainingState | None:
    """The state of the newest checkpoint that verifies, or None; ``warn`` is told of each damaged one before it.

    Raises:
        UserError: When ``folder`` exists and cannot be listed.
    """
    for path in _newest_first(folder, replaced=True):
        try:
            return load_checkpoint(path)
        except DamagedCheckpointError as error:
            warn(f"{error}; looking for an earlier one")
    return None


def prune(folder: Path, keep: int, spare: Collection[int]) -> None:
    """Deletes all but the newest ``keep`` sound checkpoints and those of the steps in ``spare``.

    Damaged ones are not counted, so that a sound one always stays, and not deleted: they may be another tool's.

    Raises:
        UserError: When a checkpoint cannot be deleted.
    """
    paths = [path for path in _newest_first(folder) if _step(path) not in spare]
    for path in paths if len(paths) > keep else ():
        try:
            _verified(path)
        except DamagedCheckpointError:
            continue
        if keep > 0:
            keep -= 1
            continue
        try:
            # Half deleted under its own name, it would look damaged; what stays hidden is swept on the next save.
            shutil.rmtree(path.rename(_hidden(path)), ignore_errors=True)
        except OSError as error:
            raise UserError(f"{path}: cannot be deleted: {error.strerror or error}") from None


def _write(staging: Path, state: TrainingState) -> None:
    # Copies, since safetensors refuses tensors that share memory, as the tables of 8-bit optimisers do.
    tensors = {
        name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, tensor in state.tensors.items()
    }
    contents = {TENSORS: save(tensors), VALUES: _json(state.values)}
    files = {name: {"size": len(data), "sha256": _digest(data)} for name, data in contents.items()}
    contents[MANIFEST] = _json({"format": FORMAT, "step": state.step, "files": files})
    for name, data in contents.items():
        with (staging / name).open("xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
    _sync(staging)


def _move(staging: Path, target: Path) -> None:
    """Gives the staged folder its name; at every moment a whole checkpoint of this step can be found, if there was."""
    replaced = target.with_name(f".{target.name}.old")
    if target.exists():
        target.rename(replaced)
    try:
        staging.rename(target)
    except OSError:
        if replaced.exists():
            replaced.rename(target)
        raise
    _sync(target.parent)
    shutil.rmtree(replaced, ignore_errors=True)


def _sweep(folder: Path) -> None:
    """Removes what a killed process left; a checkpoint whose replacement never came gets its name back."""
    for path in folder.iterdir():
        if found := _REPLACED.fullmatch(path.name):
            if not (folder / found[1]).exists():
                path.rename(folder / found[1])
                continue
        elif not _STAGING.fullmatch(path.name):
            continue
        shutil.rmtree(path, ignore_errors=True)


def _newest_first(folder: Path, replaced: bool = False) -> list[Path]:
    """Folders named as checkpoints; with ``replaced`` also those that wait for their replacement, after it."""
    try:
        paths = list(folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(f"{folder}: cannot be read: {error.strerror}") from None
    patterns = (_NAME, _REPLACED) if replaced else (_NAME,)
    found = [path for path in paths if any(pattern.fullmatch(path.name) for pattern in patterns)]
    return sorted(found, key=lambda path: (_step(path), not path.name.startswith(".")), reverse=True)


def _verified(path: Path) -> tuple[int, dict[str, bytes]]:
    """The step of a checkpoint and the bytes of its files, which are those that were written."""
    manifest = _manifest(path)
    contents = {}
    for name in (TENSORS, VALUES):
        expected = manifest["files"][name]
        data = _read(path, name)
        if len(data) != expected["size"]:
            raise DamagedCheckpointError(path, f"{name} has {len(data)} bytes, not {expected['size']}")
        if _digest(data) != expected["sha256"]:
            raise DamagedCheckpointError(path, f"the checksum of {name} is not the one that was written")
        contents[name] = data
    step: int = manifest["step"]
    return step, contents


def _manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(_read(path, MANIFEST))
        step, entries = manifest["step"], [manifest["files"][name] for name in (TENSORS, VALUES)]
        whole = manifest["format"] == FORMAT and all(set(entry) == {"size", "sha256"} for entry in entries)
    except (ValueError, RecursionError):
        raise DamagedCheckpointError(path, f"{MANIFEST} is no JSON") from None
    except (KeyError, TypeError, IndexError):
        whole = False
    if not whole:
        raise DamagedCheckpointError(path, f"{MANIFEST} is not of format {FORMAT}")
    # A copy under another name is welcome; a name of a checkpoint must be the right one.
    if type(step) is not int or (_NAME.search(path.name) and step != _step(path)):
        raise DamagedCheckpointError(path, f"{MANIFEST} says step {step!r}")
    return dict(manifest)


def _read(path: Path, name: str) -> bytes:
    try:
        if not (path / name).is_file():
            raise DamagedCheckpointError(path, f"there is no file {name}")
        return (path / name).read_bytes()
    except OSError as error:
        raise DamagedCheckpointError(path, f"{name} cannot be read ({error.strerror})") from None


def _step(path: Path) -> int:
    found = _NAME.search(path.name)
    return int(found[1]) if found else -1


def _hidden(target: Path) -> Path:
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")


def _json(value: Mapping[str, Any]) -> bytes:
    # Losses may be NaN or infinite, which Python's JSON gives back.
    return (json.dumps(value, indent=1) + "\n").encode()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _sync(folder: Path) -> None:
    """Makes the names in a folder last through a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    # Some network file systems cannot; the files themselves are written by then.
    with suppress(OSError):
        os.fsync(handle)
    os.close(handle)
