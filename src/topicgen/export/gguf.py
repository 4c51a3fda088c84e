"""A model in, one GGUF file out: what llama.cpp and the programs around it run.

Names, metadata and the order of query and key rows are those of llama.cpp's architecture ``llama``
(https://github.com/ggml-org/llama.cpp, convert_hf_to_gguf.py).
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from topicgen.errors import UserError
from topicgen.export.check import Reopened
from topicgen.export.gguf_tokens import GGUFTokens, chat_template, gguf_tokens, without_begin
from topicgen.export.llamacpp import llamacpp_writer
from topicgen.export.target import Target
from topicgen.extras import require
from topicgen.models import ModelFolder

FILE = "model.gguf"
TYPES = {"float16": "F16", "bfloat16": "BF16", "float32": "F32", "q8_0": "Q8_0"}
FILE_TYPES = {"F32": "ALL_F32", "F16": "MOSTLY_F16", "BF16": "MOSTLY_BF16", "Q8_0": "MOSTLY_Q8_0"}
OUTSIDE = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
LAYER = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
ROTARY = ("default", "linear", "llama3")
Array = npt.NDArray[np.float32]


def write(model: ModelFolder, folder: Path, weights: str) -> None:
    """Writes ``model.gguf``, one weight at a time."""
    library = require("gguf", "export")
    require("torch", "export")
    require("xllamacpp", "export")
    from topicgen.training.merging import MergedWeights

    model.require_llama("GGUF export")
    tokens = gguf_tokens(model)
    if model.rotary[1] not in ROTARY:
        raise UserError(
            f"{model.path}: GGUF is written for rotary embeddings {', '.join(ROTARY)}, not {model.rotary[1]!r}"
        )
    factors = rotary_factors(*model.rotary, model.head_width)
    merged = MergedWeights(model)
    kind = library.GGMLQuantizationType[TYPES[weights]]
    writer = library.GGUFWriter(folder / FILE, "llama")
    try:
        _describe(writer, model, library.LlamaFileType[FILE_TYPES[TYPES[weights]]])
        _add_tokens(writer, model, tokens)
        if factors is not None:
            writer.add_tensor_info("rope_freqs.weight", factors.shape, factors.dtype, factors.nbytes)
        kinds = {name: _kind(library, shape, kind) for name, _, shape in _weights(model)}
        for name, _, shape in _weights(model):
            held = library.quants.quant_shape_to_byte_shape(shape, kinds[name])
            writer.add_tensor_info(name, held, np.dtype(np.uint8), math.prod(held), raw_dtype=kinds[name])
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        if factors is not None:
            writer.write_tensor_data(factors)
        for name, source, shape in _weights(model):
            values = merged.dense(source).numpy()
            if values.shape != shape:
                raise UserError(
                    f"{model.path}: {source} has the shape {values.shape}, but config.json asks for {shape}"
                )
            writer.write_tensor_data(library.quants.quantize(_ordered(values, name, model), kinds[name]))
    finally:
        writer.close()


def _weights(model: ModelFolder) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """Name in the file, name in the model and shape of every weight."""
    shapes: dict[str, tuple[int, ...]] = dict(model.linear_shapes())
    width = model.number("hidden_size")
    for source, name in OUTSIDE.items():
        if name != "output.weight" or not model.config.get("tie_word_embeddings", False):
            yield name, source, (width,) if "norm" in name else (model.number("vocab_size"), width)
    for number in range(model.number("num_hidden_layers")):
        for source, name in LAYER.items():
            shape = shapes.get(source.rpartition(".")[2], (width,))
            yield f"blk.{number}.{name}.weight", f"model.layers.{number}.{source}.weight", shape


def _kind(library: Any, shape: tuple[int, ...], asked: Any) -> Any:
    """The type of one weight: vectors stay exact, and rows that do not divide into blocks stay in 16 bits."""
    kinds = library.GGMLQuantizationType
    if len(shape) == 1:
        return kinds.F32
    return kinds.F16 if shape[-1] % library.GGML_QUANT_SIZES[asked][0] else asked


def _ordered(values: Array, name: str, model: ModelFolder) -> Array:
    """Query and key rows in llama.cpp's order: the two halves that are rotated together alternate."""
    heads = {"attn_q": "num_attention_heads", "attn_k": "num_key_value_heads"}.get(name.split(".")[-2])
    if heads is None:
        return values
    count = model.number(heads, model.number("num_attention_heads"))
    halves = values.reshape(count, 2, len(values) // count // 2, values.shape[1])
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(values.shape))


def _describe(writer: Any, model: ModelFolder, file_type: int) -> None:
    heads, width, head = model.number("num_attention_heads"), model.number("hidden_size"), model.head_width
    base, kind, scaling = model.rotary
    writer.add_type("model")
    writer.add_name(Path(model.name).name)
    writer.add_file_type(file_type)
    writer.add_quantization_version(2)
    writer.add_vocab_size(model.number("vocab_size"))
    writer.add_context_length(model.context_tokens)
    writer.add_embedding_length(width)
    writer.add_block_count(model.number("num_hidden_layers"))
    writer.add_feed_forward_length(model.number("intermediate_size"))
    writer.add_head_count(heads)
    writer.add_head_count_kv(model.number("num_key_value_heads", heads))
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_layer_norm_rms_eps(model.config.get("rms_norm_eps", 1e-6))
    writer.add_rope_dimension_count(head)
    writer.add_rope_freq_base(base)
    if kind == "linear":
        writer.add_string("llama.rope.scaling.type", "linear")
        writer.add_rope_scaling_factor(scaling["factor"])


def _add_tokens(writer: Any, model: ModelFolder, tokens: GGUFTokens) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(tokens.pre)
    writer.add_token_list(tokens.tokens)
    writer.add_token_types(tokens.types)
    writer.add_token_merges(tokens.merges)
    if tokens.begin is not None:
        writer.add_bos_token_id(tokens.begin)
    writer.add_eos_token_id(tokens.end)
    writer.add_add_bos_token(tokens.add_begin)
    writer.add_chat_template(chat_template(model))


def rotary_factors(base: float, kind: str, numbers: dict[str, Any], head: int) -> Array | None:
    """By how much each frequency is divided, shape (head / 2,), for the scaling of Llama 3.1; None for other kinds."""
    if kind != "llama3":
        return None
    lengths = 2 * np.pi * base ** (np.arange(0, head, 2) / head)
    low, high, factor = (numbers[name] for name in ("low_freq_factor", "high_freq_factor", "factor"))
    share = (numbers["original_max_position_embeddings"] / lengths - low) / (high - low)
    smooth = np.clip(share, 0, 1)  # 0: a long wave, divided by the factor; 1: a short one, kept
    return np.asarray(1 / ((1 - smooth) / factor + smooth), np.float32)


def reopen(model: ModelFolder, folder: Path, _weights: str) -> Reopened:
    """Loads the file with llama.cpp, which is asked with the model's prompt."""
    tokens = gguf_tokens(model)
    prompt = replace(model.prompt, prefix=without_begin(model.prompt.prefix, tokens))
    return Reopened(llamacpp_writer(folder / FILE, prompt, model.context_tokens), "llama.cpp")


GGUF = Target(tuple(TYPES), write, reopen)
