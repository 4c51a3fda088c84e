"""A model folder in, its dense weights out: an adapter added to those of its base, quantised ones made dense."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from topicgen.adapters import Adapter
from topicgen.errors import UserError
from topicgen.llama.weights import Tensors
from topicgen.models import ModelFolder

SHARD_BYTES = 4_000_000_000
BESIDE = ("tokenizer.json", "tokenizer_config.json", "generation_config.json")


class MergedWeights:
    """The weights of a model by name, read one at a time: no more than one is in memory.

    Raises:
        UserError: When a file is damaged, or the weights are quantised and bitsandbytes is missing.
    """

    def __init__(self, model: ModelFolder) -> None:
        device = torch.device("cuda" if model.quantized and torch.cuda.is_available() else "cpu")
        self._tensors = Tensors(model.base or model, device, torch.float32)
        self._adapter = model.adapter
        self._quantized = model.quantized

    @property
    def names(self) -> list[str]:
        return self._tensors.names

    @property
    def stored(self) -> torch.dtype:
        """The type of the weights in their files; bfloat16 for quantised ones."""
        return torch.bfloat16 if self._quantized else self._tensors.type_of("model.embed_tokens.weight")

    def dense(self, name: str) -> torch.Tensor:
        """One weight in float32 on the CPU, with what the adapter adds."""
        weight = self._tensors.dense(name).cpu()
        if self._adapter and name in self._adapter.pairs:
            a, b = _changes(self._adapter, self._adapter.pairs[name])
            weight = weight + self._adapter.scale * (b @ a)
        return weight


def stored_type(model: ModelFolder) -> torch.dtype:
    """The type that merged weights are stored in: as in the files, but float16 for an adapter on bfloat16.

    An adapter changes a weight by less than the last digit of bfloat16; float16 has three binary digits more.
    """
    stored = MergedWeights(model).stored
    return torch.float16 if model.adapter and stored == torch.bfloat16 else stored


def _changes(adapter: Adapter, names: tuple[str, str]) -> list[torch.Tensor]:
    try:
        with safe_open(str(adapter.weights), framework="pt") as file:
            return [file.get_tensor(name).float() for name in names]
    except (SafetensorError, OSError) as error:
        raise UserError(f"{adapter.weights}: damaged or not safetensors ({error})") from None


def write_merged(target: Path, model: ModelFolder, stored: torch.dtype) -> None:
    """Writes a model as one folder of whole weights, in shards of at most 4 GB.

    Args:
        target: A new or empty folder.
        model: What to write.
        stored: Type of the numbers in the files.

    Raises:
        UserError: When the folder cannot be written, or as for MergedWeights.
    """
    weights = MergedWeights(model)
    config = (model.base or model).config
    config = {k: v for k, v in config.items() if k not in ("quantization_config", "dtype", "torch_dtype")}
    config["dtype"] = str(stored).removeprefix("torch.")
    try:
        target.mkdir(parents=True, exist_ok=True)
        for name in BESIDE:
            if (model.path / name).exists():
                shutil.copyfile(model.path / name, target / name)
        model.prompt.save(target)
        (target / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        _write_shards(target, ((name, weights.dense(name).to(stored).contiguous()) for name in weights.names))
    except OSError as error:
        raise UserError(f"{target}: cannot be written ({error.strerror})") from None
    except SafetensorError as error:  # the library's word for a full disk
        raise UserError(f"{target}: cannot be written ({error})") from None


def _write_shards(target: Path, weights: Iterator[tuple[str, torch.Tensor]]) -> None:
    """One file, or several with the index that transformers reads; holds one shard in memory."""
    shards: list[list[str]] = []
    sizes: list[int] = []
    shard: dict[str, torch.Tensor] = {}

    def write() -> None:
        part = _part(target, len(shards))
        save_file(shard, part, metadata={"format": "pt"})
        part.chmod((target / "config.json").stat().st_mode)  # the library lets nobody else read it
        shards.append(list(shard))
        sizes.append(sum(tensor.nbytes for tensor in shard.values()))
        shard.clear()

    for name, weight in weights:
        if shard and sum(tensor.nbytes for tensor in shard.values()) + weight.nbytes > SHARD_BYTES:
            write()
        shard[name] = weight
    write()
    if len(shards) == 1:
        _part(target, 0).rename(target / "model.safetensors")
        return
    places: dict[str, str] = {}
    for number, names in enumerate(shards):
        file = f"model-{number + 1:05}-of-{len(shards):05}.safetensors"
        _part(target, number).rename(target / file)
        places |= dict.fromkeys(names, file)
    index = {"metadata": {"total_size": sum(sizes)}, "weight_map": places}
    (target / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def _part(target: Path, number: int) -> Path:
    return target / f"part-{number}.safetensors"
