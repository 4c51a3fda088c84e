"""A document and two topics in, the judge's prompt out; and the judge's answer in, its choice out."""

import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Literal

from topicgen.errors import UserError

MAX_DOCUMENT = 6_000
"""Characters of a document that the judge reads."""

Choice = Literal["first", "second", "tie"]

_PLACEHOLDERS = ("{document}", "{first}", "{second}")
_CHOICES: dict[str, Choice] = {"a": "first", "b": "second", "tie": "tie"}
_VERDICT = re.compile(r"(?:(?:(?:the|my) )?(?:final )?(?:answer|verdict|choice) (?:is )?)?(?:topic )?(a|b|tie)")


@dataclass(frozen=True, slots=True)
class Rubric:
    """What the judge is asked: a text with ``{document}``, ``{first}`` and ``{second}``, each exactly once.

    It must ask for exactly one of A (the first topic), B (the second) and TIE. All other braces are plain text.

    Raises:
        UserError: When a placeholder is missing or repeated.
    """

    text: str
    source: str = "rubric"

    def __post_init__(self) -> None:
        for placeholder in _PLACEHOLDERS:
            if (found := self.text.count(placeholder)) != 1:
                raise UserError(f"{self.source}: {placeholder} must stand exactly once, found {found} times")

    def prompt(self, document: str, first: str, second: str) -> str:
        """The rubric filled in, in one pass: placeholders and braces within the values stay as they are."""
        values = dict(zip(_PLACEHOLDERS, (document[:MAX_DOCUMENT], _one_line(first), _one_line(second)), strict=True))
        return re.sub("|".join(map(re.escape, _PLACEHOLDERS)), lambda found: values[found[0]], self.text)


def load_rubric(path: Path | None = None) -> Rubric:
    """The rubric of a file, or the package's own; raises UserError when it cannot be read or used."""
    if path is None:
        return Rubric((files("topicgen") / "templates" / "judge.txt").read_text(encoding="utf-8"))
    try:
        return Rubric(path.read_text(encoding="utf-8-sig"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UserError(f"{path}: the rubric cannot be read: {reason}") from None


def parse_answer(answer: str) -> Choice | None:
    """The choice that an answer names, or None.

    A line counts when it is nothing but the verdict, with or without "The answer is", "Topic" and punctuation:
    ``B.``, ``**A**``, ``Final answer: tie``. Other lines are remarks. All verdicts must agree. Thoughts that end with
    ``</think>`` are not read; thoughts without an end are no answer.
    """
    said = answer.rpartition("</think>")[2].lower()
    lines = [] if "<think>" in said else said.splitlines()
    found = {match[1] for line in lines if (match := _VERDICT.fullmatch(" ".join(re.findall(r"[^\W_]+", line))))}
    return _CHOICES[found.pop()] if len(found) == 1 else None


def _one_line(topic: str) -> str:
    return " ".join(topic.split())
