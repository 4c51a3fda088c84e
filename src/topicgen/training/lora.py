"""Low-rank adapters (LoRA; Hu et al. 2021): trainable matrices beside the frozen ones, kept in PEFT's format."""

import itertools
import json
import math
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from topicgen.llama.weights import BLOCKS
from topicgen.outputs import replace_whole
from topicgen.training.settings import MODULES, TrainingSettings

WEIGHTS = "adapter_model.safetensors"  # a folder with it is a finished model
ALIGNED = 256  # numbers; the 8-bit optimiser has a scale for each so many


class Adapter(torch.nn.Module):
    """The LoRA matrices of all layers.

    Args:
        shapes: (out, in) of each frozen matrix of a layer, by module name.
        layers: Number of layers.
        settings: Rank, scale, dropout and seed.
        device: Where the matrices live.
        dtype: Their type; float32, so that small updates are not lost.

    A starts as in PEFT (Kaiming uniform), B at zero, so that training starts from the base model. All matrices lie in
    one tensor, the only parameter, so that clipping, exchange and optimiser are one call rather than hundreds.
    """

    def __init__(
        self,
        shapes: dict[str, tuple[int, int]],
        layers: int,
        settings: TrainingSettings,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.scale = settings.lora_scale
        self.dropout = settings.lora_dropout
        self.rank = settings.lora_r
        sizes = {
            f"{layer}-{name}-{side}": (self.rank, wide) if side == "A" else (out, self.rank)
            for layer in range(layers)
            for name, (out, wide) in shapes.items()
            for side in "AB"
        }
        starts = [0, *itertools.accumulate(-(-math.prod(size) // ALIGNED) * ALIGNED for size in sizes.values())]
        self.flat = torch.nn.Parameter(torch.zeros(starts[-1], device=device, dtype=dtype))
        self.flat.grad = torch.zeros_like(self.flat)
        generator = torch.Generator().manual_seed(settings.seed)
        self._matrices: dict[str, torch.nn.Parameter] = {}
        self._parts: list[torch.Tensor] = []
        for start, (key, size) in zip(starts, sizes.items(), strict=False):
            part = slice(start, start + math.prod(size))
            if key.endswith("A"):
                bound = 1 / math.sqrt(size[1])  # kaiming_uniform_ with a = sqrt(5)
                drawn = torch.empty(size).uniform_(-bound, bound, generator=generator)
                self.flat.data[part] = drawn.flatten().to(device, dtype)
            self._matrices[key] = torch.nn.Parameter(self.flat.data[part].view(size))
            self._parts.append(self.flat.grad[part].view(size))

    def pair(self, layer: int, *names: str) -> tuple[tuple[torch.Tensor, ...], tuple[torch.Tensor, ...]]:
        """The A and the B matrices of modules that read the same input."""
        return (
            tuple(self._matrices[f"{layer}-{name}-A"] for name in names),
            tuple(self._matrices[f"{layer}-{name}-B"] for name in names),
        )

    def gather(self) -> None:
        """Moves the gradients of the matrices into that of ``flat``; a matrix without one has zeros."""
        assert self.flat.grad is not None
        found = [
            (part, m.grad) for part, m in zip(self._parts, self._matrices.values(), strict=True) if m.grad is not None
        ]
        if len(found) < len(self._parts):  # this process had no example
            self.flat.grad.zero_()
        if found:
            torch._foreach_copy_([part for part, _ in found], [grad for _, grad in found])
        for matrix in self._matrices.values():
            matrix.grad = None

    def named(self) -> dict[str, torch.nn.Parameter]:
        """All matrices by PEFT's names, in a fixed order."""
        found = {}
        for key, parameter in self._matrices.items():
            layer, name, side = key.split("-")
            found[f"base_model.model.model.layers.{layer}.{BLOCKS[name]}.{name}.lora_{side}.weight"] = parameter
        return found

    def load(self, tensors: dict[str, torch.Tensor]) -> None:
        """Takes over matrices by PEFT's names."""
        with torch.no_grad():
            for name, parameter in self.named().items():
                parameter.copy_(tensors[name])

    @property
    def content(self) -> bytes:
        """What adapter_model.safetensors holds."""
        tensors = {name: p.detach().cpu().contiguous() for name, p in self.named().items()}
        return save(tensors, metadata={"format": "pt"})

    def save(self, folder: Path, base: str) -> None:
        """Writes adapter_config.json, then adapter_model.safetensors, which appears whole or not at all.

        Nobody else may write the folder meanwhile.
        """
        config: dict[str, Any] = {
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": base,
            "r": self.rank,
            "lora_alpha": self.scale * self.rank,
            "lora_dropout": self.dropout,
            "target_modules": list(MODULES),
            "bias": "none",
            "fan_in_fan_out": False,
            "inference_mode": True,
            "use_rslora": False,
            "use_dora": False,
        }
        (folder / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        for left in folder.glob(f".{WEIGHTS}.*.part"):  # of a run that was killed while it wrote
            left.unlink()
        # Not the library's save_file: it lets nobody else read the file, and a full disk is no OSError there.
        replace_whole(folder / WEIGHTS, self.content)


def low_rank(
    x: torch.Tensor,
    plain: torch.Tensor,
    matrices: tuple[tuple[torch.Tensor, ...], tuple[torch.Tensor, ...]],
    scale: float,
    dropout: float,
) -> torch.Tensor:
    """``plain`` plus the adapter's output for ``x``; the modules that share ``x`` take one product each way.

    The B matrices stand on the diagonal of one matrix, so that all modules take one product.
    """
    a, b = matrices
    if dropout > 0:
        x = torch.nn.functional.dropout(x, dropout)
    inner = x @ (torch.cat(a) if len(a) > 1 else a[0]).to(x.dtype).t()
    joined: torch.Tensor = torch.block_diag(*b) if len(b) > 1 else b[0]  # type: ignore[no-untyped-call]
    # Not addmm, which copies ``plain`` before it adds to it; the compiler fuses the addition with what follows.
    return plain + inner @ (joined.to(x.dtype) * scale).t()
