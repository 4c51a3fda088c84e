"""The losses of a run in, a picture of them (PNG) out."""

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from topicgen.errors import UserError
from topicgen.extras import require

TRAINING, VALIDATION, TEXT = "#2f6fb0", "#c8501e", "#333333"

Point = tuple[float, float]


def draw_losses(history: Sequence[Mapping[str, float]], path: Path) -> None:
    """Draws the training loss, raw and smoothed, and the validation loss with its best step.

    Args:
        history: Rows with ``step`` and ``loss``, ``validation_loss`` or both; what is not finite is left out.
        path: The PNG file; an earlier one is replaced.

    Raises:
        UserError: When matplotlib is missing or the file cannot be written.
    """
    figure = require("matplotlib.figure", "train").Figure(figsize=(8, 4.5), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    training, validation = _points(history, "loss"), _points(history, "validation_loss")
    smooth = _smoothed(training)
    if training:
        axes.plot(*zip(*training, strict=True), color=TRAINING, alpha=0.3, linewidth=1, label="training, each step")
        axes.plot(*zip(*smooth, strict=True), color=TRAINING, linewidth=2, label="training, smoothed")
    if validation:
        axes.plot(
            *zip(*validation, strict=True),
            color=VALIDATION,
            linewidth=1,
            marker="o",
            markersize=4.5,
            label="validation",
        )
        _mark(axes, *min(validation, key=lambda point: point[1]))
    _dress(axes, training, [*smooth, *validation])
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    try:
        path.write_bytes(picture.getvalue())
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror or error}") from None


def _points(history: Sequence[Mapping[str, float]], name: str) -> list[Point]:
    found = [(row["step"], row[name]) for row in history if row.get(name) is not None]
    return [point for point in found if math.isfinite(point[1])]


def _smoothed(points: Sequence[Point]) -> list[Point]:
    """Running medians of about a twentieth of the run: they neither lag behind nor follow a spike."""
    half = len(points) // 40
    losses = [loss for _, loss in points]
    return [(step, median(losses[max(0, i - half) : i + half + 1])) for i, (step, _) in enumerate(points)]


def _mark(axes: Any, step: float, loss: float) -> None:
    told = f"best: {loss:.3f}, step {step:g}"
    axes.plot(step, loss, "o", markersize=11, fillstyle="none", color=VALIDATION, clip_on=False, label=told)


def _dress(axes: Any, training: Sequence[Point], lines: Sequence[Point]) -> None:
    axes.set_xlabel("optimiser step", color=TEXT)
    axes.set_ylabel("loss of a topic token (nats)", color=TEXT)
    axes.grid(axis="y", color="#e4e4e4", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.01)
    axes.xaxis.get_major_locator().set_params(integer=True)
    if not lines:
        axes.text(0.5, 0.5, "no losses yet", transform=axes.transAxes, ha="center", color=TEXT)
        return
    # A single spike must not flatten all else.
    raw = sorted(loss for _, loss in training)
    shown = [loss for _, loss in lines] + raw[: math.ceil(0.98 * len(raw))]
    low, high = min(shown), max(shown)
    room = 0.05 * (high - low or 1)
    axes.set_ylim(low - room, high + room)
    axes.legend(frameon=False, labelcolor=TEXT)
