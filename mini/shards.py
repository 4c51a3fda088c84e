"""Compressed shards of corpus rows (JSON lines in xz), and the hash that names a text."""

import hashlib
import json
import lzma
from collections.abc import Iterator
from pathlib import Path

Row = dict[str, str]


def text_hash(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8, person=b"mini").hexdigest()


def read_shard(path: Path) -> Iterator[Row]:
    with lzma.open(path, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def read_topics(path: Path) -> dict[str, str]:
    """Topics by the hash of their text, from a table with the columns text_hash and topic."""
    lines = path.read_text(encoding="utf-8").splitlines()[1:]
    return {key: topic for key, topic, *_ in (line.split("\t") for line in lines)}


def write_shard(path: Path, rows: list[Row]) -> int:
    """Writes a shard and returns its size in bytes."""
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_bytes(lzma.compress(lines.encode(), preset=9))
    return path.stat().st_size
