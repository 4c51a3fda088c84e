"""What a machine of a cluster does: a block in, a part with its topics out, whole or not at all."""

import secrets
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from topicgen.blocks import Block, BlockReader
from topicgen.config import GenerationSettings, ReaderSettings, WriterSettings
from topicgen.generate import TopicGenerator
from topicgen.manifest import sha256
from topicgen.quarantine import Problems
from topicgen.sources import Source
from topicgen.writer import open_writer


@dataclass(frozen=True, slots=True)
class Work:
    """What all workers of a run have in common.

    Attributes:
        sources: The files, with absolute paths that lead to the same files on each machine.
        reader: How they become documents.
        generation: How topics are generated.
        writer: How parts are written.
        folder: Absolute path of the folder of parts, the same on each machine.
        model: Name, folder or hub id of the model.
        load_options: Options of ``TopicGenerator.load``.
    """

    sources: Sequence[Source]
    reader: ReaderSettings
    generation: GenerationSettings
    writer: WriterSettings
    folder: str
    model: str
    load_options: dict[str, Any]


class BlockWorker:
    """Holds a model, and writes the parts of the blocks that it gets."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._generator = TopicGenerator.load(work.model, **work.load_options)
        self._reader = BlockReader(work.sources, work.reader)

    def write(self, block: Block) -> dict[str, Any]:
        """Writes the part of one block; returns its line of the manifest."""
        work = self._work
        folder = Path(work.folder)
        name = f"part-{block.number:06d}.{work.writer.output_format}"
        part = folder / f".part-{block.number:06d}.{secrets.token_hex(4)}"
        problems = _KeptProblems()
        statuses: Counter[str] = Counter()
        with open_writer(str(part), work.writer) as writer:
            writer.write([])
            for topics in self._generator.windows(self._reader.read(block, problems), work.generation):
                writer.write(topics)
                statuses.update(topic.status for topic in topics)
        digest = sha256(part)
        # The name appears with the whole content: a worker that dies leaves nothing, and two leave one file.
        part.replace(folder / name)
        return {
            "block": block.number,
            "file": name,
            "rows": statuses.total(),
            "sha256": digest,
            "source": work.sources[block.source].name,
            "first": block.first,
            "last": block.last,
            "statuses": dict(statuses),
            **({"problems": problems.rows} if problems.rows else {}),
        }


class _KeptProblems(Problems):
    """Keeps bad rows for the machine that writes the quarantine file."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[str, int, str, str]] = []

    def quarantine(self, source: str, line: int, reason: str, raw: str) -> None:
        """Keeps one row."""
        self.rows.append((source, line, reason, raw))
