"""Adapter folders made for tests, by PEFT."""

import json
import shutil
from pathlib import Path
from typing import Any

from topicgen.adapters import BASE_FILE, CONFIG_FILE
from topicgen.models import find_base

MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def make_adapter(folder: Path, base: str, strength: float = 0.05, **config: Any) -> Path:
    """An adapter folder on a base, with random A and B, as the trainer writes it."""
    import peft
    import torch
    from transformers import LlamaForCausalLM

    found = find_base(base)
    torch.manual_seed(1)
    llama = LlamaForCausalLM.from_pretrained(found.path, dtype=torch.float32)
    settings = {"r": 4, "lora_alpha": 8, "target_modules": MODULES, "task_type": "CAUSAL_LM"} | config
    adapted = peft.get_peft_model(llama, peft.LoraConfig(**settings))
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=strength)
    adapted.save_pretrained(folder)
    for name in ("config.json", "tokenizer.json", "prompt.json"):
        shutil.copy(found.path / name, folder)
    recorded = {"name": base, "digest": found.digest, "weights": found.weights_digest}
    (folder / BASE_FILE).write_text(json.dumps(recorded))
    return folder


def change(folder: Path, file: str = CONFIG_FILE, **values: Any) -> None:
    """Changes settings of a JSON file of an adapter folder; None drops one."""
    changed = json.loads((folder / file).read_text()) | values
    (folder / file).write_text(json.dumps({name: value for name, value in changed.items() if value is not None}))
