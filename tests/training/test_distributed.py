"""Several processes of one run learn what one process with the same examples in a step learns."""

import json
from pathlib import Path

from models import tiny_llama
from passages import PASSAGES
from processes import require_alike, train
from safetensors.numpy import load_file

OPTIONS = ["labelled.jsonl", "--base", "base", "--max-steps", "8", "--gradient-accumulation-steps", "1"]
OPTIONS += ["--max-length", "128", "--validation-fraction", "0.1", "--shown-topics", "2", "--eval-steps", "4"]
OPTIONS += ["--learning-rate", "1e-2", "--per-device-train-batch-size"]


def test_two_processes_learn_what_one_does(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    tiny_llama(tmp_path / "base")
    rows = [{"text": text, "topic": " ".join(text.split()[:2])} for text in PASSAGES[:33]]
    (tmp_path / "labelled.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    alone, together = train(tmp_path, "alone", 1, *OPTIONS, "4"), train(tmp_path, "together", 2, *OPTIONS, "2")
    assert len(alone) == 8
    assert alone[-1]["loss"] < alone[0]["loss"]
    require_alike(together, alone)
    first, second = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("together", "alone"))
    assert first.keys() == second.keys()
