"""A model folder's safetensors in, a Llama's weights for generation out: bfloat16, FP8 or, on a CPU, float32."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from topicgen.errors import UserError
from topicgen.extras import require
from topicgen.llama import fp8
from topicgen.llama.weights import GROUPS, Tensors, names_of
from topicgen.models import ModelFolder

ROTARY = ("default", "linear", "llama3")  # kinds whose angles do not depend on the text's length


class Eight(NamedTuple):
    """A matrix in FP8: values (out, in), the scale of each row (1, out)."""

    values: torch.Tensor
    scale: torch.Tensor

    def rows(self, first: int, last: int | None) -> "Eight":
        """Some rows of it."""
        return Eight(self.values[first:last], self.scale[:, first:last].contiguous())


class Dense(NamedTuple):
    """A matrix (out, in) in the type of the computation."""

    values: torch.Tensor

    def rows(self, first: int, last: int | None) -> "Dense":
        """Some rows of it."""
        return Dense(self.values[first:last])


Matrix = Eight | Dense


class LayerWeights(NamedTuple):
    """The weights of one layer: matrices that read the same input are one."""

    input_norm: torch.Tensor
    qkv: Matrix
    o: Matrix
    post_norm: torch.Tensor
    gate_up: Matrix
    down: Matrix


class Weights(NamedTuple):
    """A whole model.

    Attributes:
        layers: One after the other.
        embedding: (vocabulary, width).
        norm: The last norm's weight.
        head: (vocabulary, width).
        cos, sin: (context, head width) of the rotary embedding.
        heads, kv_heads: Heads of queries, and of keys and values.
        epsilon: Of all norms.
    """

    layers: Sequence[LayerWeights]
    embedding: torch.Tensor
    norm: torch.Tensor
    head: torch.Tensor
    cos: torch.Tensor
    sin: torch.Tensor
    heads: int
    kv_heads: int
    epsilon: float


def supports(model: ModelFolder) -> bool:
    """Whether the model is a plain Llama with a rotary embedding that does not depend on the text's length."""
    try:
        model.require_llama("")
    except UserError:
        return False
    scaling = model.config.get("rope_scaling") or model.config.get("rope_parameters") or {}
    return scaling.get("rope_type", scaling.get("type", "default")) in ROTARY


def weight_bytes(model: ModelFolder, precision: str) -> int:
    """Bytes of the weights in bf16 or fp8; embedding and output matrix are never in FP8."""
    matrices = model.number("num_hidden_layers") * sum(
        rows * columns for rows, columns in model.linear_shapes().values()
    )
    tables = model.number("vocab_size") * model.number("hidden_size")
    tables *= 1 if model.config.get("tie_word_embeddings") else 2
    return matrices * (1 if precision == "fp8" else 2) + 2 * tables


class _Merged:
    """A model's weights with its adapter added."""

    def __init__(self, model: ModelFolder, device: torch.device, dtype: torch.dtype) -> None:
        self._tensors, self._dtype = Tensors(model, device, dtype), dtype
        self._adapter = model.adapter
        self._changes: dict[str, torch.Tensor] = {}
        if model.adapter:
            try:
                self._changes = load_file(model.adapter.weights, device=str(device))
            except (SafetensorError, OSError) as error:
                raise UserError(f"{model.adapter.weights}: damaged or not safetensors ({error})") from None

    def __call__(self, name: str) -> torch.Tensor:
        weight = self._tensors.dense(name)
        if self._adapter and name in self._adapter.pairs:
            a, b = (self._changes[side].float() for side in self._adapter.pairs[name])
            weight = (weight.float() + self._adapter.scale * (b @ a)).to(self._dtype)
        return weight


def load_weights(model: ModelFolder, device: torch.device, precision: str) -> Weights:
    """Reads a plain Llama, layer by layer.

    Args:
        model: The model folder; NF4 weights are made dense, an adapter is added before anything is rounded to FP8.
        device: Where to compute.
        precision: ``bf16``, ``fp8`` or ``float32``.

    Raises:
        UserError: When weights are missing, damaged or of another shape than the config has.
    """
    transformers = require("transformers", "train")
    dtype = torch.float32 if precision == "float32" else torch.bfloat16
    read = _Merged(model, device, dtype)
    config = transformers.LlamaConfig.from_dict(model.config)
    shapes = model.linear_shapes()

    def matrix(layer: int, group: Sequence[str]) -> Matrix:
        parts = [read(name) for name in names_of(layer, group)]
        for name, part in zip(group, parts, strict=True):
            if tuple(part.shape) != shapes[name]:
                raise UserError(f"{model.path}: {name} of layer {layer} is {tuple(part.shape)}, not {shapes[name]}")
        whole = torch.cat(parts) if len(parts) > 1 else parts[0]
        if precision != "fp8":
            return Dense(whole)
        values, scale = fp8.rounded(whole)
        return Eight(values, scale.t().contiguous())

    def layer(number: int) -> LayerWeights:
        qkv, o, gate_up, down = (matrix(number, group) for group in GROUPS)
        names = ("input_layernorm", "post_attention_layernorm")
        first, second = (read(f"model.layers.{number}.{name}.weight") for name in names)
        return LayerWeights(first, qkv, o, second, gate_up, down)

    layers = [layer(number) for number in range(config.num_hidden_layers)]
    embedding = read("model.embed_tokens.weight")
    head = embedding if config.tie_word_embeddings else read("lm_head.weight")
    cos, sin = _angles(config, model.context_tokens, device, dtype)
    heads, kv_heads = config.num_attention_heads, config.num_key_value_heads
    norm = read("model.norm.weight")
    return Weights(layers, embedding, norm, head, cos, sin, heads, kv_heads, config.rms_norm_eps)


def _angles(config: Any, positions: int, device: torch.device, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """(positions, head width) twice: cosines and sines of all positions."""
    llama = require("transformers.models.llama.modeling_llama", "train")
    rotary = llama.LlamaRotaryEmbedding(config).to(device)
    cos, sin = rotary(torch.empty(0, device=device, dtype=dtype), torch.arange(positions, device=device)[None])
    return cos[0].to(dtype), sin[0].to(dtype)
