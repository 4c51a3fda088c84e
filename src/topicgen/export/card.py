"""A model folder in, the model card of its hub repository out."""

import json
from pathlib import Path
from typing import Any

from topicgen.adapters import read_object
from topicgen.errors import UserError
from topicgen.models import BASES, ModelFolder
from topicgen.version import __version__

TRAINING_FILE = "training.json"


def card(model: ModelFolder, repo: str) -> str:
    """The card: what the model is, how to run it, its prompt, and what is known of its training."""
    base = _hub_base(model)
    head = {
        "library_name": "peft" if model.adapter else "transformers",
        **({"base_model": base} if base else {}),
        **({"license": "apache-2.0"} if _on_mini(model) else {}),
        "pipeline_tag": "text-generation",
        "tags": json.dumps(["topicgen", *(["lora"] if model.adapter else [])]),
    }
    name = repo.partition("/")[2]
    kind = f"A LoRA adapter on {base or 'topicgen’s mini'}" if model.adapter else "A model of the Llama architecture"
    parts = [
        "---\n" + "".join(f"{key}: {value}\n" for key, value in head.items()) + "---",
        f"# {name}",
        f"{kind} that writes the topic of a text, made with topicgen {__version__}.",
        f"    pip install topicgen\n    topicgen generate --model {repo} texts.csv",
        *_making(model),
        "## Prompt",
        "The text stands between prefix and suffix; the topic follows and ends with the stop token.",
        "```json\n" + json.dumps(_prompt(model), indent=2, ensure_ascii=False) + "\n```",
        "## Limits",
        "A topic may hold a word that the text does not support: read before you publish."
        + ("" if _on_mini(model) else " The licence of the base model applies to this model too."),
    ]
    return "\n\n".join(parts) + "\n"


def _on_mini(model: ModelFolder) -> bool:
    return (model.adapter.base_name if model.adapter else model.name) == "mini"


def _hub_base(model: ModelFolder) -> str | None:
    name = model.adapter.base_name if model.adapter else ""
    name = BASES.get(name, name)
    return name if "/" in name else None


def _prompt(model: ModelFolder) -> dict[str, str]:
    return {"prefix": model.prompt.prefix, "suffix": model.prompt.suffix, "stop": model.prompt.stop}


def _making(model: ModelFolder) -> list[str]:
    """What the trainer wrote down; nothing for a model that topicgen did not train."""
    path = model.path / TRAINING_FILE
    if not path.is_file():
        return []
    try:
        return ["## Training", "\n".join(_training(read_object(path)))]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: is no record of a training run ({error!r})") from None


def _training(made: dict[str, Any]) -> list[str]:
    settings, data, versions = made["settings"], made["data"], made["versions"]
    lines = [
        f"- {data['train']} examples for training, {data['validation']} for validation, {data['test']} for test",
        f"- LoRA: r {settings['lora_r']}, alpha {settings['lora_alpha']:g}, on all seven matrices of each layer",
        f"- {made['steps']} steps, learning rate {settings['learning_rate']:g}, seed {settings['seed']},"
        f" computed in {made['plan']['precision']}",
    ]
    if made["best_validation_loss"] is not None:
        lines.append(f"- Validation loss on topic tokens {made['best_validation_loss']:.4f} (step {made['best_step']})")
    scores = [row["rouge1"] for row in made["history"] if "rouge1" in row]
    if scores:
        count = len(made["topics"])
        lines.append(f"- ROUGE-1 of {count} validation topics at the last evaluation: {100 * scores[-1]:.1f}")
    lines.append(f"- torch {versions['torch']}, transformers {versions['transformers']}; {made['date']}")
    return lines


def write_card(model: ModelFolder, folder: Path, repo: str) -> None:
    (folder / "README.md").write_text(card(model, repo), encoding="utf-8")
