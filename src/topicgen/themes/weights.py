"""Topics and texts in, the terms of each document out, weighted by how much they tell of it."""

from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topicgen.extras import require
from topicgen.themes.terms import counted_terms

VOCABULARY = 50_000
SMALL = 100  # documents; in a smaller collection a term counts that stands in one of them
COMMON = 0.5  # share of the documents; a term in more of them tells nothing


def term_counts(topic: str, text: str, topic_weight: float) -> Mapping[str, float]:
    """Counts of the terms of a document, where each term of the topic counts ``topic_weight`` times, once at least."""
    counts: dict[str, float] = dict(counted_terms(text))
    for term, count in counted_terms(topic).items() if topic_weight > 0 else ():
        counts[term] = max(counts.get(term, 0) + topic_weight * count, 1)
    return counts


def count_matrix(counts: Iterable[Mapping[str, float]], terms: dict[str, int], *, grow: bool = False) -> Any:
    """Counts as a sparse array (documents, terms); new terms are added to ``terms`` if it may grow."""
    sparse = require("scipy.sparse", "themes")
    starts, columns, values = array("q", [0]), array("i"), array("f")
    for count in counts:
        for term, number in count.items():
            column = terms.setdefault(term, len(terms)) if grow else terms.get(term, -1)
            if column >= 0:
                columns.append(column)
                values.append(number)
        starts.append(len(columns))
    parts = (np.array(values, np.float32), np.array(columns, np.int32), np.array(starts, np.int64))
    matrix = sparse.csr_matrix(parts, shape=(len(starts) - 1, len(terms)))
    matrix.sort_indices()
    return matrix


def kept_terms(counts: Any, terms: Sequence[str]) -> list[int]:
    """Columns of the terms that tell documents apart, in the alphabet's order: the most frequent 50,000."""
    documents = counts.shape[0]
    spread = np.bincount(counts.indices, minlength=len(terms))
    told = (spread >= (1 if documents < SMALL else 2)) & (spread <= COMMON * documents)
    columns = np.flatnonzero(told) if told.any() else np.arange(len(terms))
    frequent = sorted(columns.tolist(), key=lambda i: (-int(spread[i]), terms[i]))[:VOCABULARY]
    return sorted(frequent, key=lambda i: terms[i])


def weighted_rows(counts: Any, idf: NDArray[np.float64]) -> Any:
    """``(1 + ln count) * idf`` of each term of a document, rows of length 1 or 0."""
    weighted = counts.tocsr().astype(np.float64)
    weighted.sort_indices()
    weighted.data = (1 + np.log(weighted.data)) * idf[weighted.indices]
    lengths = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1))).ravel()
    weighted.data /= np.repeat(np.maximum(lengths, 1e-12), np.diff(weighted.indptr))
    return weighted.astype(np.float32)
