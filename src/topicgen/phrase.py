"""What a model wrote in, a topic out: one line, without quotes, markers or loose ends."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

from topicgen.words import WORD

_MARKER = re.compile(r"^\s*(#+\s*)?(response|topic|title|answer)\s*:\s*", re.IGNORECASE)
_BULLET = re.compile(r"^\s*(?:[-*•–—#]+|\d{1,2}[.)])\s+")
_QUOTES = "\"'`“”‘’«»„"
_TRAILING = " \t.,;:!?…-–—/|"
_CONNECTING = "a an and as at based between by for from in into of on or over the to under using via with without"
_LOOSE_END = re.compile(rf"\s+({_CONNECTING.replace(' ', '|')})$", re.IGNORECASE)
_JOINTS = frozenset([*_CONNECTING.split(), "vs", "versus"])
_POSSESSIVE = re.compile(r"['’]s?$")
_JOINERS = "\u200d\u200c"
_HALF = "\ufffd"  # what a character becomes whose bytes were cut
_LONGEST = 4_096  # characters of an answer that are read
_FALLBACK_WORDS = 6
_FALLBACK_CHARACTERS = 80


def _visible(text: str) -> str:
    """Text without control and format characters, which hide or reorder what follows; joiners of emoji stay."""
    return "".join(
        " " if c.isspace() else c
        for c in text
        if c.isspace() or c in _JOINERS or not (c == _HALF or unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co"))
    )


def _balanced(text: str) -> str:
    """Cuts at a bracket that never closes."""
    for opening, closing in ("()", "[]", "{}"):
        if text.count(opening) > text.count(closing):
            text = text[: text.rindex(opening)]
    return text


def _bare(text: str) -> str:
    """Text without quotes at its ends and punctuation at its end."""
    before = None
    while text != before:
        before = text
        text = text.strip(_QUOTES + _JOINERS + " ").rstrip(_TRAILING)
    return text


def clean(raw: str, *, finished: bool = True) -> str:
    """The topic in a model's answer; empty when there is none.

    Args:
        raw: The answer.
        finished: Whether the model ended the answer itself; if not, its loose end ("... of the") is dropped.
    """
    for line in raw[:_LONGEST].splitlines():
        text = " ".join(_visible(line).split())
        before = None
        while text != before:
            before = text
            text = _bare(_balanced(_BULLET.sub("", _MARKER.sub("", text))))
            if not finished:
                text = _LOOSE_END.sub("", text)
        if any(c.isalnum() for c in text):
            return text
    return ""


def _bare_words(words: Iterable[str]) -> list[str]:
    """Words to compare: without case, the punctuation around them and an ending ``'s``."""
    return [_POSSESSIVE.sub("", word.strip(_QUOTES + _TRAILING).casefold()) for word in words]


def _said_again(bare: Sequence[str]) -> Iterator[tuple[slice, Sequence[str]]]:
    """Parts of a topic that say nothing new, each with the words that a document must have for it to stay."""
    for length in range(1, len(bare) // 2 + 1):
        for first in range(len(bare) - 2 * length + 1):
            row = bare[first : first + 2 * length]
            if row[:length] == row[length:] and all(word.isalnum() for word in row):
                yield slice(first, first + length), row
    for joint in range(1, len(bare) - 1):
        tail = [word for word in bare[joint:] if word and word not in _JOINTS]
        if bare[joint] in _JOINTS and bare[joint - 1] not in _JOINTS and tail and set(tail) <= set(bare[:joint]):
            yield slice(joint, len(bare)), bare[joint - 1 :]


class _Said:
    """Whether a document has some words in a row; it is read when first asked."""

    def __init__(self, document: str) -> None:
        self._document = document
        self._words = ""

    def __contains__(self, words: Sequence[str]) -> bool:
        self._words = self._words or f" {' '.join(re.findall(WORD, self._document.casefold()))} "
        return f" {' '.join(re.findall(WORD, ' '.join(words)))} " in self._words


def unstuck(topic: str, document: str) -> str:
    """The topic without words that it says again at once or behind "of", "and", as small models do when they get stuck.

    A word counts as the same in another case or with another ending ``'s``; of words in a row the last stay. What the
    document says twice, such as a name, the topic may say too.
    """
    words, said = topic.split(), _Said(document)
    count = len(words)
    while part := next((part for part, needed in _said_again(_bare_words(words)) if needed not in said), None):
        del words[part]
    return _bare(" ".join(words)) if len(words) < count else topic


def repeats(topic: str, document: str) -> int:
    """Number of content words that a topic has said before, where the document does not do so in the same words."""
    words, said, known, count = _bare_words(topic.split()), _Said(document), dict[str, int](), 0
    for number, word in enumerate(words):
        if word in known and words[known[word] : number + 1] not in said:
            count += 1
        if len(word) > 2 and word not in _JOINTS:
            known[word] = number
    return count


def fallback(document: str) -> str:
    """A topic for a non-empty document when the model wrote none: its first words, or what it consists of."""
    words = " ".join(_visible(document).split()[:_FALLBACK_WORDS])[:_FALLBACK_CHARACTERS]
    return _bare(words) or words.strip(_JOINERS + " ") or "no words"


def folded(text: str) -> str:
    """What two texts have in common that differ in case and white space only."""
    return " ".join(text.split()).casefold()


def _content(topic: str) -> list[str]:
    """Words of three letters and more that do not only connect others."""
    return [w for w in re.findall(WORD, topic.casefold()) if len(w) > 2 and w not in _JOINTS]


def support(topic: str, document: str) -> float:
    """Share of a topic's content words that also stand in the document, 0 to 1; 1 for a topic without any.

    Words of two letters and connecting words do not count. Words are compared by their first five letters, so that an
    ending may differ.
    """
    stems = {word[:5] for word in re.findall(WORD, document.casefold())}
    content = _content(topic)
    return sum(word[:5] in stems for word in content) / len(content) if content else 1.0


def _key(topic: str) -> frozenset[str]:
    return frozenset(re.findall(WORD, topic.casefold())) or frozenset({topic})


def _alike(one: frozenset[str], other: frozenset[str]) -> bool:
    """Whether two topics share more than half of all their words (Jaccard similarity)."""
    return len(one & other) / len(one | other) > 0.5


def group_alike(topics: Iterable[str]) -> list[int]:
    """For each topic the index of the first one before it that it is alike, or its own."""
    heads: dict[frozenset[str], int] = {}
    found: list[int] = []
    for number, topic in enumerate(topics):
        key = _key(topic)
        head = heads.get(key)
        if head is None:
            head = next((known for other, known in heads.items() if _alike(key, other)), None)
        if head is None:
            head = heads[key] = number
        found.append(head)
    return found


def distinct(topics: Iterable[str], count: int) -> Iterator[int]:
    """Indices of up to ``count`` topics with different words, in order; unlike topics go before like ones.

    Two topics are alike when they share more than half of all their words (Jaccard similarity).
    """
    keys = [_key(topic) for topic in topics]
    first = {key: number for number, key in reversed(list(enumerate(keys)))}
    candidates = sorted(first.values())
    chosen: list[int] = []
    for number in candidates:
        if len(chosen) < count and not any(_alike(keys[number], keys[other]) for other in chosen):
            chosen.append(number)
    chosen += [number for number in candidates if number not in chosen][: count - len(chosen)]
    yield from sorted(chosen)
