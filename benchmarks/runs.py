"""What runs and the cache cost: a fresh run with and without the cache, a second run, and a resumption.

    python benchmarks/runs.py [--documents 1000]

Prints one table. The cache's share is the time within its calls, as a share of the same run, so that it can be read off
also where other work makes the total vary.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from topicgen import Document, TopicGenerator
from topicgen.config import GenerationSettings, WriterSettings
from topicgen.generate import window_ends
from topicgen.quarantine import Problems
from topicgen.runs.fingerprint import Fingerprint
from topicgen.runs.rows import kept_rows
from topicgen.runs.run import open_run
from topicgen.topic_cache import FILE_NAME, TopicCache

ROOT = Path(__file__).resolve().parents[1]


class Timed:
    """Seconds within some calls."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            began = time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                self.seconds += time.perf_counter() - began

        return call


def texts(count: int) -> list[Document]:
    paragraphs = [part for part in (ROOT / "data/input.txt").read_text(encoding="utf-8").split("\n\n") if part.strip()]
    return [Document(str(n), f"{paragraphs[n % len(paragraphs)]} Part {n}.", position=n) for n in range(count)]


def run(generator: TopicGenerator, documents: list[Document], folder: Path, cached: bool) -> tuple[float, float, float]:
    """Seconds of a run, of them within the cache, and within the run's file."""
    settings = GenerationSettings()
    within_cache, within_run = Timed(), Timed()
    fingerprint: Fingerprint = {"output_format": "jsonl"}
    output = str(folder / f"out-{len(list(folder.iterdir()))}.jsonl")
    began = time.perf_counter()
    cache = TopicCache(folder / FILE_NAME, {}, print) if cached else None
    if cache:
        cache._find, cache._store = within_cache(cache._find), within_cache(cache._store)  # type: ignore[method-assign]
        cache.freeze()
    with open_run(output, WriterSettings(), lambda: fingerprint, window_ends) as opened:
        opened.begin("mini", "", settings.window, None)
        write = within_run(opened.write)
        for topics in generator.windows(documents, settings, cache=cache):
            write(topics)
        within_run(opened.finish)(Problems())
    if cache:
        cache.close()
    return time.perf_counter() - began, within_cache.seconds, within_run.seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=1000)
    count = parser.parse_args().documents
    generator, documents = TopicGenerator.load("mini"), texts(count)
    generator.generate(documents[:32])
    print(f"{count} documents, {os.cpu_count()} cores\n")
    print("| run | documents/s | within the cache | within the run's file |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for title, cached in (("without the cache", False), ("fresh, with the cache", True), ("all cached", True)):
            seconds, cache, file = run(generator, documents, folder, cached)
            shares = f"{cache / seconds:.2%} | {file / seconds:.2%}"
            print(f"| {title} | {count / seconds:.1f} | {shares} |")
        rows = folder / "rows.jsonl"
        line = next(folder.glob("out-*.jsonl")).read_bytes().splitlines(keepends=True)[0]
        rows.write_bytes(line * 1_000_000)
        began = time.perf_counter()
        assert kept_rows(rows, window_ends(256)).documents > 999_000
        print(f"\nLooking through 1,000,000 rows before a resumption: {time.perf_counter() - began:.1f} s")


if __name__ == "__main__":
    main()
