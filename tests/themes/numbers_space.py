"""A collection whose texts are numbers, so that a test says where each document lies."""

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from topicgen.embed import Vectors
from topicgen.themes.centroids import unit_rows
from topicgen.themes.grouping import Grouping
from topicgen.themes.naming import Candidates, Encode
from topicgen.themes.records import Member
from topicgen.themes.registry import Registry
from topicgen.themes.updates import Growth, add_documents

SIZE = 6
SUBJECTS = ("glaciers", "bakeries", "bicycles", "orchestras", "elections", "volcanoes")


class NumbersSpace:
    """Reads the vector of a document from its text."""

    name, size = "numbers", SIZE

    @classmethod
    def fit(cls, topics: Sequence[str], texts: Sequence[str]) -> "NumbersSpace":
        return cls()

    def encode(self, topics: Sequence[str], texts: Sequence[str]) -> Vectors:
        rows = [[float(number) for number in text.split()] or [0.0] * SIZE for text in texts]
        return unit_rows(np.array(rows, np.float32).reshape(-1, SIZE))

    def save(self, folder: Path) -> None:
        folder.mkdir()
        (folder / "numbers.json").write_text("{}")


def member(identifier: str, axis: int, *, noise: float = 0.1) -> Member:
    chance = random.Random(identifier)
    numbers = [chance.uniform(-noise, noise) + (k == axis) for k in range(SIZE)]
    topic = f"{SUBJECTS[axis]} in the year {chance.randrange(1900, 2000)}"
    return Member(identifier, topic, " ".join(f"{n:.4f}" for n in numbers), "made", 1)


def members(axis: int, count: int, prefix: str = "") -> list[Member]:
    return [member(f"{prefix}{SUBJECTS[axis]}-{number}", axis) for number in range(count)]


def by_axis(vectors: Vectors) -> Grouping:
    """Groups by the largest number; documents of one axis with an even row are one sub-theme, the others another."""
    axes = vectors.argmax(axis=1)
    order = sorted(set(axes.tolist()), key=lambda axis: (-int((axes == axis).sum()), axis))
    themes = np.array([order.index(axis) for axis in axes], np.int64)
    pairs = [(int(theme), row % 2) for row, theme in enumerate(themes)]
    known = sorted(set(pairs))
    subthemes = np.array([known.index(pair) for pair in pairs], np.int64)
    centroids = unit_rows(np.stack([vectors[themes == t].sum(axis=0) for t in range(len(order))]))
    below = unit_rows(np.stack([vectors[subthemes == s].sum(axis=0) for s in range(len(known))]))
    return Grouping(themes, subthemes, np.array([theme for theme, _ in known]), centroids, below)


def first_topic(groups: Sequence[Candidates], encode: Encode) -> list[tuple[str, str]]:
    return [(group.topics[0], "topic") for group in groups]


def registry_of(collection: Sequence[Member]) -> Registry:
    space = NumbersSpace()
    vectors = space.encode([m.topic for m in collection], [m.text for m in collection])
    places = np.full((len(collection), 2), 0.5, np.float32)
    return Registry.create(
        collection,
        space,  # type: ignore[arg-type]
        vectors,
        by_axis(vectors),
        places,
        first_topic,
        settings={},
        created="2024-01-01T00:00:00+00:00",
        inputs=["made.jsonl"],
    )


def three_themes() -> Registry:
    """t1: 30 on glaciers; t2: 25 on bakeries; t3: 20 on bicycles."""
    return registry_of([*members(0, 30), *members(1, 25), *members(2, 20)])


def update(registry: Registry, later: Sequence[Member]) -> Growth:
    fit = NumbersSpace.fit
    return add_documents(registry, later, fit=fit, group=by_axis, name=first_topic)  # type: ignore[arg-type]


def home(registry: Registry, identifier: str) -> str:
    return next(row.theme for row in registry.documents if row.member.id == identifier)


def reloaded(registry: Registry, folder: Path) -> Registry:
    """The registry after it was saved and loaded."""
    folder.mkdir()
    registry.save(folder)
    found = Registry.load(folder)
    found.fitted = NumbersSpace()  # type: ignore[assignment]
    return found
