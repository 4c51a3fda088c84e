"""What training reports -> a progress bar on a terminal, else a line now and then."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from topicgen.peak_memory import peak_memory
from topicgen.terminal import harmless

LINES = 20  # in a whole run, where stderr is no terminal


class Display:
    """Shows loss, samples and tokens a second, time left and peak memory.

    Args:
        say: Writes one line for people.
        visible: Whether a bar is drawn; otherwise lines are written.
        device: Whose memory is told.
    """

    def __init__(self, say: Callable[[str], None], *, visible: bool, device: torch.device) -> None:
        self._say, self._visible, self._device = say, visible, device
        self._bar: Any = None
        self._steps = 0
        self._began = time.monotonic()
        self._done = self._samples = self._tokens = 0
        self._seconds = 0.0

    @property
    def peak_bytes(self) -> int:
        """Most memory in use: of the GPU, or of the process."""
        if self._device.type == "cuda":
            return int(torch.cuda.max_memory_allocated(self._device))
        return peak_memory()

    @contextmanager
    def over(self, steps: int) -> Iterator[None]:
        """Shows a run of so many steps."""
        self._steps = steps
        self._began = time.monotonic()  # loading the model says nothing of the steps
        if not self._visible:
            yield
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[numbers]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bar.add_task("steps", total=steps, numbers="")
        with self._bar:
            yield
        self._bar = None

    def show(self, row: Mapping[str, Any]) -> None:
        """One report of the trainer: a step, or an evaluation."""
        if "loss" in row:
            self._step(row)
        else:
            self._evaluation(row)

    def _step(self, row: Mapping[str, Any]) -> None:
        self._done += 1  # a continued run begins at a later step
        self._samples += row["samples"]
        self._tokens += row["tokens"]
        self._seconds += row["seconds"]
        rates = f"{self._samples / self._seconds:.1f} samples/s, {self._tokens / self._seconds:,.0f} tokens/s"
        numbers = f"loss {row['loss']:.3f}, {rates}, {self.peak_bytes / (1 << 30):.1f} GB"
        step = row["step"]
        if self._bar is not None:
            self._bar.update(self._task, completed=step, numbers=numbers)
        elif step % max(1, self._steps // LINES) == 0 or step in (1, self._steps):
            left = (self._steps - step) * (time.monotonic() - self._began) / self._done
            self._say(f"step {step} of {self._steps}: {numbers}, {left:.0f} s left")

    def _evaluation(self, row: Mapping[str, Any]) -> None:
        mark = ", the best so far" if row.get("best") else ""
        score = f", ROUGE-1 of {len(row['shown'])} topics {100 * row['rouge1']:.1f}" if "rouge1" in row else ""
        self._say(f"step {row['step']}: validation loss {row['validation_loss']:.4f}{score}{mark}")
        for pair in row["shown"]:
            self._say(f"  {harmless(pair['topic'])[:60]:<60}  | {harmless(pair['reference'])[:60]}")
