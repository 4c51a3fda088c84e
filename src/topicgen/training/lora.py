"""Low-rank adapters (LoRA; Hu et al. 2021): trainable matrices beside the frozen ones, kept in PEFT's format."""

import json
import math
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from topicgen.training.settings import MODULES, TrainingSettings

BLOCKS = {name: "self_attn" if name[0] in "qkvo" else "mlp" for name in MODULES}


class Adapter(torch.nn.Module):
    """The LoRA matrices of all layers.

    Args:
        shapes: (out, in) of each frozen matrix of a layer, by module name.
        layers: Number of layers.
        settings: Rank, scale, dropout and seed.
        device: Where the matrices live.
        dtype: Their type; float32, so that small updates are not lost.

    A starts as in PEFT (Kaiming uniform), B at zero, so that training starts from the base model.
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
        generator = torch.Generator().manual_seed(settings.seed)
        self._matrices = torch.nn.ParameterDict()
        for layer in range(layers):
            for name, (out, wide) in shapes.items():
                bound = 1 / math.sqrt(wide)  # kaiming_uniform_ with a = sqrt(5)
                a = torch.empty(self.rank, wide).uniform_(-bound, bound, generator=generator)
                self._matrices[f"{layer}-{name}-A"] = torch.nn.Parameter(a.to(device, dtype))
                self._matrices[f"{layer}-{name}-B"] = torch.nn.Parameter(
                    torch.zeros(out, self.rank, device=device, dtype=dtype)
                )

    def pair(self, layer: int, *names: str) -> tuple[tuple[torch.Tensor, ...], tuple[torch.Tensor, ...]]:
        """The A and the B matrices of modules that read the same input."""
        return (
            tuple(self._matrices[f"{layer}-{name}-A"] for name in names),
            tuple(self._matrices[f"{layer}-{name}-B"] for name in names),
        )

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

    def save(self, folder: Path, base: str) -> None:
        """Writes adapter_model.safetensors and adapter_config.json."""
        tensors = {name: p.detach().cpu().contiguous() for name, p in self.named().items()}
        save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
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


def low_rank(
    x: torch.Tensor,
    plain: torch.Tensor,
    matrices: tuple[tuple[torch.Tensor, ...], tuple[torch.Tensor, ...]],
    scale: float,
    dropout: float,
) -> torch.Tensor:
    """``plain`` plus the adapter's output for ``x``; the modules that share ``x`` take one product each way.

    The B matrices stand on the diagonal of one matrix, so that the sum is one fused product and addition.
    """
    a, b = matrices
    if dropout > 0:
        x = torch.nn.functional.dropout(x, dropout)
    inner = x @ (torch.cat(a) if len(a) > 1 else a[0]).to(x.dtype).t()
    joined: torch.Tensor = torch.block_diag(*b) if len(b) > 1 else b[0]  # type: ignore[no-untyped-call]
    return torch.addmm(plain, inner, (joined.to(x.dtype) * scale).t())
