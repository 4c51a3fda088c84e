"""What FP8 does to quality: the validation loss after fine-tuning a trained model in bfloat16, and in FP8.

    python fp8_quality.py WORK CARRY --base FOLDER [--rows 5000] [--epochs 2]

The same examples, order, rates and start of the adapter. "bf16" and "fp8" are the runs; "other packs" is bf16 with
packs of another size, which shows what rounding alone does. The best adapter of each is also read in bf16, whatever it
was trained in, as generation reads it. --base is a trained model in bf16, such as the embedded one. Prints lines
"RESULT {...}"; the last holds the relative differences to bf16, of which FP8's must be within LIMIT. CARRY holds
arxiv.jsonl.xz, rows {"text", "topic"}.

Without a GPU the reference is float32, and "fp8" rounds all that a GPU rounds, with the products of what was rounded
summed in float32 (a GPU's sums are coarser).
"""

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from ours import read_examples

from topicgen.llama import fp8
from topicgen.models import WeightsFolder, find_base
from topicgen.training import memory
from topicgen.training.base import load_base
from topicgen.training.loop import Data, Trainer
from topicgen.training.prompts import prompt_of
from topicgen.training.rows import encode_examples
from topicgen.training.settings import Precision, TrainingSettings

LIMIT = 0.01
HELD_OUT = 10  # every tenth example
RUNS: dict[str, dict[str, Any]] = {
    "bf16": {"precision": "bf16"},
    "other packs": {"precision": "bf16", "pack_tokens": 2048},
    "fp8": {"precision": "fp8"},
}
ON_CPU: dict[str, dict[str, Any]] = {"float32": {}, "other packs": {"pack_tokens": 1100}, "fp8": {"precision": "fp8"}}


def multiply(x: torch.Tensor, x_scale: torch.Tensor, matrix: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """fp8.multiply for a CPU; the product is rounded to bfloat16 as there, and float32 for the layers around it."""
    product = (x.float() @ matrix.float().t()) * x_scale * scale
    return product.bfloat16().float()


def trainer_of(base: WeightsFolder, data: Data, settings: TrainingSettings, folder: str) -> Trainer:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu" and settings.precision == "fp8":
        plan = replace(memory.plan(base.config, replace(settings, precision="float32"), device), precision="fp8")
    else:
        plan = memory.plan(base.config, settings, device)
    model = load_base(base, settings, plan, device, torch.bfloat16 if device.type == "cuda" else torch.float32)
    trainer = Trainer(model, data, settings, plan, Path(folder), {}, lambda row: None, print)
    trainer._save = lambda: None  # type: ignore[method-assign] # nothing goes on from here
    return trainer


def validation_loss(trainer: Trainer) -> float:
    """That of the adapter as it is."""
    trainer.progress.history.append({})
    trainer._evaluate()
    return trainer.progress.history[-1]["validation_loss"]


def measure(name: str, base: WeightsFolder, data: Data, settings: TrainingSettings, plain: Precision) -> dict[str, Any]:
    """One run: its validation losses, and that of its last adapter when the base is read in ``plain``."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        trainer = trainer_of(base, data, settings, folder)
        before = validation_loss(trainer)
        trainer.progress.history.clear()
        trainer.progress.best_loss = float("inf")
        history = list(trainer.run().history)
        evaluated = [(row["step"], row["validation_loss"]) for row in history if "validation_loss" in row]
        best = {key: p.detach().clone() for key, p in trainer.model.adapter.named().items()}
        reader = trainer_of(base, data, replace(settings, precision=plain, pack_tokens=None), folder)
        reader.model.adapter.load(best)
        read = validation_loss(reader)
    result = {
        "name": name,
        "before": before,
        "final": evaluated[-1][1],
        "best": min(loss for _, loss in evaluated),
        "best_read_in_" + plain: read,
        "evaluated": [(step, round(loss, 4)) for step, loss in evaluated],
        "first_loss": history[0]["loss"],
        "steps": len(history),
        "seconds": round(time.perf_counter() - began, 1),
        "samples_s": round(trainer.progress.samples / trainer.progress.seconds, 1),
    }
    print("RESULT " + json.dumps(result), flush=True)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("carry", type=Path)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--epochs", type=float, default=2)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--per-step", type=int, default=16)
    parser.add_argument("--max-length", type=int, default=512)
    options = parser.parse_args()
    plain: Precision = "bf16" if torch.cuda.is_available() else "float32"
    runs = RUNS if torch.cuda.is_available() else ON_CPU
    if runs is ON_CPU:
        fp8.multiply = multiply
    settings = TrainingSettings(
        num_train_epochs=options.epochs,
        learning_rate=options.learning_rate,
        per_device_train_batch_size=options.per_step,
        gradient_accumulation_steps=1,
        max_length=options.max_length,
        shown_topics=0,
        resume="never",
        save_steps=10**6,
    )
    base = find_base(str(options.base))
    prompt = prompt_of(base)
    examples = read_examples(options.carry / "arxiv.jsonl.xz")[: options.rows]
    encoded = encode_examples(examples, prompt, base.tokenizer, settings.max_length)
    train = [row for number, row in enumerate(encoded.rows) if number % HELD_OUT]
    data = Data(encoded.prefix, train, encoded.rows[::HELD_OUT], base.tokenizer, encoded.rows[0].ids[-1])
    print(f"{len(data.train)} examples for training, {len(data.validation)} for validation", flush=True)
    results = []
    for name, changes in runs.items():
        torch._dynamo.reset()  # each run compiles its own shapes
        results.append(measure(name, base, data, replace(settings, **changes), plain))
    first, read = results[0], "best_read_in_" + plain
    apart = {r["name"]: {key: r[key] / first[key] - 1 for key in ("final", "best", read)} for r in results[1:]}
    worst = max(abs(value) for value in apart[results[-1]["name"]].values())
    summary = {"name": "fp8 quality", "relative_to": plain, **apart, "limit": LIMIT, "within": worst <= LIMIT}
    summary["device"] = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    print("RESULT " + json.dumps(summary), flush=True)
    options.work.mkdir(parents=True, exist_ok=True)
    (options.work / "fp8_quality.json").write_text(json.dumps([*results, summary], indent=1) + "\n", encoding="utf-8")
    raise SystemExit(0 if worst <= LIMIT else 1)


if __name__ == "__main__":
    main()
