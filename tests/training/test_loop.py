"""What a run of training does to the adapter, and what it reports."""

import math
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from models import MINI, tiny_llama
from packs import random_rows
from tokenizers import Tokenizer

from topicgen.errors import TerminatedError, UserError
from topicgen.models import find_base
from topicgen.training.base import load_base
from topicgen.training.checkpoint import load_checkpoint
from topicgen.training.distributed import Group
from topicgen.training.loop import Data, Progress, Trainer
from topicgen.training.memory import Plan
from topicgen.training.packing import packs
from topicgen.training.rows import TokenRow
from topicgen.training.settings import TrainingSettings

PREFIX = (0, 17, 4, 99)
VOCABULARY = 160
ROWS = random_rows(14, VOCABULARY)
BASIC: dict[str, Any] = {
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 1,
    "lora_r": 4,
    "learning_rate": 5e-3,
    "warmup_steps": 0,
    "max_steps": 6,
    "shown_topics": 0,
}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_llama(tmp_path_factory.mktemp("tiny"), vocab_size=VOCABULARY)


class Run:
    """A trainer on random rows, and what it told."""

    def __init__(
        self,
        base: Path,
        folder: Path,
        *,
        pack_tokens: int = 4096,
        dtype: torch.dtype = torch.float32,
        number: int = 1,
        train: int = 10,
        validation: int = 4,
        stop_at: int | None = None,
        compiled: bool = False,
        **settings: Any,
    ) -> None:
        self.settings = TrainingSettings(**(BASIC | settings))
        plan = Plan("float32", False, 0, pack_tokens, compiled, "test")
        self.model = load_base(find_base(str(base)), self.settings, plan, torch.device("cpu"), dtype)
        self.told: list[Mapping[str, Any]] = []
        self.said: list[str] = []
        tokenizer = Tokenizer.from_file(str(MINI / "tokenizer.json"))
        self.data = Data(PREFIX, ROWS[:train], ROWS[10 : 10 + validation], tokenizer, 1)
        self._stop_at = stop_at
        self.trainer = Trainer(
            self.model,
            self.data,
            self.settings,
            plan,
            folder / "checkpoints",
            {"number": number},
            self._report,
            self.said.append,
        )

    def _report(self, row: Mapping[str, Any]) -> None:
        self.told.append(row)
        if "loss" in row and row["step"] == self._stop_at:
            signal.raise_signal(signal.SIGTERM)

    def go(self) -> Progress:
        return self.trainer.run()

    def stop(self) -> None:
        with pytest.raises(TerminatedError):
            self.go()

    @property
    def weights(self) -> dict[str, torch.Tensor]:
        return {name: p.detach().clone() for name, p in self.model.adapter.named().items()}

    def validation_loss(self) -> float:
        """Mean cross-entropy of the topic tokens, from the logits."""
        self.model.eval()
        losses = []
        with torch.no_grad():
            for pack in packs(PREFIX, self.data.validation, 4096):
                chances = self.model.logits(pack).double().log_softmax(-1)
                losses += [-chances[i, token].item() for i, token in enumerate(pack.targets.tolist())]
        return sum(losses) / len(losses)


