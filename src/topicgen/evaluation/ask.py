"""Examples and the topics of two systems in, a blind HTML form and its key out.

The form asks people which of two topics is better and does not say who wrote them; only the key does. The key is
JSON: ``{"form": fingerprint, "systems": [a, b], "same": n, "questions": {id: {"document": id, "1": a, "2": b}}}``.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from topicgen.errors import UsageError, UserError
from topicgen.html import render
from topicgen.outputs import open_file
from topicgen.phrase import folded
from topicgen.records import Example

KEY_FILE = "key.json"


@dataclass(frozen=True, slots=True)
class Form:
    """A form and what it leaves out.

    Attributes:
        html: The form, one file that needs no other.
        key: Which side of each question is which system, as JSON; must not reach those who answer.
        fingerprint: Hash of the questions; stands in the form, in the key and in saved answers.
        questions: Number of questions in the form.
        same: Number of documents that cannot be asked about because both systems wrote the same topic.
        empty: Number of documents without text.
    """

    html: str
    key: str
    fingerprint: str
    questions: int
    same: int
    empty: int

    def save(self, path: str, *, force: bool = False) -> Path:
        """Writes the form to ``path`` and the key beside it; returns the path of the key.

        Raises:
            UserError: When a file cannot be written, or exists already and ``force`` is not set.
        """
        key_path = Path(path).parent / KEY_FILE
        if Path(path).name.casefold() == KEY_FILE:
            raise UsageError(f"{path}: is the name of the form's key; choose another name for the form")
        contents = ((str(key_path), self.key), (path, self.html))
        outputs = []
        written = False
        try:
            # Both are opened before one is written: a form without its key is of no use.
            for name, _ in contents:
                outputs.append(open_file(name, in_place=False, binary=False, force=force))
            for output, (_, text) in zip(outputs, contents, strict=True):
                output.start()
                output.write(text)
                output.flush()
            written = True
        finally:
            for output in outputs:
                output.close(keep=written)
        return key_path


def build_form(examples: Sequence[Example], topics: Mapping[str, Sequence[str]], count: int, seed: int) -> Form:
    """Draws documents and asks which of two topics is better for each.

    Which documents, their order and the side of each system are drawn by ``seed``; the same arguments give the same
    bytes. Documents without text, and those where both systems wrote the same topic but for case and white space, are
    left out.

    Args:
        examples: The documents.
        topics: Two systems by name, each with one topic for every example, in their order.
        count: Number of questions; fewer when there are fewer documents to ask about.
        seed: Not negative.

    Raises:
        UsageError: When there are not two systems, or ``count`` is not positive.
        UserError: When no document is left, or the extra ``evaluate`` is not installed.
    """
    if len(topics) != 2:
        raise UsageError(f"a form compares two systems by different names, not {len(topics)}")
    if count < 1:
        raise UsageError(f"{count} questions asked for; 1 or more are needed")
    names = tuple(topics)
    pairs = list(zip(*topics.values(), strict=True))
    with_text = [i for i, (example, _) in enumerate(zip(examples, pairs, strict=True)) if example.text.strip()]
    usable = [i for i in with_text if folded(pairs[i][0]) != folded(pairs[i][1])]
    empty, same = len(examples) - len(with_text), len(with_text) - len(usable)
    if not usable:
        raise UserError(
            f"nothing to ask: of {len(examples)} documents, {empty} have no text and {same} got the same topic twice"
        )
    questions, sides = _draw(examples, names, pairs, usable, count, seed)
    # The key is left out of the hash: a hash of it would tell those who can guess the names who wrote what.
    form = hashlib.sha256(json.dumps(questions).encode()).hexdigest()[:16]
    key = {"form": form, "systems": names, "same": same, "questions": sides}
    html = render("ask", {"form": form, "questions": questions}, total=len(questions))
    return Form(html, json.dumps(key, indent=1) + "\n", form, len(questions), same, empty)


def _draw(
    examples: Sequence[Example],
    names: tuple[str, ...],
    pairs: Sequence[tuple[str, ...]],
    usable: Sequence[int],
    count: int,
    seed: int,
) -> tuple[list[dict[str, Any]], dict[str, dict[str, str]]]:
    """The questions as the form shows them, and by their ids which side is which system."""
    random = np.random.default_rng(seed)
    drawn = random.permutation(usable)[:count].tolist()
    swapped = random.integers(2, size=len(drawn)).tolist()
    questions, sides = [], {}
    for number, (i, swap) in enumerate(zip(drawn, swapped, strict=True), 1):
        order = -1 if swap else 1
        questions.append({"id": str(number), "text": examples[i].text, "topics": pairs[i][::order]})
        first, second = names[::order]
        sides[str(number)] = {"document": examples[i].id, "1": first, "2": second}
    return questions, sides
