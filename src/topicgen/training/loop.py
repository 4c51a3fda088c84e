"""A frozen model with an adapter and token rows in, a fitted adapter out; survives interruption at any moment."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from topicgen.errors import UserError
from topicgen.extras import require
from topicgen.metrics import rouge_n
from topicgen.runs.fingerprint import Fingerprint
from topicgen.training import distributed
from topicgen.training.checkpoint import TrainingState, load_checkpoint, newest_checkpoint, prune, save_checkpoint
from topicgen.training.identity import require_same
from topicgen.training.llama import PackedLlama
from topicgen.training.memory import Plan
from topicgen.training.optimizer_state import flatten_optimizer, restore_optimizer
from topicgen.training.packing import Fill, Pack, fixed_sizes, packs
from topicgen.training.rows import TokenRow
from topicgen.training.schedule import Schedule
from topicgen.training.settings import TrainingSettings
from topicgen.training.sharing import evened
from topicgen.training.stopping import StopSignal
from topicgen.training.writing import fitting, write_topics

Report = Callable[[Mapping[str, Any]], None]
ADAPTER, BEST = "adapter/", "best/"
TYPICAL_STEPS = 100  # steps of which the sizes of packs are learned


@dataclass(frozen=True, slots=True)
class Data:
    """Token rows of the examples, and what reads and ends them."""

    prefix: tuple[int, ...]
    train: Sequence[TokenRow]
    validation: Sequence[TokenRow]
    tokenizer: Tokenizer
    stop: int


@dataclass
class Progress:
    """What a run has done: kept in checkpoints, told in training.json."""

    step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    best_loss: float = math.inf
    best_step: int = 0
    worse: int = 0  # evaluations since the best
    shown: list[dict[str, str]] = field(default_factory=list)
    seconds: float = 0.0
    tokens: int = 0
    samples: int = 0


class Trainer:
    """One run of training.

    Args:
        identity: What must be the same for a checkpoint to be continued: data, base and settings that matter.
        report: Hears of each step and evaluation.
        say: Hears what people should read.
    """

    def __init__(
        self,
        model: PackedLlama,
        data: Data,
        settings: TrainingSettings,
        plan: Plan,
        folder: Path,
        identity: Fingerprint,
        report: Report,
        say: Callable[[str], None],
    ) -> None:
        self.model, self.data, self.settings, self.plan = model, data, settings, plan
        self.folder, self.identity, self.report, self.say = folder, identity, report, say
        self.group = distributed.Group.current()
        lengths = tuple(len(row.ids) for row in data.train)
        self.schedule = Schedule(lengths, settings.examples_per_step * self.group.size, settings)
        self.fill = self._fixed_sizes() if plan.compiled else None
        self.optimizer = make_optimizer(model, settings)
        self.progress = Progress()
        self.best: dict[str, torch.Tensor] = {}
        self._stop = StopSignal()
        self._leaving = False  # whether any process of the run got one: all leave after the same step

    def run(self) -> Progress:
        """Trains to the end, or continues; the adapter of the best evaluation is in the model afterwards.

        Raises:
            UserError: When the loss is no number any more, or memory or disk are full.
            TerminatedError, KeyboardInterrupt: After a signal; a checkpoint was written first.
        """
        self._resume()
        every = self.schedule.every(self.settings.eval_steps)
        saving = self.settings.save_steps or every
        with self._stop.heard():
            while self.progress.step < self.schedule.steps and not self._exhausted:
                self._step(self.progress.step)
                step = self.progress.step
                last = step == self.schedule.steps
                if self.data.validation and (step % every == 0 or last):
                    self._evaluate()
                last = last or self._exhausted
                if self._leaving or (self.group.size == 1 and self._stop.came):
                    self._save()
                    self.say(f"stopped after step {step}; the same command goes on from there")
                    self._stop.end()
                if step % saving == 0 or last:
                    self._save()
        if self._exhausted:
            told = f"{self.progress.worse} evaluations"
            self.say(f"no better for {told}: stopped early, after step {self.progress.step}")
        if self.best:
            self.model.adapter.load(self.best)
        return self.progress

    @property
    def _exhausted(self) -> bool:
        """Whether early stopping ends the run; known from a checkpoint too, so that no step is added to it."""
        patience = self.settings.early_stopping_patience
        return bool(patience and self.progress.worse >= patience)

    def _fixed_sizes(self) -> Fill:
        """Sizes of packs for the steps of the run, which are much alike, and for the longest texts of all.

        They go by what every process computes: all write topics together, as many as fit into a pack.
        """
        first = range(min(self.schedule.steps_per_epoch, TYPICAL_STEPS))
        steps = [self._share(step, rank) for step in first for rank in range(self.group.size)]
        longest = [
            [max(rows, key=lambda row: len(row.ids))] for rows in (self.data.train, self.data.validation) if rows
        ]
        own = [step for step in (*steps, *longest) if step]
        return fixed_sizes(len(self.data.prefix), own, self.plan.pack_tokens)

    def _share(self, step: int, rank: int) -> list[TokenRow]:
        """The examples of a step that one process computes."""
        return [self.data.train[i] for i in self.schedule.chosen(step)[rank :: self.group.size]]

    def _step(self, step: int) -> None:
        began = time.monotonic()
        self.model.train()
        # Dropout goes by seed, step and process alone, whatever else drew random numbers or where a run was cut.
        torch.manual_seed(self.settings.seed + step * self.group.size + self.group.rank)
        chosen = self.schedule.chosen(step)
        answers = sum(len(self.data.train[i].ids) - self.data.train[i].answer for i in chosen)
        own = self._share(step, self.group.rank)
        summed = torch.zeros((), device=self.model.device)
        own_packs = self._packs(own)
        tokens = sum(pack.prefix + sum(last - first for first, last in pack.bounds) for pack in own_packs)
        for pack in self._evened(own_packs):
            loss = self.model.loss(pack.to(self.model.device)) / answers
            torch.autograd.backward(loss)
            summed += loss.detach()
        adapter = self.model.adapter
        adapter.gather()
        stopping = torch.tensor(float(self._stop.came), device=self.model.device)
        self.group.add_up([adapter.flat], summed, stopping)
        self._leaving = bool(stopping.item())
        norm = torch.nn.utils.clip_grad_norm_([adapter.flat], self.settings.max_grad_norm)
        value = summed.item()
        if not math.isfinite(value) or not math.isfinite(norm.item()):
            raise self._no_number(step + 1)
        rate = self.schedule.learning_rate(step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        progress = self.progress
        progress.step = step + 1
        progress.seconds += time.monotonic() - began
        progress.tokens += tokens * self.group.size
        progress.samples += len(chosen)
        row = {"step": step + 1, "loss": value, "learning_rate": rate, "gradient": norm.item()}
        progress.history.append(row)
        self.report({**row, "samples": len(chosen), "seconds": time.monotonic() - began, "tokens": tokens})

    def _packs(self, rows: Sequence[TokenRow]) -> list[Pack]:
        return packs(self.data.prefix, rows, self.plan.pack_tokens, self.fill) if rows else []

    def _evened(self, own: list[Pack]) -> list[Pack]:
        """The packs that this process computes: as many as every other where they share the base."""
        if self.plan.shares == 1:
            return own
        return evened(own, self.data.prefix, self.data.train[0], self.fill, self.model.device)

    def _no_number(self, step: int) -> UserError:
        return UserError(
            f"the loss of step {step} is not a number; checkpoints before it are kept in {self.folder}; lower"
            " --learning-rate, or look at the data"
        )

    def _evaluate(self) -> None:
        """Validation loss on topic tokens, and a few topics beside their references."""
        self.model.eval()
        # Compiled layers know one shape, and with gradients one graph: the forward pass of training serves here too.
        with torch.set_grad_enabled(self.plan.compiled):
            self._look()

    def _look(self) -> None:
        data, progress = self.data, self.progress
        summed = torch.zeros((), device=self.model.device, dtype=torch.float64)
        own = data.validation[self.group.rank :: self.group.size]
        for pack in self._evened(self._packs(own)):
            summed += self.model.loss(pack.to(self.model.device)).detach().double()
        self.group.add_up([], summed)
        loss = summed.item() / sum(len(row.ids) - row.answer for row in data.validation)
        if not math.isfinite(loss):
            raise self._no_number(progress.step)
        better = loss < progress.best_loss
        if better:
            progress.best_loss, progress.best_step, progress.worse = loss, progress.step, 0
            self.best = {name: p.detach().cpu().clone() for name, p in self.model.adapter.named().items()}
        else:
            progress.worse += 1
        progress.history[-1]["validation_loss"] = loss
        capacity = self.fill.tokens if self.fill else self.plan.pack_tokens
        rows = data.validation[: self.settings.shown_topics]
        topics = [
            topic
            for group in fitting(rows, len(data.prefix), capacity)
            for topic in write_topics(self.model, data.prefix, group, data.tokenizer, data.stop, self.fill, self.group)
        ]
        references = [data.tokenizer.decode(row.ids[row.answer : -1]) for row in rows]
        progress.shown = [
            {"topic": topic, "reference": reference} for topic, reference in zip(topics, references, strict=True)
        ]
        scores = [rouge_n(topic, reference, 1) for topic, reference in zip(topics, references, strict=True)]
        told: dict[str, Any] = {"step": progress.step, "validation_loss": loss, "best": better, "shown": progress.shown}
        if scores:
            progress.history[-1]["rouge1"] = told["rouge1"] = sum(scores) / len(scores)
        self.report(told)

    def _save(self) -> None:
        if self.group.rank != 0:
            return
        tensors, values = flatten_optimizer(self.optimizer)
        state = TrainingState(
            self.progress.step,
            {
                **{ADAPTER + name: p.detach().cpu() for name, p in self.model.adapter.named().items()},
                **{BEST + name: tensor for name, tensor in self.best.items()},
                **tensors,
            },
            {"identity": self.identity, "optimizer": values, "progress": vars(self.progress)},
        )
        save_checkpoint(self.folder, state)
        prune(self.folder, self.settings.save_total_limit, [])

    def _resume(self) -> None:
        resume = self.settings.resume
        if resume == "never":
            if self.group.rank == 0:
                prune(self.folder, 0, ())  # or an older run's later steps would be taken for this run's
            return
        place = self.folder if resume == "auto" else Path(resume)
        state = newest_checkpoint(place, self.say) if resume == "auto" else load_checkpoint(place)
        if state is None:
            return
        require_same(place, state.values.get("identity"), self.identity)
        self.model.adapter.load(_part(state.tensors, ADAPTER))
        self.best = _part(state.tensors, BEST)
        restore_optimizer(self.optimizer, state.tensors, state.values["optimizer"])
        self.progress = Progress(**state.values["progress"])
        self.say(f"goes on after step {state.step} of {self.schedule.steps}")


def _part(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def make_optimizer(model: PackedLlama, settings: TrainingSettings) -> torch.optim.Optimizer:
    """AdamW (Loshchilov & Hutter 2019), on a GPU with its state in 8 bits (Dettmers et al. 2022) where it can be."""
    parameters = list(model.adapter.parameters())
    options: dict[str, Any] = {"lr": settings.learning_rate, "weight_decay": settings.weight_decay}
    cuda = model.device.type == "cuda"
    if settings.optim == "adamw_8bit" or (settings.optim == "auto" and cuda and find_spec("bitsandbytes")):
        made: torch.optim.Optimizer = require("bitsandbytes", "train").optim.AdamW8bit(parameters, **options)
        return made
    return torch.optim.AdamW(parameters, fused=cuda or None, **options)
