"""What the tests of reading share."""

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from topicgen.config import ReaderSettings
from topicgen.reader import Problems, read_documents
from topicgen.records import Document


def read(*inputs: Path | str, problems: Problems | None = None, stdin: bytes | None = None, **settings: Any):
    stream = None if stdin is None else io.BytesIO(stdin)
    named = [str(given) for given in inputs]
    return list(read_documents(named, ReaderSettings(**settings), problems or Problems(), stdin=stream))


def texts(*inputs: Path | str, **settings: Any) -> list[str]:
    return [document.text for document in read(*inputs, **settings)]


class Reading:
    """Reads one file written from bytes, and keeps what was reported."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.notices: list[str] = []
        self.problems = Problems(folder / "bad.jsonl")

    def read(self, name: str, content: str | bytes, **settings: Any) -> list[Document]:
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        given = ReaderSettings(**settings)
        return list(read_documents([str(path)], given, self.problems, notify=self.notices.append))

    def texts(self, name: str, content: str | bytes, **settings: Any) -> list[str]:
        return [document.text for document in self.read(name, content, **settings)]

    def quarantined(self) -> list[tuple[int, str]]:
        if not (self.folder / "bad.jsonl").exists():
            return []
        lines = (self.folder / "bad.jsonl").read_text().splitlines()
        return [(record["line"], record["reason"]) for record in map(json.loads, lines)]


def parquet(**columns: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def jsonl(*rows: Any) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)
