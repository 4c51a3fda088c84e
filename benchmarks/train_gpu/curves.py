"""The loss of topicgen's steps beside that of transformers and PEFT: the same examples, rates, optimiser and start.

    python curves.py ours-nf4 WORK CARRY --base FOLDER     # each run in a process of its own: WORK/curve-ours-nf4.json
    python curves.py compare WORK                          # differences of all pairs of runs that are there

ours    topicgen's trainer: packs, one prefix, compiled where there is a GPU
packs   the same in smaller packs
peft    transformers and PEFT: sdpa, one padded batch a step, layers computed again in the backward pass
eager   the same with another attention, which rounds otherwise
exact   the same computed in float32, from the weights as they are stored
Each as -nf4 or -bf16, or -float32 without a GPU, where ours and peft must agree. How far peft lies from exact is what
rounding does to a curve; ours should lie no farther. --base is a Llama in NF4 (for -nf4) or
unquantised. The optimiser is torch's AdamW in float32 for all; the loss is that of the topic tokens. CARRY holds
arxiv.jsonl.xz. Prints lines "RESULT {...}".
"""

import argparse
import itertools
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from ours import read_examples

from topicgen.models import WeightsFolder, find_base
from topicgen.training import memory
from topicgen.training.base import load_base
from topicgen.training.loop import Data, Trainer
from topicgen.training.lora import Adapter
from topicgen.training.prompts import prompt_of
from topicgen.training.rows import TokenRow, encode_examples
from topicgen.training.schedule import Schedule
from topicgen.training.settings import MODULES, TrainingSettings

SYSTEMS, PRECISIONS = ("ours", "packs", "peft", "eager", "exact"), ("nf4", "bf16", "float32")
REFERENCES = ("peft", "exact")
EXAMPLES = 8  # of a step
MAX_TOKENS = 512
SMOOTHED = 10  # steps
SMALL_PACK = 1024  # tokens; else the examples of a step are one pack
IGNORED = -100


def settings_of(precision: str, steps: int) -> TrainingSettings:
    return TrainingSettings(
        max_length=MAX_TOKENS,
        max_steps=steps,
        per_device_train_batch_size=EXAMPLES,
        gradient_accumulation_steps=1,
        validation_fraction=0,
        optim="adamw",
        precision=precision,  # type: ignore[arg-type]
        save_steps=10**6,
        resume="never",
    )


def start_of(adapter: Adapter) -> float:
    """A number that is the same for the same start of the adapter."""
    return sum(parameter.detach().double().abs().sum().item() for parameter in adapter.parameters())


def train_ours(base: WeightsFolder, data: Data, settings: TrainingSettings, device: torch.device) -> dict[str, Any]:
    plan = memory.plan(base.config, settings, device)
    print(plan, flush=True)
    model = load_base(base, settings, plan, device, torch.bfloat16 if device.type == "cuda" else torch.float32)
    start = start_of(model.adapter)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(model, data, settings, plan, Path(folder), {}, lambda row: None, print)
        trainer._save = lambda: None  # type: ignore[method-assign] # nothing goes on from here
        history = trainer.run().history
    losses, gradients = ([row[name] for row in history] for name in ("loss", "gradient"))
    return {"losses": losses, "gradients": gradients, "start": start, "packs": str(trainer.fill)}


