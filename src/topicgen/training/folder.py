"""A fitted adapter in, a model folder out: everything needed to generate, and what is known of its making."""

import hashlib
import json
import platform
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from topicgen.errors import UserError
from topicgen.models import WeightsFolder
from topicgen.prompt import Prompt
from topicgen.training.curve import draw_losses
from topicgen.training.examples import ExampleSplit
from topicgen.training.loop import Progress
from topicgen.training.lora import Adapter
from topicgen.training.memory import Plan
from topicgen.training.settings import TrainingSettings
from topicgen.version import __version__

PACKAGES = ("torch", "transformers", "peft", "bitsandbytes", "safetensors", "tokenizers")
BACKEND_PACKAGES = {"topicgen": (), "unsloth": ("unsloth", "unsloth_zoo", "trl", "accelerate", "xformers")}


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a model folder tells of its making."""

    base: WeightsFolder
    prompt: Prompt
    settings: TrainingSettings
    plan: Plan
    split: ExampleSplit
    progress: Progress
    peak_bytes: int


def write_folder(folder: Path, adapter: Adapter, facts: ModelFacts) -> None:
    """Writes the folder; the adapter's weights come last, so that a folder with weights is complete.

    Raises:
        UserError: When it cannot be written.
    """
    try:
        for name in ("tokenizer.json", "tokenizer_config.json", "config.json", "generation_config.json"):
            if (facts.base.path / name).exists():
                shutil.copyfile(facts.base.path / name, folder / name)
        facts.prompt.save(folder)
        base = {"name": facts.settings.base, "digest": facts.base.digest, "weights": facts.base.weights_digest}
        base["adapter"] = hashlib.sha256(adapter.content).hexdigest()
        _write_json(folder / "base.json", base)
        _write_json(folder / "training.json", _training(facts))
        draw_losses(facts.progress.history, folder / "loss.png")
        (folder / "README.md").write_text(_card(facts), encoding="utf-8")
        if facts.split.test:
            rows = ({"text": e.text, "topic": e.references[0]} for e in facts.split.test)
            _write_lines(folder / "test.jsonl", rows)
        else:  # that of an earlier model would hold what this one learned from
            (folder / "test.jsonl").unlink(missing_ok=True)
        adapter.save(folder, facts.settings.base)
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be written ({error.strerror}); checkpoints are kept, the same command goes on"
        ) from None


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def _write_lines(path: Path, rows: Iterable[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8") as stream:
        stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _versions(backend: str) -> dict[str, str]:
    found = {"topicgen": __version__, "python": platform.python_version()}
    for name in (*PACKAGES, *BACKEND_PACKAGES[backend]):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _training(facts: ModelFacts) -> dict[str, Any]:
    progress = facts.progress
    return {
        "settings": asdict(facts.settings),
        "plan": asdict(facts.plan),
        "data": {
            "fingerprint": facts.split.fingerprint,
            "train": len(facts.split.train),
            "validation": len(facts.split.validation),
            "test": len(facts.split.test),
            "left_out": facts.split.left_out,
        },
        "speed": {
            "samples_per_second": progress.samples / max(progress.seconds, 1e-9),
            "tokens_per_second": progress.tokens / max(progress.seconds, 1e-9),
            "seconds": progress.seconds,
        },
        "peak_memory_bytes": facts.peak_bytes,
        "steps": progress.step,
        "best_step": progress.best_step or progress.step,
        "best_validation_loss": progress.best_loss if progress.best_step else None,
        "history": progress.history,
        "topics": progress.shown,
        "versions": _versions(facts.settings.backend),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
    }


def _card(facts: ModelFacts) -> str:
    settings, progress = facts.settings, facts.progress
    scores = "No validation examples: nothing was measured."
    if progress.best_step:
        scores = f"Validation loss on topic tokens: {progress.best_loss:.4f} (step {progress.best_step})."
        best = [row["rouge1"] for row in progress.history if row["step"] == progress.best_step and "rouge1" in row]
        if best:
            scores += f" ROUGE-1 of {len(progress.shown)} validation topics there: {100 * best[-1]:.1f}."
    name = Path(settings.output_dir).name
    means = "" if settings.backend == "topicgen" else " with Unsloth and TRL"
    return f"""---
library_name: peft
base_model: {settings.base}
pipeline_tag: text-generation
tags: [lora, topicgen]
---

# {name}

A LoRA adapter that writes the topic of a text, trained by topicgen {__version__}{means} on
{len(facts.split.train)} examples.

    topicgen generate --model {name} texts.csv

- Base: {settings.base} (weights sha256 {facts.base.weights_digest[:16]}...), computed in {facts.plan.precision}
- LoRA: r {settings.lora_r}, alpha {settings.lora_alpha:g}, on all seven matrices of each layer
- {progress.step} steps of {settings.examples_per_step} examples, learning rate {settings.learning_rate:g}

{scores} `training.json` holds all settings and numbers, `loss.png` the loss.
The prompt is in `prompt.json`; the licence of the base model applies to the adapter too.
"""
