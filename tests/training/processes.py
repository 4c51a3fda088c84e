"""Runs of training in one process or, by torchrun, in several; one that hangs is ended and fails."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

LIMIT = 300  # seconds, many times what a run takes, also on a busy machine


def start(folder: Path, processes: int, *call: str) -> "subprocess.Popen[bytes]":
    """``python CALL`` in a folder, in so many processes."""
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes), "--master-addr", "127.0.0.1"]
    launcher += ["--master-port", "0", "--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0"]
    return subprocess.Popen(
        [sys.executable, *(launcher if processes > 1 else []), *call],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def end(process: "subprocess.Popen[bytes]") -> tuple[int, str]:
    """Exit code and what was told, within the limit."""
    try:
        _, told = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        process.terminate()  # torchrun ends its workers, those that do not listen after half a minute
        _, told = process.communicate(timeout=LIMIT)
        pytest.fail(f"hangs after {LIMIT} seconds: {told.decode()[-2000:]}")
    return process.returncode, told.decode()


def train(folder: Path, output: str, processes: int, *options: str) -> list[dict[str, float]]:
    """The history of a finished run of ``topicgen train`` into the folder ``output``."""
    code, told = end(start(folder, processes, "-m", "topicgen", "train", "--output-dir", output, *options))
    assert code == 0, told
    history: list[dict[str, float]] = json.loads((folder / output / "training.json").read_text())["history"]
    return history


def require_alike(ours: list[dict[str, float]], theirs: list[dict[str, float]]) -> None:
    """Two runs learned the same, but for the order of sums."""
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert one.keys() == other.keys()
        for name in ("loss", "validation_loss", "learning_rate", "gradient"):
            if name in other:
                assert one[name] == pytest.approx(other[name], rel=1e-4), name
