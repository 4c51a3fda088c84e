"""A sample of the input, run on this machine -> documents, tokens, time and memory of the whole; nothing is written."""

import io
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import pyarrow.parquet as pq

from topicgen.config import GenerationSettings, ReaderSettings, WriterSettings
from topicgen.generate import TopicGenerator
from topicgen.peak_memory import peak_memory
from topicgen.quarantine import Problems
from topicgen.reader import read_sources
from topicgen.records import Document
from topicgen.sources import Source
from topicgen.writer import json_line

SAMPLED_SOURCES = 64
SAMPLED_BYTES = 16 << 20  # of all sources together
SAMPLED_DOCUMENTS = 2_000  # whose tokens are counted
TIMED_DOCUMENTS = 96
TIMED_SECONDS = 20.0
WARMING_DOCUMENTS = 8


@dataclass(frozen=True)
class Estimate:
    """What a run is expected to take.

    Attributes:
        exact: Whether the whole input was read, so that the number of documents is no estimate.
        documents: Documents of the input.
        tokens: Tokens of all prompts.
        truncated: Share of documents whose end the model cannot read.
        documents_per_second: As timed here, on ``timed`` documents.
        seconds: Time of the run.
        memory_bytes: Peak memory of this process, which does not grow with the input.
        accelerator_bytes: Peak memory on the GPU, where there is one at work.
        output_bytes: Size of the output as JSON lines.
    """

    exact: bool
    documents: int
    tokens: int
    truncated: float
    timed: int
    documents_per_second: float
    seconds: float
    memory_bytes: int
    accelerator_bytes: int
    output_bytes: int

    def lines(self) -> list[str]:
        """The estimate for people."""
        about = "" if self.exact else "about "
        cut = f", {self.truncated:.1%} of them longer than the model reads" if self.truncated else ""
        gpu = f", and {_size(self.accelerator_bytes)} on the GPU" if self.accelerator_bytes else ""
        if not self.documents:
            return ["documents: 0"]
        return [
            f"documents: {about}{self.documents:,}{cut}",
            f"tokens: about {self.tokens:,} of prompts, {self.tokens / self.documents:.0f} a document",
            f"speed here: {self.documents_per_second:.1f} documents/s, timed on {self.timed}",
            f"time: about {_duration(self.seconds)}",
            f"memory: {_size(self.memory_bytes)}{gpu}, however long the input",
            f"output: about {_size(self.output_bytes)} as JSON lines",
        ]


def estimate(
    generator: TopicGenerator,
    sources: Sequence[Source],
    reader: ReaderSettings,
    generation: GenerationSettings,
    writer: WriterSettings,
) -> Estimate:
    """Reads the beginnings of files evenly spread over the input, and generates topics for some of their documents.

    Raises:
        UserError: When the input cannot be read.
    """
    documents, total, exact = sample_input(sources, reader)
    picked = documents[:: max(1, len(documents) // SAMPLED_DOCUMENTS)]
    prompts = generator.encode([document.text for document in picked])
    tokens = sum(generator.prompt_tokens(picked, generation)) / max(1, len(picked))
    timed, seconds, size = _time(generator, picked, generation, writer)
    rate = timed / seconds if timed else 0.0
    return Estimate(
        exact=exact,
        documents=total,
        tokens=round(tokens * total),
        truncated=sum(p.truncated or d.cut for p, d in zip(prompts, picked, strict=True)) / max(1, len(picked)),
        timed=timed,
        documents_per_second=rate,
        seconds=total / rate if rate else 0.0,
        memory_bytes=peak_memory(),
        accelerator_bytes=_peak_accelerator_memory(),
        output_bytes=round(size / max(1, timed) * total),
    )


def sample_input(sources: Sequence[Source], reader: ReaderSettings) -> tuple[list[Document], int, bool]:
    """Documents of the sampled beginnings, the number of documents in all sources, and whether it is exact."""
    picked = sources[:: max(1, -(-len(sources) // SAMPLED_SOURCES))]
    share = SAMPLED_BYTES // max(1, len(picked))
    found: list[Document] = []
    total, whole = 0.0, len(picked) == len(sources)
    for source in picked:
        documents, count, complete = _sample(source, reader, share)
        found += documents
        total += count
        whole = whole and complete
    return found, round(total * len(sources) / max(1, len(picked))), whole


def _sample(source: Source, reader: ReaderSettings, size: int) -> tuple[list[Document], float, bool]:
    """Documents at the beginning of a file, its number of documents, and whether that is exact."""
    if source.path is None:
        raise ValueError("standard input cannot be sampled")
    there = source.path.stat().st_size
    plain_parquet = source.format == "parquet" and not source.gzipped
    if plain_parquet and there > size:
        rows = pq.ParquetFile(source.path).metadata.num_rows
        return list(islice(read_sources([source], reader, Problems()), SAMPLED_DOCUMENTS)), rows, True
    if there <= size or source.format == "parquet":
        documents = list(read_sources([source], reader, Problems()))
        return documents, len(documents), True
    with source.path.open("rb") as file:
        beginning = Source(source.name, None, source.format, source.gzipped)
        read = file.read(size)
        whole = read[: read.rfind(b"\n") + 1] or read  # no character is cut in two
        documents = list(
            read_sources([beginning], reader, Problems(), stdin=io.BytesIO(read if source.gzipped else whole))
        )
    if source.format == "text" and reader.unit == "file":
        return documents, 1, True
    return documents, len(documents) * there / size, False


def _time(
    generator: TopicGenerator, documents: Sequence[Document], generation: GenerationSettings, writer: WriterSettings
) -> tuple[int, float, int]:
    """How many documents, spread over the given ones, were generated, the seconds, and the bytes of their rows."""
    picked = documents[:: max(1, len(documents) // TIMED_DOCUMENTS)][:TIMED_DOCUMENTS]
    for _ in generator.windows(picked[:WARMING_DOCUMENTS], generation):
        pass
    done, size, began = 0, 0, time.monotonic()
    for topics in generator.windows(picked, generation):
        done += len(topics)
        size += sum(len(json_line(topic, writer).encode("utf-8", "backslashreplace")) for topic in topics)
        if time.monotonic() - began > TIMED_SECONDS:
            break
    return done, time.monotonic() - began, size


def _peak_accelerator_memory() -> int:
    torch = sys.modules.get("torch")  # loaded by an engine that needs it
    return int(torch.cuda.max_memory_allocated()) if torch is not None and torch.cuda.is_available() else 0


def _size(size: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    days, hours = divmod(minutes // 60, 24)
    parts = [(days, "d"), (hours, "h"), (minutes % 60, "min")]
    return " ".join(f"{number} {unit}" for number, unit in parts if number)
