"""One ``topicgen train`` call: labelled data and a base model in, a model folder out."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from topicgen.config import ReaderSettings
from topicgen.errors import UserError
from topicgen.locks import exclusive
from topicgen.models import WeightsFolder, find_base, find_model
from topicgen.reader import Problems
from topicgen.runs.fingerprint import Fingerprint
from topicgen.staging import locked, staged
from topicgen.training import distributed, memory, unsloth
from topicgen.training.agreement import require_agreement
from topicgen.training.base import load_base
from topicgen.training.display import Display
from topicgen.training.examples import ExampleSplit, read_examples
from topicgen.training.folder import ModelFacts, write_folder
from topicgen.training.identity import identity_of
from topicgen.training.loop import Data, Trainer
from topicgen.training.lora import WEIGHTS
from topicgen.training.merging import stored_type, write_merged
from topicgen.training.packing import Pack, fixed_sizes, pack, require_room
from topicgen.training.prompts import prompt_of
from topicgen.training.rows import TokenRows, encode_examples, preview
from topicgen.training.schedule import Schedule
from topicgen.training.settings import BASE_DEFAULTS, TrainingSettings, combine
from topicgen.training.trackers import open_tracker
from topicgen.version import __version__

WITHOUT_EFFECT = [
    "output_dir",
    "resume",
    "report_to",
    "project",
    "run_name",
    "memory",
    "save_total_limit",
    "save_steps",
    "shown_topics",
    "compile",
    "fsdp",
]
"""Settings that may differ between the start of a run and its continuation."""

MERGE_SAMPLE = 4  # examples


@dataclass
class TrainJob:
    """What ``topicgen train`` was asked to do."""

    inputs: Sequence[str]
    settings: TrainingSettings
    reading: ReaderSettings
    preview: int | None
    merge: Path | None
    force: bool
    say: Callable[[str], None]
    warn: Callable[[str], None]
    quiet: bool

    def run(self) -> Problems:
        """Reads and checks everything before the model is loaded, trains, and writes the folder."""
        if self.settings.backend == "topicgen":
            return self._join(None)
        unsloth.refuse_what_it_lacks(self.settings, merge=self.merge is not None)
        if self.preview:
            return self._join(None)
        with unsloth.started(self.settings, self.inputs) as place:
            return self._join(place)

    def _join(self, place: Path | None) -> Problems:
        device = distributed.join()
        try:
            with ExitStack() as held:
                return self._run(device, place, held)
        except torch.OutOfMemoryError:
            raise UserError(
                "out of GPU memory: lower --pack-tokens or --max-length, set --memory lower, or use --recompute"
            ) from None
        finally:
            distributed.leave()

    def _run(self, device: torch.device, place: Path | None, held: ExitStack) -> Problems:
        settings = self.settings
        if settings.fsdp and self.merge:
            raise UserError(
                "merging needs the whole base on one device, which fsdp avoids; leave out --merge or --fsdp"
            )
        group = distributed.Group.current()
        first = group.rank == 0
        say = self.say if first else lambda _: None
        folder = Path(settings.output_dir)
        problems = Problems(Path(f"{folder}.quarantine.jsonl") if first else None)  # one of several processes tells
        try:
            split = read_examples(self.inputs, settings, problems, say, self.reading)
        finally:
            problems.close()
            for line in problems.summary() if first else ():
                self.warn(line)
        base = find_base(settings.base, weights=not self.preview)
        base.require_llama("training")
        prompt = prompt_of(base)
        longest = min(settings.max_length, base.context_tokens)
        train = encode_examples(split.train, prompt, base.tokenizer, longest)
        validation = encode_examples(split.validation, prompt, base.tokenizer, longest, needed=False)
        self._tell(split, train, validation, say)
        if self.preview:
            sys.stdout.write(preview(train, base.tokenizer, self.preview, sys.stdout.isatty()))
            return problems
        if first:
            self._claim(folder)
            held.enter_context(exclusive(folder.resolve() / ".lock", str(folder)))
        plan = unsloth.plan(base.config, settings) if place else memory.plan(base.config, settings, device, group)
        say(plan.reason)
        if not place:
            require_room([len(row.ids) for row in train.rows + validation.rows], len(train.prefix), plan.pack_tokens)
        identity = self._identity(base, split, plan)
        # Unsloth works in another folder, from which a relative path would lead elsewhere.
        seen = folder.resolve() if place else folder
        tracker = open_tracker(settings, seen, asdict(settings), self.say) if first else None
        stop = train.rows[0].ids[-1]  # ends every row
        data = Data(train.prefix, train.rows, validation.rows, base.tokenizer, stop)
        display = Display(say, visible=first and not self.quiet and sys.stderr.isatty(), device=device)

        def report(row: Mapping[str, Any]) -> None:
            display.show(row)
            if tracker is not None:
                numbers = {k: float(v) for k, v in row.items() if isinstance(v, int | float) and k != "step"}
                tracker.log(int(row["step"]), numbers)

        checkpoints = folder / "checkpoints"
        failed = True
        try:
            if place:
                lengths = tuple(len(row.ids) for row in train.rows)
                with display.over(Schedule(lengths, settings.examples_per_step, settings).steps):
                    fitted = unsloth.fit(base, data, settings, plan, place, checkpoints, identity, report, say)
                progress, adapter = fitted
            else:
                dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
                model = load_base(base, settings, plan, device, dtype)
                trainer = Trainer(model, data, settings, plan, checkpoints, identity, report, say)
                with display.over(trainer.schedule.steps):
                    progress = trainer.run()
                adapter = model.adapter
            failed = False
        finally:
            if tracker is not None:
                tracker.close(failed)
        if first:
            facts = ModelFacts(base, prompt, settings, plan, split, progress, display.peak_bytes)
            write_folder(folder, adapter, facts)
            say(f"model written to {folder}; try: topicgen generate --model {folder} FILE")
            if self.merge:
                del model, trainer, adapter  # their memory is needed
                rows = train.rows[:MERGE_SAMPLE]
                sample = pack(train.prefix, rows, fixed_sizes(len(train.prefix), [rows], sys.maxsize))
                self._merge(folder, self.merge, sample, device)
                say(f"merged weights written to {self.merge}")
        return problems

    def _tell(self, split: ExampleSplit, train: TokenRows, validation: TokenRows, say: Callable[[str], None]) -> None:
        say(
            f"{len(train.rows)} examples for training, {len(validation.rows)} for validation,"
            f" {len(split.test)} for test"
        )
        reasons = {**split.left_out, "with a topic too long": train.left_out + validation.left_out}
        if told := [f"{count} {reason}" for reason, count in reasons.items() if count]:
            say(f"left out: {', '.join(told)}")
        if cut := train.cut + validation.cut:
            say(f"{cut} texts were longer than max_length and lost their end")

    def _claim(self, folder: Path) -> None:
        """Fails before the model loads when a folder cannot be written, holds a finished model, or is not there."""
        if (folder / WEIGHTS).exists() and not self.force:
            more = f"; `topicgen export {folder} --to merged` merges it" if self.merge else ""
            raise UserError(f"{folder}: holds a finished model; use --force, or another --output-dir{more}")
        resume = self.settings.resume
        if resume not in ("auto", "never") and not Path(resume).is_dir():
            raise UserError(f"{resume}: no such folder; --resume takes auto, never or a checkpoint folder")
        _require_writable(folder)
        if self.merge:
            _require_writable(self.merge)
            if self.merge.resolve() == folder.resolve() or any(self.merge.iterdir()):
                raise UserError(f"{self.merge}: is not empty; merged weights need a folder of their own")

    def _merge(self, folder: Path, target: Path, sample: Pack, device: torch.device) -> None:
        """Writes merged weights, which appear once they were compared with adapter and base, or not at all."""
        model = find_model(str(folder))
        with locked(target) as place, staged(place, ()) as (staging, commit):
            write_merged(staging, model, stored_type(model))
            require_agreement(model, staging, self.settings, sample, device)
            commit()

    def _identity(self, base: WeightsFolder, split: ExampleSplit, plan: memory.Plan) -> Fingerprint:
        """What must be the same for a checkpoint to be continued."""
        settings = {name: value for name, value in asdict(self.settings).items() if name not in WITHOUT_EFFECT}
        facts = {
            "data": split.fingerprint,
            "weights of the base": base.weights_digest,
            "computed in": plan.precision,
            "processes": int(os.environ.get("WORLD_SIZE", "1")),
            "version": __version__,
        }
        return identity_of(settings | facts)


def _require_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror})") from None


def train(data: str | Sequence[str], *, force: bool = False, **settings: Any) -> Path:
    """Fine-tunes a base model on labelled texts; the same as ``topicgen train``, and as quiet as ``-q``.

    Args:
        data: Tables of texts with topics, folders, or a hub data set id.
        force: Whether to overwrite a finished model.
        settings: Fields of TrainingSettings, such as ``base="mini"``, ``output_dir="my-model"``.

    Returns:
        The model folder, which ``TopicGenerator.load`` takes.

    Raises:
        UserError: For data, settings or a base that cannot be trained with; a setting that does not exist is a
            UsageError.
    """
    base = str(settings.get("base", TrainingSettings().base))
    chosen = combine(BASE_DEFAULTS.get(base, {}), settings)
    inputs = [data] if isinstance(data, str) else list(data)
    TrainJob(inputs, chosen, ReaderSettings(), None, None, force, lambda _: None, lambda _: None, True).run()
    return Path(chosen.output_dir)
