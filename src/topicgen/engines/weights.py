"""A model folder in, its weights as numpy arrays out. Needs no torch."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from topicgen.errors import UserError
from topicgen.models import ModelFolder

Array = npt.NDArray[Any]


def widened(halves: Array) -> Array:
    """bfloat16 numbers, given as integers of 16 bits, as float32, exactly: they are its upper half."""
    return (halves.astype(np.uint32) << 16).view(np.float32)


def read_tensors(model: ModelFolder) -> dict[str, Array]:
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
            array = widened(np.frombuffer(entry["data"], np.uint16))
        elif entry["dtype"] in kinds:
            array = np.frombuffer(entry["data"], kinds[entry["dtype"]]).astype(np.float32)
        else:
            raise UserError(f"{path}: {name} is {entry['dtype']}; engines of the CPU read F32, F16 and BF16 weights")
        yield name, array.reshape(entry["shape"])


def require_fitting(model: ModelFolder, tensors: Mapping[str, Array]) -> None:
    """Raises UserError where config and weights disagree, which a library may not notice."""
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
