"""Speed of the CPU engine beside transformers, on the same documents and weights in one run.

    make bench-cpu            # or: python benchmarks/generate_cpu.py --data FOLDER --documents 400

FOLDER may hold topics.parquet (columns abstract, topic), or be a file of JSON lines with text and topic; without
either the paragraphs of data/input.txt are repeated.
Every system runs in a process of its own, so that peak memory and cold start are its own. transformers gets its
documents sorted by length, which wastes the least on padding: its best case. All write the likeliest token each
time; "second-look", the default of topicgen, also seeks again where a topic is doubtful.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
TOPIC_TOKENS = 16
SYSTEMS = [
    "onnx int8",
    "onnx int8 second-look",
    "ct2 int8",
    "ct2 float32",
    "ct2 int8 second-look",
    "transformers fp32 x16",
    "transformers fp32 x1",
    "transformers bf16 x16",
    "transformers bf16 x1",
]
Rows = list[tuple[str, str | None]]


def load_documents(data: Path | None, count: int) -> Rows:
    """(text, reference topic) pairs."""
    if data and data.is_file():
        lines = data.read_text(encoding="utf-8").splitlines()[:count]
        return [(row["text"], row["topic"]) for row in map(json.loads, lines)]
    labelled = data / "topics.parquet" if data else None
    if labelled and labelled.is_file():
        import pyarrow.parquet as pq

        table = pq.read_table(labelled, columns=["abstract", "topic"]).to_pylist()
        return [(row["abstract"], row["topic"]) for row in table][:count]
    print(
        f"no {labelled or 'data folder'}: the paragraphs of data/input.txt are repeated, without ROUGE", file=sys.stderr
    )
    paragraphs = (REPOSITORY / "data/input.txt").read_text(encoding="utf-8").split("\n\n")
    # Repeats are told apart, because the generator runs equal documents once.
    return [(f"{paragraphs[i % len(paragraphs)]} ({i})", None) for i in range(count)]


def ours(engine: str, precision: str, second_look: bool, threads: int) -> Callable[[list[str]], list[str]]:
    from topicgen import GenerationSettings, TopicGenerator

    generator = TopicGenerator.load("mini", engine=engine, precision=precision, threads=threads)  # type: ignore[arg-type]
    settings = GenerationSettings(max_topic_tokens=TOPIC_TOKENS, second_look=second_look)
    return lambda texts: [topic.topic for topic in generator.generate(texts, settings)]


def transformers(kind: str, batch: int, threads: int) -> Callable[[list[str]], list[str]]:
    import torch
    from transformers import LlamaForCausalLM

    from topicgen.models import find_model
    from topicgen.phrase import clean
    from topicgen.prompt import PromptEncoder

    torch.set_num_threads(threads)
    folder = find_model("mini")
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[kind]
    model = LlamaForCausalLM.from_pretrained(folder.path, dtype=dtype).eval()
    encoder = PromptEncoder(folder.prompt, folder.tokenizer, folder.context_tokens - TOPIC_TOKENS)
    pad = model.config.pad_token_id

    @torch.inference_mode()
    def generate(texts: list[str]) -> list[str]:
        prompts = [prompt.ids for prompt in encoder.encode(texts)]
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        topics = [""] * len(prompts)
        for first in range(0, len(order), batch):
            part = order[first : first + batch]
            width = max(len(prompts[i]) for i in part)
            ids = torch.tensor([[pad] * (width - len(prompts[i])) + list(prompts[i]) for i in part])
            made = model.generate(
                input_ids=ids, attention_mask=(ids != pad).long(), max_new_tokens=TOPIC_TOKENS, do_sample=False
            )
            for i, row in zip(part, made[:, width:].tolist(), strict=True):
                topics[i] = clean(folder.tokenizer.decode(row, skip_special_tokens=True))
        return topics

    return generate


def measure(system: str, documents: Rows, threads: int) -> dict[str, object]:
    """Runs one system: documents a second, peak memory, topics."""
    from topicgen.peak_memory import peak_memory

    name, *rest = system.split()
    if name == "transformers":
        run = transformers(rest[0], int(rest[1][1:]), threads)
    else:
        run = ours(name, rest[0], len(rest) > 1, threads)
    texts = [text for text, _ in documents]
    run(texts[:2])
    began = time.perf_counter()
    topics = run(texts)
    seconds = time.perf_counter() - began
    return {"system": system, "rate": len(texts) / seconds, "peak": peak_memory(), "topics": topics}


def cold_start(threads: int) -> float:
    """Seconds from the start of the process to its end for one document; the cache is warm, the best of three runs."""
    command = [sys.executable, "-m", "topicgen", "generate", "-", "--threads", str(threads)]
    times = []
    for _ in range(4):
        began = time.perf_counter()
        subprocess.run(command, input="One document about glaciers.", text=True, capture_output=True, check=True)
        times.append(time.perf_counter() - began)
    return min(times[1:])


def print_table(results: list[dict[str, object]], documents: Rows) -> None:
    """Rates, memory, agreement; of ROUGE only the difference, because the model may have been fitted to these rows."""
    from topicgen.metrics import rouge_n

    def rouge(topics: list[str]) -> float:
        scores = [rouge_n(t, reference, 1) for t, (_, reference) in zip(topics, documents, strict=True) if reference]
        return 100 * sum(scores) / len(scores) if scores else 0.0

    exact = next(r["topics"] for r in results if r["system"] == "ct2 float32")
    base = next(r["rate"] for r in results if r["system"] == "transformers fp32 x16")
    print(f"\n{'system':<24}{'documents/s':>12}{'ratio':>8}{'peak MB':>9}{'same as ct2 float32':>21}{'ROUGE-1 +-':>16}")
    for result in results:
        topics = result["topics"]
        same = sum(a == b for a, b in zip(topics, exact, strict=True)) / len(topics)
        print(
            f"{result['system']:<24}{result['rate']:>12.1f}{result['rate'] / base:>8.2f}"
            f"{result['peak'] / 1e6:>9.0f}{100 * same:>20.1f}%{rouge(topics) - rouge(exact):>+16.1f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with topics.parquet, or JSON lines")
    parser.add_argument("--documents", type=int, default=400)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--system", choices=SYSTEMS, help="run only this one, and print its result as JSON")
    args = parser.parse_args()
    documents = load_documents(args.data, args.documents)
    if args.system:
        print(json.dumps(measure(args.system, documents, args.threads)))
        return
    processor = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    from topicgen.engines.base import processor_flags

    known = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8")
    wide = [name for name in known if name in processor_flags()]
    versions = ", ".join(
        f"{package} {version(package)}" for package in ("onnxruntime", "ctranslate2", "torch", "transformers")
    )
    print(f"{datetime.now(UTC):%Y-%m-%d}, {processor} ({', '.join(wide)}), {args.threads} threads, {versions}")
    print(f"{len(documents)} documents, up to {TOPIC_TOKENS} new tokens; ratio to transformers fp32 x16", flush=True)
    results = []
    for system in SYSTEMS:
        command = [sys.executable, __file__, "--system", system, "--threads", str(args.threads)]
        command += ["--documents", str(args.documents)] + (["--data", str(args.data)] if args.data else [])
        environment = {**os.environ, "OMP_NUM_THREADS": str(args.threads), "TOKENIZERS_PARALLELISM": "false"}
        done = subprocess.run(
            command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True
        )
        results.append(json.loads(done.stdout.splitlines()[-1]))
        print(f"  {system}: {results[-1]['rate']:.1f} documents/s", flush=True)
    print_table(results, documents)
    print(f"\ncold start, process to first topic and exit: {cold_start(args.threads):.2f} s")


if __name__ == "__main__":
    main()
