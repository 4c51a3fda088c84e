"""Speed of a run over Ray with one and two workers of one core, beside a plain run on one and two cores.

    python benchmarks/scale.py --data FOLDER --documents 800

FOLDER may hold topics.parquet (column abstract); without it the paragraphs of data/input.txt are repeated. All runs are
commands of their own on the same Parquet file; a cluster is started and ended by each run over Ray. documents/s are
those that the command says: over Ray they count the start of the workers, but not that of the cluster. "other seconds"
are the rest of the command's time.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from generate_cpu import load_documents

SAID = re.compile(r"(\d+) topics? written .* in ([\d.]+) s")
RUNS = {
    "plain, one core": ["--threads", "1", "--no-cache"],
    "plain, two cores": ["--threads", "2", "--no-cache"],
    "ray, one worker": ["--engine", "ray", "--threads", "1", "--ray-workers", "1"],
    "ray, two workers": ["--engine", "ray", "--threads", "1", "--ray-workers", "2"],
}


def write_input(path: Path, data: Path | None, count: int) -> None:
    texts = [text for text, _ in load_documents(data, count)]
    # Repeats are told apart, because the generator runs equal documents once.
    repeated = [f"{texts[n % len(texts)]} ({n})" if n >= len(texts) else texts[n] for n in range(count)]
    pq.write_table(pa.table({"text": repeated}), path)


def measure(name: str, options: list[str], folder: Path, block: int) -> tuple[float, float, list[str]]:
    """Documents/s, the other seconds of the command, and the topics."""
    out = folder / name.replace(", ", "-").replace(" ", "-")
    argv = [sys.executable, "-m", "topicgen", "generate", str(folder / "input.parquet"), *options, "--deterministic"]
    ray = "ray" in options
    argv += ["-o", str(out if ray else out.with_suffix(".jsonl")), *(["--ray-block", str(block)] if ray else [])]
    began = time.perf_counter()
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    whole = time.perf_counter() - began
    found = SAID.search(done.stderr)
    assert found is not None, done.stderr
    files = sorted(out.glob("part-*")) if ray else [out.with_suffix(".jsonl")]
    rows = [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    return int(found[1]) / float(found[2]), whole - float(found[2]), [row["topic"] for row in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with topics.parquet")
    parser.add_argument("--documents", type=int, default=800)
    parser.add_argument("--block", type=int, default=50)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_input(folder / "input.parquet", args.data, args.documents)
        found = {run: measure(run, options, folder, args.block) for run, options in RUNS.items()}
    base, _, topics = found["plain, one core"]
    print(f"{args.documents} documents, blocks of {args.block}\n")
    print("| run | documents/s | ratio | other seconds | same topics |")
    print("|---|---|---|---|---|")
    for run, (rate, other, written) in found.items():
        same = sum(a == b for a, b in zip(topics, written, strict=True)) / len(topics)
        print(f"| {run} | {rate:.1f} | {rate / base:.2f} | {other:.1f} | {100 * same:.1f} % |")


if __name__ == "__main__":
    main()
