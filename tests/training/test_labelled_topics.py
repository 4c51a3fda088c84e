"""mini and the labelled abstracts, end to end: trained, evaluated, used. Needs the labelled rows beside the project."""

import json
import math
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from topicgen.cli import main

DATA = Path(__file__).resolve().parents[3] / "shared/data/topics.parquet"
ROWS = 30

pytestmark = pytest.mark.skipif(not DATA.is_file(), reason="the labelled rows are not there")


def test_mini_is_trained_evaluated_and_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labelled, model = tmp_path / "topics.parquet", tmp_path / "my-model"
    pq.write_table(pq.read_table(DATA).slice(0, ROWS), labelled)
    # Another model's topics: the embedded mini knows the references.
    columns = ["--text-column", "abstract", "--topic-column", "llama3_8b"]
    call = [*columns, "--max-length", "192", "--validation-fraction", "0.2", "--test-fraction", "0.2"]
    call += ["--max-steps", "4", "--eval-steps", "2", "--per-device-train-batch-size", "4", "--shown-topics", "2"]
    assert main(["train", str(labelled), *call, "--base", "mini", "--output-dir", str(model), "-q"]) == 0
    told = json.loads((model / "training.json").read_text())
    parts = {name: told["data"][name] for name in ("train", "validation", "test")}
    assert sum(parts.values()) == ROWS
    assert min(parts.values()) > 1
    losses = [row["validation_loss"] for row in told["history"] if "validation_loss" in row]
    assert len(losses) == 2
    assert all(map(math.isfinite, losses))
    assert told["best_validation_loss"] == min(losses)

    scores = tmp_path / "evaluation"
    assert main(["evaluate", str(model / "test.jsonl"), "--model", str(model), "--baselines", "-o", str(scores)]) == 0
    systems = json.loads((scores / "metrics.json").read_text())["systems"]
    rouge = {system["name"]: system["scores"]["rouge1"]["mean"] for system in systems}
    ours = [value for name, value in rouge.items() if "my-model" in name]
    assert len(ours) == 1
    assert ours[0] > sum(rouge.values()) / len(rouge)  # better than the baselines are on the average

    capsys.readouterr()
    assert main(["generate", str(model / "test.jsonl"), "--model", str(model), "--format", "jsonl"]) == 0
    written = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(written) == parts["test"]
    assert all(row["status"] == "ok" and row["topic"] for row in written)
