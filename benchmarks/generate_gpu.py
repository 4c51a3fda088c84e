"""Topics by Llama 3 8B on one GPU: topicgen beside transformers and vLLM, one process each, and one table.

    python benchmarks/generate_gpu.py WORK CARRY                  # all rows, then --check; about seven minutes
    python benchmarks/generate_gpu.py WORK CARRY hf-64 ours-fp8   # some rows
    python benchmarks/generate_gpu.py --check                     # the embedded model: are the topics the same?

WORK gets the model, the logs and results.jsonl; CARRY holds tokenizer.model (of the PyPI package llama-models) and
arxiv.jsonl.xz (lines {"text": abstract}). The model has the shape of Llama 3 8B and random weights, which almost never
write the end token: every system writes 16 tokens for every document. All get the same texts; reading them as tokens
and writing topics as text is part of the time, loading and the first call, in which functions are compiled, are not.

    original     one text at a time, NF4: the loop of the project that this one follows; needs bitsandbytes
    hf-64        transformers' generate, bf16, batches of 64 documents of similar length
    hf-continuous  transformers' continuous batching, bf16
    ours-bf16, ours-fp8   the hf engine
    vllm-bf16, vllm-fp8   vLLM's offline engine, where it is installed

The floor is the prompts' matrix products at the 790 TFLOP/s that a large product reaches in bf16 on an H100 or H200;
in FP8 twice that.
"""

import argparse
import json
import lzma
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

NEW_TOKENS = 16
FLOORS = {"bf16": 293, "fp8": 586}
LIMITS = {
    "original": 100,
    "hf-64": 100,
    "hf-continuous": 90,
    "ours-bf16": 150,
    "ours-fp8": 150,
    "vllm-bf16": 240,
    "vllm-fp8": 240,
    "check": 150,
}  # seconds of a row
Generate = Callable[[list[tuple[int, ...]]], list[list[int]]]
"""Token ids of prompts -> of what was written."""


def read_texts(carry: Path) -> list[str]:
    with lzma.open(carry / "arxiv.jsonl.xz", "rt", encoding="utf-8") as lines:
        return [json.loads(line)["text"] for line in lines]


def model_folder(work: Path) -> Path:
    """The random base with the prompt of Llama 3 beside it: a model folder."""
    from topicgen.models import find_base
    from topicgen.training.prompts import prompt_of

    base, folder = work / "bf16", work / "model"
    folder.mkdir(exist_ok=True)
    for file in base.iterdir():
        if not (folder / file.name).exists():
            (folder / file.name).symlink_to(file.resolve())
    prompt_of(find_base(str(base))).save(folder)
    return folder


def original(folder: Path) -> tuple[Generate, int, int]:
    import torch
    from transformers import BitsAndBytesConfig

    four_bits = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16)
    return _in_batches(folder, 1, quantization_config=four_bits), 2, 16


def hf_64(folder: Path) -> tuple[Generate, int, int]:
    return _in_batches(folder, 64), 64, 512


def _loaded(folder: Path, **options: Any) -> Any:
    import torch
    from transformers import AutoModelForCausalLM, GenerationConfig

    options = {"attn_implementation": "sdpa"} | options
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16, device_map={"": 0}, **options)
    end = model.config.eos_token_id
    model.generation_config = GenerationConfig(
        max_new_tokens=NEW_TOKENS, min_new_tokens=NEW_TOKENS, do_sample=False, pad_token_id=end, eos_token_id=end
    )
    return model


def _in_batches(folder: Path, size: int, **options: Any) -> Generate:
    import torch

    model = _loaded(folder, **options)

    def generate(prompts: list[tuple[int, ...]]) -> list[list[int]]:
        order = sorted(range(len(prompts)), key=lambda number: len(prompts[number]))
        done: list[list[int]] = [[] for _ in prompts]
        for start in range(0, len(order), size):
            batch = order[start : start + size]
            longest = max(len(prompts[number]) for number in batch)
            ids = [[0] * (longest - len(prompts[number])) + list(prompts[number]) for number in batch]
            read = [[0] * (longest - len(prompts[number])) + [1] * len(prompts[number]) for number in batch]
            with torch.inference_mode():
                output = model.generate(
                    torch.tensor(ids, device="cuda"), attention_mask=torch.tensor(read, device="cuda")
                )
            for number, row in zip(batch, output[:, longest:].tolist(), strict=True):
                done[number] = row
        return done

    return generate


def hf_continuous(folder: Path) -> tuple[Generate, int, int]:
    model = _loaded(folder)
    model.generation_config.min_new_tokens, model.generation_config.eos_token_id = None, -1

    def generate(prompts: list[tuple[int, ...]]) -> list[list[int]]:
        outputs = model.generate_batch([list(prompt) for prompt in prompts], generation_config=model.generation_config)
        return [list(output.generated_tokens) for output in outputs.values()]

    return generate, 64, 1024


