"""Documents in, topics out without a model: the floors that any model has to clear."""

import math
from collections import Counter
from collections.abc import Sequence

from topicgen.metrics import words


def constant(documents: Sequence[str], topic: str) -> list[str]:
    """The same topic for every document."""
    return [topic] * len(documents)


def first_words(documents: Sequence[str], count: int = 8) -> list[str]:
    """The first words of each document."""
    return [" ".join(document.split()[:count]) for document in documents]


def tfidf_words(documents: Sequence[str], count: int = 5) -> list[str]:
    """The words of each document with the highest TF-IDF within the collection (Spärck Jones 1972), best first.

    The weight of a word is its count times ``ln((1 + documents) / (1 + documents with it)) + 1``; of equal weights the
    word that comes first in the alphabet wins.
    """
    counts = [Counter(words(document)) for document in documents]
    spread = Counter(word for found in counts for word in found)

    def best(found: Counter[str]) -> list[str]:
        weight = {w: n * (math.log((1 + len(documents)) / (1 + spread[w])) + 1) for w, n in found.items()}
        return sorted(found, key=lambda word: (-weight[word], word))[:count]

    return [" ".join(best(found)) for found in counts]
