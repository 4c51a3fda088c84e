"""A step -> its examples and its learning rate, so that a run is continued from the number of its step alone."""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch

from topicgen.training.settings import TrainingSettings


@dataclass(frozen=True, slots=True)
class Schedule:
    """Which examples a step learns from, and how fast.

    Attributes:
        lengths: Tokens of each training example.
        per_step: Examples of one step over all devices; the last step of a pass has what is left.
        settings: Epochs, steps, learning rate, warm-up and seed.
    """

    lengths: tuple[int, ...]
    per_step: int
    settings: TrainingSettings

    @property
    def steps_per_epoch(self) -> int:
        return -(-len(self.lengths) // self.per_step)

    @property
    def steps(self) -> int:
        """Optimiser steps of the whole run."""
        whole = round(self.steps_per_epoch * self.settings.num_train_epochs, 6)  # 100 * 1.1 is 110.00000000000001
        return self.settings.max_steps or max(1, math.ceil(whole))

    def chosen(self, step: int) -> list[int]:
        """Examples of a step, counted from 0; each pass has an order of its own."""
        epoch, within = divmod(step, self.steps_per_epoch)
        return _order(self.lengths, self.per_step, self.settings.seed + epoch)[within].tolist()

    def learning_rate(self, step: int) -> float:
        """Rises over the warm-up, then falls to zero as a line or a cosine, or stays."""
        settings = self.settings
        if step < settings.warmup_steps:
            return settings.learning_rate * (step + 1) / settings.warmup_steps
        left = (self.steps - step) / max(1, self.steps - settings.warmup_steps)
        if settings.lr_scheduler_type == "constant":
            return settings.learning_rate
        if settings.lr_scheduler_type == "cosine":
            return settings.learning_rate * 0.5 * (1 - math.cos(math.pi * left))
        return settings.learning_rate * left

    def every(self, asked: int | None) -> int:
        """Steps between evaluations, or between checkpoints: as asked, else ten times in a run."""
        return asked or max(1, -(-self.steps // 10))


@lru_cache(maxsize=1)  # all steps of a pass ask for the same
def _order(lengths: tuple[int, ...], per_step: int, seed: int) -> list[torch.Tensor]:
    """The examples of each step of one pass: a random order in which the steps have texts of the same lengths.

    The examples, sorted by length, are cut into ``per_step`` strata, and every step takes one at random from each
    (stratified sampling; Cochran 1977, chapter 5). Steps of nearly the same size fill packs of one size nearly whole.
    The last step has a random sample of what does not divide.
    """
    generator = torch.Generator().manual_seed(seed)
    shuffled = torch.randperm(len(lengths), generator=generator)
    steps = len(lengths) // per_step
    whole, left = shuffled[: steps * per_step], shuffled[steps * per_step :]
    by_length = whole[torch.argsort(torch.tensor(lengths)[whole], stable=True)].view(per_step, steps)
    drawn = torch.stack([stratum[torch.randperm(steps, generator=generator)] for stratum in by_length], 1)
    return [*drawn, *([left] if len(left) else [])]