def ours(precision: str) -> Callable[[Path], tuple[Generate, int, int]]:
    def load(folder: Path) -> tuple[Generate, int, int]:
        from topicgen.config import GenerationSettings
        from topicgen.engines.hf import HFEngine
        from topicgen.models import find_model

        engine = HFEngine(find_model(str(folder)), precision=precision)  # type: ignore[arg-type]
        print(engine.reason, flush=True)
        settings = GenerationSettings(max_topic_tokens=NEW_TOKENS)

        def generate(prompts: list[tuple[int, ...]]) -> list[list[int]]:
            done = []
            for start in range(0, len(prompts), engine.window):
                done += engine.generate(prompts[start : start + engine.window], settings)
            return [list(one.ids) for [one] in done]

        return generate, 2 * engine.window, 2 * engine.window

    return load


def vllm(precision: str) -> Callable[[Path], tuple[Generate, int, int]]:
    def load(folder: Path) -> tuple[Generate, int, int]:
        from vllm import LLM, SamplingParams
        from vllm.inputs import TokensPrompt

        quantised = {"quantization": "fp8"} if precision == "fp8" else {}
        model = LLM(str(folder), dtype="bfloat16", max_model_len=2048, enable_prefix_caching=True, **quantised)
        settings = SamplingParams(temperature=0, max_tokens=NEW_TOKENS, ignore_eos=True, detokenize=False)

        def generate(prompts: list[tuple[int, ...]]) -> list[list[int]]:
            inputs = [TokensPrompt(prompt_token_ids=list(prompt)) for prompt in prompts]
            return [list(output.outputs[0].token_ids) for output in model.generate(inputs, settings, use_tqdm=False)]

        return generate, 512, 2048

    return load


SYSTEMS: dict[str, Callable[[Path], tuple[Generate, int, int]]] = {
    "original": original,
    "hf-64": hf_64,
    "hf-continuous": hf_continuous,
    "ours-bf16": ours("bf16"),
    "ours-fp8": ours("fp8"),
    "vllm-bf16": vllm("bf16"),
    "vllm-fp8": vllm("fp8"),
}
"""Model folder -> what generates, and how many documents to warm up with and to time."""


