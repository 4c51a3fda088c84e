"""Settings of training: each default once, with the help that the command line shows; recipes (YAML) -> settings."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from topicgen.config import require_between, require_one_of
from topicgen.errors import UsageError, UserError
from topicgen.extras import require

Precision = Literal["auto", "nf4", "bf16", "fp8", "float32"]
Schedule = Literal["linear", "cosine", "constant"]
Optimizer = Literal["auto", "adamw_8bit", "adamw"]
Tracker = Literal["none", "wandb", "tensorboard", "trackio"]
Backend = Literal["topicgen", "unsloth"]

MODULES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


BASE_DEFAULTS: dict[str, dict[str, Any]] = {
    # A small model learns from few labels in minutes: higher rate, smaller steps, several passes.
    "mini": {
        "learning_rate": 1e-3,
        "num_train_epochs": 3.0,
        "per_device_train_batch_size": 16,
        "gradient_accumulation_steps": 1,
        "max_length": 1024,
    }
}
"""Settings that differ from the defaults for a base model."""


def _setting(default: Any, help_text: str) -> Any:
    return field(default=default, metadata={"help": help_text})


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """How a base model is fine-tuned. The defaults are those of the original project; names are the field's usual."""

    base: str = _setting("mini", "mini, llama3-8b, a model folder or a hub id of the Llama architecture")
    output_dir: str = _setting("topicgen-model", "model folder to write")
    backend: Backend = _setting("topicgen", "what trains: topicgen's own loop, or Unsloth with TRL in its place")
    text_column: str | None = _setting(None, "column of the text")
    topic_column: str | None = _setting(None, "column of the topic")
    validation_fraction: float = _setting(0.05, "share of examples for validation, by a seeded hash of the text")
    test_fraction: float = _setting(0.0, "share of examples that training never reads")
    max_length: int = _setting(2048, "tokens of an example, prompt and topic; the text of longer ones is cut")
    num_train_epochs: float = _setting(1.0, "passes over the training examples")
    max_steps: int | None = _setting(None, "stop after this many optimiser steps, whatever the epochs")
    per_device_train_batch_size: int = _setting(8, "examples of a device between two accumulations")
    gradient_accumulation_steps: int = _setting(8, "accumulations before an optimiser step")
    learning_rate: float = _setting(2e-4, "highest learning rate")
    lr_scheduler_type: Schedule = _setting("linear", "how the learning rate falls to zero after the warm-up")
    warmup_steps: int = _setting(5, "optimiser steps in which the learning rate rises")
    weight_decay: float = _setting(0.01, "decoupled weight decay")
    max_grad_norm: float = _setting(1.0, "longest gradient; longer ones are scaled down")
    optim: Optimizer = _setting("auto", "auto is adamw_8bit on a GPU with bitsandbytes, else adamw")
    lora_r: int = _setting(16, "rank of the adapter")
    lora_alpha: float = _setting(16.0, "scale of the adapter is lora_alpha / lora_r")
    lora_dropout: float = _setting(0.0, "dropout before the adapter")
    seed: int = _setting(3407, "seed of the split, the order and the adapter's start")
    precision: Precision = _setting("auto", "arithmetic of the frozen weights; auto goes by memory and chip")
    memory: str = _setting("auto", "GPU memory to use, in GB; auto takes what is free")
    pack_tokens: int | None = _setting(None, "tokens of one pack; the default goes by memory")
    recompute: bool | None = _setting(None, "compute layers again in the backward pass; the default goes by memory")
    compile: bool | None = _setting(None, "compile the layers; the default is yes on a GPU")
    fsdp: bool = _setting(False, "share the frozen base among the processes of torchrun, layer by layer")
    eval_steps: int | None = _setting(None, "optimiser steps between evaluations; the default is ten a run")
    save_steps: int | None = _setting(None, "optimiser steps between checkpoints; the default is with evaluations")
    save_total_limit: int = _setting(2, "checkpoints to keep, besides the best")
    early_stopping_patience: int | None = _setting(None, "stop after so many evaluations without a better loss")
    shown_topics: int = _setting(8, "validation topics written and scored at each evaluation")
    resume: str = _setting("auto", "auto takes the newest checkpoint that verifies, never starts anew, or a folder")
    report_to: Tracker = _setting("none", "experiment tracker; keys come from the environment")
    project: str = _setting("topicgen", "project name at the tracker")
    run_name: str | None = _setting(None, "run name at the tracker")

    def __post_init__(self) -> None:
        require_between(
            self,
            ("validation_fraction", 0, 0.9),
            ("test_fraction", 0, 0.9),
            ("max_length", 16, 131_072),
            ("num_train_epochs", 1e-6, 10_000),
            ("max_steps", 1, 2**31),
            ("per_device_train_batch_size", 1, 2**20),
            ("gradient_accumulation_steps", 1, 2**20),
            ("learning_rate", 0, 10),
            ("warmup_steps", 0, 2**31),
            ("weight_decay", 0, 10),
            ("max_grad_norm", 1e-9, 1e9),
            ("lora_r", 1, 4096),
            ("lora_alpha", 1e-6, 1e6),
            ("lora_dropout", 0, 0.99),
            ("seed", 0, 2**31 - 1),
            ("pack_tokens", 64, 2**22),
            ("eval_steps", 1, 2**31),
            ("save_steps", 1, 2**31),
            ("save_total_limit", 1, 10_000),
            ("early_stopping_patience", 1, 2**31),
            ("shown_topics", 0, 1000),
        )
        kinds = {
            "backend": Backend,
            "precision": Precision,
            "lr_scheduler_type": Schedule,
            "optim": Optimizer,
            "report_to": Tracker,
        }
        for name, kind in kinds.items():
            require_one_of(name, getattr(self, name), get_args(kind))
        if self.validation_fraction + self.test_fraction >= 1:
            raise UsageError("validation_fraction and test_fraction leave nothing to train on")
        if self.memory != "auto" and not _positive(self.memory):
            raise UsageError(f"memory must be auto or a number of GB, not {self.memory!r}")

    @property
    def examples_per_step(self) -> int:
        """Examples of one optimiser step on one device."""
        return self.per_device_train_batch_size * self.gradient_accumulation_steps

    @property
    def lora_scale(self) -> float:
        """Factor of the adapter's output."""
        return self.lora_alpha / self.lora_r


