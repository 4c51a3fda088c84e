"""The records that pass along the pipeline: documents in, topics out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["ok", "empty", "truncated", "failed"]


@dataclass(frozen=True, slots=True)
class Document:
    """One input text.

    Attributes:
        id: Stable name, unique within one input.
        text: The text as it was read; may be empty.
        source: Where it came from: a path as the user gave it, ``-`` for standard input, or ``memory``.
        position: 1-based number of the paragraph, line, row or file within its source.
        columns: Input columns that the user asked to keep.
        cut: Whether the reader dropped the end of an over-long text.
    """

    id: str
    text: str
    source: str = "memory"
    position: int = 1
    columns: Mapping[str, Any] = field(default_factory=dict)
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Example:
    """A document with what is known of its topic.

    Attributes:
        id: The document's id.
        text: The document's text; may be empty.
        references: Reference topics; more than one where several people or teachers wrote one. May be empty.
        title: The document's own title, where it has one.
        category: A gold category, where there is one.
    """

    id: str
    text: str
    references: tuple[str, ...] = ()
    title: str | None = None
    category: str | None = None


@dataclass(frozen=True, slots=True)
class RankedTopic:
    """One of several topics of a document, and the model's mean probability of its tokens (0 to 1), where known."""

    topic: str
    score: float | None


@dataclass(frozen=True, slots=True)
class PassageTopic:
    """One of the topics of a document that was read in passages.

    Attributes:
        topic: One line of text.
        weight: Share of the characters read that lie in passages with this topic, 0 to 1.
        score: The model's mean probability of its tokens, 0 to 1, where known.
        offset: Characters of the document's text before the passage that supports it best.
        length: Characters of that passage.
    """

    topic: str
    weight: float
    score: float | None
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Topic:
    """The topic that a model wrote for one document.

    Attributes:
        id: The document's id.
        topic: One line of text; empty only when ``status`` is ``empty`` or ``failed``.
        score: Geometric mean of the probabilities of the topic's tokens and of its end, 0 to 1; None without a topic,
            or where the engine gives no probabilities.
        status: ``ok``; ``empty`` for a document without text; ``truncated`` when not all of it was read; ``failed``
            when the engine gave no topic.
        source: The document's source.
        position: The document's position.
        topics: All distinct topics, best first, when more than one was asked for; else empty.
        text: The document's text.
        columns: The document's kept columns.
        passages: All topics of a document that was read in passages, best first; else empty.
    """

    id: str
    topic: str
    score: float | None
    status: Status
    source: str
    position: int
    topics: tuple[RankedTopic, ...] = ()
    text: str = ""
    columns: Mapping[str, Any] = field(default_factory=dict)
    passages: tuple[PassageTopic, ...] = ()
