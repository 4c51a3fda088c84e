"""One peer of the benchmark of fine-tuning, in a process of its own; prints one line "RESULT {...}".

    python peers.py trl --base FOLDER/nf4 --data FILE.jsonl.xz --steps 5 --warm-up 3

trl           TRL, PEFT and bitsandbytes with the original project's settings: NF4, batches of 8, accumulation 8,
              padded, gradient checkpointing, 8-bit AdamW
unsloth       Unsloth with the same settings and its own checkpointing, as the original project used it
unsloth-best  Unsloth at its fastest known: 4 packed rows of 2,048 tokens, accumulation 2, no checkpointing

--base is a model folder of base_model.py. Rows of --data are {"text", "topic"}. Every row trains LoRA of rank 16 on
all seven projections, on the same prompt. Samples and tokens are counted in what the trainer collated for the timed
steps, without padding; a sample is one end-of-text token.
"""

import argparse
import json
import lzma
import os
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PROMPT = """Below is an instruction that describes a task, paired with an input that provides further context. \
Write a response that appropriately completes the request.

### Instruction:
Please generate a meaningful topic for the following article.

### Input:
{}

### Response:
"""
LORA = {
    "r": 16,
    "lora_alpha": 16,
    "lora_dropout": 0,
    "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
}
PACKAGES = "torch triton transformers trl peft accelerate bitsandbytes datasets unsloth unsloth_zoo xformers torchao"
MAX_TOKENS = 2048
BATCHES = {"trl": (8, 8), "unsloth": (8, 8), "unsloth-best": (4, 2)}  # rows of a batch, accumulation


def load_texts(data: Path, end: str) -> list[str]:
    with lzma.open(data, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [PROMPT.format(row["text"]) + row["topic"] + end for row in rows]


def unsloth_model(base: Path, checkpointing: str | bool) -> tuple[Any, Any, None]:
    from unsloth import FastLanguageModel

    model, tokenizer = FastLanguageModel.from_pretrained(
        model_name=str(base), max_seq_length=MAX_TOKENS, dtype=None, load_in_4bit=True
    )
    model = FastLanguageModel.get_peft_model(
        model, **LORA, bias="none", use_gradient_checkpointing=checkpointing, random_state=3407
    )
    return model, tokenizer, None


def trl_model(base: Path) -> tuple[Any, Any, Any]:
    import torch
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer

    place = {"": 0 if torch.cuda.is_available() else "cpu"}
    model = AutoModelForCausalLM.from_pretrained(
        base, dtype=torch.bfloat16, device_map=place, attn_implementation="sdpa"
    )
    adapter = LoraConfig(**LORA, task_type="CAUSAL_LM")
    return model, AutoTokenizer.from_pretrained(base), adapter


def count_batches(collator: Any, end_id: int) -> list[tuple[int, int]]:
    """A list that grows by (samples, tokens) with each batch that the collator makes."""
    batches: list[tuple[int, int]] = []

    class Counting(type(collator)):
        def __call__(self, features: list[dict[str, Any]], *args: Any, **more: Any) -> Any:
            ids = [list(feature["input_ids"]) for feature in features]
            batches.append((sum(row.count(end_id) for row in ids), sum(map(len, ids))))
            return super().__call__(features, *args, **more)

    collator.__class__ = Counting  # so that checks of its type still hold
    return batches


def train(row: str, base: Path, data: Path, steps: int, warm_up: int, folder: str) -> dict[str, Any]:
    # Unsloth changes transformers and TRL when it is imported, so it comes before both.
    if row.startswith("unsloth"):
        model, tokenizer, adapter = unsloth_model(base, False if row == "unsloth-best" else "unsloth")
    else:
        model, tokenizer, adapter = trl_model(base)
    import torch
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer

    gpu, seconds = torch.cuda.is_available(), 0.0

    class Clock(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            nonlocal seconds
            if state.global_step not in (warm_up, warm_up + steps):
                return
            if gpu:
                torch.cuda.synchronize()
            seconds = time.perf_counter() - seconds  # the clock at the first call, the difference at the second
            if gpu and state.global_step == warm_up:
                torch.cuda.reset_peak_memory_stats()

    rows, accumulation = BATCHES[row]
    settings = SFTConfig(
        output_dir=folder,
        per_device_train_batch_size=rows,
        gradient_accumulation_steps=accumulation,
        max_steps=warm_up + steps,
        warmup_steps=5,
        learning_rate=2e-4,
        bf16=True,
        use_cpu=not gpu,
        optim="adamw_8bit" if gpu else "adamw_torch",
        weight_decay=0.01,
        lr_scheduler_type="linear",
        seed=3407,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        dataset_text_field="text",
        dataset_num_proc=1,
        max_length=MAX_TOKENS,
        packing=row == "unsloth-best",
        # Unsloth's own checkpointing is a setting of its model.
        gradient_checkpointing=row == "trl",
    )
    texts = load_texts(data, tokenizer.eos_token)
    trainer = SFTTrainer(
        model=model,
        processing_class=tokenizer,
        train_dataset=Dataset.from_dict({"text": texts}),
        args=settings,
        peft_config=adapter,
        callbacks=[Clock()],
    )
    batches = count_batches(trainer.data_collator, tokenizer.eos_token_id)
    trainer.train()
    timed = batches[warm_up * accumulation : (warm_up + steps) * accumulation]
    samples, tokens = map(sum, zip(*timed, strict=True))
    return {
        "samples_s": round(samples / seconds, 2),
        "tokens_s": round(tokens / seconds),
        "tokens_per_sample": round(tokens / samples, 1),
        "peak_gb": round(torch.cuda.max_memory_allocated() / 2**30, 1) if gpu else None,
        "seconds": round(seconds, 2),
        "samples": samples,
        "losses": [round(entry["loss"], 4) for entry in trainer.state.log_history if "loss" in entry],
        "device": torch.cuda.get_device_name() if gpu else "cpu",
    }


def versions() -> dict[str, str]:
    found = {"python": sys.version.split()[0]}
    for name in PACKAGES.split():
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("row", choices=sorted(BATCHES))
    parser.add_argument("--base", type=Path, required=True, help="model folder of base_model.py")
    parser.add_argument("--data", type=Path, required=True, help="xz-compressed JSON lines with text and topic")
    parser.add_argument("--steps", type=int, default=5, help="timed steps")
    parser.add_argument("--warm-up", type=int, default=3, help="steps before them, at least 1")
    options = parser.parse_args()
    if options.steps < 1 or options.warm_up < 1:
        parser.error("--steps and --warm-up must be at least 1")
    os.environ.update(UNSLOTH_DISABLE_STATISTICS="1", HF_HUB_OFFLINE="1")
    base, data = options.base.resolve(), options.data.resolve()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # Unsloth writes compiled code into the current folder
        result = train(options.row, base, data, options.steps, options.warm_up, folder)
        os.chdir(base)
    print("RESULT " + json.dumps({"name": options.row, **result, "versions": versions()}), flush=True)


if __name__ == "__main__":
    main()
