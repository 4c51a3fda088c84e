"""A base model's files in, a frozen Llama ready for training out: in float32, bfloat16, FP8 or NF4."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from topicgen.errors import UserError
from topicgen.extras import require
from topicgen.models import WeightsFolder
from topicgen.training import fp8
from topicgen.training.llama import Frozen, Matrix, PackedLlama, Shape
from topicgen.training.lora import BLOCKS, Adapter
from topicgen.training.memory import Plan
from topicgen.training.settings import TrainingSettings

GROUPS = (("q_proj", "k_proj", "v_proj"), ("o_proj",), ("gate_proj", "up_proj"), ("down_proj",))
"""Modules that read the same input, in the order of ``Frozen``."""


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


class _FourBit:
    """The matrices of one layer in NF4, written into buffers that all layers share each time they are asked for."""

    def __init__(self, parts: list[list[tuple[torch.Tensor, Any]]], norms: list[torch.Tensor], buffers: Any) -> None:
        self._parts, self._norms, self._buffers = parts, norms, buffers
        self._dequantise = require("bitsandbytes.functional", "train").dequantize_4bit

    def __call__(self) -> Frozen:
        matrices = []
        for group, buffer in zip(self._parts, self._buffers, strict=True):
            row = 0
            for values, state in group:
                self._dequantise(values, state, out=buffer[row : row + state.shape[0]])
                row += state.shape[0]
            matrices.append(buffer)
        return Frozen(self._norms[0], matrices[0], matrices[1], self._norms[1], matrices[2], matrices[3])


def load_base(
    model: WeightsFolder,
    settings: TrainingSettings,
    plan: Plan,
    device: torch.device,
    dtype: torch.dtype,
    told: Callable[[str], None] = lambda _: None,
) -> PackedLlama:
    """Reads the weights and puts a fresh adapter beside them.

    Raises:
        UserError: When the model is no plain Llama, or its weights are damaged.
    """
    transformers = require("transformers", "train")
    model.require_llama("training")
    config = transformers.LlamaConfig.from_dict(model.config)
    tensors = Tensors(model, device, dtype)
    layers: list[Callable[[], Frozen]] = []
    buffers: list[torch.Tensor] = []
    shapes: dict[str, tuple[int, int]] = {}
    for number in range(config.num_hidden_layers):
        prefix = f"model.layers.{number}."
        norms = [tensors.dense(f"{prefix}{name}_layernorm.weight") for name in ("input", "post_attention")]
        if plan.packed:
            parts = [[tensors.quantised(name) for name in names_of(number, group)] for group in GROUPS]
            if not buffers:
                for group, quantised in zip(GROUPS, parts, strict=True):
                    shapes |= {n: tuple(state.shape) for n, (_, state) in zip(group, quantised, strict=True)}
                    rows = sum(state.shape[0] for _, state in quantised)
                    buffers.append(torch.empty(rows, quantised[0][1].shape[1], device=device, dtype=dtype))
            layers.append(_FourBit(parts, norms, buffers))
            continue
        matrices: list[Matrix] = []
        for group in GROUPS:
            dense = [tensors.dense(n, rounded_to_nf4=plan.precision == "nf4") for n in names_of(number, group)]
            shapes |= {name: (len(part), part.shape[1]) for name, part in zip(group, dense, strict=True)}
            whole = torch.cat(dense) if len(dense) > 1 else dense[0]
            matrices.append(fp8.scaled(whole) if plan.precision == "fp8" else whole)
        frozen = Frozen(norms[0], matrices[0], matrices[1], norms[1], matrices[2], matrices[3])
        layers.append(lambda frozen=frozen: frozen)  # type: ignore[misc]
        told(f"layer {number + 1} of {config.num_hidden_layers}")
    embedding = tensors.dense("model.embed_tokens.weight")
    head = embedding if config.tie_word_embeddings else tensors.dense("lm_head.weight")
    if plan.packed and head is not embedding:  # only looked up, so it need not take GPU memory
        embedding = embedding.cpu()
    width = config.head_dim or config.hidden_size // config.num_attention_heads
    rotary = transformers.models.llama.modeling_llama.LlamaRotaryEmbedding(config).to(device)
    return PackedLlama(
        layers,
        embedding,
        tensors.dense("model.norm.weight"),
        head,
        rotary,
        Adapter(shapes, len(layers), settings, device, torch.float64 if dtype == torch.float64 else torch.float32),
        Shape(
            config.num_attention_heads,
            config.num_key_value_heads,
            width,
            config.rms_norm_eps,
            settings.lora_scale,
            settings.lora_dropout,
        ),
        compile_layers=plan.compiled,
        recompute=plan.recompute,
    )
