"""A model folder and its merged weights in, whether they compute the same out."""

from pathlib import Path

import torch
from safetensors.torch import load_file

from topicgen.errors import UserError
from topicgen.models import ModelFolder, WeightsFolder, find_base
from topicgen.training.base import load_base
from topicgen.training.memory import Plan
from topicgen.training.packing import Pack
from topicgen.training.settings import TrainingSettings

TOLERANCE = 0.01  # relative error of the logits; float16 has half a thousandth
NOISE = 1e-4  # of two ways to compute the same


def require_agreement(
    model: ModelFolder, merged: Path, settings: TrainingSettings, sample: Pack, device: torch.device
) -> None:
    """Compares the logits of merged weights with those of adapter and base, computed in float32.

    Weights are read layer by layer and not kept, so that embedding, output matrix and one layer are all that is in
    memory. The error must also be less than half of what the adapter changes, or merged weights without it would pass.

    Args:
        model: An adapter on its base.
        merged: The folder of merged weights.
        settings: Rank and scale of the adapter.
        sample: What to compute.
        device: Where.

    Raises:
        UserError: When they differ.
    """

    def logits(source: WeightsFolder, *, adapted: bool) -> torch.Tensor:
        plan = Plan("float32", False, 0, len(sample.ids), False, "comparison")
        read = load_base(source, settings, plan, device, torch.float32, kept=False)
        if adapted and model.adapter:
            read.adapter.load(load_file(model.adapter.weights))
        with torch.no_grad():
            return read.eval().logits(sample.to(device))

    base = model.base or model
    whole, plain = logits(base, adapted=True), logits(base, adapted=False)
    error, change = (
        ((other - whole).norm() / whole.norm()).item()
        for other in (logits(find_base(str(merged)), adapted=False), plain)
    )
    if not error <= min(TOLERANCE, max(NOISE, change / 2)):
        raise UserError(
            f"merged weights differ from adapter and base by {error:.1e}, of which the adapter changes {change:.1e};"
            " they were not written"
        )
