"""Topics and their references in, scores out: pure functions over strings and numbers."""

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable
from functools import lru_cache

from topicgen.extras import require
from topicgen.words import WORD

_WORD = re.compile(r"[a-z0-9]+")
_ANY_WORD = re.compile(WORD)
_ARTICLES = frozenset({"a", "an", "the"})
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def words(text: str) -> list[str]:
    """Lowercase words ``[a-z0-9]+``, the tokenisation of ROUGE (Lin 2004) without stemming."""
    return _WORD.findall(text.lower())


def stems(text: str) -> list[str]:
    """``words`` with Porter's stemmer on those of over three letters, as Google's ``rouge_score`` does it."""
    return [_stem(word) if len(word) > 3 else word for word in words(text)]


@lru_cache(maxsize=1)
def _stemmer() -> Callable[[str], str]:
    return require("nltk.stem.porter", "evaluate").PorterStemmer().stem  # type: ignore[no-any-return]


@lru_cache(maxsize=100_000)
def _stem(word: str) -> str:
    return _stemmer()(word)


def _f1(overlap: int, predicted: int, expected: int) -> float:
    return 2 * overlap / (predicted + expected) if overlap else 0.0


Words = Callable[[str], list[str]]


def rouge_n(prediction: str, reference: str, n: int, words: Words = words) -> float:
    """ROUGE-N F1 of one pair, 0 to 1: n-grams that both share, counted at most as often as either has them."""
    grams = []
    for text in (prediction, reference):
        tokens = words(text)
        grams.append(Counter(zip(*(tokens[i:] for i in range(n)), strict=False)))
    return _f1((grams[0] & grams[1]).total(), grams[0].total(), grams[1].total())


def rouge_l(prediction: str, reference: str, words: Words = words) -> float:
    """ROUGE-L F1 of one pair, 0 to 1: the longest common subsequence of words."""
    left, right = words(prediction), words(reference)
    row = [0] * (len(right) + 1)
    for token in left:
        diagonal = 0
        for j, other in enumerate(right, 1):
            above = row[j]
            row[j] = diagonal + 1 if token == other else max(above, row[j - 1])
            diagonal = above
    return _f1(row[-1], len(left), len(right))


def token_f1(prediction: str, reference: str) -> float:
    """F1 over words as SQuAD's evaluation counts it (Rajpurkar et al. 2016), 0 to 1.

    Lowercase, punctuation and articles removed, split at white space.
    Two texts without other words score 1, unless only one of them is empty.
    """
    left, right = (
        Counter(w for w in text.lower().translate(_NO_PUNCTUATION).split() if w not in _ARTICLES)
        for text in (prediction, reference)
    )
    if not left or not right:
        return float(left == right and bool(prediction.strip()) == bool(reference.strip()))
    return _f1((left & right).total(), left.total(), right.total())


def word_edits(prediction: str, reference: str) -> tuple[int, int]:
    """Edits of words that turn the prediction into the reference, and the words of the reference.

    Insertions, deletions and replacements; words are runs of letters and digits of any script, without case.

    Their ratio over a collection is the word error rate: 0 for equal texts, above 1 for predictions that are longer
    than their references and share little with them.
    """
    left, right = (_ANY_WORD.findall(text.casefold()) for text in (prediction, reference))
    edits: int = require("rapidfuzz.distance", "evaluate").Levenshtein.distance(left, right)
    return edits, len(right)


def exact_match(prediction: str, reference: str) -> float:
    """1 when both are the same text apart from case, outer white space and the composition of accents, else 0."""
    one, other = (unicodedata.normalize("NFC", text.strip().casefold()) for text in (prediction, reference))
    return float(one == other)


SCORES: dict[str, Callable[[str, str], float]] = {
    "rouge1": lambda prediction, reference: rouge_n(prediction, reference, 1),
    "rouge2": lambda prediction, reference: rouge_n(prediction, reference, 2),
    "rougeL": rouge_l,
    "exact": exact_match,
}
"""The scores of one prediction against its reference, by name."""
