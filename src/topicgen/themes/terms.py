"""A text in, the terms out that tell what it is about, with their counts."""

import re
from collections import Counter
from functools import lru_cache

from topicgen.phrases import STOP_WORDS
from topicgen.words import MARKS

LONGEST = 20_000  # characters of a text that are read

# Written without spaces between words: pairs of characters stand for words.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_LETTERS = rf"[^\W_{_UNSPACED}]"
_MARKED = rf"[{MARKS}]+{_LETTERS}*"
_TERM = re.compile(rf"[{_UNSPACED}]+|[^\W\d_{_UNSPACED}](?:{_LETTERS}+(?:{_MARKED})*|(?:{_MARKED})+)")
_ENDINGS = (("ies", "y"), ("sses", "ss"), ("ches", "ch"), ("shes", "sh"), ("xes", "x"), ("ss", "ss"), ("us", "us"))


def counted_terms(text: str) -> Counter[str]:
    """How often each term occurs: lowercase English words in the singular, without function words.

    Words have two characters or more and begin with a letter. Of scripts without spaces, such as Chinese and Thai, all
    pairs of neighbouring characters are terms.
    """
    counts: Counter[str] = Counter()
    for word, count in Counter(_TERM.findall(text[:LONGEST].lower())).items():
        for term in _terms(word):
            counts[term] += count
    return counts


@lru_cache(maxsize=1 << 17)
def singular(word: str) -> str:
    """An English word without its plural ending, as far as its letters tell (after Harman 1991)."""
    if len(word) < 4:
        return word
    for ending, instead in _ENDINGS:
        if word.endswith(ending):
            return word.removesuffix(ending) + instead
    return word.removesuffix("s") if not word.endswith("is") else word


@lru_cache(maxsize=1 << 17)
def _terms(word: str) -> tuple[str, ...]:
    if re.match(rf"[{_UNSPACED}]", word):
        return tuple(word[i : i + 2] for i in range(max(len(word) - 1, 1)))
    return () if word in STOP_WORDS else (singular(word),)
