"""One of several processes: computes a pack with the whole base and with its share, and writes how they compare.

torchrun --nproc-per-node 2 shares.py BASE FOLDER
"""

import gc
import json
import sys
from itertools import product
from pathlib import Path

import torch
from packs import ALL, random_rows, shifted

from topicgen.models import find_base
from topicgen.training import distributed
from topicgen.training.base import load_base
from topicgen.training.llama import PackedLlama
from topicgen.training.memory import Plan
from topicgen.training.packing import packs
from topicgen.training.settings import TrainingSettings

PREFIX = (0, 17, 4, 99)
VOCABULARY = 160


def held() -> int:
    """Bytes of all tensors of this process, views counted once."""
    gc.collect()
    tensors = [found for found in gc.get_objects() if type(found) in (torch.Tensor, torch.nn.Parameter)]
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())


def computed(model: PackedLlama) -> tuple[float, list[torch.Tensor]]:
    """Loss and gradients of two packs; before them a look, as at an evaluation."""
    rows = random_rows(7, VOCABULARY)
    with torch.no_grad():
        model.eval().loss(packs(PREFIX, rows, 4096)[0])
    model.train()
    total = 0.0
    for pack in packs(PREFIX, rows, 64):
        loss = model.loss(pack)
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.item()
    gradients = [p.grad for p in model.adapter.named().values() if p.grad is not None]
    for parameter in model.adapter.named().values():
        parameter.grad = None
    return total, gradients


def compare(base: Path, precision: str, recompute: int) -> dict[str, float]:
    """What this process holds of the base, and how far its results are from those of the whole."""
    settings = TrainingSettings(lora_r=3, lora_alpha=6)
    dtype = torch.bfloat16 if precision == "fp8" else torch.float64
    results, bytes_held = [], []
    for shares in (1, distributed.Group.current().size):
        before = held()
        plan = Plan(precision, False, recompute, 4096, False, "test", shares)
        model = load_base(find_base(str(base)), settings, plan, torch.device("cpu"), dtype)
        shifted(model.adapter)
        results.append(computed(model))
        gradients = sum(g.numel() * g.element_size() for g in results[-1][1])
        bytes_held.append(held() - before - gradients)
        del model
    (whole, expected), (shared, found) = results
    return {
        "loss": abs(shared - whole) / whole,
        "gradients": max(((a - b).norm() / b.norm()).item() for a, b in zip(found, expected, strict=True)),
        "smallest": min(g.norm().item() for g in expected),
        "saved": bytes_held[0] - bytes_held[1],
    }


if __name__ == "__main__":
    distributed.join()
    made = {f"{p} {again}": compare(Path(sys.argv[1]), p, again) for p, again in product(["float32", "fp8"], [0, ALL])}
    rank = distributed.Group.current().rank
    (Path(sys.argv[2]) / f"{rank}.json").write_text(json.dumps(made))
    distributed.leave()
