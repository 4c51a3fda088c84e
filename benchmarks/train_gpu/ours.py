"""topicgen's own rows of the benchmark of fine-tuning, each in a process of its own; prints one line "RESULT {...}".

    python ours.py fp8 --base FOLDER/nf4 --data FILE.jsonl.xz --steps 5 --warm-up 3

nf4, bf16, fp8   the default settings on a large GPU, in one precision; bf16 and fp8 are made from the NF4 base too
16gb             the recipe for cards of 16 GB: NF4 kept in four bits, layers computed again
Further settings of training as NAME=VALUE after the row's name, for ablations; and without=NAME, which takes away what
no setting does:

prefix   every example carries the whole prompt, as its own tokens
kept     last layer and output matrix are computed for all rows of a pack; the others weigh nothing in the loss
dense    matrices stay in NF4 and are made dense in every layer of every step; needs recompute=true, because all layers
         share the memory that they are made dense in
"""

import argparse
import json
import lzma
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from topicgen.models import WeightsFolder, find_base
from topicgen.records import Example
from topicgen.training import base as base_files
from topicgen.training import loop, memory
from topicgen.training.base import load_base
from topicgen.training.loop import Data, Trainer
from topicgen.training.packing import Pack
from topicgen.training.prompts import prompt_of
from topicgen.training.rows import TokenRow, encode_examples
from topicgen.training.settings import combine

ROWS: dict[str, dict[str, Any]] = {
    "nf4": {"precision": "nf4"},
    "bf16": {"precision": "bf16"},
    "fp8": {"precision": "fp8"},
    "16gb": {"precision": "nf4", "memory": "8", "pack_tokens": 2048, "max_length": 1024},
}


class RandomTensors:
    """Random weights of the base's shapes in place of its files: what a trial run needs, without the files."""

    def __init__(self, model: WeightsFolder, device: torch.device, dtype: torch.dtype) -> None:
        rows = model.number("vocab_size"), model.number("hidden_size")
        self._shapes = {**model.linear_shapes(), "embed_tokens": rows, "lm_head": rows}
        self._device, self._dtype = device, dtype

    def dense(self, name: str, *, rounded_to_nf4: bool = False) -> torch.Tensor:
        shape = self._shapes.get(name.split(".")[-2])
        if shape is None:
            return torch.ones(self._shapes["lm_head"][1], device=self._device, dtype=self._dtype)
        return torch.empty(shape, device=self._device, dtype=self._dtype).normal_(0, 0.02)

    def quantised(self, name: str) -> tuple[torch.Tensor, Any]:
        from bitsandbytes.functional import quantize_4bit

        return quantize_4bit(self.dense(name), quant_type="nf4", compress_statistics=True)


def read_examples(path: Path) -> list[Example]:
    """Rows {"text", "topic"} of JSON lines, xz-compressed or not."""
    with lzma.open(path, "rt", encoding="utf-8") if path.suffix == ".xz" else path.open(encoding="utf-8") as lines:
        return [Example(str(n), row["text"], (row["topic"],)) for n, row in enumerate(map(json.loads, lines))]


def with_prompt(prefix: tuple[int, ...], rows: list[TokenRow]) -> list[TokenRow]:
    """Rows that need no shared prefix."""
    return [TokenRow((*prefix, *row.ids), len(prefix) + row.answer) for row in rows]


def all_kept(pack: Pack) -> Pack:
    """A pack with the same loss, for which the last layer and the logits are computed for every row.

    Row 0 stands in for those of the prefix, as it does in filling, so that all blocks of rows are whole.
    """
    size, shared = len(pack.ids), pack.prefix
    kept = torch.cat([torch.arange(shared, size), torch.zeros(shared, dtype=torch.int64)])
    targets, weights = torch.zeros_like(kept), torch.zeros(size)
    real = pack.weights > 0
    place = pack.kept[real] - shared
    targets[place], weights[place] = pack.targets[real], pack.weights[real]
    bounds = tuple((first - shared, last - shared) for first, last in pack.bounds)
    return replace(pack, kept=kept, targets=targets, weights=weights, kept_bounds=bounds)


