"""Documents in, topics out without a model: the floors that any model has to clear."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topicgen.extras import require
from topicgen.metrics import words
from topicgen.phrase import folded
from topicgen.phrases import is_content, runs, textrank_phrase, tfidf_phrase, yake_phrase
from topicgen.records import Example

Baseline = Callable[[Sequence[Example], Sequence[Example] | None], list[str]]

CHUNK = 256  # queries that are compared with all training documents at a time: bounds the memory


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


def titles(examples: Sequence[Example]) -> list[str]:
    """The title of each document; "" where it has none."""
    return [example.title or "" for example in examples]


def frequent_topic(examples: Sequence[Example], training: Sequence[Example] | None = None) -> list[str]:
    """The most frequent reference of the training documents, for every document; "" where there is none.

    Without training documents, it is the most frequent reference of the other examples (leave one out). A reference
    counts once for each document that has it, as it is written; of equally frequent ones the first in the alphabet
    wins.
    """
    counts = Counter(topic for row in (examples if training is None else training) for topic in {*row.references})
    ranking = sorted(counts, key=lambda topic: (-counts[topic], topic))
    if training is not None:
        return constant([example.text for example in examples], ranking[0] if ranking else "")

    def of_others(own: set[str]) -> str:
        left = {topic: counts[topic] - 1 for topic in own if counts[topic] > 1}
        other = next((topic for topic in ranking if topic not in own), None)
        if other is not None:
            left[other] = counts[other]
        return min(left, key=lambda topic: (-left[topic], topic), default="")

    return [of_others({*example.references}) for example in examples]


def nearest_topic(examples: Sequence[Example], training: Sequence[Example] | None = None) -> list[str]:
    """The first reference of the most similar training document: retrieval, without generating anything.

    Similarity is the cosine of TF-IDF vectors of content words (scikit-learn's weights with ``1 + ln(count)``), fitted
    on the training documents. A training document with the same text as the query, white space and case aside, never
    answers, for that would hand out the reference. Without training documents, the other examples answer (leave one
    out). Of equally similar documents the first wins; where none shares a word with the query the topic is "".
    Memory grows with the number of documents, not with the number of pairs.

    Raises:
        UserError: When the library scikit-learn is missing.
    """
    vectors = require("sklearn.feature_extraction.text", "evaluate")
    known = [row for row in (examples if training is None else training) if row.references and _content(row.text)]
    if not known or not examples:
        return [""] * len(examples)
    vectorizer = vectors.TfidfVectorizer(analyzer=_content, sublinear_tf=True)
    keys = vectorizer.fit_transform(row.text for row in known).T.tocsr()
    queries = vectorizer.transform(example.text for example in examples)
    same: dict[str, list[int]] = {}
    for number, row in enumerate(known):
        same.setdefault(folded(row.text), []).append(number)

    def topics() -> Iterator[str]:
        for start in range(0, len(examples), CHUNK):
            similar = (queries[start : start + CHUNK] @ keys).tocsr()
            for row, example in enumerate(examples[start : start + CHUNK]):
                part = slice(similar.indptr[row], similar.indptr[row + 1])
                number = _best(similar.indices[part], similar.data[part], same.get(folded(example.text), []))
                yield "" if number is None else known[number].references[0]

    return list(topics())


def _best(numbers: NDArray[Any], similarity: NDArray[Any], banned: list[int]) -> int | None:
    """The number with the highest similarity that is not banned, the lowest of equal ones; both of shape (found,)."""
    allowed = ~np.isin(numbers, banned)
    numbers, similarity = numbers[allowed], similarity[allowed]
    return int(numbers[similarity == similarity.max()].min()) if len(numbers) else None


def _content(text: str) -> list[str]:
    return [word.lower() for run in runs(text) for word in run if is_content(word)]


def _of_text(baseline: Callable[[Sequence[str]], list[str]]) -> Baseline:
    """A baseline that reads nothing but the text of the documents."""
    return lambda examples, training: baseline([example.text for example in examples])


BASELINES: dict[str, Baseline] = {
    "constant": frequent_topic,
    "first words": _of_text(first_words),
    "TF-IDF words": _of_text(tfidf_words),
    "TF-IDF phrase": _of_text(tfidf_phrase),
    "YAKE": _of_text(yake_phrase),
    "TextRank": _of_text(textrank_phrase),
    "title": lambda examples, training: titles(examples),
    "nearest topic": nearest_topic,
}
"""The baselines by name: examples and training documents, if there are any, in; one topic for each example out."""