def require_equal(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert torch.equal(ours[name], tensor), name


def losses(progress: Progress) -> list[tuple[float, float | None]]:
    return [(row["loss"], row.get("validation_loss")) for row in progress.history]


def test_rows_seen_again_and_again_are_learned(base: Path, tmp_path: Path) -> None:
    run = Run(base, tmp_path, train=4, validation=0, max_steps=60, learning_rate=2e-2)
    history = run.go().history
    assert history[-1]["loss"] < 0.2 * history[0]["loss"]


def test_validation_loss_is_the_mean_cross_entropy_of_topic_tokens(base: Path, tmp_path: Path) -> None:
    run = Run(base, tmp_path, max_steps=1, eval_steps=1)
    progress = run.go()
    assert progress.best_loss == pytest.approx(run.validation_loss(), rel=1e-6)
    assert progress.history[-1]["validation_loss"] == progress.best_loss


def test_processes_have_packs_of_one_size_whatever_their_examples(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else they write other numbers of topics together, and wait for one another for ever."""
    monkeypatch.setitem(globals(), "ROWS", [TokenRow((5,) * 300, 290), *ROWS[1:]])  # one process has the long one
    fills = []
    for rank in range(2):
        monkeypatch.setattr(Group, "current", lambda rank=rank: Group(rank, 2))
        fills.append(Run(base, tmp_path, per_device_train_batch_size=1, compiled=True).trainer.fill)
    assert fills[0] == fills[1]


def test_the_longest_text_of_all_fits_into_compiled_packs(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sizes are learned from the first steps; the longest text may come in a later one."""
    monkeypatch.setattr("topicgen.training.loop.TYPICAL_STEPS", 1)
    number = Run(base, tmp_path, per_device_train_batch_size=1).trainer.schedule.chosen(2)[0]
    long = TokenRow((5,) * 300, 290)
    monkeypatch.setitem(globals(), "ROWS", [*ROWS[:number], long, *ROWS[number + 1 :]])
    trainer = Run(base, tmp_path, per_device_train_batch_size=1, compiled=True).trainer
    assert number not in trainer.schedule.chosen(0)
    assert trainer.fill
    assert trainer.fill.tokens >= len(PREFIX) + 300


def test_the_first_loss_is_the_mean_over_the_topic_tokens_of_the_step(base: Path, tmp_path: Path) -> None:
    run = Run(base, tmp_path, max_steps=1, validation=0, pack_tokens=64)
    rows = [ROWS[i] for i in run.trainer.schedule.chosen(0)]
    with torch.no_grad():
        expected = run.model.loss(packs(PREFIX, rows, 4096)[0]) / sum(len(row.ids) - row.answer for row in rows)
    assert run.go().history[0]["loss"] == pytest.approx(expected.item(), rel=1e-5)


def test_the_best_adapter_is_left_in_the_model(base: Path, tmp_path: Path) -> None:
    # Random topics cannot be foretold: learning others by heart soon makes the validation loss worse.
    run = Run(base, tmp_path, max_steps=24, eval_steps=2, learning_rate=5e-2, lr_scheduler_type="constant")
    progress = run.go()
    measured = {row["step"]: row["validation_loss"] for row in progress.history if "validation_loss" in row}
    assert progress.best_loss == min(measured.values()) < measured[24]
    assert measured[progress.best_step] == progress.best_loss
    assert run.validation_loss() == pytest.approx(progress.best_loss, rel=1e-6)


EARLY: dict[str, Any] = {
    "max_steps": 40,
    "eval_steps": 1,
    "early_stopping_patience": 3,
    "learning_rate": 5e-2,
    "lr_scheduler_type": "constant",
}


def test_early_stopping_stops_after_its_patience(base: Path, tmp_path: Path) -> None:
    run = Run(base, tmp_path, **EARLY)
    progress = run.go()
    assert progress.step == progress.best_step + 3 < 40
    assert f"stopped early, after step {progress.step}" in run.said[-1]


def test_a_run_stopped_early_learns_no_more_when_continued(base: Path, tmp_path: Path) -> None:
    run = Run(base, tmp_path, **EARLY)
    end = run.go().step
    again = Run(base, tmp_path, **EARLY)
    assert again.go().step == end
    require_equal(again.weights, run.weights)


def test_weights_do_not_depend_on_the_size_of_packs(base: Path, tmp_path: Path) -> None:
    def trained(pack_tokens: int) -> dict[str, torch.Tensor]:
        run = Run(base, tmp_path / str(pack_tokens), pack_tokens=pack_tokens, dtype=torch.float64, max_steps=3)
        run.go()
        return run.weights

    small, large = trained(64), trained(4096)
    for name, tensor in large.items():
        assert torch.allclose(small[name], tensor, rtol=0, atol=1e-9), name


def test_the_same_seed_gives_the_same_weights_within_one_process(base: Path, tmp_path: Path) -> None:
    first, second = (Run(base, tmp_path / name, lora_dropout=0.1) for name in "ab")
    first.go()
    torch.rand(7)  # others draw random numbers too
    second.go()
    require_equal(first.weights, second.weights)


@pytest.mark.parametrize("dropout", [0.0, 0.1])
@pytest.mark.parametrize("stop_at", [1, 4, 5])
def test_an_interrupted_run_ends_as_an_uninterrupted_one(
    base: Path, tmp_path: Path, dropout: float, stop_at: int
) -> None:
    settings: dict[str, Any] = {"lora_dropout": dropout, "eval_steps": 2}
    whole = Run(base, tmp_path / "whole", **settings)
    expected = whole.go()
    Run(base, tmp_path / "parts", stop_at=stop_at, **settings).stop()
    torch.manual_seed(99)  # a process of its own would not know the state either
    rest = Run(base, tmp_path / "parts", **settings)
    progress = rest.go()
    assert rest.told[0]["step"] == stop_at + 1
    assert losses(progress) == losses(expected)
    assert (progress.best_step, progress.best_loss) == (expected.best_step, expected.best_loss)
    require_equal(rest.weights, whole.weights)


def test_a_loss_that_is_no_number_stops_and_keeps_earlier_checkpoints(base: Path, tmp_path: Path) -> None:
    run = Run(base, tmp_path, stop_at=3)
    run.stop()
    broken = Run(base, tmp_path)
    broken.model._final_norm[0] = math.nan
    with pytest.raises(UserError) as caught:
        broken.go()
    message = str(caught.value)
    assert "the loss of step 4 is not a number" in message
    assert "--learning-rate" in message
    assert "\n" not in message
    state = load_checkpoint(max((tmp_path / "checkpoints").iterdir()))
    assert state.step == 3
    assert all(torch.isfinite(tensor).all() for tensor in state.tensors.values() if tensor.is_floating_point())


def test_a_checkpoint_of_another_run_is_refused_in_one_line(base: Path, tmp_path: Path) -> None:
    Run(base, tmp_path, stop_at=2).stop()
    with pytest.raises(UserError, match=r"another run: number \(was 1, is 2\); use --resume never") as caught:
        Run(base, tmp_path, number=2).go()
    assert "\n" not in str(caught.value)


def test_resume_never_starts_anew(base: Path, tmp_path: Path) -> None:
    Run(base, tmp_path, stop_at=2).stop()
    run = Run(base, tmp_path, number=2, resume="never")
    run.go()
    assert run.told[0]["step"] == 1


def checkpoints(folder: Path) -> list[Path]:
    return sorted((folder / "checkpoints").iterdir())


def test_a_truncated_checkpoint_falls_back_to_the_one_before_with_a_warning(base: Path, tmp_path: Path) -> None:
    whole = Run(base, tmp_path / "whole", save_steps=1)
    whole.go()
    Run(base, tmp_path, save_steps=1, stop_at=4).stop()
    _, newest = checkpoints(tmp_path)
    content = (newest / "state.safetensors").read_bytes()
    (newest / "state.safetensors").write_bytes(content[: len(content) // 2])
    rest = Run(base, tmp_path, save_steps=1)
    rest.go()
    assert "checkpoint-000004: damaged checkpoint" in rest.said[0]
    assert rest.told[0]["step"] == 4
    require_equal(rest.weights, whole.weights)


def test_flipped_bytes_are_refused(base: Path, tmp_path: Path) -> None:
    Run(base, tmp_path, save_steps=1, stop_at=4).stop()
    _, newest = checkpoints(tmp_path)
    content = bytearray((newest / "state.safetensors").read_bytes())
    content[len(content) // 2] ^= 1
    (newest / "state.safetensors").write_bytes(content)
    with pytest.raises(UserError, match="checksum"):
        Run(base, tmp_path, resume=str(newest)).go()
