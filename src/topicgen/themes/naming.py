"""The topics of each group in, a short name for each out, unlike the others of its level."""

import re
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from topicgen.embed import Vectors
from topicgen.phrase import clean, support, unstuck
from topicgen.themes.dendrogram import FloatArray, IntArray
from topicgen.themes.duplicates import merged_topics, topic_key
from topicgen.themes.terms import singular
from topicgen.words import WORD

if TYPE_CHECKING:
    from topicgen.themes.space import Space

Write = Callable[[Sequence[str]], Sequence[Sequence[str]]]
"""Prompts in, for each of them a few answers out."""

Encode = Callable[[Sequence[str]], Vectors]
"""Phrases in, their vectors out, of the space of the centroids."""

SEPARATOR = ";"  # of the topics that the model reads; an answer with it is a list
LONGEST_WORDS, LONGEST_CHARACTERS = 8, 60
SHOWN = 10  # topics that the model reads
LOOKED_AT = 50  # topics of a group that are encoded by themselves
COMMONNESS = 0.15  # of a cosine: what it is worth that a topic occurs e times as often
LONGEST_FILLING = 3  # letters of "and", "the" and their like, which may stand twice
LONELY = 0.5  # of a cosine: what it costs that no word of a phrase stands in two topics of the group
WRITTEN = 150  # groups of a level that a model names; each takes it a tenth of a second or more on a CPU


@dataclass(frozen=True, slots=True)
class Candidates:
    """What a group may be called, and what its names are measured by.

    Attributes:
        topics: Its most central topics, best first, none twice in other words.
        centroid: Of its documents, shape (size,).
        spread: In how many of its different topics each word stands; empty where none stands in two.
        documents: How many it has.
    """

    topics: tuple[str, ...]
    centroid: Vectors
    spread: Mapping[str, int]
    documents: int = 0

    def worth(self, phrases: Sequence[str], encode: Encode) -> FloatArray:
        """How well each phrase says what the group is about.

        The cosine of its own vector with the centroid, less the share of its words that stand in fewer than two topics
        of the group: those are a document's own matter, or a model's slip. One that stammers is worth least.
        """
        if not phrases:
            return np.zeros(0)
        cosine = encode(phrases).astype(np.float64) @ self.centroid.astype(np.float64)
        lonely = np.array([_lonely(phrase, self.spread) for phrase in phrases])
        stammers = np.array([_stammers(phrase) for phrase in phrases])
        result: FloatArray = (cosine - LONELY * lonely - stammers).round(6)
        return result


def phrases_in(space: "Space") -> Encode:
    """What gives phrases their vectors in a space, as topics without a text."""
    return lambda phrases: space.encode(phrases, [""] * len(phrases))


def candidates(
    topics: Sequence[str], vectors: Vectors, members: IntArray, centroid: Vectors, encode: Encode, count: int = SHOWN
) -> Candidates:
    """The candidates of a group; its central topics are those of the highest worth, frequent ones a little before rare.

    Only the 50 topics whose documents are nearest to the centroid are looked at. Ties go to the shorter topic, then by
    the alphabet.

    Args:
        topics: The topic of each document of the collection.
        vectors: Their vectors.
        members: Rows of the group.
        centroid: Its centroid.
        encode: Gives the vectors of topics without their documents.
        count: Most topics to return.
    """
    own = [topics[int(i)] for i in members]
    stands = merged_topics(own)
    cosine = np.einsum("nd,d->n", vectors[members].astype(np.float64), centroid.astype(np.float64))
    found: dict[str, list[float]] = {}
    for row, other in enumerate(stands):
        if own[other].strip():
            found.setdefault(own[other], []).append(float(cosine[row]))
    spread = Counter(word for topic in found for word in set(topic_key(topic)))
    if max(spread.values(), default=0) < 2:
        spread.clear()
    common = {topic: COMMONNESS * float(np.log(len(cosines))) for topic, cosines in found.items()}
    likely = {
        topic: sum(sorted(cosines)) / len(cosines) + common[topic] - LONELY * _lonely(topic, spread)
        for topic, cosines in found.items()
    }
    looked_at = _best(likely)[:LOOKED_AT]
    group = Candidates((), centroid, spread)
    own_worth = dict(zip(looked_at, group.worth(looked_at, encode), strict=True))
    best = _best({topic: float(worth) + common[topic] for topic, worth in own_worth.items()})
    return Candidates(tuple(best[:count]), centroid, spread, len(members))


