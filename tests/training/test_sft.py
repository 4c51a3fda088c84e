"""TRL's trainer with our settings: what it learns, how it stops and goes on. Unsloth's model is a plain one here."""

import os
import signal
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from labelling import data_of, plain_model
from models import tiny_llama

pytest.importorskip("trl")

from topicgen.errors import TerminatedError, UserError
from topicgen.models import find_base
from topicgen.training import memory, sft
from topicgen.training.base import load_base
from topicgen.training.loop import Data, Progress, Trainer
from topicgen.training.settings import TrainingSettings, combine

Fitted = tuple[Progress, dict[str, torch.Tensor]]

SETTINGS = {
    "learning_rate": 3e-3,
    "warmup_steps": 2,
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 2,
    "max_steps": 6,
    "eval_steps": 2,
    "optim": "adamw",
    "lora_r": 4,
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_llama(tmp_path_factory.mktemp("sft") / "base")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Products this small take longer to divide than to compute, most of all on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def loss_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """TRL computes its loss in a kernel for GPUs; that of transformers has the same value."""
    from transformers import Trainer as PlainTrainer

    if not torch.cuda.is_available():
        monkeypatch.setattr(sft.SFTTrainer, "compute_loss", PlainTrainer.compute_loss)


def fit(base: Path, data: Data, folder: Path, report: Any = lambda row: None, **settings: Any) -> Fitted:
    chosen: TrainingSettings = combine(SETTINGS, settings)
    load = partial(plain_model, find_base(str(base)), chosen)
    return sft.fit(load, data, chosen, folder, {"seed": 1}, report, lambda line: None)


def same(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_it_learns_what_our_own_loop_learns(base: Path, tmp_path: Path) -> None:
    """Every step takes all examples, so that their order does not matter; losses, gradients and weights agree."""
    assert len({len(row.ids) - row.answer for row in data_of(base, train=0, validation=14).validation}) > 1
    data = data_of(base, train=8, validation=6)  # two batches, of which the second is shorter
    theirs, weights = fit(base, data, tmp_path / "theirs", per_device_train_batch_size=4)
    settings = combine(SETTINGS, {"max_length": 128})
    folder, cpu = find_base(str(base)), torch.device("cpu")
    plan = memory.plan(folder.config, settings, cpu)
    model = load_base(folder, settings, plan, cpu, torch.float32)
    ours = Trainer(model, data, settings, plan, tmp_path / "ours", "", lambda row: None, lambda line: None).run()
    for row, expected in zip(theirs.history, ours.history, strict=True):
        assert row["learning_rate"] == expected["learning_rate"]
        assert row["loss"] == pytest.approx(expected["loss"], rel=1e-4)
        assert row["gradient"] == pytest.approx(expected["gradient"], rel=1e-3)
        if "validation_loss" in expected:
            assert row["validation_loss"] == pytest.approx(expected["validation_loss"], rel=1e-4)
    for name, parameter in model.adapter.named().items():
        torch.testing.assert_close(weights[name], parameter.detach(), rtol=1e-2, atol=1e-4)


def test_a_stopped_run_goes_on_to_the_same_weights(base: Path, tmp_path: Path) -> None:
    data = data_of(base, train=20, validation=4)
    _, expected = fit(base, data, tmp_path / "whole")

    def stop(row: Mapping[str, Any]) -> None:
        if row["step"] == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(TerminatedError):
        fit(base, data, tmp_path / "cut", stop)
    progress, weights = fit(base, data, tmp_path / "cut")
    assert [row["step"] for row in progress.history] == [1, 2, 3, 4, 5, 6]
    assert same(weights, expected)


def test_a_checkpoint_holds_no_pickle(base: Path, tmp_path: Path) -> None:
    fit(base, data_of(base, train=8, validation=0), tmp_path, max_steps=2)
    kinds = {file.suffix for file in tmp_path.rglob("*") if file.is_file()}
    assert kinds <= {".safetensors", ".json", ".md"}


def test_a_checkpoint_that_was_cut_off_is_not_taken(base: Path, tmp_path: Path) -> None:
    data = data_of(base, train=8, validation=0)
    _, expected = fit(base, data, tmp_path, max_steps=4, save_steps=2)
    (tmp_path / "checkpoint-4" / "trainer_state.json").unlink()
    told: list[int] = []
    _, weights = fit(base, data, tmp_path, lambda row: told.append(row["step"]), max_steps=4, save_steps=2)
    assert told == [3, 4]
    assert same(weights, expected)


def test_the_best_evaluation_is_what_comes_out(base: Path, tmp_path: Path) -> None:
    """A rate so high that the loss gets worse: early stopping ends the run, and the first evaluation's weights stay."""
    data = data_of(base, train=8, validation=4)
    wild = {"learning_rate": 2.0, "warmup_steps": 0, "early_stopping_patience": 2, "max_steps": 20, "eval_steps": 1}
    progress, weights = fit(base, data, tmp_path, **wild, save_total_limit=1)
    assert progress.worse == 2
    assert progress.step == progress.best_step + 2 < 20
    again, same_weights = fit(base, data, tmp_path, **wild, save_total_limit=1)
    assert again.step == progress.step, "a run that stopped early is not continued"
    assert same(weights, same_weights)


def test_checkpoints_of_another_run_are_refused(base: Path, tmp_path: Path) -> None:
    data = data_of(base, train=8, validation=0)
    fit(base, data, tmp_path, max_steps=1)
    (tmp_path / "identity.json").write_text('{"seed": 2}')
    with pytest.raises(UserError, match="--resume never"):
        fit(base, data, tmp_path, max_steps=1)
    progress, _ = fit(base, data, tmp_path, max_steps=2, resume="never")
    assert progress.step == 2


def test_a_loss_that_is_no_number_stops_the_run(base: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    broken = tiny_llama(tmp_path / "base")
    weights = load_file(broken / "model.safetensors")
    weights["model.norm.weight"][0] = float("nan")
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="the loss of step 1 is not a number"):
        fit(broken, data_of(base, train=8, validation=0), tmp_path / "out")


def test_a_trainer_that_learns_other_tokens_is_refused(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Changed(sft._TopicTrainer):  # type: ignore[misc]
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.data_collator = lambda rows: {"labels": torch.tensor([1, 2, 3])}

    monkeypatch.setattr(sft, "_TopicTrainer", Changed)
    with pytest.raises(UserError, match="constraints-unsloth"):
        fit(base, data_of(base, train=8, validation=0), tmp_path)
