"""Several processes of one run learn what one process with the same examples in a step learns."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from models import tiny_llama
from passages import PASSAGES
from safetensors.numpy import load_file


def train(folder: Path, output: str, processes: int, per_device: int) -> list[dict[str, float]]:
    """The history of a run of topicgen."""
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes), "--master-addr", "127.0.0.1"]
    launcher += ["--master-port", "0", "--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0"]
    call = ["-m", "topicgen", "train", "labelled.jsonl", "--base", "base", "--output-dir", output, "--max-steps", "8"]
    call += ["--per-device-train-batch-size", str(per_device), "--gradient-accumulation-steps", "1"]
    call += ["--max-length", "128", "--validation-fraction", "0.1", "--shown-topics", "2", "--eval-steps", "4"]
    call += ["--learning-rate", "1e-2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(
        [sys.executable, *(launcher if processes > 1 else []), *call],
        cwd=folder,
        env=environment,
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr.decode()
    history: list[dict[str, float]] = json.loads((folder / output / "training.json").read_text())["history"]
    return history


def test_two_processes_learn_what_one_does(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    tiny_llama(tmp_path / "base")
    rows = [{"text": text, "topic": " ".join(text.split()[:2])} for text in PASSAGES[:33]]
    (tmp_path / "labelled.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    alone, together = train(tmp_path, "alone", 1, 4), train(tmp_path, "together", 2, 2)
    assert len(alone) == len(together) == 8
    assert alone[-1]["loss"] < alone[0]["loss"]
    for ours, theirs in zip(together, alone, strict=True):
        assert ours.keys() == theirs.keys()
        for name in ("loss", "validation_loss", "learning_rate", "gradient"):
            if name in theirs:
                assert ours[name] == pytest.approx(theirs[name], rel=1e-4), name
    first, second = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("together", "alone"))
    assert first.keys() == second.keys()
