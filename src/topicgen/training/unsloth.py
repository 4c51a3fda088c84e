"""Settings and a base model in, a fitted adapter out: Unsloth's model in TRL's trainer, in place of our own loop."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir, contextmanager, redirect_stdout
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from topicgen.errors import UsageError, UserError
from topicgen.extras import require
from topicgen.models import EMBEDDED, WeightsFolder
from topicgen.runs.fingerprint import Fingerprint
from topicgen.training.loop import Data, Progress, Report
from topicgen.training.lora import Adapter
from topicgen.training.memory import Plan
from topicgen.training.settings import MODULES, TrainingSettings

INSTALL = "make venv-unsloth, or pip install -c constraints-unsloth.txt '.[unsloth]' in an environment of its own"
BF16_CAPABILITY = (8, 0)


def refuse_what_it_lacks(settings: TrainingSettings, *, merge: bool) -> None:
    """Raises UsageError for the first setting that has no meaning with this backend."""
    lacking = {
        "--pack-tokens": settings.pack_tokens is not None and "batches are padded, not packed",
        "--memory": settings.memory != "auto" and "Unsloth goes by the whole GPU",
        "--compile": settings.compile is not None and "Unsloth compiles what it needs",
        "--precision": settings.precision in ("fp8", "float32") and "it trains in nf4 or bf16",
        "--merge": merge and "train without it, the adapter serves as it is",
        "torchrun": int(os.environ.get("WORLD_SIZE", "1")) > 1 and "it trains on one GPU",
    }
    for name, reason in lacking.items():
        if reason:
            raise UsageError(f"{name} has no meaning with --backend unsloth: {reason}")


def plan(config: dict[str, Any], settings: TrainingSettings) -> Plan:
    """How Unsloth computes the base: in 4 bits when it is stored so or asked to be, else in bfloat16.

    Raises:
        UserError: When bfloat16 is asked of a base that is stored in 4 bits.
    """
    quantised = bool(config.get("quantization_config"))
    if quantised and settings.precision == "bf16":
        raise UserError("--backend unsloth computes a base that is stored in 4 bits in nf4; leave --precision away")
    precision = "nf4" if quantised or settings.precision == "nf4" else "bf16"
    again = settings.recompute is not False
    return Plan(
        precision, precision == "nf4", again, 0, True, f"{precision}, by Unsloth: padded batches, TRL's trainer"
    )


@contextmanager
def started(settings: TrainingSettings, inputs: Sequence[str]) -> Iterator[Path]:
    """Imports Unsloth before anything imports transformers, TRL or PEFT; gives the folder for its compiled code.

    Statistics stay off, and the hub is not asked unless base or data come from it.

    Raises:
        UserError: When it is not installed, or there is no GPU that it can train on.
    """
    for name in ("unsloth", "trl"):
        if find_spec(name) is None:
            raise UserError(f"--backend unsloth needs {name}, which is not installed: {INSTALL}")
    # One GPU: with several in sight the trainer would spread batches over them, which TRL refuses.
    os.environ["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    if not torch.cuda.is_available():
        raise UserError("--backend unsloth needs an NVIDIA GPU, and there is none; without it the backend is topicgen")
    if torch.cuda.get_device_capability() < BF16_CAPABILITY:
        raise UserError("--backend unsloth needs a GPU that computes in bfloat16 (compute capability 8.0)")
    os.environ.update(environment(settings.base, inputs))
    with TemporaryDirectory(prefix="topicgen-unsloth-", ignore_cleanup_errors=True) as folder:
        with chdir(folder), redirect_stdout(sys.stderr):  # it writes code into the current folder, and greets
            require("unsloth", "unsloth")
        yield Path(folder)


def environment(base: str, inputs: Sequence[str]) -> dict[str, str]:
    """Environment variables that Unsloth and the hub's client read when they are imported."""
    variables = {"UNSLOTH_DISABLE_STATISTICS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    local = [base in EMBEDDED or Path(base).exists(), *(name == "-" or Path(name).exists() for name in inputs)]
    return variables | {"HF_HUB_OFFLINE": "1"} if all(local) else variables


def load_model(base: WeightsFolder, settings: TrainingSettings, chosen: Plan) -> tuple[Any, Any]:
    """Unsloth's model of the base's folder with a fresh adapter of PEFT, and its tokenizer."""
    fast = require("unsloth", "unsloth").FastLanguageModel
    model, tokenizer = fast.from_pretrained(
        model_name=str(base.path.resolve()),
        max_seq_length=min(settings.max_length, base.context_tokens),
        dtype=torch.bfloat16,
        load_in_4bit=chosen.precision == "nf4",
        trust_remote_code=False,
    )
    alpha = settings.lora_alpha
    model = fast.get_peft_model(
        model,
        r=settings.lora_r,
        lora_alpha=int(alpha) if alpha == int(alpha) else alpha,
        lora_dropout=settings.lora_dropout,
        target_modules=list(MODULES),
        bias="none",
        use_gradient_checkpointing="unsloth" if chosen.recompute else False,
        random_state=settings.seed,
    )
    return model, tokenizer


def fit(
    base: WeightsFolder,
    data: Data,
    settings: TrainingSettings,
    chosen: Plan,
    place: Path,
    folder: Path,
    identity: Fingerprint,
    report: Report,
    say: Callable[[str], None],
) -> tuple[Progress, Adapter]:
    """Trains in ``place``; the adapter of the best evaluation comes back in our own form.

    Raises:
        UserError: For lack of memory, and as the trainer does.
    """
    from topicgen.training import sft  # imports TRL, which Unsloth changes

    folder, base.path = folder.resolve(), base.path.resolve()
    if settings.resume not in ("auto", "never"):
        settings = replace(settings, resume=str(Path(settings.resume).resolve()))
    try:
        with chdir(place), redirect_stdout(sys.stderr):
            load = partial(load_model, base, settings, chosen)
            progress, tensors = sft.fit(load, data, settings, folder, identity, report, say)
    except torch.OutOfMemoryError:
        raise UserError(
            "out of GPU memory: lower --per-device-train-batch-size (and raise --gradient-accumulation-steps), or"
            " lower --max-length"
        ) from None
    adapter = Adapter(base.linear_shapes(), base.number("num_hidden_layers"), settings, torch.device("cpu"))
    if needed := adapter.named().keys() ^ tensors.keys():
        raise UserError(f"{folder}: the trained adapter is not one of all seven matrices of each layer: {min(needed)}")
    adapter.load(tensors)
    return progress, adapter
