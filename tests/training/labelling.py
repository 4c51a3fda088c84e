"""Rows to train on, and a plain model of transformers and PEFT in the place of Unsloth's."""

from pathlib import Path
from typing import Any

import torch
from passages import PASSAGES

from topicgen.models import WeightsFolder, find_base
from topicgen.prompt import Prompt
from topicgen.records import Example
from topicgen.training.loop import Data
from topicgen.training.lora import Adapter
from topicgen.training.memory import Plan
from topicgen.training.rows import encode_examples
from topicgen.training.settings import MODULES, TrainingSettings


def data_of(base: Path, train: int, validation: int) -> Data:
    """Passages with their first two words as topics."""
    folder = find_base(str(base))
    prompt = folder.own_prompt
    assert isinstance(prompt, Prompt)
    examples = [Example(str(i), t, (" ".join(t.split()[:2]),)) for i, t in enumerate(PASSAGES[: train + validation])]
    rows = encode_examples(examples, prompt, folder.tokenizer, 128)
    stop = rows.rows[0].ids[-1]
    return Data(rows.prefix, rows.rows[:train], rows.rows[train:], folder.tokenizer, stop)


def plain_model(base: WeightsFolder, settings: TrainingSettings, _: Plan | None = None) -> tuple[Any, Any]:
    """What ``unsloth.load_model`` gives, without Unsloth; the adapter starts as in topicgen's own loop."""
    from peft import LoraConfig, get_peft_model, set_peft_model_state_dict
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

    model: Any = LlamaForCausalLM.from_pretrained(base.path, dtype=torch.float32)
    adapter = LoraConfig(
        r=settings.lora_r,
        lora_alpha=settings.lora_alpha,
        lora_dropout=settings.lora_dropout,
        target_modules=list(MODULES),
        task_type="CAUSAL_LM",
    )
    model = get_peft_model(model, adapter)
    ours = Adapter(base.linear_shapes(), base.number("num_hidden_layers"), settings, torch.device("cpu"))
    set_peft_model_state_dict(model, dict(ours.named()))
    end = "<|end_of_text|>"
    file = str(base.path / "tokenizer.json")
    return model, PreTrainedTokenizerFast(tokenizer_file=file, eos_token=end, pad_token=end)
