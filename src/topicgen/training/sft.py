"""A model with an adapter and token rows in, the fitted adapter's weights out: TRL's trainer with our settings.

Imports TRL, which Unsloth changes when it is imported, so this comes after Unsloth.
"""

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import PrinterCallback, TrainerCallback
from trl import SFTConfig, SFTTrainer

from topicgen.errors import UserError
from topicgen.runs.fingerprint import Fingerprint
from topicgen.training.labels import Padding, labelled_columns, learned_tokens
from topicgen.training.loop import Data, Progress, Report
from topicgen.training.saved import (
    Saved,
    claim,
    load_adapter,
    load_optimizer,
    named_saved,
    newest_saved,
    save_optimizer,
)
from topicgen.training.schedule import Schedule
from topicgen.training.settings import TrainingSettings
from topicgen.training.sft_options import sft_options
from topicgen.training.stopping import StopSignal
from topicgen.training.trainer_log import exhausted, history_of, progress_of

COMPARED = 4  # rows whose labels are looked at after the trainer took them


class _Follower(TrainerCallback):
    """Tells of steps and evaluations; keeps the best, stops early, and after a signal, with a checkpoint."""

    def __init__(self, data: Data, settings: TrainingSettings, schedule: Schedule, report: Report) -> None:
        self._data, self._settings, self._schedule, self._report = data, settings, schedule, report
        lengths = [len(data.prefix) + len(row.ids) for row in data.train]
        self._mean = sum(lengths) / len(lengths)
        self.stop = StopSignal()
        self.seconds, self.samples, self._began, self._last = 0.0, 0, 0.0, 0.0

    @property
    def tokens(self) -> int:
        """Tokens learned from, by the mean length: which rows a step took is the trainer's affair."""
        return round(self.samples * self._mean)

    def on_step_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        self._began = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        self._last = time.monotonic() - self._began
        self.seconds += self._last
        if self.stop.came:
            control.should_save = control.should_training_stop = True
        elif state.global_step == state.max_steps:
            control.should_evaluate = bool(self._data.validation)

    def on_log(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        logs: Mapping[str, Any] = more["logs"]
        if "loss" not in logs:
            return
        step, samples = state.global_step, len(self._schedule.chosen(state.global_step - 1))
        self.samples += samples
        row = history_of([{**logs, "step": step}], self._schedule)[0]
        if not math.isfinite(row["loss"]):
            raise UserError(
                f"the loss of step {step} is not a number; checkpoints before it are kept in {args.output_dir}; lower"
                " --learning-rate, or look at the data"
            )
        self._report({**row, "samples": samples, "seconds": self._last, "tokens": round(samples * self._mean)})

    def on_evaluate(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        progress = progress_of(state.log_history, self._schedule)
        better = progress.best_step == state.global_step
        control.should_save = control.should_save or better
        if exhausted(progress, self._settings):
            control.should_training_stop = True
        loss = progress.history[-1]["validation_loss"]
        self._report({"step": state.global_step, "validation_loss": loss, "best": better, "shown": []})


class _TopicTrainer(SFTTrainer):  # type: ignore[misc] # TRL is typed in part only
    """TRL's trainer with our learning rates, and checkpoints without pickles."""

    schedule: Schedule
    held_tokens: int  # with loss, of all validation rows
    lr_scheduler: Any
    optimizer: Any

    def prediction_step(self, model: Any, inputs: Any, *args: Any, **more: Any) -> Any:
        """The batch's loss, weighted so that the trainer's mean over rows is the mean over all tokens with loss."""
        rows, tokens = len(inputs["labels"]), len(learned_tokens(inputs))
        loss, *others = super().prediction_step(model, inputs, *args, **more)
        return loss * (tokens / rows * len(self.eval_dataset) / self.held_tokens), *others

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        if self.lr_scheduler is None:
            highest = self.schedule.settings.learning_rate or 1.0

            def factor(step: int) -> float:
                return self.schedule.learning_rate(step) / highest

            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer or self.optimizer, factor)
            self._created_lr_scheduler = True
        return self.lr_scheduler

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """The model folder has its own."""

    def _plain_optimizer(self) -> torch.optim.Optimizer:
        optimizer: torch.optim.Optimizer = getattr(self.optimizer, "optimizer", self.optimizer)
        return optimizer

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        (Path(output_dir) / "training_args.bin").unlink(missing_ok=True)  # a pickle that nothing here reads
        save_optimizer(Path(output_dir), self._plain_optimizer(), {"step": self.state.global_step})

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            values = load_optimizer(Path(checkpoint), self._plain_optimizer())
            getattr(self.lr_scheduler, "scheduler", self.lr_scheduler).last_epoch = values["step"]

    def _save_rng_state(self, output_dir: str) -> None:
        """Left out: the order of the rows goes by the seed, and dropout need not be the same."""

    def _load_rng_state(self, checkpoint: str | None) -> None:
        """Nothing was saved."""


def fit(
    load: Callable[[], tuple[Any, Any]],
    data: Data,
    settings: TrainingSettings,
    folder: Path,
    identity: Fingerprint,
    report: Report,
    say: Callable[[str], None],
) -> tuple[Progress, dict[str, torch.Tensor]]:
    """Trains to the end, or continues; returns the best adapter by PEFT's names.

    Args:
        load: Makes a model of PEFT with a fresh adapter, and its tokenizer; called once the checkpoints are in order.
        folder: Where checkpoints are kept; an absolute path.

    Raises:
        UserError: When the loss is no number any more, or the checkpoints are those of another run.
        TerminatedError, KeyboardInterrupt: After a signal; a checkpoint was written first.
    """
    schedule = Schedule(tuple(len(row.ids) for row in data.train), settings.examples_per_step, settings)
    claim(folder, identity, anew=settings.resume == "never")
    start = newest_saved(folder) if settings.resume in ("auto", "never") else named_saved(Path(settings.resume))
    done = progress_of(start.log if start else [], schedule)
    if start and (start.step >= schedule.steps or exhausted(done, settings)):
        return done, _best(folder, done, start)
    follower = _Follower(data, settings, schedule, report)
    trainer = _trainer(*load(), data, settings, schedule, folder)
    trainer.add_callback(follower)
    if start:
        say(f"goes on after step {start.step} of {schedule.steps}")
    with follower.stop.heard():
        trainer.train(resume_from_checkpoint=str(start.path) if start else None)
    progress = progress_of(trainer.state.log_history, schedule)
    if follower.stop.came and progress.step < schedule.steps:
        say(f"stopped after step {progress.step}; the same command goes on from there")
        follower.stop.end()
    if exhausted(progress, settings):
        say(f"no better for {progress.worse} evaluations: stopped early, after step {progress.step}")
    progress.seconds, progress.samples, progress.tokens = follower.seconds, follower.samples, follower.tokens
    return progress, _best(folder, progress, newest_saved(folder))


def _best(folder: Path, progress: Progress, last: Saved | None) -> dict[str, torch.Tensor]:
    if progress.best_step and (folder / f"checkpoint-{progress.best_step}").is_dir():
        return load_adapter(folder / f"checkpoint-{progress.best_step}")
    if progress.best_step or last is None:
        raise UserError(f"{folder}: the checkpoint of the best step {progress.best_step} is gone; use --resume never")
    return load_adapter(last.path)


def _trainer(
    model: Any, tokenizer: Any, data: Data, settings: TrainingSettings, schedule: Schedule, folder: Path
) -> _TopicTrainer:
    train, held = (Dataset.from_dict(labelled_columns(data.prefix, rows)) for rows in (data.train, data.validation))
    longest = len(data.prefix) + max(len(row.ids) for row in [*data.train, *data.validation])
    every = schedule.every(settings.eval_steps)
    options = sft_options(settings, schedule.steps, every, longest, gpu=torch.cuda.is_available())
    if not data.validation:
        options["eval_strategy"] = "no"
    padding = Padding(data.stop)
    trainer = _TopicTrainer(
        model=model,
        args=SFTConfig(output_dir=str(folder), **options),
        processing_class=tokenizer,
        train_dataset=train,
        eval_dataset=held if data.validation else None,
        data_collator=padding,
    )
    trainer.schedule = schedule
    trainer.held_tokens = sum(len(row.ids) - row.answer for row in data.validation)
    trainer.remove_callback(PrinterCallback)  # prints to stdout
    rows = range(min(COMPARED, len(train)))
    taken = trainer.data_collator([trainer.train_dataset[i] for i in rows])
    if learned_tokens(taken) != learned_tokens(padding([train[i] for i in rows])):
        raise UserError("the trainer changed which tokens are learned; install the versions of constraints-unsloth.txt")
    return trainer
