"""The topics of a collection in, what they are like together out: repetition, coverage, agreement with categories."""

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from topicgen.extras import require
from topicgen.metrics import stems
from topicgen.words import WORD

_SMALL_WORDS = frozenset(
    {"a", "an", "and", "as", "at", "by", "for", "from", "in", "into", "of", "on", "or", "the", "to"}
)


def near_key(topic: str) -> str:
    """What two near-duplicate topics have in common: their stems without small words, in alphabetical order."""
    found = sorted(
        {stem for word in re.findall(WORD, topic.casefold()) for stem in stems(word) or [word]} - _SMALL_WORDS
    )
    return " ".join(found) if found else topic.casefold()


def describe_collection(topics: Sequence[str]) -> dict[str, float]:
    """Counts and shares of a collection's topics; an empty topic is a document that is not covered.

    distinct: different topics, apart from case. duplicates: share of the covered documents whose topic another document
    has too. near_duplicates: the same, when topics of the same stems in any order count as one. singletons: share of
    the distinct topics that only one document has. coverage: share of the documents with a topic. words_*: lengths of
    the topics in words: a tenth is at most as long as p10, a tenth at least as long as p90.
    """
    covered = [topic for topic in topics if topic.strip()]
    exact = Counter(topic.strip().casefold() for topic in covered)
    near = Counter(near_key(topic) for topic in covered)

    def repeated(counts: Counter[str]) -> float:
        return sum(n for n in counts.values() if n > 1) / len(covered) if covered else 0.0

    return {
        "coverage": len(covered) / len(topics) if topics else 0.0,
        "distinct": len(exact),
        "duplicates": repeated(exact),
        "near_duplicates": repeated(near),
        "singletons": sum(n == 1 for n in exact.values()) / len(exact) if exact else 0.0,
        **_lengths([len(topic.split()) for topic in covered]),
    }


def _lengths(words: Sequence[int]) -> dict[str, float]:
    if not words:
        return {}
    low, middle, high = np.quantile(words, [0.1, 0.5, 0.9]).tolist()
    return {"words_p10": low, "words_median": middle, "words_p90": high, "words_longest": max(words)}


def agree(clusters: Sequence[str | None], categories: Sequence[str | None]) -> dict[str, float]:
    """Agreement of groups of documents with gold categories; documents without a category are left out.

    A document without a group (an outlier) is wrong for purity and its inverse; for the other measures all outliers are
    one group. purity and its inverse (Zhao & Karypis 2001) and their harmonic mean, as TopicGPT reports it (Pham et
    al. 2024); ari: adjusted Rand index (Hubert & Arabie 1985); nmi, ami: normalised and adjusted mutual information
    (Vinh et al. 2010), arithmetic mean; outliers: share of the documents.
    """
    pairs = [(c or "", g, bool(c)) for c, g in zip(clusters, categories, strict=True) if g]
    if not pairs:
        return {}
    measures = require("sklearn.metrics", "evaluate")
    groups, gold = [c for c, _, _ in pairs], [g for _, g, _ in pairs]
    purity = _purity([(c, g) for c, g, inside in pairs if inside], len(pairs))
    inverse = _purity([(g, c) for c, g, inside in pairs if inside], len(pairs))
    return {
        "categories": len(set(gold)),
        "groups": len({c for c, _, inside in pairs if inside}),
        "outliers": sum(not inside for _, _, inside in pairs) / len(pairs),
        "purity": purity,
        "inverse_purity": inverse,
        "harmonic_purity": 2 * purity * inverse / (purity + inverse) if purity + inverse else 0.0,
        "ari": float(measures.adjusted_rand_score(gold, groups)),
        "nmi": float(measures.normalized_mutual_info_score(gold, groups)),
        "ami": float(measures.adjusted_mutual_info_score(gold, groups)),
    }


def _purity(pairs: Sequence[tuple[str, str]], documents: int) -> float:
    """Share of the documents in the most frequent second label of their first."""
    table: dict[str, Counter[str]] = {}
    for first, second in pairs:
        table.setdefault(first, Counter())[second] += 1
    return float(np.sum([max(counts.values()) for counts in table.values()]) / documents)
