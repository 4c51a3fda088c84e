"""Settings of reading, generating and writing; each default stands here once and is checked at construction."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

from topicgen.errors import UsageError

Unit = Literal["paragraph", "line", "file"]
InputFormat = Literal["auto", "text", "csv", "tsv", "jsonl", "parquet"]
OutputFormat = Literal["table", "jsonl", "csv", "parquet"]
RayEngine = Literal["auto", "onnx", "ct2", "hf", "vllm"]

LONG_CHARACTERS = 2_000_000
"""Characters of a document that is read in passages; what follows is dropped and the document marked as cut."""


def require_between(settings: Any, *bounds: tuple[str, float, float]) -> None:
    """Checks fields of settings by name, lowest and highest value; None passes."""
    for name, low, high in bounds:
        value = getattr(settings, name)
        if value is not None and not low <= value <= high:
            raise UsageError(f"{name} must be between {low} and {high}, not {value}")


def require_one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UsageError(f"{name} must be one of {', '.join(known)}, not {value!r}")


@dataclass(frozen=True, slots=True)
class ReaderSettings:
    """How files become documents."""

    input_format: InputFormat = "auto"
    """Format of every input; ``auto`` goes by the file name, and reads standard input as text."""
    unit: Unit = "paragraph"
    """What one document is in a text file: a paragraph (blank lines between), a line, or the whole file."""
    encoding: str | None = None
    """Text encoding; None means UTF-8, or UTF-16/32 where a byte order mark says so."""
    delimiter: str | None = None
    """Field delimiter of CSV files, one character; None means a comma (a tab in TSV)."""
    text_column: str | None = None
    """Column that holds the text; None takes the only column, or the only one with a usual name."""
    id_column: str | None = None
    """Column that holds a unique id; None derives ids from source and position."""
    keep: tuple[str, ...] = ()
    """Columns that are carried into the output."""
    max_characters: int = 200_000
    """Characters of one document that are kept in memory; the rest is dropped and the document marked as cut."""

    def __post_init__(self) -> None:
        require_one_of("input_format", self.input_format, get_args(InputFormat))
        require_one_of("unit", self.unit, get_args(Unit))
        if self.delimiter is not None and (len(self.delimiter) != 1 or self.delimiter in '"\r\n\0'):
            raise UsageError(f"the delimiter must be one character that can separate fields, not {self.delimiter!r}")
        if self.max_characters < 1:
            raise UsageError(f"max_characters must be at least 1, not {self.max_characters}")
        if self.encoding is not None:
            try:
                "".encode(self.encoding)
            except (LookupError, ValueError):
                raise UsageError(f"unknown encoding {self.encoding!r}; try utf-8, latin-1 or cp1252") from None

    @property
    def effective_id_column(self) -> str | None:
        """Column that ids come from: ``id_column``, else ``id`` when it is among the kept columns."""
        return "id" if self.id_column is None and "id" in self.keep else self.id_column

    @property
    def carried(self) -> tuple[str, ...]:
        """Columns that documents carry: ``keep`` without repeats, and without an ``id`` that became the id."""
        taken = "id" if self.id_column is None else None
        return tuple(name for name in dict.fromkeys(self.keep) if name != taken)


@dataclass(frozen=True, slots=True)
class WriterSettings:
    """How topics are written."""

    output_format: OutputFormat = "jsonl"
    """Format of the output."""
    with_text: bool = False
    """Whether each row carries the document's text."""
    keep: tuple[str, ...] = ()
    """Kept input columns, in this order."""
    several: bool = False
    """Whether each row carries the list of all ranked topics."""
    passages: bool = False
    """Whether rows carry the topics of a document that was read in passages, with their weights and places."""
    escape_formulas: bool = False
    """Whether CSV cells that a spreadsheet would run as a formula get a leading apostrophe."""

    def __post_init__(self) -> None:
        require_one_of("output_format", self.output_format, get_args(OutputFormat))


@dataclass(frozen=True, slots=True)
class GenerationSettings:
    """How topics are generated."""

    max_topic_tokens: int = 16
    """Longest topic, in tokens of the model."""
    topics: int = 1
    """Number of distinct topics for each document, best first."""
    max_passages: int = 256
    """Passages of a document that is longer than the model reads; 1 reads its beginning only."""
    temperature: float = 0.0
    """0 takes the likeliest token each time (deterministic); above 0 samples."""
    seed: int = 0
    """Seed of sampling; without effect at temperature 0."""
    beams: int = 1
    """Completions for each prompt; above 1, engines find them by beam search. Generators set this as they need it."""
    second_look: bool = True
    """Whether a topic with a word that the document does not support is sought again by beam search."""
    token_logprobs: bool = False
    """Whether engines give the log-probability of every token of the likeliest completion, rather than their mean;
    without it the CPU engine is a tenth faster."""
    batch_tokens: int | None = None
    """Prompt tokens that one batch may hold; None leaves the choice to the engine."""
    deterministic: bool = False
    """Whether each document is computed alone, so that no neighbour in a batch can change its topic; slower."""
    window: int | None = None
    """Documents that are read ahead and sorted by length; None leaves the choice to the engine. Output keeps the
    input's order."""

    def __post_init__(self) -> None:
        require_between(
            self,
            ("max_topic_tokens", 1, 256),
            ("topics", 1, 20),
            ("max_passages", 1, 100_000),
            ("beams", 1, 64),
            ("temperature", 0, 5),
            ("seed", 0, 2**31 - 1),
            ("batch_tokens", 1, 2**31),
            ("window", 1, 2**31),
        )
        if self.topics > 1 and self.temperature > 0:
            raise UsageError("several topics are ranked by likelihood: set temperature to 0")


@dataclass(frozen=True, slots=True)
class ScaleSettings:
    """How a run is spread over the machines of a Ray cluster."""

    address: str | None = None
    """Address of a running cluster, or ``auto`` for the one of this machine; None starts one here for this run."""
    engine: RayEngine = "auto"
    """What runs the model on each worker; ``auto`` takes hf for large models where the cluster has GPUs, else ct2,
    which runs on every processor."""
    block: int = 5_000
    """Documents of one block: what is done again when a machine fails, and the rows of one output file."""
    workers: int | None = None
    """Most workers; None takes as many as the cluster has room for."""

    def __post_init__(self) -> None:
        require_one_of("ray_engine", self.engine, get_args(RayEngine))
        require_between(self, ("block", 1, 2**31), ("workers", 1, 2**31))


@dataclass(frozen=True, slots=True)
class EvaluationSettings:
    """How scores get their intervals, and how much is asked."""

    samples: int = 1000
    """Bootstrap resamples of the documents."""
    level: float = 0.95
    """Coverage of the intervals."""
    seed: int = 0
    """Seed of resamples, of the documents that people are asked about, and of the orders of stability runs."""
    stability: int = 0
    """Documents that each model runs again, in another order and in other batches."""
    ask: int = 50
    """Documents of a form for people."""

    def __post_init__(self) -> None:
        require_between(self, ("samples", 100, 100_000), ("seed", 0, 2**31 - 1), ("stability", 0, 2**31))
        if self.ask < 1:
            raise UsageError(f"ask must be at least 1, not {self.ask}")
        if not 0 < self.level < 1:
            raise UsageError(f"level must be between 0 and 1, not {self.level}")
