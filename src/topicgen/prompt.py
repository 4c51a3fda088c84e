"""Documents in, token ids of prompts out. The prompt is written once and saved with the model.

A prompt is ``prefix + document + suffix``. Prefix and suffix may hold the model's special tokens; the document is
data: whatever looks like a special token in it is encoded as plain text.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

from tokenizers import Tokenizer

from topicgen.errors import UserError

PROMPT_FILE = "prompt.json"
_COUNTED_TOGETHER = 1_024  # parts that are tokenised at a time, so that memory stays small


@dataclass(frozen=True, slots=True)
class Prompt:
    """The text around a document.

    Attributes:
        prefix: Before the document; the same for all documents, so an engine may compute it once.
        suffix: After the document; the model's answer follows.
        stop: The special token that ends an answer.
        fold_white_space: Whether runs of white space in a document become one space, as in the model's training.
    """

    prefix: str
    suffix: str
    stop: str
    fold_white_space: bool = False

    def save(self, folder: Path) -> None:
        (folder / PROMPT_FILE).write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Prompt":
        """The prompt of a model folder; raises UserError when it is missing or not understood."""
        path = folder / PROMPT_FILE
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            for name, kind in cls.__annotations__.items():
                if not isinstance(values[name], kind):
                    raise TypeError(f"{name} must be {kind.__name__}, not {values[name]!r}")
            return cls(**{name: values[name] for name in cls.__annotations__})
        except FileNotFoundError:
            raise UserError(
                f"{folder}: no {PROMPT_FILE}; a model folder needs the prompt it was trained with"
            ) from None
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{path}: not a prompt ({error})") from None


@dataclass(frozen=True, slots=True)
class EncodedPrompt:
    """Token ids of one prompt, and whether the end of the document was left out."""

    ids: tuple[int, ...]
    truncated: bool


class PromptEncoder:
    """Encodes documents for one model.

    A document that does not fit loses its end: the prompt keeps the document's first tokens, as many as leave room for
    prefix, suffix and the answer.

    Args:
        prompt: The model's prompt.
        tokenizer: The model's tokenizer; its handling of special tokens is set here.
        max_tokens: Longest prompt in tokens.
    """

    def __init__(self, prompt: Prompt, tokenizer: Tokenizer, max_tokens: int) -> None:
        self._fold = prompt.fold_white_space
        self._tokenizer = tokenizer
        tokenizer.encode_special_tokens = False
        self._prefix = tokenizer.encode(prompt.prefix, add_special_tokens=False).ids
        self._suffix = tokenizer.encode(prompt.suffix, add_special_tokens=False).ids
        tokenizer.encode_special_tokens = True
        self._room = max_tokens - len(self._prefix) - len(self._suffix)
        if self._room < 1:
            raise UserError(f"the prompt leaves no room for a document in {max_tokens} tokens")
        # No token is longer than this, so more characters than this cannot be read: they are cut before tokenising.
        self._max_characters = self._room * max(map(len, tokenizer.get_vocab()))

    @property
    def room(self) -> int:
        """Tokens of a document that fit into one prompt."""
        return self._room

    @property
    def prefix(self) -> tuple[int, ...]:
        """Token ids before every document."""
        return tuple(self._prefix)

    @property
    def suffix(self) -> tuple[int, ...]:
        """Token ids between a document and its answer."""
        return tuple(self._suffix)

    def fold(self, text: str) -> str:
        """The document as the model reads it; empty when there is nothing to read."""
        text = _encodable(text)
        return " ".join(text.split()) if self._fold else text.strip()

    def lengths(self, parts: Iterable[str]) -> Iterator[int]:
        """Tokens of each part of a longer document, with the space before it.

        Of a part that cannot fit only as much is tokenised as shows that: its number is some number above ``room``.
        """
        waiting = iter(parts)
        while batch := list(islice(waiting, _COUNTED_TOGETHER)):
            folded = [f" {self.fold(part)}" if self._fold else _encodable(part) for part in batch]
            cut = [part[: self._max_characters + 1] for part in folded]
            encodings = self._tokenizer.encode_batch_fast(cut, add_special_tokens=False)
            yield from [len(encoding.ids) for encoding in encodings]

    def beginning(self, word: str) -> int:
        """Number of characters at the beginning of a word that fit into one prompt."""
        cut = _encodable(word[: self._max_characters])
        offsets: list[tuple[int, int]] = self._tokenizer.encode(cut, add_special_tokens=False).offsets
        return offsets[: self._room][-1][1]

    def encode(self, texts: Sequence[str]) -> list[EncodedPrompt]:
        """One prompt for each text; texts are folded first."""
        folded = [self.fold(text) for text in texts]
        cut = [text[: self._max_characters] for text in folded]
        encodings = self._tokenizer.encode_batch_fast(cut, add_special_tokens=False)
        return [
            EncodedPrompt(
                (*self._prefix, *encoding.ids[: self._room], *self._suffix),
                len(encoding.ids) > self._room or len(text) > self._max_characters,
            )
            for text, encoding in zip(folded, encodings, strict=True)
        ]


def _encodable(text: str) -> str:
    """The text with ``?`` for each lone surrogate, which cannot be encoded; of the same length."""
    return text.encode("utf-8", "replace").decode()
