"""Topics to write, and what the tests of writing share."""

import csv
import io
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from topicgen.config import WriterSettings
from topicgen.records import Topic
from topicgen.writer import open_writer, output_format

PLAIN = Topic("a", "Solar panels", 0.91236, "ok", "x.csv", 1, text="The text")
EMPTY = Topic("b", "", None, "empty", "x.csv", 2)


def topic(identifier: str = "a", **columns: Any) -> Topic:
    return Topic(identifier, "Solar panels", 0.5, "ok", "x.csv", 1, columns=columns)


def write(path: Path, topics: list[Topic], **settings: Any) -> None:
    kind = output_format(str(path), None, False)
    with open_writer(str(path), WriterSettings(kind, **settings)) as writer:
        writer.write(topics)


@contextmanager
def full_disk(limit: int) -> Iterator[None]:
    """Lets files grow to ``limit`` bytes only."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def csv_rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_bytes().decode(), newline="")))
