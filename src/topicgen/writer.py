"""Topics -> JSON lines, CSV, Parquet, or a table on the terminal."""

import math
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol, Self, cast, get_args

from topicgen.config import OutputFormat, WriterSettings
from topicgen.errors import UsageError
from topicgen.outputs import Output, open_file, refuse_input_as_output, standard_output
from topicgen.parquet_output import ParquetTopics
from topicgen.records import Topic
from topicgen.rows import field_names, json_text, kept_fields, topic_row
from topicgen.terminal import TerminalTable

SUFFIXES: dict[str, OutputFormat] = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".parquet": "parquet"}

# OWASP's list of what starts a formula, with the full-width forms that spreadsheets also accept.
_FORMULA = re.compile("[=+\\-@\t\r\n＝＋－＠]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


class TopicSink(Protocol):
    """What a format has to provide."""

    def write(self, topics: Iterable[Topic]) -> None:
        """Writes topics, in order."""

    def close(self) -> None:
        """Finishes the output; may be called twice."""


class Writer:
    """An open output of topics; closing it, also after an error, keeps what was written."""

    def __init__(self, sink: TopicSink, output: Output) -> None:
        self._sink = sink
        self._output = output

    def write(self, topics: Iterable[Topic]) -> None:
        """Writes topics, in order; the first call, even with none, gives up an earlier file of this name."""
        self._output.start()
        self._sink.write(topics)

    def close(self) -> None:
        """Finishes the output; may be called twice."""
        self._sink.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def output_format(path: str | None, given: str | None, terminal: bool) -> OutputFormat:
    """Returns the format of an output: the given one, else by suffix; on standard output a table or JSON lines."""
    for known in get_args(OutputFormat):
        if given == known:
            _require_fitting(path, known)
            return cast(OutputFormat, known)
    if given is not None:
        raise UsageError(f"unknown output format {given!r}; known are {', '.join(get_args(OutputFormat))}")
    if path is None:
        return "table" if terminal else "jsonl"
    found = SUFFIXES.get(Path(path).suffix.lower())
    if found is None:
        raise UsageError(f"{path}: unknown output type {Path(path).suffix!r}; known are {', '.join(SUFFIXES)}")
    return found


def _require_fitting(path: str | None, known: OutputFormat) -> None:
    if path is None and known == "parquet":
        raise UsageError("Parquet needs a file: name the output, such as topics.parquet")
    if path is not None and known == "table":
        raise UsageError(f"{path}: a table is for the terminal; choose jsonl, csv or parquet for a file")


def open_writer(
    path: str | None,
    settings: WriterSettings,
    *,
    stdout: IO[str] | None = None,
    force: bool = False,
    inputs: Sequence[str] = (),
) -> Writer:
    """Opens an output file, or standard output when ``path`` is None.

    Raises UserError at once when the file cannot be written, is one of ``inputs``, or, without ``force``, has content.
    A JSON lines file grows in place; CSV and Parquet appear when the writer is closed.
    """
    known = settings.output_format
    _require_fitting(path, known)
    refuse_input_as_output(path, inputs)
    if path is None:
        errors = "replace" if known == "table" else "backslashreplace"
        output = standard_output(stdout or sys.stdout, errors)
    else:
        output = open_file(path, in_place=known == "jsonl", binary=known == "parquet", force=force)
    return Writer(_sink(output, settings), output)


def write_table(name: str, settings: WriterSettings, rows: Iterable[dict[str, Any]]) -> None:
    """Writes a CSV or Parquet file from rows of JSON lines; it appears, in place of an earlier one, when it is whole.

    Raises UserError when it cannot be written; an earlier file is then as it was.
    """
    binary = settings.output_format == "parquet"
    output = open_file(name, in_place=False, binary=binary, force=True)
    sink = ParquetTopics(output, settings) if binary else CsvTopics(output, settings)
    try:
        sink.write_rows({name: row.get(name) for name in field_names(settings)} for row in rows)
        output.start()  # what was not started is dropped at the end
    finally:
        sink.close()


def _sink(output: Output, settings: WriterSettings) -> TopicSink:
    if settings.output_format == "table":
        return TerminalTable(output)
    if settings.output_format == "parquet":
        return ParquetTopics(output, settings)
    return CsvTopics(output, settings) if settings.output_format == "csv" else JsonLines(output, settings)


def json_line(topic: Topic, settings: WriterSettings) -> str:
    """Returns the row of a topic as a line of a JSON lines file; only documents of several passages have those."""
    row = topic_row(topic, settings, kept_fields(settings.keep))
    if row.get("passages", ...) is None:
        del row["passages"]
    return json_text(row) + "\n"


class JsonLines:
    """Writes one JSON object a line; each is handed to the system at once."""

    def __init__(self, output: Output, settings: WriterSettings) -> None:
        self._output = output
        self._settings = settings

    def write(self, topics: Iterable[Topic]) -> None:
        """Writes topics, in order."""
        for topic in topics:
            self._output.write(json_line(topic, self._settings))
            self._output.flush()

    def close(self) -> None:
        """Closes the file."""
        self._output.close()


class CsvTopics:
    """Writes CSV with a header; lists and objects are JSON in their cell, line ends in cells are line feeds."""

    def __init__(self, output: Output, settings: WriterSettings) -> None:
        import csv

        self._output = output
        self._settings = settings
        self._kept = kept_fields(settings.keep)
        self._csv = csv.writer(output, lineterminator="\n")
        self._csv.writerow([self._cell(name) for name in field_names(settings)])

    def write(self, topics: Iterable[Topic]) -> None:
        """Writes topics, in order; each row is handed to the system at once."""
        for topic in topics:
            self.write_rows([topic_row(topic, self._settings, self._kept)])
            self._output.flush()

    def write_rows(self, rows: Iterable[dict[str, Any]]) -> None:
        """Writes rows with all fields, in order."""
        self._csv.writerows([self._cell(value) for value in row.values()] for row in rows)

    def close(self) -> None:
        """Closes the file and moves it into its place."""
        self._output.close()

    def _cell(self, value: Any) -> Any:
        if isinstance(value, str):
            escaped = self._settings.escape_formulas and _FORMULA.match(value) and not _NUMBER.fullmatch(value)
            # A bare carriage return would go unquoted and break the row.
            flat = value.replace("\r\n", "\n").replace("\r", "\n")
            return f"'{flat}" if escaped else flat
        if isinstance(value, float):
            return value if math.isfinite(value) else None
        return value if value is None or type(value) is int else json_text(value)
