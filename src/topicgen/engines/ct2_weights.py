"""A model folder's safetensors in, a CTranslate2 model folder in the user's cache out. Needs no torch."""

import hashlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from topicgen.errors import UserError
from topicgen.models import ModelFolder

ABANDONED = 3600  # seconds
FORMAT = 2  # part of the cache key: raise it when the derived form changes
Array = npt.NDArray[Any]


def ct2_folder(model: ModelFolder, precision: str, cache: Path) -> tuple[Path, tempfile.TemporaryDirectory[str] | None]:
    """The CTranslate2 form of a model, and its owner where it is only temporary.

    It is built once, under a name that depends on the weights, and moved into place when complete, so that processes
    may build it at the same time. A damaged copy is built anew. Where the cache cannot be written, it lives in a
    temporary folder until the owner goes.
    """
    if model.quantized:
        raise UserError(f"{model.name}: its weights are quantised; they run on a GPU with the hf engine, not with ct2")
    folder = cache / f"ct2-{FORMAT}-{model.digest[:16]}-{precision}"
    if _intact(folder):
        return folder, None
    try:
        cache.mkdir(parents=True, exist_ok=True)
        _sweep(cache)
        owner = tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=cache)
    except OSError:
        owner = tempfile.TemporaryDirectory(prefix="topicgen-")
    built = Path(owner.name) / "model"
    try:
        built.mkdir()
        _build(model, precision, built)
        (built / "model.bin.sha256").write_text(_sha256(built / "model.bin"), encoding="ascii")
    except OSError as error:
        raise UserError(f"{owner.name}: the model's {precision} form cannot be written ({error.strerror})") from None
    if folder.exists() and not _intact(folder):  # another process may have built it meanwhile
        shutil.rmtree(folder, ignore_errors=True)
    try:
        built.rename(folder)
    except OSError:  # another process was first, or the cache is elsewhere: what was built here serves this time
        return built, owner
    return folder, None


def _sweep(cache: Path) -> None:
    """Drops what killed builds left in the cache; a build takes seconds, so that after an hour none goes on."""
    for left in cache.glob(".ct2-*"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > ABANDONED:
                shutil.rmtree(left, ignore_errors=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _intact(folder: Path) -> bool:
    try:
        return (folder / "model.bin.sha256").read_text(encoding="ascii") == _sha256(folder / "model.bin")
    except OSError:
        return False


def widened(data: bytes) -> Array:
    """bfloat16 numbers as float32, exactly: they are its upper half."""
    return (np.frombuffer(data, np.uint16).astype(np.uint32) << 16).view(np.float32)


def _read_tensors(model: ModelFolder) -> dict[str, Array]:
    """All weights as float32 arrays, the adapter's changes included."""
    tensors: dict[str, Array] = {}
    for path in model.weights:
        tensors.update(_read_file(path))
    if model.adapter:
        changes = dict(_read_file(model.adapter.weights))
        for name, (a, b) in model.adapter.pairs.items():
            tensors[name] = tensors[name] + np.float32(model.adapter.scale) * (changes[b] @ changes[a])
    return tensors


def _read_file(path: Path) -> Iterator[tuple[str, Array]]:
    """Tensors of one file as float32; bfloat16 has no numpy type and is widened."""
    from safetensors import SafetensorError, deserialize

    kinds = {"F32": np.float32, "F16": np.float16}
    try:
        entries = deserialize(path.read_bytes())  # type: ignore[no-untyped-call]
    except SafetensorError as error:
        raise UserError(f"{path}: damaged or not safetensors ({error})") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    for name, entry in entries:
        if entry["dtype"] == "BF16":
            array = widened(entry["data"])
        elif entry["dtype"] in kinds:
            array = np.frombuffer(entry["data"], kinds[entry["dtype"]]).astype(np.float32)
        else:
            raise UserError(f"{path}: {name} is {entry['dtype']}; the ct2 engine reads F32, F16 and BF16 weights")
        yield name, array.reshape(entry["shape"])


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


def _require_fitting(model: ModelFolder, tensors: dict[str, Array]) -> None:
    """Raises UserError where config and weights disagree, which the library would not notice."""
    heads = model.number("num_attention_heads")
    width = model.config.get("head_dim") or tensors["model.embed_tokens.weight"].shape[1] // heads
    needed = {
        "model.embed_tokens.weight": model.number("vocab_size"),
        "model.layers.0.self_attn.q_proj.weight": heads * width,
        "model.layers.0.self_attn.k_proj.weight": model.number("num_key_value_heads", heads) * width,
    }
    for name, rows in needed.items():
        if len(tensors[name]) != rows:
            raise UserError(f"{model.path}: {name} has {len(tensors[name])} rows, but config.json asks for {rows}")


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
        tensors = _read_tensors(model)
        _require_fitting(model, tensors)
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
