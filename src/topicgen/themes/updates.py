"""A registry and later documents in; each joins the nearest theme, and those that are near none found new ones."""

import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from topicgen.embed import Vectors
from topicgen.themes.births import Births, Namer, cohesion, give_birth, groups_of
from topicgen.themes.documents import Assignment, Placed
from topicgen.themes.duplicates import merged_topics
from topicgen.themes.naming import phrases_in
from topicgen.themes.positions import Places, home_of_new, homes_of, places_beside
from topicgen.themes.records import Member, Theme
from topicgen.themes.registry import Registry

if TYPE_CHECKING:
    from topicgen.themes.grouping import Grouping
    from topicgen.themes.space import Space

Grouper = Callable[[Vectors], "Grouping"]
Fitter = Callable[[Sequence[str], Sequence[str]], "Space"]

FEWEST = 3  # documents that found a theme
SHARE = 0.1  # of the median size of the themes, that a new one must have at least


@dataclass(frozen=True, slots=True)
class Growth:
    """What an update brought.

    Attributes:
        added: Documents that were added.
        known: Documents that were left out, since the registry has their ids.
        born: The new themes.
        loose: Added documents that are near no theme; they have the nearest one.
    """

    added: int
    known: int
    born: list[Theme]
    loose: int


def add_documents(
    registry: Registry,
    members: Sequence[Member],
    *,
    fit: Fitter,
    group: Grouper,
    name: Namer,
    inputs: Sequence[str] = (),
) -> Growth:
    """Adds documents to a registry; those whose id it has are left out.

    The space is fitted again, on all documents, for later ones bring words that the first had not; no document changes
    its theme by that. (A space with an embedder stays: encoding everything again would take long.) A document joins the
    nearest theme when its cosine is above that theme's threshold, which is a low quantile of its members' own. The
    others are grouped, together with those that earlier updates left loose. A group becomes a theme when it has enough
    documents and they are as like each other as members of a theme are; the others keep the nearest theme and stay
    loose. What a person moved, and what is in a pinned theme, is never regrouped.

    Args:
        registry: Is changed.
        members: The later documents.
        fit: Topics and texts of all documents in, their space out.
        group: Vectors in, groups out.
        name: Writes the names of new themes.
        inputs: Kept for people.
    """
    have = {row.member.id for row in registry.documents}
    fresh = [member for member in members if member.id not in have]
    if not fresh:
        return Growth(0, len(members), [], 0)
    number, before = registry.number + 1, len(registry.documents)
    topics, vectors = _recentred(registry, fresh, fit)
    placed = registry.place(vectors[before:])
    stray = [before + i for i, found in enumerate(placed) if not found.near]
    pool = np.array([*_waiting(registry), *stray], np.int64)
    births = _births(registry, [topics[i] for i in pool], vectors[pool], group, name, number)
    born = {int(pool[row]): home for row, home in births.homes.items()} if births else {}
    homes = _homes(registry, births)
    if births is not None:
        registry.themes |= {theme.id: theme for theme in births.themes}
        registry.centroids = registry.centroids.extended(births.centroids)
        registry.subcentroids = registry.subcentroids.extended(births.subcentroids)
        placed = registry.place(vectors[before:])  # some that are near an earlier theme are nearer to a new one
    _leave(registry, {i: home for i, home in born.items() if i < before}, number)
    _append(registry, fresh, placed, {i - before: home for i, home in born.items() if i >= before}, number)
    _put_in_place(registry, [*born, *range(before, len(registry.documents))], vectors, homes, set(born))
    settled = {registry.documents[i].member.id for i in pool}
    loose = [i for i in pool if int(i) not in born and (i < before or not placed[i - before].near)]
    registry.loose = [known for known in registry.loose if known not in settled]
    registry.loose += [registry.documents[i].member.id for i in loose]
    registry.recentre(registry.space, vectors)
    registry.updates.append(
        {"number": number, "documents": len(registry.documents), "added": len(fresh), "inputs": list(inputs)}
    )
    new = [registry.themes[theme] for theme in births.centroids.ids] if births else []
    return Growth(len(fresh), len(members) - len(fresh), new, sum(bool(i >= before) for i in loose))


def with_event(theme: Theme, update: int, event: str, **more: Any) -> Theme:
    """The theme with one more line of history."""
    entry: Mapping[str, Any] = {"update": update, "event": event, **more}
    return replace(theme, history=(*theme.history, entry))


def _recentred(registry: Registry, fresh: Sequence[Member], fit: Fitter) -> tuple[list[str], Vectors]:
    """Topics, without near-duplicates, and vectors of all documents, the later ones last; shape (documents, size)."""
    members = [*(row.member for row in registry.documents), *fresh]
    topics, texts = [member.topic for member in members], [member.text for member in members]
    topics = [topics[i] for i in merged_topics(topics)]
    if not any(texts[: len(registry.documents)]):  # texts of the later ones alone would set them apart
        texts = [""] * len(texts)
    space = registry.space if registry.embedder else fit(topics, texts)
    vectors = space.encode(topics, texts)
    registry.recentre(space, vectors[: len(registry.documents)])
    return topics, vectors


