"""What is compared: a name and the topics that it wrote, from a model, a file, a column or a baseline."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from topicgen.config import GenerationSettings
from topicgen.errors import UserError
from topicgen.generate import TopicGenerator
from topicgen.records import Document, Example

Kind = Literal["model", "predictions", "column", "baseline", "references"]
STABILITY_BATCH = 256  # prompt tokens: batches of other neighbours than the usual ones


@dataclass(frozen=True, slots=True)
class System:
    """One system's topics, in the order of the examples.

    Attributes:
        failed: Documents with text for which it wrote nothing; they are scored as empty.
        references: The references that it is scored against, where they differ from those of the examples.
        stability: Shares of equal topics under changed circumstances, where that was measured.
    """

    name: str
    kind: Kind
    topics: Sequence[str]
    failed: int = 0
    references: Sequence[Sequence[str]] | None = None
    stability: dict[str, float] = field(default_factory=dict)

    @property
    def covers(self) -> list[bool]:
        """The documents that it is for: all, or those for which it has references of its own."""
        return [True] * len(self.topics) if self.references is None else [bool(r) for r in self.references]


def failures(topics: Sequence[str], examples: Sequence[Example]) -> int:
    """Documents with text and without a topic."""
    return sum(not topic.strip() and bool(e.text.strip()) for topic, e in zip(topics, examples, strict=True))


def run_model(
    name: str, generator: TopicGenerator, examples: Sequence[Example], settings: GenerationSettings, stability: int = 0
) -> System:
    """The topics of a model; a document on which it fails gets none. ``stability`` documents are run again."""
    texts = [example.text for example in examples]
    topics = write_topics(generator, texts, settings)
    measured = stable_shares(generator, texts[:stability], topics[:stability], settings) if stability else {}
    return System(name, "model", topics, failures(topics, examples), stability=measured)


def write_topics(generator: TopicGenerator, texts: Sequence[str], settings: GenerationSettings) -> list[str]:
    """One topic for each text; "" where the model fails, which does not end the others."""
    documents = [Document(str(number), text) for number, text in enumerate(texts)]
    try:
        return [topic.topic for topic in generator.generate(documents, settings)]
    except (RuntimeError, ValueError, UserError):
        return [_write_one(generator, document, settings) for document in documents]


def _write_one(generator: TopicGenerator, document: Document, settings: GenerationSettings) -> str:
    try:
        return generator.generate([document], settings)[0].topic
    except (RuntimeError, ValueError, UserError):
        return ""


def stable_shares(
    generator: TopicGenerator, texts: Sequence[str], topics: Sequence[str], settings: GenerationSettings
) -> dict[str, float]:
    """Shares of texts that get the same topic again: at once, in another order, and in batches of another size."""
    order = np.random.default_rng(settings.seed).permutation(len(texts)).tolist()
    shuffled = write_topics(generator, [texts[i] for i in order], settings)
    again = {
        "rerun": write_topics(generator, texts, settings),
        "shuffled": [topic for _, topic in sorted(zip(order, shuffled, strict=True))],
        "batch_size": write_topics(generator, texts, replace(settings, batch_tokens=STABILITY_BATCH, window=7)),
    }
    shares = {name: _equal(topics, other) for name, other in again.items()}
    return {"documents": float(len(texts)), **shares}


def _equal(left: Sequence[str], right: Sequence[str]) -> float:
    return sum(a == b for a, b in zip(left, right, strict=True)) / len(left)


def reference_systems(columns: Sequence[str], examples: Sequence[Example]) -> list[System]:
    """Each of several references as a system, scored against the others: how far people, or teachers, agree.

    Documents that lack one of the references are left out of these scores.
    """
    if len(columns) < 2:
        return []
    found = []
    for number, column in enumerate(columns):
        whole = [len(example.references) == len(columns) for example in examples]
        topics = [e.references[number] if full else "" for e, full in zip(examples, whole, strict=True)]
        others = [
            (*e.references[:number], *e.references[number + 1 :]) if full else ()
            for e, full in zip(examples, whole, strict=True)
        ]
        found.append(System(f"reference {column}", "references", topics, references=others))
    return found