def keep_all_rows() -> None:
    """From now on the trainer's packs keep all rows."""
    made: Callable[..., list[Pack]] = vars(loop)["packs"]
    vars(loop)["packs"] = lambda *arguments: [all_kept(pack) for pack in made(*arguments)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("row", choices=sorted(ROWS))
    parser.add_argument("changes", nargs="*", metavar="NAME=VALUE")
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--random", action="store_true", help="random weights; of the base only the config is read")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--warm-up", type=int, default=3)
    options = parser.parse_intermixed_args()
    began = time.perf_counter()
    changes: dict[str, Any] = dict(change.split("=") for change in options.changes)
    changes |= {name: value == "true" for name, value in changes.items() if value in ("true", "false")}
    without = changes.pop("without", None)
    if without not in (None, "prefix", "kept", "dense"):
        parser.error(f"without={without}: prefix, kept or dense")
    settings = combine(
        ROWS[options.row],
        {
            "max_steps": options.steps + options.warm_up,
            "resume": "never",
            "save_steps": 10**6,
            "validation_fraction": 0,
        },
        changes,
    )
    device = torch.device("cuda")
    if options.random:  # no weights are read, so the folder needs none
        base = WeightsFolder(options.base, str(options.base), [options.base / "config.json"])
    else:
        base = find_base(str(options.base))
    prompt = prompt_of(base)
    encoded = encode_examples(read_examples(options.data), prompt, base.tokenizer, settings.max_length)
    plan = memory.plan(base.config, settings, device)
    if without == "dense":
        if not plan.recompute:
            parser.error("without=dense needs recompute=true")
        plan = replace(plan, packed=True)
    print(plan, flush=True)
    if options.random:
        base_files.Tensors = RandomTensors  # type: ignore[assignment, misc]
    model = load_base(base, settings, plan, device, torch.bfloat16)
    print(f"loaded after {time.perf_counter() - began:.1f} s", flush=True)
    stop = base.tokenizer.token_to_id(prompt.stop)
    data = Data(encoded.prefix, encoded.rows, [], base.tokenizer, stop)
    if without == "prefix":
        data = replace(data, prefix=(), train=with_prompt(encoded.prefix, encoded.rows))
    if without == "kept":
        keep_all_rows()
    told: list[dict[str, Any]] = []

    def report(row: Any) -> None:
        told.append(dict(row))
        if len(told) == options.warm_up:
            torch.cuda.reset_peak_memory_stats()
        print(
            f"step {row['step']}: loss {row['loss']:.3f}, {row['samples'] / row['seconds']:.1f} samples/s", flush=True
        )

    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(model, data, settings, plan, Path(folder), "benchmark", report, print)
        print(f"packs of {trainer.fill}", flush=True)
        trainer._save = lambda: None  # type: ignore[method-assign] # what is measured is the training alone
        trainer.run()
    timed = told[options.warm_up :]
    seconds = sum(row["seconds"] for row in timed)
    samples = sum(row["samples"] for row in timed)
    whole = sum(len(encoded.prefix) + len(row.ids) for row in encoded.rows) / len(encoded.rows)
    result = {
        "name": options.row if not options.changes else f"{options.row} {' '.join(options.changes)}",
        "samples_s": round(samples / seconds, 2),
        "tokens_s": round(samples / seconds * whole),
        "tokens_per_sample": round(whole, 1),
        "peak_gb": round(torch.cuda.max_memory_allocated() / 2**30, 1),
        "seconds": round(seconds, 2),
        "samples": samples,
        "losses": [round(row["loss"], 4) for row in told],
        "first_steps_s": round(sum(row["seconds"] for row in told[: options.warm_up]), 1),
        "device": torch.cuda.get_device_name(),
        "versions": {
            "python": sys.version.split()[0],
            "torch": version("torch"),
            "transformers": version("transformers"),
        },
    }
    print("RESULT " + json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
