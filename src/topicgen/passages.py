"""A document that is longer than the model reads -> passages, each of which it reads whole.

Passages are of nearly equal length and end where the text does: each is as long as the text that is left, divided by
the least number of passages that can hold it, and ends at the paragraph nearest to that length, where one makes it at
least half as long; else at the nearest sentence; in a sentence of more than a prompt, between words. Of a word of more
than a prompt the beginning is read, up to a token, and the rest is left out: it is no text.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from topicgen.prompt import EncodedPrompt, PromptEncoder

# Scripts that put no space between words: Thai to Lao, Myanmar, Khmer, kana, Han.
_SPACELESS = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_SENTENCE_END = re.compile(r"\n[^\S\n]*\n\s*|(?<=[.!?…])[\"'”’»)\]]*\s+|(?<=[。！？])")
_WORD = re.compile(rf"(?:[{_SPACELESS}]|[^\s{_SPACELESS}]+)\s*")


@dataclass(frozen=True, slots=True)
class Passage:
    """A part of a document, or all of it, as the model reads it.

    Attributes:
        text: The part.
        offset: Characters of the document before it.
        prompt: Its prompt.
    """

    text: str
    offset: int
    prompt: EncodedPrompt


@dataclass(frozen=True, slots=True)
class _Piece:
    """A sentence, or a part of one: from character to character, in tokens."""

    start: int
    end: int
    tokens: int
    ends_paragraph: bool = False
    cut: bool = False


def split_passages(text: str, encoder: PromptEncoder, most: int) -> tuple[list[Passage], bool]:
    """The passages of a text, and whether they are all of it.

    Args:
        text: The document; it is tokenised whole.
        encoder: Counts tokens and writes the prompts.
        most: Number of passages that are kept; of more, some at even distances, the first and the last among them.
    """
    pieces = _pieces(text, encoder)
    groups = list(_packed(pieces, encoder.room))
    kept = _spread(groups, most)
    spans = [_stripped(text, group[0].start, group[-1].end) for group in kept]
    texts = [text[start:end] for start, end in spans]
    passages = [
        Passage(part, start, prompt)
        for part, (start, _), prompt in zip(texts, spans, encoder.encode(texts), strict=True)
        if part
    ]
    whole = len(kept) == len(groups) and not any(piece.cut for group in kept for piece in group)
    return passages, whole and not any(passage.prompt.truncated for passage in passages)


def _pieces(text: str, encoder: PromptEncoder) -> list[_Piece]:
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    spans = [(start, end) for start, end in pairwise([0, *ends, len(text)]) if start < end]
    found: list[_Piece] = []
    for piece in _counted(text, spans, encoder):
        if piece.tokens <= encoder.room:
            found.append(piece)
            continue
        words = [
            (piece.start + m.start(), piece.start + m.end()) for m in _WORD.finditer(text[piece.start : piece.end])
        ]
        parts = [_bounded(text, word, encoder) for word in _counted(text, words, encoder)]
        # A part of a sentence ends no paragraph, but for the last one.
        found += [replace(part, ends_paragraph=False) for part in parts[:-1]] + parts[-1:]
    return found


def _counted(text: str, spans: Sequence[tuple[int, int]], encoder: PromptEncoder) -> Iterator[_Piece]:
    lengths = encoder.lengths(text[start:end] for start, end in spans)
    for (start, end), tokens in zip(spans, lengths, strict=True):
        part = text[start:end]
        space = part[len(part.rstrip()) :]
        yield _Piece(start, end, tokens, ends_paragraph=space.count("\n") > 1)


def _bounded(text: str, word: _Piece, encoder: PromptEncoder) -> _Piece:
    if word.tokens <= encoder.room:
        return word
    kept = encoder.beginning(text[word.start : word.end])
    return replace(word, end=word.start + kept, tokens=encoder.room, cut=True)


def _packed(pieces: Sequence[_Piece], room: int) -> Iterator[Sequence[_Piece]]:
    left = sum(piece.tokens for piece in pieces)
    start = 0
    while start < len(pieces):
        end = _passage_end(pieces, start, left / max(1, -(-left // room)), room)
        yield pieces[start:end]
        left -= sum(piece.tokens for piece in pieces[start:end])
        start = end


def _passage_end(pieces: Sequence[_Piece], start: int, wanted: float, room: int) -> int:
    """Index after the last piece of a passage that begins at ``start`` and has about ``wanted`` tokens."""
    best: tuple[bool, float, int] | None = None
    size = 0
    for end in range(start, len(pieces)):
        size += pieces[end].tokens
        if size > room and best is not None:
            break
        paragraph = pieces[end].ends_paragraph and size >= wanted / 2
        rank = (not paragraph, abs(size - wanted), end + 1)
        best = rank if best is None else min(best, rank)
    assert best is not None
    return best[2]


def _spread(groups: Sequence[Sequence[_Piece]], most: int) -> list[Sequence[_Piece]]:
    if len(groups) <= most:
        return list(groups)
    return [groups[round(number * (len(groups) - 1) / max(1, most - 1))] for number in range(most)]


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    part = text[start:end]
    return start + len(part) - len(part.lstrip()), start + len(part.rstrip())
