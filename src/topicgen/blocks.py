"""Sources -> blocks that any machine can read by itself, and a block -> its documents, with the ids of a plain run."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice
from operator import attrgetter
from pathlib import Path

from topicgen.config import ReaderSettings
from topicgen.errors import UsageError
from topicgen.parquet import row_count
from topicgen.quarantine import Problems
from topicgen.reader import read_source, read_sources
from topicgen.records import Document
from topicgen.sources import Source
from topicgen.streams import open_bytes


@dataclass(frozen=True, slots=True)
class Block:
    """Neighbouring documents of one source.

    Attributes:
        number: Its number among all blocks, from 0.
        source: The number of its source.
        first: Position of its first document.
        last: Position of its last document.
        missing: Positions between them that gave no document: rows in the quarantine.
    """

    number: int
    source: int
    first: int
    last: int
    missing: tuple[int, ...] = ()


def plan_blocks(
    sources: Sequence[Source], settings: ReaderSettings, problems: Problems, size: int
) -> tuple[list[Source], list[Block]]:
    """The sources, with paths that hold in any folder, and their blocks of up to ``size`` documents.

    Parquet is divided by its row counts, unread. All else is read once, here: only that tells where a document begins,
    which rows are bad and, with an id column, whether an id was there before. Their bad rows go to ``problems``.

    Raises:
        UsageError: For standard input, which other machines cannot read.
    """
    if any(source.path is None for source in sources):
        raise UsageError("-: standard input cannot be read by several machines; write it to a file first")
    placed = [replace(source, path=Path(source.path or "").absolute()) for source in sources]
    read = [s for s in placed if s.format != "parquet" or s.gzipped or settings.effective_id_column is not None]
    numbers = {source.name: number for number, source in enumerate(placed)}
    found: list[list[Block]] = [[] for _ in placed]
    for name, documents in groupby(read_sources(read, settings, problems), key=attrgetter("source")):
        number = numbers[name]
        found[number] = list(_cut(number, (document.position for document in documents), size))
    for number, source in enumerate(placed):
        if source not in read:
            with open_bytes(source) as file:
                rows = row_count(source.name, file)
            starts = range(1, rows + 1, size)
            found[number] = [Block(0, number, first, min(first + size - 1, rows)) for first in starts]
    blocks = [block for blocks in found for block in blocks]
    return placed, [replace(block, number=number) for number, block in enumerate(blocks)]


def _cut(source: int, positions: Iterator[int], size: int) -> Iterator[Block]:
    first = 1
    while chunk := list(islice(positions, size)):
        missing = sorted({*range(first, chunk[-1] + 1)}.difference(chunk))
        yield Block(0, source, first, chunk[-1], tuple(missing))
        first = chunk[-1] + 1


class BlockReader:
    """Reads blocks. A file that is no Parquet is read on from the block before, or from its beginning."""

    def __init__(self, sources: Sequence[Source], settings: ReaderSettings) -> None:
        self._sources = sources
        self._settings = settings
        self._open: int | None = None
        self._next = 1
        self._documents: Iterator[Document] = iter(())

    def read(self, block: Block, problems: Problems) -> Iterator[Document]:
        """The documents of a block; rows that cannot be read go to ``problems`` where it is a block of Parquet."""
        source = self._sources[block.source]
        if source.format == "parquet" and not source.gzipped:
            documents = read_source(source, self._settings, problems, block.first)
        else:
            if self._open != block.source or self._next > block.first:
                # The plan has reported what cannot be read.
                self._documents = read_source(source, self._settings, Problems())
            documents = self._documents
            self._open, self._next = block.source, block.last + 1
        return (document for document in _between(documents, block) if document.position not in block.missing)


def _between(documents: Iterable[Document], block: Block) -> Iterator[Document]:
    for document in documents:
        if document.position >= block.first:
            yield document
        if document.position >= block.last:
            return