def peft_model(base: WeightsFolder, system: str, settings: TrainingSettings, device: torch.device) -> tuple[Any, float]:
    """PEFT's model with topicgen's start of the adapter, and the number of that start."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    dtype = torch.bfloat16 if device.type == "cuda" and system != "exact" else torch.float32
    quantization = None
    if settings.precision == "nf4" and not base.quantized:
        quantization = BitsAndBytesConfig(  # type: ignore[no-untyped-call]
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
        )
    model = AutoModelForCausalLM.from_pretrained(
        base.path,
        dtype=dtype,
        device_map={"": 0 if device.type == "cuda" else "cpu"},
        attn_implementation="eager" if system == "eager" else "sdpa",
        **({"quantization_config": quantization} if quantization else {}),
    )
    for module in model.modules():
        if hasattr(module, "compute_dtype"):  # of bitsandbytes: a quantised base says bfloat16
            module.compute_dtype = dtype
    model.config.use_cache = False
    model.gradient_checkpointing_enable({"use_reentrant": False})  # type: ignore[no-untyped-call]
    lora = LoraConfig(
        r=settings.lora_r, lora_alpha=int(settings.lora_alpha), target_modules=list(MODULES), task_type="CAUSAL_LM"
    )
    adapted = get_peft_model(model, lora).train()
    adapter = Adapter(base.linear_shapes(), base.number("num_hidden_layers"), settings, torch.device("cpu"))
    theirs = {n.replace(".default", ""): p for n, p in adapted.named_parameters() if p.requires_grad}
    ours = adapter.named()
    if theirs.keys() != ours.keys():
        raise SystemExit(f"other adapters: {sorted(theirs.keys() ^ ours.keys())[:4]}")
    with torch.no_grad():
        for name, parameter in ours.items():
            theirs[name].copy_(parameter)
    return adapted, start_of(adapter)


def padded(prefix: tuple[int, ...], rows: Sequence[TokenRow], device: torch.device) -> tuple[torch.Tensor, ...]:
    """Ids, attention mask and labels of a batch, filled up behind each example."""
    longest = max(len(row.ids) for row in rows) + len(prefix)
    ids, mask = torch.zeros(len(rows), longest, dtype=torch.int64), torch.zeros(len(rows), longest, dtype=torch.int64)
    labels = torch.full_like(ids, IGNORED)
    for number, row in enumerate(rows):
        whole = torch.tensor([*prefix, *row.ids])
        ids[number, : len(whole)], mask[number, : len(whole)] = whole, 1
        labels[number, len(prefix) + row.answer : len(whole)] = whole[len(prefix) + row.answer :]
    return ids.to(device), mask.to(device), labels.to(device)


def train_peft(
    base: WeightsFolder, data: Data, settings: TrainingSettings, device: torch.device, system: str
) -> dict[str, Any]:
    model, start = peft_model(base, system, settings, device)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        parameters,
        lr=settings.learning_rate,
        weight_decay=settings.weight_decay,
        fused=device.type == "cuda" or None,
    )
    schedule = Schedule(tuple(len(row.ids) for row in data.train), EXAMPLES, settings)
    losses, gradients = [], []
    for step in range(schedule.steps):
        ids, mask, labels = padded(data.prefix, [data.train[i] for i in schedule.chosen(step)], device)
        read = labels[:, 1:] != IGNORED
        logits = model(input_ids=ids, attention_mask=mask).logits[:, :-1][read]
        loss = torch.nn.functional.cross_entropy(logits.float(), labels[:, 1:][read])
        torch.autograd.backward(loss)
        gradients.append(torch.nn.utils.clip_grad_norm_(parameters, settings.max_grad_norm).item())
        losses.append(loss.item())
        for group in optimizer.param_groups:
            group["lr"] = schedule.learning_rate(step)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if step % SMOOTHED == 0:
            print(f"step {step + 1}: loss {losses[-1]:.4f}, gradient {gradients[-1]:.4f}", flush=True)
    return {"losses": losses, "gradients": gradients, "start": start}


def run(name: str, options: argparse.Namespace) -> None:
    began = time.perf_counter()
    system, precision = name.split("-")
    device = torch.device(options.device)
    base = find_base(str(options.base))
    if base.quantized and precision != "nf4":
        raise SystemExit(f"{options.base} is quantised; {name} needs another base")
    settings = settings_of(precision, options.steps)
    prompt = prompt_of(base)
    examples = read_examples(options.carry / "arxiv.jsonl.xz")
    encoded = encode_examples(examples, prompt, base.tokenizer, settings.max_length)
    data = Data(encoded.prefix, encoded.rows, [], base.tokenizer, encoded.rows[0].ids[-1])
    if system in ("ours", "packs"):
        settings = replace(settings, pack_tokens=SMALL_PACK if system == "packs" else None)
        made = train_ours(base, data, settings, device)
    else:
        made = train_peft(base, data, settings, device, system)
    cuda = device.type == "cuda"
    made |= {
        "name": name,
        "base": str(options.base),
        "seconds": round(time.perf_counter() - began, 1),
        "peak_gb": round(torch.cuda.max_memory_allocated() / 2**30, 1) if cuda else None,
        "device": torch.cuda.get_device_name() if cuda else "cpu",
    }
    options.work.mkdir(parents=True, exist_ok=True)
    (options.work / f"curve-{name}.json").write_text(json.dumps(made) + "\n", encoding="utf-8")
    ends = {"first": made["losses"][0], "last": made["losses"][-1]}
    print(
        "RESULT " + json.dumps({k: v for k, v in made.items() if k not in ("losses", "gradients")} | ends), flush=True
    )


def smoothed(losses: Sequence[float]) -> list[float]:
    """Means of each SMOOTHED steps in a row."""
    return [sum(losses[i : i + SMOOTHED]) / SMOOTHED for i in range(len(losses) - SMOOTHED + 1)] or list(losses)


def difference(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {"compared": f"{one['name']} with {other['name']}", "steps": len(one["losses"])}
    if len(one["losses"]) != len(other["losses"]) or abs(one["start"] / other["start"] - 1) > 1e-9:
        raise SystemExit(f"{told['compared']}: not the same number of steps, or another start")
    for kind, change in (("", list), ("smoothed_", smoothed)):
        pairs = zip(change(one["losses"]), change(other["losses"]), strict=True)
        apart = [abs(a - b) for a, b in pairs]
        told |= {f"{kind}mean": round(sum(apart) / len(apart), 6), f"{kind}largest": round(max(apart), 6)}
    told["gradient_relative_mean"] = round(
        sum(abs(a / b - 1) for a, b in zip(one["gradients"], other["gradients"], strict=True)) / told["steps"], 5
    )
    return (
        told
        | {"first": one["losses"][0] - other["losses"][0], "loss_start": other["losses"][0]}
        | {"loss_end": round(smoothed(other["losses"])[-1], 4)}
    )


def compare(work: Path) -> None:
    found = {path.stem: json.loads(path.read_text()) for path in sorted(work.glob("curve-*.json"))}
    for precision in PRECISIONS:
        for reference, system in itertools.product(REFERENCES, SYSTEMS):
            one, other = (found.get(f"curve-{name}-{precision}") for name in (system, reference))
            if one and other and system != reference:
                print("RESULT " + json.dumps(difference(one, other)), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=["compare", *(f"{s}-{p}" for s in SYSTEMS for p in PRECISIONS)])
    parser.add_argument("work", type=Path)
    parser.add_argument("carry", type=Path, nargs="?")
    parser.add_argument("--base", type=Path, help="model folder")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--device", default="cuda")
    options = parser.parse_args()
    if options.name == "compare":
        compare(options.work)
    elif options.carry is None or options.base is None:
        parser.error("a run needs CARRY and --base")
    else:
        run(options.name, options)


if __name__ == "__main__":
    main()