def run_system(name: str, work: Path, carry: Path, profile: bool) -> None:
    """Times one system and prints one line "RESULT {...}"."""
    import torch

    from topicgen.models import find_model
    from topicgen.prompt import PromptEncoder

    began = time.perf_counter()
    folder = model_folder(work)
    model = find_model(str(folder))
    encoder = PromptEncoder(model.prompt, model.tokenizer, 2048)
    generate, warm, count = SYSTEMS[name](folder)
    texts = read_texts(carry)
    texts = (texts * (1 + (warm + count) // len(texts)))[: warm + count]
    loaded = time.perf_counter()

    def topics(texts: list[str]) -> tuple[int, int]:
        prompts = [prompt.ids for prompt in encoder.encode(texts)]
        written = generate(prompts)
        model.tokenizer.decode_batch(written)
        torch.cuda.synchronize()
        return sum(map(len, prompts)), sum(map(len, written))

    topics(texts[:warm])
    warmed = time.perf_counter()
    torch.cuda.reset_peak_memory_stats()
    read, new = topics(texts[warm:])
    seconds = time.perf_counter() - warmed
    result = {
        "name": name,
        "docs_s": round(count / seconds, 2),
        "documents": count,
        "peak_gb": round(torch.cuda.max_memory_allocated() / 2**30, 1),
        "prompt_tokens": round(read / count, 1),
        "new_tokens": round(new / count, 2),
        "load_s": round(loaded - began, 1),
        "first_call_s": round(warmed - loaded, 1),
        "device": torch.cuda.get_device_name(),
        "versions": {package: _version(package) for package in ("torch", "transformers", "vllm")},
    }
    print("RESULT " + json.dumps(result), flush=True)
    if profile:
        with torch.profiler.profile() as seen:
            topics(texts[warm : warm + 512])
        print(seen.key_averages().table(sort_by="self_device_time_total", row_limit=30, max_name_column_width=60))


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def run_check(carry: Path | None, count: int = 500) -> None:
    """Compares the topics of the embedded model: the hf engine's own generation with transformers'."""
    import torch

    from topicgen.config import GenerationSettings
    from topicgen.engines.hf import HFEngine
    from topicgen.engines.hf_batches import TransformersBatches
    from topicgen.models import find_model
    from topicgen.prompt import PromptEncoder

    model = find_model("mini")
    encoder = PromptEncoder(model.prompt, model.tokenizer, 900)
    texts = read_texts(carry)[:count] if carry else [f"A report on the year {1000 + n}." for n in range(count)]
    prompts = [prompt.ids for prompt in encoder.encode(texts)]
    theirs = TransformersBatches(model, model.tokenizer.token_to_id(model.prompt.stop) or 0)
    wide, narrow = GenerationSettings(), GenerationSettings(batch_tokens=2048)
    reference = theirs.generate(prompts, wide)

    def equal(name: str, found: Any, expected: Any) -> None:
        pairs = list(zip(found, expected, strict=True))
        same = [(a[0], b[0]) for a, b in pairs if a[0].ids == b[0].ids]
        apart = max((abs(a.score - b.score) for a, b in same), default=0.0)
        result = {"name": name, "equal": round(len(same) / len(pairs), 4), "score_apart": round(apart, 4)}
        print("CHECK " + json.dumps(result), flush=True)

    equal("transformers in bf16, other batches", theirs.generate(prompts, narrow), reference)
    for precision in ("bf16", "fp8"):
        engine = HFEngine(model, precision=precision)  # type: ignore[arg-type]
        equal(f"ours in {precision}", engine.generate(prompts, wide), reference)
        equal(f"ours in {precision}, compiled and captured", engine.generate(prompts * 3, wide)[-count:], reference)
        equal(
            f"ours in {precision}, one at a time",
            engine.generate(prompts[:50], GenerationSettings(deterministic=True)),
            reference[:50],
        )
        beams = GenerationSettings(beams=4)
        equal(
            f"ours in {precision}, 4 beams",
            engine.generate(prompts[:128], beams),
            theirs.generate(prompts[:128], beams),
        )
        drawn = GenerationSettings(temperature=1.0, seed=3)
        again = [engine.generate(prompts[:64], drawn) for _ in range(2)]
        equal(f"ours in {precision}, sampled twice with one seed", *again)
        del engine
        torch.cuda.empty_cache()


def run_all(names: list[str], work: Path, carry: Path, profile: bool) -> None:
    """Runs each row in a process of its own, and prints the table."""
    work.mkdir(parents=True, exist_ok=True)
    here = Path(__file__).resolve().parent
    if not (work / "bf16").is_dir():
        maker = here / "train_gpu" / "base_model.py"
        arguments = ["--out", str(work), "--tokenizer", str(carry / "tokenizer.model"), "--only-bf16"]
        subprocess.run([sys.executable, str(maker), *arguments], check=True)
    rows: list[dict[str, Any]] = []
    for name in names:
        more = ["--profile"] if profile and name.startswith("ours") else []
        log = work / f"{name}.log"
        command = [sys.executable, __file__, str(work), str(carry), "--system", name, *more]
        with log.open("w") as stream:
            began = time.perf_counter()
            try:
                code = subprocess.run(
                    command, stdout=stream, stderr=subprocess.STDOUT, timeout=LIMITS[name], check=False
                ).returncode
            except subprocess.TimeoutExpired:
                code = f"no result within {LIMITS[name]} s"
        lines = log.read_text(errors="replace").splitlines()
        found = [json.loads(line.removeprefix("RESULT ")) for line in lines if line.startswith("RESULT ")]
        print(f"{name}: {time.perf_counter() - began:.0f} s, {found or code}", flush=True)
        if code != 0:
            print("\n".join(line[:300] for line in lines[-12:]), flush=True)
        print("\n".join(line for line in lines if line.startswith("CHECK ")), flush=True)
        rows += found
    with (work / "results.jsonl").open("a") as stream:
        stream.writelines(json.dumps(row) + "\n" for row in rows)
    print("\n".join(table(rows)))


def table(rows: list[dict[str, Any]]) -> Iterator[str]:
    unit = next((row["docs_s"] for row in rows if row["name"] == "hf-64"), None)
    yield "| system | documents/s | x hf-64 | share of the floor | peak GB | first call, s |"
    yield "|---|---|---|---|---|---|"
    for row in rows:
        floor = FLOORS["fp8" if row["name"].endswith("fp8") else "bf16"]
        ratio = f"{row['docs_s'] / unit:.2f}" if unit else ""
        yield (
            f"| {row['name']} | {row['docs_s']} | {ratio} | {100 * row['docs_s'] / floor:.0f} % | {row['peak_gb']} |"
            f" {row['first_call_s']} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, nargs="?")
    parser.add_argument("carry", type=Path, nargs="?")
    parser.add_argument("names", nargs="*", metavar="SYSTEM", help=", ".join([*SYSTEMS, "check"]))
    parser.add_argument("--system", help="run this one in this process")
    parser.add_argument("--check", action="store_true", help="compare topics of the embedded model")
    parser.add_argument("--profile", action="store_true", help="show where our rows spend the GPU's time")
    options = parser.parse_args()
    if options.check or options.system == "check":
        run_check(options.carry)
    elif not options.work or not options.carry:
        parser.error("WORK and CARRY are needed")
    elif options.system:
        run_system(options.system, options.work, options.carry, options.profile)
    else:
        usable = [name for name in SYSTEMS if not name.startswith("vllm") or find_spec("vllm")]
        if not find_spec("bitsandbytes"):
            usable.remove("original")
        run_all(options.names or [*usable, "check"], options.work, options.carry, options.profile)


if __name__ == "__main__":
    main()
