"""Tables of (title, text) in, compressed shards of pre-training rows and a held-out set out.

    python mini/corpus.py --arxiv DATA/arxiv-*.parquet --general DATA/general.parquet --out build/corpus

A shard is JSON lines in xz: {"title", "text", "domain"}. Rows are assigned to the held-out set by a hash of their
text, so that the split does not depend on the order or number of the input files.
"""

import argparse
import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pyarrow.parquet as pq
from shards import Row, text_hash, write_shard

HELD_OUT = {"arxiv": 2000, "reuters": 200, "digitalgov": 120, "18f": 60, "reddit": 260}
MAX_CHARACTERS = 4500  # about 1,000 tokens, the context of the model
TICKER = re.compile(r"\s*<[^>]{1,12}>")


def fold(text: str) -> str:
    return " ".join(text.split())


def domain_of(source: str) -> str:
    return source.split("/")[0].lower()


def arxiv_rows(paths: list[Path]) -> Iterator[Row]:
    for path in paths:
        for batch in pq.ParquetFile(path).iter_batches(columns=["title", "abstract", "categories"]):
            for row in batch.to_pylist():
                yield {
                    "title": fold(row["title"]),
                    "text": fold(row["abstract"]),
                    "domain": "arxiv",
                    "category": (row["categories"] or "").split(",")[0],
                }


def general_rows(paths: list[Path]) -> Iterator[Row]:
    for path in paths:
        for row in pq.read_table(path, columns=["source", "title", "text"]).to_pylist():
            title = fold(TICKER.sub("", row["title"])) if row["source"] == "reuters" else fold(row["title"])
            yield {
                "title": title,
                "text": fold(row["text"])[:MAX_CHARACTERS],
                "domain": domain_of(row["source"]),
                "category": row["source"],
            }


def usable(row: Row) -> bool:
    """Titles of one to 30 words over texts that say more than the title does."""
    return 0 < len(row["title"].split()) <= 30 and len(row["text"]) > max(100, len(row["title"]))


def split(rows: list[Row]) -> tuple[list[Row], list[Row]]:
    """Shuffles by hash, drops repeated texts, and takes each domain's first rows as held out."""
    by_hash = {text_hash(row["text"]): row for row in rows if usable(row)}
    left = Counter(HELD_OUT)
    train, held_out = [], []
    for key in sorted(by_hash):
        row = by_hash[key]
        if left[row["domain"]] > 0:
            left[row["domain"]] -= 1
            held_out.append(row)
        else:
            train.append(row)
    return train, held_out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arxiv", type=Path, nargs="+", required=True, help="Parquet: title, abstract, categories")
    parser.add_argument("--general", type=Path, nargs="*", default=[], help="Parquet: source, title, text")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--shards", type=int, default=16)
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    train, held_out = split([*arxiv_rows(args.arxiv), *general_rows(args.general)])
    print("held out", write_shard(args.out / "heldout.jsonl.xz", held_out), Counter(row["domain"] for row in held_out))
    shards = [train[i :: args.shards] for i in range(args.shards)]
    paths = [args.out / f"corpus-{i:02d}.jsonl.xz" for i in range(args.shards)]
    with ProcessPoolExecutor(args.jobs) as pool:
        sizes = list(pool.map(write_shard, paths, shards))
    print("train", len(train), Counter(row["domain"] for row in train), sum(sizes), "bytes")


if __name__ == "__main__":
    main()
