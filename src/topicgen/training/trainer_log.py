"""The log of transformers' trainer -> the history of a run, and what it has reached."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from topicgen.training.loop import Progress
from topicgen.training.schedule import Schedule
from topicgen.training.settings import TrainingSettings


def history_of(log: Sequence[Mapping[str, Any]], schedule: Schedule) -> list[dict[str, float]]:
    """The trainer's log as the history of training.json: one row for each step, with the evaluation after it."""
    rows: dict[int, dict[str, float]] = {}
    for entry in log:
        step = int(entry["step"])
        row = rows.setdefault(step, {"step": step})
        if "loss" in entry:
            row["loss"] = float(entry["loss"])
            row["learning_rate"] = schedule.learning_rate(step - 1)
            row["gradient"] = float(entry.get("grad_norm", math.nan))
        if "eval_loss" in entry:
            row["validation_loss"] = float(entry["eval_loss"])
    return [row for _, row in sorted(rows.items()) if "loss" in row]


def progress_of(log: Sequence[Mapping[str, Any]], schedule: Schedule) -> Progress:
    """What a run has done, by the trainer's log."""
    progress = Progress(history=history_of(log, schedule))
    for row in progress.history:
        progress.step = int(row["step"])
        if (loss := row.get("validation_loss")) is None:
            continue
        if loss < progress.best_loss:
            progress.best_loss, progress.best_step, progress.worse = loss, progress.step, 0
        else:
            progress.worse += 1
    return progress


def exhausted(progress: Progress, settings: TrainingSettings) -> bool:
    """Whether early stopping ends the run."""
    return bool(settings.early_stopping_patience and progress.worse >= settings.early_stopping_patience)
