"""Topics in, for each of them the topic that stands for it: other case, word order, ending or filling words."""

import re
from collections import Counter
from collections.abc import Sequence

from topicgen.phrase import folded
from topicgen.themes.terms import singular
from topicgen.words import WORD

_WORD = re.compile(WORD)
_FILLING = frozenset(
    """
    a an and as at based between by for from in into of on or over the to under using via with
    """.split()  # noqa: SIM905 - a list of words reads better
)


def topic_key(topic: str) -> tuple[str, ...]:
    """What topics that say the same have in common: their content words, in the alphabet's order, in the singular."""
    words = {singular(word) for word in _WORD.findall(topic.casefold()) if word not in _FILLING}
    return tuple(sorted(words)) or (folded(topic),)


def merged_topics(topics: Sequence[str]) -> list[int]:
    """For each topic the index of the topic that stands for it, such as "GAN training" for "training of GANs".

    Of topics that say the same the most frequent stands for all, then the shortest, then the first in the alphabet;
    of equal topics the first in the list.
    """
    counts = Counter(topics)
    first = {topic: i for i, topic in reversed(list(enumerate(topics)))}
    best: dict[tuple[str, ...], str] = {}
    keys = {topic: topic_key(topic) for topic in first}
    for topic in sorted(first, key=lambda t: (-counts[t], len(t), t)):
        best.setdefault(keys[topic], topic)
    return [first[best[keys[topic]]] for topic in topics]
