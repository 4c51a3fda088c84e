"""``--backend unsloth`` as far as it goes without a GPU: what it refuses, what it hands over, what it writes."""

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from labelling import data_of, plain_model
from models import MINI, tiny_llama
from passages import PASSAGES

from topicgen.cli import main
from topicgen.errors import UserError
from topicgen.training import unsloth
from topicgen.training.labels import IGNORED, Padding, labelled_columns, learned_tokens
from topicgen.training.schedule import Schedule
from topicgen.training.settings import TrainingSettings, combine
from topicgen.training.sft_options import sft_options
from topicgen.training.trainer_log import exhausted, progress_of

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("labels") / "labelled.jsonl"
    rows = [{"text": text, "topic": " ".join(text.split()[:2])} for text in PASSAGES[:24]]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def refused(capsys: pytest.CaptureFixture[str], code: int, *call: str) -> str:
    """The one line that a failing call writes."""
    capsys.readouterr()
    assert main(["train", *call, "--backend", "unsloth"]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    [line] = captured.err.splitlines()
    return line


@pytest.mark.parametrize(
    "options",
    [
        ["--pack-tokens", "4096"],
        ["--memory", "16"],
        ["--no-compile"],
        ["--precision", "fp8"],
        ["--precision", "float32"],
        ["--merge", "merged"],
    ],
)
def test_what_has_no_meaning_there_is_wrong_usage(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(capsys, 2, "no-such-file.csv", *options)
    name = options[0].replace("--no-compile", "--compile")
    assert f"{name} has no meaning with --backend unsloth: " in line


def test_several_processes_are_wrong_usage(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "one GPU" in refused(capsys, 2, "no-such-file.csv")


def test_a_missing_unsloth_is_said_before_data_is_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(unsloth, "find_spec", lambda name: None)
    line = refused(capsys, 1, "no-such-file.csv")
    assert "unsloth, which is not installed" in line
    assert "constraints-unsloth.txt" in line


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_said_before_data_is_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(unsloth, "find_spec", lambda name: object())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert "needs an NVIDIA GPU" in refused(capsys, 1, "no-such-file.csv")


def test_the_preview_needs_no_unsloth(labelled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", str(labelled), "--backend", "unsloth", "--preview", "1"]) == 0
    assert "example 1" in capsys.readouterr().out


STARTING = """
import json, os, sys, torch
import topicgen.training.job
from topicgen.training import unsloth
from topicgen.training.settings import TrainingSettings
torch.cuda.is_available = lambda: True
torch.cuda.get_device_capability = lambda: (9, 0)
unsloth.find_spec = lambda name: object()
here = os.getcwd()
with unsloth.started(TrainingSettings(), [sys.argv[1]]) as place:
    assert os.getcwd() == here
    assert (place / "unsloth_compiled_cache").is_dir()
assert not place.exists()
"""

A_LIBRARY = """
import json, os, pathlib, sys
print("a greeting")
pathlib.Path("unsloth_compiled_cache").mkdir()
early = [name for name in ("transformers", "trl", "peft", "datasets", "huggingface_hub") if name in sys.modules]
names = ("UNSLOTH_DISABLE_STATISTICS", "HF_HUB_OFFLINE", "CUDA_VISIBLE_DEVICES")
told = {"early": early, **{name: os.environ.get(name) for name in names}}
pathlib.Path(os.environ["TOLD"]).write_text(json.dumps(told))
"""


@pytest.mark.parametrize(("data", "offline"), [("labelled.jsonl", "1"), ("owner/name", None)])
def test_unsloth_is_imported_first_in_silence_and_elsewhere(tmp_path: Path, data: str, offline: str | None) -> None:
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "unsloth.py").write_text(A_LIBRARY)
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "labelled.jsonl").write_text("")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "CUDA_"))}
    path = os.pathsep.join([str(tmp_path / "library"), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", STARTING, data],
        cwd=tmp_path / "work",
        env={**kept, "PYTHONPATH": path, "TOLD": str(tmp_path / "told"), "CUDA_VISIBLE_DEVICES": "2,3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    told = json.loads((tmp_path / "told").read_text())
    assert told == {
        "early": [],
        "UNSLOTH_DISABLE_STATISTICS": "1",
        "HF_HUB_OFFLINE": offline,
        "CUDA_VISIBLE_DEVICES": "2",
    }
    assert [file.name for file in (tmp_path / "work").iterdir()] == ["labelled.jsonl"]


def test_the_extra_its_constraints_and_the_documentation_name_the_same_versions() -> None:
    lines = (ROOT / "constraints-unsloth.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["unsloth"]
    exact = dict(line.partition(";")[0].split("==") for line in extra if "==" in line.partition(";")[0])
    assert exact == {name: pins[name] for name in ("trl", "unsloth", "unsloth_zoo")}
    page = (ROOT / "docs/training.md").read_text()
    section = page[page.index("## Unsloth as a backend") : page.index("## The fast path")]
    assert all(name in section and version in section for name, version in pins.items())


@pytest.mark.parametrize(
    ("config", "asked", "precision"),
    [
        ({}, "auto", "bf16"),
        ({}, "nf4", "nf4"),
        ({"quantization_config": {"load_in_4bit": True}}, "auto", "nf4"),
    ],
)
def test_the_base_is_computed_as_it_is_stored_or_as_asked(config: dict[str, Any], asked: str, precision: str) -> None:
    assert unsloth.plan(config, combine({"precision": asked})).precision == precision


def test_a_base_in_four_bits_is_not_computed_in_bf16() -> None:
    with pytest.raises(UserError, match="stored in 4 bits"):
        unsloth.plan({"quantization_config": {"load_in_4bit": True}}, combine({"precision": "bf16"}))


def test_labels_are_the_topic_and_the_token_that_ends_it() -> None:
    data = data_of(MINI, train=3, validation=0)
    columns = labelled_columns(data.prefix, data.train)
    for ids, labels, row in zip(columns["input_ids"], columns["labels"], data.train, strict=True):
        assert ids == [*data.prefix, *row.ids]
        assert labels == [IGNORED] * (len(data.prefix) + row.answer) + list(row.ids[row.answer :])
        assert labels[-1] == data.stop


def test_batches_are_filled_up_at_the_end_and_filling_has_no_loss() -> None:
    rows = [{"input_ids": [5, 6, 7], "labels": [IGNORED, 6, 7]}, {"input_ids": [8], "labels": [8]}]
    batch = Padding(filling=1)(rows)
    assert batch["input_ids"].tolist() == [[5, 6, 7], [8, 1, 1]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch["labels"].tolist() == [[IGNORED, 6, 7], [8, IGNORED, IGNORED]]
    assert learned_tokens(batch) == [6, 7, 8]


def test_every_setting_that_trains_reaches_the_trainer() -> None:
    settings = combine(
        {
            "learning_rate": 3e-4,
            "weight_decay": 0.2,
            "max_grad_norm": 0.5,
            "per_device_train_batch_size": 3,
            "gradient_accumulation_steps": 7,
            "seed": 11,
            "save_steps": 40,
            "save_total_limit": 5,
        }
    )
    options = sft_options(settings, steps=100, every=10, longest=900, gpu=True)
    for name in ("learning_rate", "weight_decay", "max_grad_norm", "gradient_accumulation_steps", "seed", "save_steps"):
        assert options[name] == getattr(settings, name)
    assert (options["per_device_train_batch_size"], options["save_total_limit"]) == (3, 5)
    assert (options["max_steps"], options["eval_steps"], options["max_length"]) == (100, 10, 900)
    assert (options["optim"], options["bf16"]) == ("adamw_8bit", True)
    assert sft_options(combine({"optim": "adamw"}), 1, 1, 1, gpu=True)["optim"] == "adamw_torch"
    assert sft_options(TrainingSettings(), 1, 30, 1, gpu=True)["save_steps"] == 30
    assert options["report_to"] == "none", "trackers are topicgen's own: they get numbers only"


def test_the_trainers_log_becomes_the_history() -> None:
    settings = combine({"max_steps": 4, "early_stopping_patience": 2, "warmup_steps": 0})
    log = [
        {"step": 1, "loss": 3.0, "grad_norm": 0.5, "learning_rate": 9.0, "epoch": 0.1},
        {"step": 1, "eval_loss": 2.0, "eval_runtime": 1.0},
        {"step": 2, "loss": 2.0, "grad_norm": 0.4},
        {"step": 2, "eval_loss": 2.5},
        {"step": 3, "loss": 1.0, "grad_norm": 0.3},
        {"step": 3, "eval_loss": 2.0},
        {"step": 3, "train_runtime": 10.0, "train_loss": 2.0},
    ]
    schedule = Schedule((10,) * 8, 8, settings)
    progress = progress_of(log, schedule)
    assert progress.history[0] == {
        "step": 1,
        "loss": 3.0,
        "learning_rate": schedule.learning_rate(0),
        "gradient": 0.5,
        "validation_loss": 2.0,
    }
    assert (progress.step, progress.best_step, progress.best_loss, progress.worse) == (3, 1, 2.0, 2)
    assert exhausted(progress, settings)
    assert not exhausted(progress, TrainingSettings())


def test_the_folder_generates_and_evaluates(
    labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole command, with relative paths, on a plain model in the place of Unsloth's."""
    pytest.importorskip("trl")
    from transformers import Trainer

    from topicgen.training import sft

    @contextmanager
    def started(settings: TrainingSettings, inputs: Any) -> Iterator[Path]:
        (tmp_path / "place").mkdir(exist_ok=True)
        yield tmp_path / "place"

    monkeypatch.setattr(unsloth, "started", started)
    monkeypatch.setattr(unsloth, "load_model", plain_model)
    if not torch.cuda.is_available():
        monkeypatch.setattr(sft.SFTTrainer, "compute_loss", Trainer.compute_loss)
    monkeypatch.chdir(tmp_path)
    tiny_llama(Path("base"))
    call = ["train", os.path.relpath(labelled), "--base", "base", "--output-dir", "model", "--backend", "unsloth"]
    call += ["--max-steps", "4", "--per-device-train-batch-size", "4", "--gradient-accumulation-steps", "1"]
    call += ["--validation-fraction", "0.2", "--test-fraction", "0.2", "--report-to", "tensorboard", "--optim", "adamw"]
    capsys.readouterr()
    assert main(call) == 0
    assert capsys.readouterr().out == ""
    told = json.loads(Path("model/training.json").read_text())
    assert (told["steps"], told["settings"]["backend"], told["versions"]["trl"]) == (4, "unsloth", "1.15.0")
    assert told["best_validation_loss"] < 20
    assert json.loads(Path("model/base.json").read_text())["name"] == "base"
    assert Path("model/loss.png").read_bytes().startswith(b"\x89PNG")
    assert list(Path("model/tensorboard").rglob("events*"))
    assert list(Path("place").iterdir()) == []
    Path("texts.txt").write_text("\n\n".join(PASSAGES[:3]))
    assert main(["generate", "texts.txt", "--model", "model", "--format", "jsonl"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert main(["evaluate", "model/test.jsonl", "--model", "model", "--embedder", "none"]) == 0
    assert "ROUGE-1" in capsys.readouterr().out
    assert main(["train", *call[1:], "--force", "--seed", "1"]) == 1, "checkpoints of another run"
    assert "--resume never" in capsys.readouterr().err
