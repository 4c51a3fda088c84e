"""A model's safetensors in, its weights by name out; NF4 is made dense where asked for."""

from collections.abc import Sequence
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from topicgen.errors import UserError
from topicgen.extras import require
from topicgen.models import WeightsFolder

GROUPS = (("q_proj", "k_proj", "v_proj"), ("o_proj",), ("gate_proj", "up_proj"), ("down_proj",))
"""Modules that read the same input: queries, keys and values; output; gate and up; down."""
BLOCKS = {name: "self_attn" if name[0] in "qkvo" else "mlp" for group in GROUPS for name in group}


class Tensors:
    """The weights of a model, by name; pre-quantised NF4 weights (bitsandbytes) are made dense where asked for."""

    def __init__(self, model: WeightsFolder, device: torch.device, dtype: torch.dtype) -> None:
        self._model, self._device, self._dtype = model, device, dtype
        self._files: dict[str, Any] = {}
        try:
            for path in model.weights:
                opened = safe_open(str(path), framework="pt", device=str(device))
                self._files.update(
                    dict.fromkeys(list(opened.keys()), opened)  # type: ignore[no-untyped-call]
                )
        except (SafetensorError, OSError) as error:
            raise UserError(f"{path}: damaged or not safetensors ({error})") from None

    @property
    def names(self) -> list[str]:
        """Names of the weights, without the numbers that belong to quantised ones."""
        return [name for name in self._files if name.endswith(".weight")]

    def _read(self, name: str) -> torch.Tensor:
        if name not in self._files:
            raise UserError(f"{self._model.path}: the weights lack {name}")
        tensor: torch.Tensor = self._files[name].get_tensor(name)
        return tensor

    def type_of(self, name: str) -> torch.dtype:
        """The type of a weight in its file."""
        return self._read(name).dtype

    def quantised(self, name: str) -> tuple[torch.Tensor, Any]:
        """NF4 values and their state: as they are in the file, or rounded now."""
        functional = require("bitsandbytes.functional", "train")
        if f"{name}.quant_state.bitsandbytes__nf4" in self._files:
            parts = {key: self._read(key) for key in self._files if key.startswith(name + ".")}
            return self._read(name), functional.QuantState.from_dict(parts, device=self._device)
        values, state = functional.quantize_4bit(
            self._read(name).to(self._dtype), quant_type="nf4", compress_statistics=True
        )
        return values, state

    def dense(self, name: str, *, rounded_to_nf4: bool = False) -> torch.Tensor:
        """One weight in the type of training."""
        if rounded_to_nf4 or f"{name}.quant_state.bitsandbytes__nf4" in self._files:
            values, state = self.quantised(name)
            made: torch.Tensor = require("bitsandbytes.functional", "train").dequantize_4bit(values, state)
            return made.to(self._dtype)
        return self._read(name).to(self._dtype)


def names_of(layer: int, group: Sequence[str]) -> list[str]:
    """Names of the weights of some modules of one layer."""
    return [f"model.layers.{layer}.{BLOCKS[name]}.{name}.weight" for name in group]
