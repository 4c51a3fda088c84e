"""CSV and JSON lines as text in chunks -> a header and rows; bad rows go to the quarantine."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

from topicgen.columns import Header
from topicgen.errors import UserError
from topicgen.quarantine import Problems, RowError
from topicgen.streams import EarlyEndError, split_lines

MAX_ROW_CHARACTERS = 1 << 24
"""Longest row of CSV or JSON lines, in characters; longer ones go to the quarantine and are never held whole."""

_SAMPLE_ROWS = 100
_SAMPLE_CHARACTERS = 1 << 20


class Row(NamedTuple):
    """One row: its ordinal, the line it starts at, its values by column, and the row as it stands in the file."""

    position: int
    line: int
    values: dict[str, Any]
    raw: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table about to be read: its header, and a function from the needed columns to the rows."""

    header: Header
    rows: Callable[[Sequence[str]], Iterator[Row]]


class _RecordLines:
    """Lines for a CSV parser, which may take several for one record, up to a bound."""

    def __init__(self, chunks: Iterable[str]) -> None:
        self._lines = split_lines(chunks, MAX_ROW_CHARACTERS)
        self._read = 0
        self._held: list[str] = []
        self._size = 0
        self.first_line = 1
        self.exhausted = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line, cut = next(self._lines, (None, False))
        if line is None:
            self.exhausted = True
            raise StopIteration
        self._read += 1
        self._size += len(line) + 1
        self._held.append(line)
        if cut or self._size > MAX_ROW_CHARACTERS + 1:
            raise RowError(f"the row has more than {MAX_ROW_CHARACTERS:,} characters; is a quote left open?")
        return line + "\n"

    def begin_record(self) -> None:
        self._held, self._size = [], 0
        self.first_line = self._read + 1

    @property
    def raw(self) -> str:
        return "\n".join(self._held)

    @property
    def held(self) -> int:
        """Lines of this record."""
        return len(self._held)


def csv_table(source: str, chunks: Iterable[str], delimiter: str, problems: Problems) -> Table | None:
    """Reads the header of a CSV file; returns None when the file is empty."""
    import csv

    # The parser's own limit of 131,072 is too low for documents; _RecordLines bounds the whole row.
    csv.field_size_limit(max(csv.field_size_limit(), MAX_ROW_CHARACTERS))
    lines = _RecordLines(chunks)
    parser = csv.reader(lines, delimiter=delimiter, strict=False)
    try:
        header = _next_record(parser, lines)
    except RowError as bad:
        raise UserError(f"{source}:{lines.first_line}: no header can be read: {bad}") from None
    if header is None:
        return None
    names = [name.strip() for name in header]
    return Table(Header(names, delimited=True), lambda _: _csv_rows(source, names, parser, lines, problems))


def _next_record(parser: Iterator[list[str]], lines: _RecordLines) -> list[str] | None:
    """The next record that is not blank, or None at the end."""
    import csv

    record: list[str] | None = []
    while record == []:
        lines.begin_record()
        try:
            record = next(parser, None)
        except csv.Error as error:
            raise RowError(str(error)) from None
    # The parser asks for a line after the last one only inside quotes; it would return the rest as one field.
    if record is not None and lines.exhausted:
        more = lines.held - 1
        rest = f", so that {more} more line{'s are' if more > 1 else ' is'} left out" if more else ""
        raise RowError(f"a quote opens in this row and is never closed{rest}")
    return record


def _csv_rows(
    source: str, names: Sequence[str], parser: Iterator[list[str]], lines: _RecordLines, problems: Problems
) -> Iterator[Row]:
    position = 0
    while True:
        position += 1
        try:
            record = _next_record(parser, lines)
            if record is None:
                return
            if len(record) != len(names):
                raise RowError(f"row has {len(record)} fields, the header {len(names)}")
        except RowError as bad:
            problems.quarantine(source, lines.first_line, str(bad), lines.raw)
            continue
        yield Row(position, lines.first_line, dict(zip(names, record, strict=True)), lines.raw)


def jsonl_table(source: str, chunks: Iterable[str], wanted: Iterable[str], problems: Problems) -> Table | None:
    """Reads objects until each wanted key was seen, at most a small sample; returns None when there is no object.

    JSON lines have no header, and a key may be absent from some objects; the sample stands for it.
    """
    rows = _jsonl_rows(source, chunks, problems)
    missing = set(wanted)
    sample: list[Row] = []
    rest: Iterator[Row] = rows
    size = 0
    try:
        for row in rows:
            sample.append(row)
            missing -= row.values.keys()
            size += len(row.raw)
            if not missing or len(sample) == _SAMPLE_ROWS or size > _SAMPLE_CHARACTERS:
                break
    except EarlyEndError as end:
        rest = _raising(end)
    if not sample:
        # Asks again, so that an end that came early is reported.
        next(rest, None)
        return None
    names = list(dict.fromkeys(name for row in sample for name in row.values))
    strings = [name for name, value in sample[0].values.items() if isinstance(value, str)]
    return Table(Header(names, strings), lambda _: chain(sample, rest))


def _raising(end: EarlyEndError) -> Iterator[Row]:
    raise end
    yield


def _jsonl_rows(source: str, chunks: Iterable[str], problems: Problems) -> Iterator[Row]:
    position = 0
    for line, (text, cut) in enumerate(split_lines(chunks, MAX_ROW_CHARACTERS), 1):
        if not text or text.isspace():
            continue
        position += 1
        try:
            if cut:
                raise RowError(f"the row has more than {MAX_ROW_CHARACTERS:,} characters")
            values = _parse_object(text)
        except RowError as bad:
            problems.quarantine(source, line, str(bad), text)
            continue
        yield Row(position, line, values, text)


def _parse_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except RecursionError:
        raise RowError("the JSON is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise RowError(f"not JSON: {error.msg} (column {error.colno})") from None
    except ValueError as error:  # an integer with thousands of digits
        raise RowError(f"not JSON that can be read: {error}") from None
    if not isinstance(value, dict):
        raise RowError("not a JSON object")
    return value
