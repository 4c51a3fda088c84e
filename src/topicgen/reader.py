"""Files, folders and standard input -> documents, one at a time; memory does not grow with the input."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from topicgen.columns import choose_columns
from topicgen.config import ReaderSettings
from topicgen.errors import UsageError, UserError
from topicgen.ids import SeenIds, column_id, derived_id
from topicgen.parquet import parquet_table
from topicgen.quarantine import Problems, RowError
from topicgen.records import Document
from topicgen.sources import Source, find_sources
from topicgen.streams import EarlyEndError, open_bytes, read_text, spool
from topicgen.tables import Table, csv_table, jsonl_table
from topicgen.units import read_units

__all__ = ["Problems", "check_inputs", "column_names", "read_documents", "read_sources"]

_MAX_NESTING = 100

Notify = Callable[[str], None]


def _silent(_: str) -> None:
    """Says nothing."""


def read_documents(
    inputs: Sequence[str],
    settings: ReaderSettings,
    problems: Problems,
    *,
    stdin: BinaryIO | None = None,
    notify: Notify = _silent,
    skip: Collection[Path] = (),
) -> Iterator[Document]:
    """Returns the documents of all inputs, in order.

    Inputs are checked at the call, as in ``check_inputs``; the documents are read as the iterator is used.
    ``problems`` gathers bad rows and sources that end early. ``notify`` gets one-line notices.
    ``skip`` names files that folders leave out: the outputs of this run.
    """
    said: set[str] = set()

    def notify_once(notice: str) -> None:
        if notice not in said:
            said.add(notice)
            notify(notice)

    outputs = [*skip, *([problems.path] if problems.path else [])]
    sources = check_inputs(inputs, settings, notify=notify_once, skip=outputs)
    return read_sources(sources, settings, problems, stdin=stdin, notify=notify_once)


def check_inputs(
    inputs: Sequence[str], settings: ReaderSettings, *, notify: Notify = _silent, skip: Collection[Path] = ()
) -> list[Source]:
    """Finds all sources, opens each and chooses its columns; raises UserError for what cannot be read.

    Standard input is not touched.
    """
    sources = find_sources(inputs, settings, skip)
    named = settings.text_column or settings.effective_id_column or settings.keep
    if named and all(source.format == "text" for source in sources):
        raise UsageError(f"{sources[0].name}: read as text, which has no columns; leave the column options out")
    for source in sources:
        if source.path is not None:
            _check_source(source, settings, notify)
    return sources


def column_names(path: str, settings: ReaderSettings) -> list[str]:
    """The columns of one table, in order; raises UserError when it cannot be read or is no table."""
    source = None if Path(path).is_dir() else next(iter(find_sources([path], settings)), None)
    if source is None or source.path is None or source.format == "text":
        raise UserError(f"{path}: a table is needed, as .csv, .tsv, .jsonl or .parquet")
    with _open_table(source, settings, Problems(), None) as table:
        return list(table.header.names) if table is not None else []


def _check_source(source: Source, settings: ReaderSettings, notify: Notify) -> None:
    if source.format == "text" or (source.format == "parquet" and source.gzipped):
        with open_bytes(source):
            return
    try:
        with _open_table(source, settings, Problems(), None) as table:
            if table is not None:
                choose_columns(source.name, table.header, settings, notify)
    except EarlyEndError:
        return  # reported when the source is read


def read_sources(
    sources: Sequence[Source],
    settings: ReaderSettings,
    problems: Problems,
    *,
    stdin: BinaryIO | None = None,
    notify: Notify = _silent,
) -> Iterator[Document]:
    """The documents of sources that were checked, as in ``read_documents``."""
    with closing(SeenIds()) as seen:
        for source in sources:
            count = 0
            if source.format == "text":
                documents = _text_documents(source, settings, problems, stdin)
            else:
                documents = _table_documents(source, settings, problems, stdin, notify, seen)
            try:
                for document in documents:
                    count += 1
                    yield document
            except EarlyEndError as end:
                problems.ends_early(f"{source.name}: {end} (after {count} {'row' if count == 1 else 'rows'})")


def _text_documents(
    source: Source, settings: ReaderSettings, problems: Problems, stdin: BinaryIO | None
) -> Iterator[Document]:
    chunks = read_text(source, settings.encoding, stdin)
    units = read_units(chunks, settings.unit, settings.max_characters)
    columns = dict.fromkeys(settings.carried)
    for position, (text, cut) in enumerate(units, 1):
        yield Document(
            id=derived_id(source.name, position),
            text=_mended(text, problems),
            source=source.name,
            position=position,
            columns=columns,
            cut=cut,
        )


def _table_documents(
    source: Source,
    settings: ReaderSettings,
    problems: Problems,
    stdin: BinaryIO | None,
    notify: Notify,
    seen: SeenIds,
) -> Iterator[Document]:
    with _open_table(source, settings, problems, stdin) as table:
        if table is None:
            return
        columns = choose_columns(source.name, table.header, settings, notify)
        for row in table.rows(columns.needed):
            try:
                text, cut = _cell_text(row.values, columns.text, settings.max_characters)
                kept = {name: _mended(row.values.get(name), problems) for name in columns.keep}
                identifier = derived_id(source.name, row.position)
                if columns.id is not None:
                    identifier = _mended(column_id(row.values.get(columns.id)), problems)
                    seen.add(identifier)
            except RowError as bad:
                problems.quarantine(source.name, row.line, str(bad), row.raw)
                continue
            yield Document(identifier, _mended(text, problems), source.name, row.position, kept, cut)


@contextmanager
def _open_table(
    source: Source, settings: ReaderSettings, problems: Problems, stdin: BinaryIO | None
) -> Iterator[Table | None]:
    """Opens a table up to its first row; gives None for one without rows and header."""
    if source.format == "parquet":
        # Parquet is read from its end, so it must lie in a file.
        plain = source.path is not None and not source.gzipped
        with open_bytes(source) if plain else spool(source, stdin) as file:
            yield parquet_table(source.name, file)
        return
    chunks = read_text(source, settings.encoding, stdin)
    if source.format == "jsonl":
        named = (settings.text_column, settings.effective_id_column, *settings.carried)
        yield jsonl_table(source.name, chunks, [name for name in named if name is not None], problems)
    else:
        delimiter = settings.delimiter or ("\t" if source.format == "tsv" else ",")
        yield csv_table(source.name, chunks, delimiter, problems)


def _cell_text(values: Mapping[str, Any], column: str, limit: int) -> tuple[str, bool]:
    """The text of a row and whether it was cut; blank text is empty, and so is null."""
    if column not in values:
        raise RowError(f"no column {column!r}")
    text = values[column]
    if text is None:
        return "", False
    if not isinstance(text, str):
        raise RowError(f"column {column!r} is of type {type(text).__name__}, not a string")
    if len(text) > limit:
        text = text.strip()
    cut = len(text) > limit
    return ("" if text.isspace() else text[:limit]), cut


def _mended(value: Any, problems: Problems, depth: int = 0) -> Any:
    """The value with U+FFFD for every lone surrogate, which no file could hold; they are counted."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            mended = "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in value)
            problems.replaced += sum(a != b for a, b in zip(value, mended, strict=True))
            return mended
        return value
    if depth > _MAX_NESTING:
        raise RowError(f"a kept column is nested more than {_MAX_NESTING} deep")
    if isinstance(value, dict):
        return {_mended(k, problems): _mended(v, problems, depth + 1) for k, v in value.items()}
    if isinstance(value, list):
        return [_mended(item, problems, depth + 1) for item in value]
    return value