def _positive(text: str) -> bool:
    try:
        return float(text) > 0
    except ValueError:
        return False


def read_recipe(path: Path) -> dict[str, Any]:
    """Settings of a recipe file, by name.

    Raises:
        UserError: When the file cannot be read, is no YAML mapping, or names a setting that does not exist.
    """
    yaml = require("yaml", "train")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not YAML ({' '.join(str(error).split())})") from None
    if not isinstance(values, dict):
        raise UserError(f"{path}: a recipe is a list of settings, name: value")
    known = {f.name for f in fields(TrainingSettings)}
    for name in values:
        if name not in known:
            raise UserError(f"{path}: no setting {name!r}; there are {', '.join(sorted(known))}")
    return values


def combine(*layers: Mapping[str, Any]) -> TrainingSettings:
    """Settings from several layers, later ones win: base defaults, recipe, command line.

    Raises:
        UsageError: For a value of the wrong type or out of range.
    """
    values: dict[str, Any] = {}
    for layer in layers:
        values.update(layer)
    known = {f.name for f in fields(TrainingSettings)}
    if unknown := sorted(values.keys() - known):
        raise UsageError(f"no setting {unknown[0]!r}; there are {', '.join(sorted(known))}")
    for f in fields(TrainingSettings):
        if f.name in values:
            values[f.name] = _typed(f.name, getattr(f.type, "__name__", str(f.type)), values[f.name])
    return replace(TrainingSettings(), **values)


def _typed(name: str, kind: str, value: Any) -> Any:
    """The value as its field's type: YAML reads ``2e-4`` as text, and ``1`` as a whole number."""
    if value is None:
        if "None" in kind:
            return None
        raise UsageError(f"{name} needs a value")
    if "bool" in kind:
        if not isinstance(value, bool):
            raise UsageError(f"{name} must be true or false, not {value!r}")
        return value
    try:
        if kind.startswith("float"):
            return float(value)
        if kind.startswith("int"):
            if isinstance(value, bool) or float(value) != int(value):
                raise ValueError
            return int(value)
    except (TypeError, ValueError):
        raise UsageError(f"{name} must be a number, not {value!r}") from None
    return str(value)
