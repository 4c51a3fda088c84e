"""A file that a browser sent and how to read it -> its columns with a few rows, and its documents."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from topicgen.columns import Header, choose_columns, require_unique_names, suspected_delimiter
from topicgen.config import ReaderSettings
from topicgen.errors import UserError
from topicgen.reader import Problems, check_source, open_table, read_sources
from topicgen.rows import OWN_FIELDS, kept_fields
from topicgen.sources import KNOWN_SUFFIXES, Source, format_of
from topicgen.streams import EarlyEndError

_T = TypeVar("_T")

_SHOWN_ROWS = 3
_SHOWN_CHARACTERS = 300
_SAMPLE_ROWS = 100  # as many as the reader looks at for the keys of JSON lines
_EXACT_INTEGER = 2**53 - 1  # beyond it the numbers of JavaScript are not exact


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that a browser sent.

    Attributes:
        name: The name that its user knows it by, for messages and ids; never a path on this machine.
        path: Where its bytes lie.
    """

    name: str
    path: Path

    def source(self) -> Source:
        """The file as the reader takes it; raises UserError when its name has no known ending."""
        known, gzipped = format_of(self.name)
        if known is None:
            raise UserError(f"{self.name}: unknown file type {Path(self.name).suffix!r}; known are {KNOWN_SUFFIXES}")
        return Source(self.name, self.path, known, gzipped)


def preview(upload: Upload, settings: ReaderSettings) -> dict[str, Any]:
    """What a person needs to see before the file is read.

    Args:
        upload: The file, or its beginning (a Parquet file is read from its end, and has to be whole).
        settings: How to read it; without a delimiter, one that the header suggests is taken.

    Returns:
        ``format``; ``columns``, empty for plain text; ``text`` and ``id``, the columns that suggest themselves, or
        None; ``delimiter``, where another than the usual one was taken; ``rows``, the first few, cell by cell.

    Raises:
        UserError: When the file cannot be read.
    """
    source = upload.source()
    found: dict[str, Any] = {"format": source.format, "columns": [], "text": None, "id": None, "delimiter": None}
    if source.format == "text":
        documents = _first(read_sources([source], settings, Problems()), _SHOWN_ROWS)
        return found | {"rows": [[_short(document.text)] for document in documents]}
    header, rows = _sample(source, settings)
    delimiter = None if settings.delimiter else suspected_delimiter(header)
    if delimiter:
        settings = replace(settings, delimiter=delimiter)
        header, rows = _sample(source, settings)
    names = list(header.names)
    require_unique_names(source.name, names)
    return found | {
        "columns": names,
        "text": _text_column(source, header, settings),
        "id": "id" if "id" in names else None,
        "delimiter": delimiter,
        "rows": [[_short(row.get(name)) for name in names] for row in rows[:_SHOWN_ROWS]],
    }


def read_upload(upload: Upload, settings: ReaderSettings, *, keep_rest: bool) -> Iterator[dict[str, Any]]:
    """Reads all documents of a file.

    Args:
        upload: The file.
        settings: How to read it.
        keep_rest: Whether documents carry the columns that are neither text nor id.

    Returns:
        ``{"fields": [...]}``, the fields of the kept columns; a row for each document; at the end
        ``{"problems": [...]}``, what was lost, line by line. Integers that JavaScript cannot hold become text.

    Raises:
        UserError: At once when the file cannot be opened or has no such column; later where its bytes are damaged.
    """
    source = upload.source()
    if keep_rest and source.format != "text":
        names = _sample(source, settings)[0].names
        taken = (settings.text_column, settings.id_column, "id")  # a kept column "id" would become the id
        settings = replace(settings, keep=tuple(name for name in names if name not in taken))
    check_source(source, settings, lambda _: None)
    return _rows(source, settings)


def _rows(source: Source, settings: ReaderSettings) -> Iterator[dict[str, Any]]:
    fields = kept_fields(settings.carried, (*OWN_FIELDS, "theme", "subtheme"))
    yield {"fields": list(fields.values())}
    problems = Problems()
    for document in read_sources([source], settings, problems):
        columns = {field: _exact(document.columns.get(column)) for column, field in fields.items()}
        row = {"id": document.id, "text": document.text, "position": document.position, "columns": columns}
        yield row | ({"cut": True} if document.cut else {})
    yield {"problems": problems.summary()}


def _sample(source: Source, settings: ReaderSettings) -> tuple[Header, list[Mapping[str, Any]]]:
    """The columns of a table and its first rows; JSON lines have the columns of all of these rows."""
    try:
        with open_table(source, settings, Problems()) as table:
            if table is None:
                return Header([]), []
            count = _SAMPLE_ROWS if source.format == "jsonl" else _SHOWN_ROWS
            rows: list[Mapping[str, Any]] = [row.values for row in _first(table.rows(table.header.names), count)]
    except EarlyEndError as end:
        raise UserError(f"{source.name}: {end}") from None
    further = dict.fromkeys(name for row in rows for name in row if name not in table.header.names)
    return replace(table.header, names=[*table.header.names, *further]), rows


def _first(rows: Iterator[_T], count: int) -> list[_T]:
    """The first rows; where only the beginning of a file was sent, the last of them may be cut through."""
    found: list[_T] = []
    try:
        found.extend(islice(rows, count))
    except (EarlyEndError, UserError):
        if not found:
            raise
    return found


def _text_column(source: Source, header: Header, settings: ReaderSettings) -> str | None:
    try:
        return choose_columns(source.name, header, replace(settings, text_column=None), lambda _: None).text
    except UserError:
        return None


def _short(value: Any) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS].rstrip() + "…"


def _exact(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _exact(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_exact(item) for item in value]
    return str(value) if isinstance(value, int) and abs(value) > _EXACT_INTEGER else value
