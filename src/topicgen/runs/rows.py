"""The JSON lines of an unfinished run -> what of it can be kept; those of a finished one -> its rows."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from topicgen.errors import UserError
from topicgen.records import Document

_ROW_START, _ROW_END = b'{"id": ', b"}\n"
_STATUS = b', "status": "'  # within a string, its quotes would be escaped


@dataclass(frozen=True, slots=True)
class Kept:
    """The rows of an earlier writer that stay.

    Attributes:
        documents: Their number.
        size: Their bytes.
        last_id: Id of the last one.
        statuses: Their number by status.
    """

    documents: int = 0
    size: int = 0
    last_id: str | None = None
    statuses: Counter[str] = field(default_factory=Counter)


def kept_rows(path: Path, ends: Iterable[int]) -> Kept:
    """The rows up to the last of ``ends`` (increasing numbers of rows) before which every row is whole.

    Whole is a line that looks like a row and has its end: a write that was cut off leaves a torn line, a power cut may
    leave a stretch of zeros. The last row kept is parsed too.
    """
    kept = Kept()
    documents, size, statuses = 0, 0, Counter[str]()
    upcoming = iter(ends)
    end = next(upcoming)
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return kept
    with file:
        for line in file:
            if not is_whole(line):
                break
            documents += 1
            size += len(line)
            statuses[row_status(line)] += 1
            if documents == end:
                last_id = _id(line)
                if last_id is None:
                    break
                kept = Kept(documents, size, last_id, statuses.copy())
                end = next(upcoming)
    return kept


def skip_kept(documents: Iterator[Document], kept: Kept, name: str) -> None:
    """Reads the documents whose rows are kept; raises UserError when the last one is not that of the last row."""
    last = None
    for document in islice(documents, kept.documents):
        last = document.id
    if last != kept.last_id:
        raise UserError(
            f"{name}: row {kept.documents} is of document {kept.last_id}, but the input has {last} there; "
            "use --force to start anew, or another name"
        )


def count_rows(path: Path) -> Counter[str]:
    """Number of whole rows by status; none where there is no file."""
    try:
        with path.open("rb") as file:
            return Counter(row_status(line) for line in file if is_whole(line))
    except FileNotFoundError:
        return Counter()


def count_lines(path: Path) -> int:
    """Number of lines; none where the file cannot be read."""
    try:
        with path.open("rb") as file:
            return sum(1 for _ in file)
    except OSError:
        return 0


def is_whole(line: bytes) -> bool:
    return line.startswith(_ROW_START) and line.endswith(_ROW_END) and b"\0" not in line


def row_status(line: bytes) -> str:
    """The status of a row, found without parsing it."""
    return line.partition(_STATUS)[2].partition(b'"')[0].decode("utf-8", "replace")


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a finished run, parsed."""
    with path.open("rb") as file:
        for line in file:
            yield json.loads(line)


def _id(line: bytes) -> str | None:
    try:
        found = json.loads(line)["id"]
    except (ValueError, KeyError, RecursionError):
        return None
    return found if isinstance(found, str) else None
