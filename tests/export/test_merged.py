"""Weights of adapters and of quantised models, made dense and written as one model."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from adapter_folders import make_adapter
from commands import Command
from models import MINI, tiny_llama
from writing import names

from topicgen.models import find_model
from topicgen.training import merging


def nf4_llama(folder: Path) -> Path:
    """The tiny model in bitsandbytes' 4 bits, as the hub's pre-quantised models are."""
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    plain = tiny_llama(folder.with_name("plain"), initializer_range=0.3)
    kind = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32)
    AutoModelForCausalLM.from_pretrained(plain, quantization_config=kind).save_pretrained(folder)
    for name in ("tokenizer.json", "prompt.json"):
        shutil.copy(MINI / name, folder)
    return folder


def test_weights_in_four_bits_are_made_dense(command: Command) -> None:
    base = nf4_llama(command.folder / "base")
    result = command.here("export", str(base), "--to", "merged", "--type", "float32", "-o", "out")
    assert result.code == 0, result.err
    assert "24 of 24 topics equal (run by the hf engine)" in result.err
    config = json.loads((command.folder / "out/config.json").read_text())
    assert ("quantization_config" in config, config["dtype"]) == (False, "float32")


def test_an_adapter_on_four_bits_is_merged_into_their_dense_values(command: Command) -> None:
    base = nf4_llama(command.folder / "base")
    adapter = make_adapter(command.folder / "adapter", str(command.folder / "plain"), strength=0.3)
    shutil.copy(base / "config.json", adapter)
    (adapter / "base.json").write_text(json.dumps({"name": str(base)}))
    result = command.here("export", str(adapter), "--to", "merged", "--type", "float32", "-o", "out")
    assert result.code == 0, result.err
    assert "topics equal (run by the hf engine)" in result.err


def test_ct2_refuses_four_bits_in_one_line(command: Command) -> None:
    base = nf4_llama(command.folder / "base")
    result = command.here("export", str(base), "--to", "ct2", "-o", "out", "-q")
    assert result.code == 1
    assert "its weights are quantised" in result.complaint
    assert "out" not in names(command.folder)


def test_large_models_are_written_in_shards_that_transformers_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoModelForCausalLM

    monkeypatch.setattr(merging, "SHARD_BYTES", 1_000_000)
    source = tiny_llama(tmp_path / "source")
    merging.write_merged(tmp_path / "out", find_model(str(source)), torch.float32)
    shards = [name for name in names(tmp_path / "out") if name.endswith(".safetensors")]
    assert len(shards) > 2
    assert shards[0] == f"model-00001-of-0000{len(shards)}.safetensors"
    ids = torch.tensor([[0, 100, 200, 300]])
    made, first = (AutoModelForCausalLM.from_pretrained(f, dtype=torch.float32) for f in (tmp_path / "out", source))
    assert torch.equal(made(ids).logits, first(ids).logits)
