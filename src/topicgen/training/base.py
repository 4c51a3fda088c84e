"""A base model's files in, a frozen Llama ready for training out: in float32, bfloat16, FP8 or NF4."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from topicgen.extras import require
from topicgen.llama import fp8
from topicgen.llama.weights import GROUPS, Tensors, names_of
from topicgen.models import WeightsFolder
from topicgen.training import sharing
from topicgen.training.llama import Frozen, Layer, Matrix, PackedLlama, Shape
from topicgen.training.lora import Adapter
from topicgen.training.memory import Plan
from topicgen.training.settings import TrainingSettings


class FourBit:
    """The matrices of one layer in NF4, made dense in one call each time they are asked for.

    Args:
        parts: NF4 values and state of each matrix, in the order of ``GROUPS``.
        norms: The two norms of the layer.
        buffer: Room for all matrices, one after the other, which all layers share.
        groups: (out, in) of the matrices of ``Frozen``, in its order.
    """

    def __init__(
        self,
        parts: Sequence[tuple[torch.Tensor, Any]],
        norms: Sequence[torch.Tensor],
        buffer: torch.Tensor,
        groups: Sequence[tuple[int, int]],
    ) -> None:
        self._functional = functional = require("bitsandbytes.functional", "train")
        states = [state for _, state in parts]
        self._values = torch.cat([values.flatten() for values, _ in parts])[:, None]
        self._state = states[0]
        self._buffer = buffer
        sizes = [rows * columns for rows, columns in groups]
        views = [part.view(shape) for part, shape in zip(torch.split(buffer, sizes), groups, strict=True)]
        self._frozen = Frozen(norms[0], views[0], views[1], norms[1], views[2], views[3])
        # The scales are in 8 bits, with a scale of their own for each block and an offset for each matrix.
        self._offsets: torch.Tensor | None = None
        if all(state.nested and state.absmax.numel() % state.state2.blocksize == 0 for state in states):
            self._scales = torch.cat([state.absmax for state in states])
            second = states[0].state2
            self._second = functional.QuantState(
                torch.cat([state.state2.absmax for state in states]),
                code=second.code,
                blocksize=second.blocksize,
                dtype=torch.float32,
            )
            blocks = torch.tensor([state.state2.absmax.numel() for state in states], device=buffer.device)
            offsets = torch.stack([torch.as_tensor(state.offset, device=buffer.device) for state in states])
            self._offsets = torch.repeat_interleave(offsets, blocks)[:, None]
        else:  # small matrices end within a block
            self._scales = torch.cat([_scales(state, functional) for state in states])

    def __call__(self) -> Frozen:
        scales = self._scales
        if self._offsets is not None:
            scales = self._functional.dequantize_blockwise(scales, self._second)
            scales.view(len(self._offsets), -1).add_(self._offsets)
        whole = self._functional.QuantState(
            scales,
            shape=self._buffer.shape,
            code=self._state.code,
            blocksize=self._state.blocksize,
            quant_type="nf4",
            dtype=self._buffer.dtype,
        )
        if self._buffer.is_cuda:
            self._functional.dequantize_4bit(self._values, whole, out=self._buffer)
        else:  # where the library cannot write into a given tensor
            self._buffer.copy_(self._functional.dequantize_4bit(self._values, whole).flatten())
        return self._frozen


def _scales(state: Any, functional: Any) -> torch.Tensor:
    """The scales of a matrix in float32."""
    made: torch.Tensor = state.absmax
    return functional.dequantize_blockwise(made, state.state2) + state.offset if state.nested else made


def load_base(
    model: WeightsFolder,
    settings: TrainingSettings,
    plan: Plan,
    device: torch.device,
    dtype: torch.dtype,
    told: Callable[[str], None] = lambda _: None,
    *,
    kept: bool = True,
) -> PackedLlama:
    """Reads the weights, layer by layer, and puts a fresh adapter beside them.

    Args:
        model: The base.
        settings: Of the adapter.
        plan: In which form the weights are kept.
        device: Where.
        dtype: What to compute in.
        told: Hears of each layer.
        kept: Whether dense layers stay in memory; otherwise they are read each time that they are computed.

    Raises:
        UserError: When the model is no plain Llama, or its weights are damaged.
    """
    transformers = require("transformers", "train")
    model.require_llama("training")
    config = transformers.LlamaConfig.from_dict(model.config)
    tensors = Tensors(model, device, dtype)
    shapes, shape = _shapes(config), _shape(config, settings)
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    adapter = Adapter(shapes, config.num_hidden_layers, settings, device, wide)
    groups = [(sum(shapes[name][0] for name in group), shapes[group[0]][1]) for group in GROUPS]
    size = sum(rows * columns for rows, columns in groups) if plan.packed else 0
    buffer = torch.empty(size, device=device, dtype=dtype)
    mesh = sharing.all_processes(device) if plan.shares > 1 else None
    layers: list[Layer] = []
    for number in range(config.num_hidden_layers):
        if plan.packed:
            weights = _packed(tensors, number, buffer, groups)
        else:
            weights = _dense(tensors, number, plan) if kept else partial(_read, tensors, number, plan)
        layer = Layer(weights, partial(adapter.pair, number), shape, compile_layers=plan.compiled)
        layers.append(sharing.share_layer(layer, mesh) if mesh else layer)
        told(f"layer {number + 1} of {config.num_hidden_layers}")
    embedding = tensors.dense("model.embed_tokens.weight")
    head = embedding if config.tie_word_embeddings else tensors.dense("lm_head.weight")
    if plan.packed and head is not embedding:  # only looked up, so it need not take GPU memory
        embedding = embedding.cpu()
    rotary = transformers.models.llama.modeling_llama.LlamaRotaryEmbedding(config).to(device)
    norm = tensors.dense("model.norm.weight")
    made = PackedLlama(layers, embedding, norm, head, rotary, adapter, shape.epsilon, recompute=plan.recompute)
    return sharing.share_model(made, mesh) if mesh else made


def _shape(config: Any, settings: TrainingSettings) -> Shape:
    heads, kv_heads = config.num_attention_heads, config.num_key_value_heads
    width = config.head_dim or config.hidden_size // heads
    return Shape(heads, kv_heads, width, config.rms_norm_eps, settings.lora_scale, settings.lora_dropout)


def _shapes(config: Any) -> dict[str, tuple[int, int]]:
    """(out, in) of the matrices of a layer."""
    hidden, inner = config.hidden_size, config.intermediate_size
    width = config.head_dim or hidden // config.num_attention_heads
    queries, keys = config.num_attention_heads * width, config.num_key_value_heads * width
    return {
        "q_proj": (queries, hidden),
        "k_proj": (keys, hidden),
        "v_proj": (keys, hidden),
        "o_proj": (hidden, queries),
        "gate_proj": (inner, hidden),
        "up_proj": (inner, hidden),
        "down_proj": (hidden, inner),
    }


def _norms(tensors: Tensors, number: int) -> list[torch.Tensor]:
    names = ("input_layernorm", "post_attention_layernorm")
    return [tensors.dense(f"model.layers.{number}.{name}.weight") for name in names]


def _packed(
    tensors: Tensors, number: int, buffer: torch.Tensor, groups: Sequence[tuple[int, int]]
) -> Callable[[], Frozen]:
    """The weights of a layer in 4 bits."""
    parts = [tensors.quantised(name) for group in GROUPS for name in names_of(number, group)]
    return FourBit(parts, _norms(tensors, number), buffer, groups)


def _read(tensors: Tensors, number: int, plan: Plan) -> Frozen:
    """The dense weights of a layer, read now."""
    return _dense(tensors, number, plan)()


def _dense(tensors: Tensors, number: int, plan: Plan) -> Callable[[], Frozen]:
    """The dense weights of a layer."""
    matrices: list[Matrix] = []
    for group in GROUPS:
        dense = [tensors.dense(n, rounded_to_nf4=plan.precision == "nf4") for n in names_of(number, group)]
        whole = torch.cat(dense) if len(dense) > 1 else dense[0]
        matrices.append(fp8.scaled(whole) if plan.precision == "fp8" else whole)
    norms = _norms(tensors, number)
    frozen = Frozen(norms[0], matrices[0], matrices[1], norms[1], matrices[2], matrices[3])
    return sharing.Shared(frozen) if plan.shares > 1 else lambda: frozen
