"""Groups of documents in, new themes with ids, names, sub-themes and centroids out."""

import itertools
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np

from topicgen.embed import Vectors
from topicgen.phrase import folded
from topicgen.themes.centroids import Centroids, IntArray, centroids_of, likeness, sums_of
from topicgen.themes.grouping import Grouping
from topicgen.themes.naming import Candidates, Encode, candidates
from topicgen.themes.records import Theme

Namer = Callable[[Sequence[Candidates], Encode], list[tuple[str, str]]]
"""What may name each group in, for each a name and who gave it out."""


@dataclass(frozen=True, slots=True)
class Group:
    """The documents of a theme, and those of each of its sub-themes, as rows; the sub-themes by falling size."""

    rows: IntArray
    subgroups: tuple[IntArray, ...]


@dataclass(frozen=True, slots=True)
class Births:
    """New themes.

    Attributes:
        themes: Of both levels.
        centroids: Of the themes.
        subcentroids: Of the sub-themes.
        homes: For each row that was in a group, the ids of its theme and sub-theme.
    """

    themes: list[Theme]
    centroids: Centroids
    subcentroids: Centroids
    homes: dict[int, tuple[str, str]]


def groups_of(grouping: Grouping) -> list[Group]:
    """The groups of a grouping, in its order."""
    subgroups: dict[int, list[IntArray]] = {}
    for rows in _split(grouping.subthemes):
        subgroups.setdefault(int(grouping.themes[rows[0]]), []).append(rows)
    groups = []
    for rows in _split(grouping.themes):
        mine = sorted(subgroups[int(grouping.themes[rows[0]])], key=len, reverse=True)
        groups.append(Group(rows, tuple(mine)))
    return groups


def give_birth(
    topics: Sequence[str],
    vectors: Vectors,
    groups: Sequence[Group],
    encode: Encode,
    name: Namer,
    *,
    first: int = 1,
    update: int = 1,
    taken: Collection[str] = (),
    taken_below: Collection[str] = (),
) -> Births:
    """Makes a theme of each group.

    Args:
        topics: Of all documents, with one in place of near-duplicates.
        vectors: Theirs, shape (documents, size), rows of length 1 or 0.
        groups: Rows of the documents that become themes.
        encode: Gives vectors of phrases, of the same space.
        name: Writes names.
        first: Number of the first new theme.
        update: Number of the update.
        taken: Names that themes have already.
        taken_below: Names that sub-themes have already.
    """
    ids = [f"t{first + number}" for number in range(len(groups))]
    below = [(f"{ids[n]}.{k}", ids[n], rows) for n, g in enumerate(groups) for k, rows in enumerate(g.subgroups, 1)]
    levels = [(ids, [group.rows for group in groups]), ([b[0] for b in below], [b[2] for b in below])]
    choices, centroids = [], []
    for level_ids, level_rows in levels:
        level = _centroids(vectors, level_ids, level_rows)
        units = level.units
        choices.append([candidates(topics, vectors, rows, units[n], encode) for n, rows in enumerate(level_rows)])
        centroids.append(level)
    names = [
        _unlike(name(choices[0], encode), choices[0], ids, taken),
        _unlike(name(choices[1], encode), choices[1], levels[1][0], taken_below),
    ]

    def theme(level: int, number: int, parent: str | None) -> Theme:
        level_ids, rows = levels[level - 1]
        written, by = names[level - 1][number]
        size = len(rows[number])
        return Theme(
            id=level_ids[number],
            name=written,
            level=level,
            parent=parent,
            size=size,
            topics=choices[level - 1][number].topics,
            born=update,
            named_by=by,
            history=({"update": update, "event": "born", "documents": size},),
        )

    themes = [theme(1, number, None) for number in range(len(ids))]
    themes += [theme(2, number, parent) for number, (_, parent, _) in enumerate(below)]
    homes = {int(row): (parent, identifier) for identifier, parent, rows in below for row in rows}
    return Births(themes, centroids[0], centroids[1], homes)


def _split(labels: IntArray) -> list[IntArray]:
    """Rows of each label, in the order of the labels."""
    order = np.argsort(labels, kind="stable")
    cuts = np.flatnonzero(np.diff(labels[order])) + 1
    return [rows for rows in np.split(order, cuts) if len(rows)]


def _centroids(vectors: Vectors, ids: Sequence[str], rows: Sequence[IntArray]) -> Centroids:
    joined = np.concatenate([*rows, np.zeros(0, np.int64)]).astype(np.int64)
    labels = [identifier for identifier, mine in zip(ids, rows, strict=True) for _ in mine]
    return centroids_of(vectors[joined], labels)


def _unlike(
    names: Sequence[tuple[str, str]], choices: Sequence[Candidates], ids: Sequence[str], taken: Collection[str]
) -> list[tuple[str, str]]:
    """The names; one that an earlier theme has gives way to the next central topic, at last to one with its id."""
    used = {folded(name) for name in taken}
    found = []
    for (name, by), group, identifier in zip(names, choices, ids, strict=True):
        others = itertools.chain([(name, by)], ((topic, "topic") for topic in group.topics))
        free = next(((n, b) for n, b in others if n and folded(n) not in used), (f"{name} ({identifier})", by))
        used.add(folded(free[0]))
        found.append(free)
    return found


def cohesion(vectors: Vectors) -> float:
    """How like the documents of a group are to each other: the median of each one's cosine to the others' centre."""
    rows = np.zeros(len(vectors), np.int64)
    return float(np.median(likeness(vectors, rows, sums_of(vectors, rows, 1))))
