"""Model folders made for tests."""

import json
from pathlib import Path
from typing import Any

from topicgen.models import find_model

MINI = find_model("mini").path


def copy_of_mini(folder: Path, **config: Any) -> Path:
    """A model folder that links to the embedded one, with some settings of its config changed; None drops one."""
    folder.mkdir(exist_ok=True)
    for file in MINI.iterdir():
        (folder / file.name).symlink_to(file)
    changed = json.loads((MINI / "config.json").read_text()) | config
    replace(folder / "config.json", json.dumps({k: v for k, v in changed.items() if v is not None}))
    return folder


def replace(file: Path, content: str | bytes) -> None:
    """Puts a file in place of a link."""
    file.unlink(missing_ok=True)
    file.write_bytes(content.encode() if isinstance(content, str) else content)


def tiny_llama(folder: Path, seed: int = 0, **config: Any) -> Path:
    """A random model of two small layers, with the tokenizer and prompt of the embedded one."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    settings = {
        "vocab_size": 16384,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 1024,
        "initializer_range": 0.2,  # so that the likeliest tokens stand out
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": 2,
    }
    LlamaForCausalLM(LlamaConfig(**(settings | config))).save_pretrained(folder)
    for name in ("tokenizer.json", "prompt.json"):
        (folder / name).symlink_to(MINI / name)
    return folder