def _waiting(registry: Registry) -> list[int]:
    """Rows of documents that earlier updates left loose and that may still be regrouped."""
    fixed = {c["document"] for c in registry.corrections if c["kind"] == "move"}
    loose, pinned = set(registry.loose) - fixed, registry.pinned
    return [
        number
        for number, row in enumerate(registry.documents)
        if row.member.id in loose and not pinned & {row.theme, row.subtheme}
    ]


def _births(
    registry: Registry, topics: Sequence[str], vectors: Vectors, group: Grouper, name: Namer, number: int
) -> Births | None:
    """The themes that the pool founds, if any."""
    smallest = max(FEWEST, math.ceil(SHARE * median(theme.size for theme in registry.active())))
    if len(topics) < smallest:
        return None
    typical = float(np.median(registry.centroids.thresholds))
    groups = [
        found
        for found in groups_of(group(vectors))
        if len(found.rows) >= smallest and cohesion(vectors[found.rows]) >= typical
    ]
    if not groups:
        return None
    return give_birth(
        topics,
        vectors,
        groups,
        phrases_in(registry.space),
        name,
        first=1 + max(int(theme.id[1:]) for theme in registry.themes.values() if theme.level == 1),
        update=number,
        taken=[theme.name for theme in registry.active(1)],
        taken_below=[theme.name for theme in registry.active(2)],
    )


def _homes(registry: Registry, births: Births | None) -> dict[str, Places]:
    """Where on the map the documents of each sub-theme are, and of each new one will be."""
    places = np.array([(row.x, row.y) for row in registry.documents], np.float32)
    homes = homes_of(places, [row.subtheme for row in registry.documents])
    for level in (registry.active(1), registry.active(2)):  # themes whose documents all left, say
        for theme in level:
            homes.setdefault(theme.id, np.array([0.5, 0.5, 0.1, 0.1], np.float32))
    if births is not None:
        centres = homes_of(places, [row.theme for row in registry.documents])
        rows = [row for row, theme in enumerate(registry.centroids.ids) if theme in centres]
        known = registry.centroids.units[rows]
        around = np.array([centres[registry.centroids.ids[row]][:2] for row in rows], np.float32)
        for theme_id, centroid in zip(births.centroids.ids, births.centroids.units, strict=True):
            home = home_of_new(centroid, known, around, places)
            homes |= {theme.id: home for theme in births.themes if theme_id in (theme.id, theme.parent)}
            # The next one must not take the same spot.
            places = np.concatenate([places, np.repeat(home[None, :2], 1 + len(places) // 20, axis=0)])
    return homes


def _leave(registry: Registry, born: Mapping[int, tuple[str, str]], number: int) -> None:
    """Moves documents of earlier updates to the themes that they founded; the themes that they leave were split."""
    left: Counter[tuple[str, str]] = Counter()
    for index, (theme, subtheme) in born.items():
        row = registry.documents[index]
        left[row.theme, theme] += 1
        left[row.subtheme, theme] += 1
        registry.documents[index] = replace(row, theme=theme, subtheme=subtheme)
    for (source, target), count in left.items():
        theme_left = with_event(registry.themes[source], number, "split", into=target, documents=count)
        registry.themes[source] = replace(theme_left, size=theme_left.size - count)


def _append(
    registry: Registry,
    fresh: Sequence[Member],
    placed: Sequence[Assignment],
    born: Mapping[int, tuple[str, str]],
    number: int,
) -> None:
    grown: Counter[str] = Counter()
    for index, (member, found) in enumerate(zip(fresh, placed, strict=True)):
        home = born.get(index, (found.theme.id, found.subtheme.id))
        if index not in born:
            grown.update(home)
        registry.documents.append(Placed(member, *home, x=0.5, y=0.5, update=number, score=found.score))
    for identifier, count in grown.items():
        theme_grown = with_event(registry.themes[identifier], number, "grown", documents=count)
        registry.themes[identifier] = replace(theme_grown, size=theme_grown.size + count)


def _put_in_place(
    registry: Registry, rows: Sequence[int], vectors: Vectors, homes: Mapping[str, Places], born: Collection[int]
) -> None:
    """Gives rows of documents their place on the map, and those that founded a theme their score in it."""
    rows = sorted(set(rows))
    documents = [registry.documents[row] for row in rows]
    places = places_beside([d.member.id for d in documents], np.stack([homes[d.subtheme] for d in documents]))
    units = dict(zip(registry.centroids.ids, registry.centroids.units, strict=True))
    for row, document, (x, y) in zip(rows, documents, places, strict=True):
        score = float(vectors[row] @ units[document.theme]) if row in born else document.score
        registry.documents[row] = replace(document, x=float(x), y=float(y), score=score)
