"""Examples in, token rows out: the very tokens that generation sees, then the topic and the stop token."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer

from topicgen.errors import UserError
from topicgen.prompt import Prompt, PromptEncoder
from topicgen.records import Example

_CHUNK = 1000  # examples tokenised at once: the tokenizer's own records take a hundred bytes a token

_BORDER = "·"
_PREFIX, _TEXT, _TOPIC, _RESET = "\x1b[2m", "\x1b[36m", "\x1b[1;32m", "\x1b[0m"


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One example without the prefix that all share.

    Attributes:
        ids: Document, suffix, topic and stop token.
        answer: Index in ``ids`` where the topic begins; the loss is on ``ids[answer:]``.
    """

    ids: tuple[int, ...]
    answer: int


@dataclass(frozen=True, slots=True)
class TokenRows:
    """The examples of one part of the data.

    Attributes:
        prefix: Token ids before each row.
        rows: In the order of the examples.
        cut: Rows whose text lost its end.
        left_out: Examples whose topic leaves no room for any of the text.
    """

    prefix: tuple[int, ...]
    rows: list[TokenRow]
    cut: int
    left_out: int = 0


def encode_examples(
    examples: Sequence[Example], prompt: Prompt, tokenizer: Tokenizer, max_length: int, *, needed: bool = True
) -> TokenRows:
    """One row for each example, of at most ``max_length`` tokens with the prefix; only texts are cut, topics never.

    The topic is the example's first reference. Special tokens in texts and topics are plain text.

    Raises:
        UserError: When the tokenizer lacks the prompt's stop token, or ``max_length`` has no room for the prompt or,
            where rows are ``needed``, for any topic.
    """
    stop = tokenizer.token_to_id(prompt.stop)
    if stop is None:
        raise UserError(f"the tokenizer has no token {prompt.stop!r}, with which the prompt ends topics")
    try:
        encoder = PromptEncoder(prompt, tokenizer, max_length)
    except UserError as error:
        raise UserError(f"max_length is too low: {error}") from None
    rows: list[TokenRow] = []
    cut = 0
    prefix, suffix = encoder.prefix, encoder.suffix
    shared = list(range(tokenizer.get_vocab_size()))  # one object for each id, a fifth of the memory
    for example, ids, truncated in _encoded(examples, encoder):
        topic = tokenizer.encode(encoder.fold(example.references[0]), add_special_tokens=False).ids
        room = max_length - len(prefix) - len(suffix) - len(topic) - 1
        if room < 1:
            continue
        document = ids[len(prefix) : len(ids) - len(suffix)]
        cut += truncated or len(document) > room
        head = (*document[:room], *suffix)
        rows.append(TokenRow(tuple(shared[number] for number in (*head, *topic, stop)), len(head)))
    if needed and examples and not rows:
        raise UserError(f"max_length is too low: with {max_length} tokens no topic leaves room for its text")
    return TokenRows(prefix, rows, cut, len(examples) - len(rows))


def _encoded(examples: Sequence[Example], encoder: PromptEncoder) -> Iterator[tuple[Example, tuple[int, ...], bool]]:
    for start in range(0, len(examples), _CHUNK):
        chunk = examples[start : start + _CHUNK]
        for example, encoded in zip(chunk, encoder.encode([example.text for example in chunk]), strict=True):
            yield example, encoded.ids, encoded.truncated


def preview(rows: TokenRows, tokenizer: Tokenizer, count: int, color: bool) -> str:
    """The tokens of the first rows, with borders between them; those with loss are coloured, or in [brackets].

    Control characters are escaped, so that no text can command a terminal; a token that holds a part of a character
    shows as U+FFFD.
    """
    paragraphs = []
    for number, row in enumerate(rows.rows[:count], 1):
        parts = [
            _shown(rows.prefix, tokenizer, _PREFIX if color else ""),
            _shown(row.ids[: row.answer], tokenizer, _TEXT if color else ""),
            _shown(row.ids[row.answer :], tokenizer, _TOPIC if color else "", "" if color else "[]"),
        ]
        tokens = len(rows.prefix) + len(row.ids)
        title = f"example {number}: {tokens} tokens, loss on the last {len(row.ids) - row.answer}"
        paragraphs.append(f"{title}\n{_BORDER.join(part for part in parts if part)}\n")
    return "\n".join(paragraphs)


def _shown(ids: Sequence[int], tokenizer: Tokenizer, style: str, brackets: str = "") -> str:
    first, last = brackets[:1], brackets[1:]
    pieces = [tokenizer.decode([number], skip_special_tokens=False) for number in ids]
    plain = [first + "".join(map(_escaped, piece)) + last for piece in pieces]
    return style + _BORDER.join(plain) + (_RESET if style else "") if plain else ""


def _escaped(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()
