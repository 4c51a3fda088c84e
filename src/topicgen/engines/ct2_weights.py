"""A model folder's safetensors in, a CTranslate2 model folder in the user's cache out. Needs no torch."""

from pathlib import Path
from typing import Any

import numpy as np

from topicgen.engines.derived import Owner, derived_folder
from topicgen.engines.weights import Array, read_tensors, require_fitting
from topicgen.errors import UserError
from topicgen.models import ModelFolder

FORM = "ct2-2"  # part of the cache key: raise the number when the derived form changes


def ct2_folder(model: ModelFolder, precision: str, cache: Path) -> tuple[Path, Owner | None]:
    """The CTranslate2 form of a model, as ``derived_folder`` gives it."""
    return derived_folder(model, FORM, precision, lambda folder: _build(model, precision, folder), cache)


def _rotary(model: ModelFolder) -> dict[str, Any]:
    """Options of rotary embeddings."""
    from ctranslate2.specs import attention_spec

    base, kind, scaling = model.rotary
    options: dict[str, Any] = {"rotary_base": base}
    if kind == "default":
        return options
    types = {"linear": attention_spec.RotaryScalingType.Linear, "llama3": attention_spec.RotaryScalingType.Llama3}
    if kind not in types:
        raise UserError(f"the ct2 engine knows rotary embeddings default, linear and llama3, not {kind!r}")
    if kind == "llama3":
        options["original_max_position_embeddings"] = scaling["original_max_position_embeddings"]
    return {**options, "rotary_scaling_type": types[kind], "rotary_scaling_factor": scaling["factor"]}


def _specification(model: ModelFolder) -> Any:
    from ctranslate2.specs import common_spec, transformer_spec

    config = model.config
    model.require_llama("the ct2 engine")
    heads = model.number("num_attention_heads")
    kv_heads = model.number("num_key_value_heads", heads)
    return transformer_spec.TransformerDecoderModelSpec.from_config(
        model.number("num_hidden_layers"),
        heads,
        activation=common_spec.Activation.SWISH,
        pre_norm=True,
        ffn_glu=True,
        rms_norm=True,
        rotary_dim=0,
        rotary_interleave=False,
        num_heads_kv=None if kv_heads == heads else kv_heads,
        head_dim=config.get("head_dim"),
        **_rotary(model),
    )


def _fill(spec: Any, tensors: dict[str, Array], model: ModelFolder) -> None:
    decoder = spec.decoder
    decoder.scale_embeddings = False
    decoder.embeddings.weight = tensors["model.embed_tokens.weight"]
    decoder.layer_norm.gamma = tensors["model.norm.weight"]
    tied = model.config.get("tie_word_embeddings", False)
    decoder.projection.weight = tensors["model.embed_tokens.weight" if tied else "lm_head.weight"]
    _, kind, scaling = model.rotary
    for number, layer in enumerate(decoder.layer):
        prefix = f"model.layers.{number}."
        attention = layer.self_attention
        attention.layer_norm.gamma = tensors[prefix + "input_layernorm.weight"]
        attention.linear[0].weight = np.concatenate([tensors[f"{prefix}self_attn.{x}_proj.weight"] for x in "qkv"])
        attention.linear[1].weight = tensors[prefix + "self_attn.o_proj.weight"]
        layer.ffn.layer_norm.gamma = tensors[prefix + "post_attention_layernorm.weight"]
        layer.ffn.linear_0.weight = tensors[prefix + "mlp.gate_proj.weight"]
        layer.ffn.linear_0_noact.weight = tensors[prefix + "mlp.up_proj.weight"]
        layer.ffn.linear_1.weight = tensors[prefix + "mlp.down_proj.weight"]
        if kind == "llama3":
            attention.rotary_low_freq_factor = scaling["low_freq_factor"]
            attention.rotary_high_freq_factor = scaling["high_freq_factor"]
            # The library reads the factor from the file, but its specification has no place for it.
            vars(attention)["rotary_scaling_factor"] = np.float32(scaling["factor"])


def vocabulary(model: ModelFolder) -> list[str]:
    """Token strings in the order of their ids, filled up to the size of the embeddings; CTranslate2 takes strings."""
    size = model.number("vocab_size")
    return [model.tokenizer.id_to_token(i) or f"<unused_{i}>" for i in range(size)]


def _build(model: ModelFolder, precision: str, folder: Path) -> None:
    try:
        spec = _specification(model)
        tensors = read_tensors(model)
        require_fitting(model, tensors)
        _fill(spec, tensors, model)
    except KeyError as error:
        raise UserError(f"{model.path}: config.json or the weights lack {error}") from None
    spec.register_vocabulary(vocabulary(model))
    spec.config.bos_token = spec.config.eos_token = model.prompt.stop  # prompts bring their own first token
    spec.config.unk_token = ""
    spec.config.layer_norm_epsilon = model.config.get("rms_norm_eps", 1e-6)
    spec.validate()
    spec.optimize(quantization=precision)
    spec.save(str(folder))
