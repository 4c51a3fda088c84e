"""Rows of the page, as JSON lines -> a Parquet file."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any, cast, get_args

from topicgen.config import WriterSettings
from topicgen.errors import UserError
from topicgen.records import Status, Topic
from topicgen.rows import OWN_FIELDS
from topicgen.writer import open_writer

_STATUSES = (*get_args(Status), "failed")  # the API's own, where a model could not write a topic


def parquet_file(lines: Iterable[bytes]) -> IO[bytes]:
    """Writes rows as Parquet.

    Args:
        lines: ``{"fields": [...]}`` with the fields beside topicgen's own, in their order; then a row on each line.

    Returns:
        An open file that has no name any more: it is gone when it is closed.

    Raises:
        UserError: When a line is no such row, or there is no room for the file.
    """
    rows = _rows(lines)
    head = next(rows, None)
    fields = head.get("fields") if head else None
    if not isinstance(fields, list) or not all(isinstance(field, str) for field in fields):
        raise UserError('the first line must be {"fields": [names]}')
    keep = tuple(field for field in fields if field not in OWN_FIELDS)
    settings = WriterSettings(output_format="parquet", with_text=True, keep=keep)
    with TemporaryDirectory(prefix="topicgen-") as folder:
        path = Path(folder, "topics.parquet")
        with open_writer(str(path), settings) as writer:
            writer.write(_topic(number, row, keep) for number, row in enumerate(rows, 1))
        return path.open("rb")


def _rows(lines: Iterable[bytes]) -> Iterator[Mapping[str, Any]]:
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            raise UserError(f"line {number} is not JSON") from None
        if not isinstance(row, dict):
            raise UserError(f"line {number} is no object")
        yield row


def _topic(number: int, row: Mapping[str, Any], keep: Iterable[str]) -> Topic:
    texts = {name: row.get(name, "") for name in ("id", "topic", "status", "source", "text")}
    score, position = row.get("score"), row.get("position")
    good = all(isinstance(text, str) for text in texts.values())
    good = good and texts["status"] in _STATUSES and type(position) is int and abs(position) < 2**63
    if not good or not (score is None or (type(score) in (int, float) and math.isfinite(score))):
        raise UserError(f"row {number} is no topic: id, topic, score, status, source, position or text is wrong")
    return Topic(
        id=texts["id"],
        topic=texts["topic"],
        score=None if score is None else float(score),
        status=cast(Status, texts["status"]),
        source=texts["source"],
        position=cast(int, position),
        text=texts["text"],
        columns={name: row.get(name) for name in keep},
    )
