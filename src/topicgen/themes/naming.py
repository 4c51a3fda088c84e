"""The topics of each group in, a short name for each out, unlike the others of its level."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from topicgen.embed import Vectors
from topicgen.phrase import clean, folded, support
from topicgen.themes.dendrogram import IntArray
from topicgen.themes.duplicates import merged_topics, topic_key

Write = Callable[[Sequence[str]], Sequence[str]]

LONGEST_WORDS, LONGEST_CHARACTERS = 8, 60
SHOWN = 10  # topics that the model reads
COMMONNESS = 0.15  # of a cosine: what it is worth that a topic occurs e times as often
LEAST_SHARED = 0.5  # of a written name's words
LONGEST_FILLING = 3  # letters of "and", "the" and their like, which may stand twice
LONELY = 0.5  # of a cosine: what it costs that no word of a topic stands in another topic of the group


def central_topics(
    topics: Sequence[str], vectors: Vectors, members: IntArray, centroid: Vectors, count: int = 10
) -> list[str]:
    """The topics that stand for a group, best first, none twice in other words.

    A topic's worth is the mean cosine of its documents with the centroid, and a little for each time it occurs more,
    less the share of its words that no other topic of the group has: those are its own matter, or a model's slip. Ties
    go to the shorter topic, then by the alphabet.

    Args:
        topics: The topic of each document of the collection.
        vectors: Their vectors.
        members: Rows of the group.
        centroid: Its centroid.
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

    def value(topic: str, cosines: Sequence[float]) -> float:
        words = topic_key(topic)
        lonely = sum(spread[word] == 1 for word in words) / len(words) if len(found) > 2 else 0.0
        mean = sum(sorted(cosines)) / len(cosines)
        return round(mean + COMMONNESS * float(np.log(len(cosines))) - LONELY * lonely, 6)

    worth = {topic: value(topic, cosines) for topic, cosines in found.items()}
    return sorted(worth, key=lambda topic: (-worth[topic], len(topic), topic))[:count]


def names(groups: Sequence[Sequence[str]], write: Write | None) -> list[tuple[str, str]]:
    """A name for each group and what gave it: ``model`` or ``topic``; no two names of the list say the same.

    Args:
        groups: Central topics of each group, best first.
        write: What turns prompts into names, such as ``TopicGenerator.generate``; it reads "topic; topic; topic". A
            written name is kept where all its words stand among the group's topics, it is short, and no group before
            has it; else the most central topic that is still free takes its place. None: topics only.
    """
    asked = [number for number, group in enumerate(groups) if len(group) > 1]
    answers = (
        dict(zip(asked, write(["; ".join(groups[n][:SHOWN]) for n in asked]), strict=True)) if write and asked else {}
    )
    taken: set[tuple[str, ...]] = set()
    result: list[tuple[str, str]] = []
    for number, group in enumerate(groups):
        name, by = next(
            (name, by) for name, by in _candidates(group, answers.get(number)) if topic_key(name) not in taken
        )
        taken.add(topic_key(name))
        result.append((name, by))
    return result


def _candidates(group: Sequence[str], answer: str | None) -> Iterator[tuple[str, str]]:
    """Names for a group, best first, without end."""
    if answer is not None:
        name = clean(answer)
        if name and _short(name) and support(name, "; ".join(group)) == 1 and _shared(name, group):
            yield name, "model"
    yield from ((topic, "topic") for topic in group if _short(topic))
    stem = (group[0] if group else "")[:LONGEST_CHARACTERS].strip() or "Other"
    yield stem, "topic"
    number = 2
    while True:
        yield f"{stem} ({number})", "topic"
        number += 1


def _short(name: str) -> bool:
    return len(name.split()) <= LONGEST_WORDS and len(name) <= LONGEST_CHARACTERS


def _shared(name: str, group: Sequence[str]) -> bool:
    """Whether a name speaks of the group rather than of one topic: most of its words stand in two topics or more."""
    said = [word for word in name.casefold().split() if len(word) > LONGEST_FILLING]
    if len(set(said)) < len(said):  # a model that stammers
        return False
    words = topic_key(name)
    spread = Counter(word for topic in group for word in set(topic_key(topic)))
    return sum(spread[word] > 1 for word in words) >= LEAST_SHARED * len(words) or folded(name) == folded(group[0])
