"""The key of a form and saved answers in, win rates with intervals and the annotators' agreement out."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import comb, nan
from pathlib import Path
from typing import Any

from topicgen.errors import UsageError, UserError
from topicgen.extras import require
from topicgen.intervals import Interval, bootstrap

_ANSWERS = ("1", "2", "tie")


@dataclass(frozen=True, slots=True)
class Judgements:
    """What people said about the topics of two systems.

    Attributes:
        systems: Names of the two systems.
        scores: For each annotator, the first system's score on each question answered: 1 where its topic is the better
            one, 0.5 for a tie, 0 where the other's is.
        documents: The id of the document that each question is about.
        same: Number of documents that nobody was asked about because both systems wrote the same topic.
    """

    systems: tuple[str, str]
    scores: Mapping[str, Mapping[str, float]]
    documents: Mapping[str, str] = field(default_factory=dict)
    same: int = 0

    def means(self) -> dict[str, float]:
        """The mean score of each question over those who answered it, in an order that no file order changes."""
        questions = sorted({question for scores in self.scores.values() for question in scores})
        given = {question: [s[question] for s in self.scores.values() if question in s] for question in questions}
        return {question: sum(scores) / len(scores) for question, scores in given.items()}

    def labels(self) -> dict[str, str]:
        """For each document with answers, the system that more annotators preferred, or ``tie``."""
        first, second = self.systems
        return {
            self.documents[question]: "tie" if mean == 0.5 else first if mean > 0.5 else second
            for question, mean in self.means().items()
        }


@dataclass(frozen=True, slots=True)
class SystemResult:
    """One system's side of a comparison.

    Attributes:
        name: The system.
        wins: Number of documents on which more annotators preferred it than the other.
        ties: Number of documents on which as many preferred it as the other.
        win_rate: Share of the answers that prefer it, a tie as half; first the mean of each document's annotators,
            then of the documents; with the 95 % bootstrap interval over documents.
    """

    name: str
    wins: int
    ties: int
    win_rate: Interval


@dataclass(frozen=True, slots=True)
class Summary:
    """The outcome of a form.

    Attributes:
        systems: The two systems, in the key's order.
        documents: Number of documents with an answer.
        annotators: Number of people who answered.
        answers: Number of their answers.
        same: Number of documents left out of all of this because both systems wrote the same topic.
        sign_test_p: Two-sided p of the exact sign test over documents.
        alpha: Krippendorff's alpha; None where it is not defined.
    """

    systems: tuple[SystemResult, SystemResult]
    documents: int
    annotators: int
    answers: int
    same: int
    sign_test_p: float
    alpha: float | None

    def as_dict(self) -> dict[str, Any]:
        """The summary as plain values for JSON."""
        return asdict(self)


def read_answers(key_path: Path, answer_paths: Sequence[Path]) -> Judgements:
    """Reads files that the form saved, complete or not, and says by the key which system each answer prefers.

    Two equal files of one annotator count once.

    Raises:
        UserError: When a file cannot be read, belongs to another form, holds no answers or wrong ones, or when two
            files of one annotator differ.
    """
    if not answer_paths:
        raise UsageError(f"{key_path}: the key alone holds no answers; name the saved answers too")
    key = _read_key(key_path)
    given: dict[str, tuple[Path, Mapping[str, str]]] = {}
    for path in answer_paths:
        annotator, answers = _read_annotator(path, str(key["form"]), key["questions"])
        earlier, known = given.setdefault(annotator, (path, answers))
        if known != answers:
            raise UserError(f"{path}: answers of {annotator!r} that differ from {earlier}; one file for each is needed")
    first = key["systems"][0]
    scores = {
        annotator: {
            question: 0.5 if answer == "tie" else float(key["questions"][question][answer] == first)
            for question, answer in answers.items()
        }
        for annotator, (_, answers) in given.items()
    }
    documents = {question: sides["document"] for question, sides in key["questions"].items()}
    return Judgements(tuple(key["systems"]), scores, documents, key["same"])


def summarise(judgements: Judgements, samples: int = 2000, seed: int = 0) -> Summary:
    """Counts wins, with ``samples`` bootstrap resamples drawn by ``seed``.

    Raises:
        UserError: When nobody answered anything, or the extra ``evaluate`` is not installed.
    """
    annotators = [scores for scores in judgements.scores.values() if scores]
    means = list(judgements.means().values())
    if not means:
        raise UserError("no answers found; at least one is needed")
    wins, losses = sum(mean > 0.5 for mean in means), sum(mean < 0.5 for mean in means)
    ties = len(means) - wins - losses
    rate = bootstrap(means, samples=samples, seed=seed)
    # The same resamples seen from the other side.
    other = Interval(1 - rate.mean, 1 - rate.high, 1 - rate.low)
    first, second = judgements.systems
    return Summary(
        systems=(SystemResult(first, wins, ties, rate), SystemResult(second, losses, ties, other)),
        documents=len(means),
        annotators=len(annotators),
        answers=sum(map(len, annotators)),
        same=judgements.same,
        sign_test_p=sign_test(wins, losses),
        alpha=krippendorff_alpha(annotators),
    )


def sign_test(wins: int, losses: int) -> float:
    """Two-sided p of the exact sign test, which leaves ties out (Conover 1999, section 3.4); 1 without wins and losses.

    The chance of a split at least as uneven when both sides are equally likely on every document.
    """
    trials = wins + losses
    tail = sum(comb(trials, k) for k in range(min(wins, losses) + 1))
    return min(1.0, 2 * tail / (1 << trials))


def krippendorff_alpha(annotators: Sequence[Mapping[str, float]]) -> float | None:
    """Agreement beyond chance: 1 is perfect, 0 is chance (Krippendorff 2011, "Computing Krippendorff's
    Alpha-Reliability"), for nominal values.

    The values are the preferred system or a tie, not the side, so alpha does not depend on how sides were drawn.

    Args:
        annotators: Each one's value by question; questions without an answer are left out.

    Returns:
        None where no question has two answers, and where those questions' answers are all the same: alpha divides by
        the disagreement to expect by chance, which is 0 there.
    """
    questions = sorted({question for answers in annotators for question in answers})
    shared = [question for question in questions if sum(question in answers for answers in annotators) > 1]
    values = {answers[question] for question in shared for answers in annotators if question in answers}
    if len(values) < 2:
        return None
    table = [[answers.get(question, nan) for question in shared] for answers in annotators]
    alpha = require("krippendorff", "evaluate").alpha
    return float(alpha(reliability_data=table, level_of_measurement="nominal"))


def _read_key(path: Path) -> Mapping[str, Any]:
    key = _read_object(path, "the key of a form", ("form", "systems", "same", "questions"))
    systems, questions = key["systems"], key["questions"]
    two = isinstance(systems, list) and len(systems) == 2 and all(isinstance(name, str) for name in systems)
    if not two or systems[0] == systems[1]:
        raise UserError(f"{path}: the systems are {_brief(systems)}; two different names are needed")
    if not isinstance(key["same"], int):
        raise UserError(f"{path}: 'same' is {_brief(key['same'])}; a number is needed")
    if not isinstance(questions, dict):
        raise UserError(f"{path}: the questions are {_brief(questions)}; an object is needed")
    for number, sides in questions.items():
        # Compared, not sorted: a side may be of any JSON type.
        if not isinstance(sides, dict) or [sides.get("1"), sides.get("2")] not in (systems, systems[::-1]):
            raise UserError(f"{path}: question {_brief(number)} is {_brief(sides)}; a side for each system is needed")
        if not isinstance(sides.get("document"), str):
            raise UserError(f"{path}: question {_brief(number)} names no document; its id is needed")
    return key


def _read_annotator(path: Path, form: str, questions: Collection[str]) -> tuple[str, Mapping[str, str]]:
    saved = _read_object(path, "answers saved by a form", ("form", "annotator", "answers"))
    annotator, answers = saved["annotator"], saved["answers"]
    if saved["form"] != form:
        raise UserError(f"{path}: answers to form {_brief(saved['form'])}; the key is of form {form!r}")
    if not isinstance(annotator, str) or not annotator.strip():
        raise UserError(f"{path}: the annotator is {_brief(annotator)}; a name is needed")
    if not isinstance(answers, dict) or not answers:
        raise UserError(f"{path}: the answers are {_brief(answers)}; at least one answered question is needed")
    for number, answer in answers.items():
        if number not in questions:
            raise UserError(f"{path}: an answer to question {_brief(number)}; the form has no such question")
        if answer not in _ANSWERS:
            raise UserError(f"{path}: question {number} is answered {_brief(answer)}; '1', '2' or 'tie' is needed")
    return annotator.strip(), answers


def _read_object(path: Path, what: str, fields: Iterable[str]) -> Mapping[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}; {what} needed") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: broken JSON ({error}); {what} needed") from None
    if not isinstance(value, dict):
        raise UserError(f"{path}: {_brief(value)}; {what} needed")
    if missing := [field for field in fields if field not in value]:
        raise UserError(f"{path}: no {missing[0]!r}; {what} needed")
    return value


def _brief(value: Any) -> str:
    """A value on one short line, whatever it is."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