def names(groups: Sequence[Candidates], encode: Encode, write: Write | None) -> list[tuple[str, str]]:
    """A name for each group and what gave it: ``model`` or ``topic``; no two names of the list say the same.

    Args:
        groups: What may name each of them.
        encode: Gives the vectors of names.
        write: What turns prompts into answers; it reads "topic; topic; topic", of the 150 largest groups. The written
            name of the highest worth is taken where all its words stand among these topics, it is short, worth no less
            than the most central topic, and no group before has it; else the most central topic that is still free.
            None: topics only.
    """
    askable = [number for number, group in enumerate(groups) if len(group.topics) > 1]
    asked = sorted(askable, key=lambda number: -groups[number].documents)[:WRITTEN]
    prompts = [f"{SEPARATOR} ".join(groups[number].topics[:SHOWN]) for number in asked]
    answers = dict(zip(asked, write(prompts), strict=True)) if write and asked else {}
    taken: set[tuple[str, ...]] = set()
    result: list[tuple[str, str]] = []
    for number, group in enumerate(groups):
        written = _written(group, answers.get(number, ()), encode)
        name, by = next((name, by) for name, by in _names(group, written) if topic_key(name) not in taken)
        taken.add(topic_key(name))
        result.append((name, by))
    return result


def _written(group: Candidates, answers: Sequence[str], encode: Encode) -> list[str]:
    """The answers that may name the group, best first."""
    shown = f"{SEPARATOR} ".join(group.topics[:SHOWN])
    cleaned = dict.fromkeys(clean(answer) for answer in answers)
    usable = [
        name
        for name in cleaned
        if name and SEPARATOR not in name and _short(name) and support(name, shown) == 1 and not _stammers(name)
    ]
    if not usable:
        return []
    *worth, least = group.worth([*usable, group.topics[0]], encode)
    order = sorted(range(len(usable)), key=lambda i: (-worth[i], i))
    return [usable[i] for i in order if worth[i] >= least]


def _names(group: Candidates, written: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Names for a group, best first, without end."""
    yield from ((name, "model") for name in written)
    yield from ((topic, "topic") for topic in group.topics if _short(topic))
    stem = _cut(group.topics[0]) if group.topics else "Other"
    yield stem, "topic"
    number = 2
    while True:
        yield f"{stem} ({number})", "topic"
        number += 1


def _best(worth: Mapping[str, float]) -> list[str]:
    return sorted(worth, key=lambda topic: (-round(worth[topic], 6), len(topic), topic))


def _lonely(phrase: str, spread: Mapping[str, int]) -> float:
    """Share of a phrase's words that stand in fewer than two topics; 0 where that is said of all words."""
    words = topic_key(phrase) if spread else ()
    return sum(spread.get(word, 0) < 2 for word in words) / len(words) if words else 0.0


def _stammers(phrase: str) -> bool:
    if unstuck(phrase, "") != phrase:
        return True
    said = [singular(word) for word in re.findall(WORD, phrase.casefold()) if len(word) > LONGEST_FILLING]
    return len(set(said)) < len(said)


def _cut(topic: str) -> str:
    """The beginning of a topic, up to the end of a word where it has one."""
    return textwrap.shorten(topic, LONGEST_CHARACTERS, placeholder="") or topic[:LONGEST_CHARACTERS].strip()


def _short(name: str) -> bool:
    return len(name.split()) <= LONGEST_WORDS and len(name) <= LONGEST_CHARACTERS
