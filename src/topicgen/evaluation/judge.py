"""Two systems' topics in, a language model's verdicts out: each pair is asked in both orders.

Asking both orders and calling a win only what survives the swap follows Zheng et al. 2023, "Judging LLM-as-a-Judge".
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from topicgen.chat import ChatFailure
from topicgen.errors import UsageError, UserError
from topicgen.evaluation.rubric import Choice, Rubric, parse_answer
from topicgen.intervals import Interval, bootstrap
from topicgen.phrase import folded
from topicgen.records import Example

MAX_TOKENS = 1_024
"""Longest answer: one token is enough for most judges, but those that think aloud need room."""

Ask = Callable[[Sequence[str], int], Iterable[str | ChatFailure]]
"""Prompts and the longest answer in tokens to one answer for each, in order, as ``ChatClient.ask``."""

Outcome = Literal["a", "b", "tie"]

_OUTCOMES: tuple[Outcome, ...] = ("a", "b", "tie")
_WINS: dict[tuple[Choice | ChatFailure | None, ...], Outcome] = {("first", "second"): "a", ("second", "first"): "b"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the judge said of one document.

    Attributes:
        id: The document's id.
        answers: With the systems in order, and swapped; None is an answer that could not be read. Empty when the
            topics are equal, which needs no judge.
    """

    id: str
    answers: tuple[Choice | ChatFailure | None, ...] = ()

    @property
    def read(self) -> bool:
        """Whether the judge was asked and both its answers could be read."""
        return bool(self.answers) and all(isinstance(answer, str) for answer in self.answers)

    @property
    def outcome(self) -> Outcome | None:
        """The system that won in both orders, else a tie; None when an answer is missing or could not be read."""
        if self.answers and not self.read:
            return None
        return _WINS.get(self.answers, "tie")

    @property
    def followed_position(self) -> bool:
        """Whether the judge chose the same position in both orders, whichever topic stood there."""
        return self.answers in (("first", "first"), ("second", "second"))


@dataclass(frozen=True, slots=True)
class Verdicts:
    """The verdicts on two systems, named ``a`` and ``b`` in outcomes and human labels, in the documents' order."""

    systems: tuple[str, str]
    verdicts: tuple[Verdict, ...]

    @property
    def failures(self) -> tuple[str, ...]:
        """The reason of each request that got no answer."""
        answers = (answer for verdict in self.verdicts for answer in verdict.answers)
        return tuple(answer.reason for answer in answers if isinstance(answer, ChatFailure))


@dataclass(frozen=True, slots=True)
class JudgeSummary:
    """Win rates of two systems.

    Attributes:
        systems: The names of ``a`` and ``b``.
        win_rates: Share of the judged documents that each system won, ties half; None when none was judged.
        documents: All documents.
        judged: Documents in the win rates: those with two readable answers, and those with equal topics.
        ties: Judged documents that neither won; includes ``equal``.
        equal: Documents whose topics are equal apart from case and white space; they were not asked.
        position_bias: Share of the documents with two readable answers where the judge chose the same position twice.
        unparsable: Answers that were not one of A, B, TIE; each document that is asked has two answers.
        failed: Requests without an answer, two for each document that is asked.
    """

    systems: tuple[str, str]
    win_rates: tuple[Interval, Interval] | None
    documents: int
    judged: int
    ties: int
    equal: int
    position_bias: float | None
    unparsable: int
    failed: int

    def as_dict(self) -> dict[str, Any]:
        rates = self.win_rates or (None, None)
        return {
            "systems": list(self.systems),
            "win_rate": {name: rate and rate.as_dict() for name, rate in zip(self.systems, rates, strict=True)},
            "documents": self.documents,
            "judged": self.judged,
            "ties": self.ties,
            "equal": self.equal,
            "position_bias": self.position_bias,
            "unparsable": self.unparsable,
            "failed": self.failed,
        }


@dataclass(frozen=True, slots=True)
class Agreement:
    """How often judge and people say the same of a document.

    Attributes:
        documents: Documents that people labelled and on which the judge gave two readable answers; those with equal
            topics are left out, because it was not asked.
        raw: Share of them with the same label.
        kappa: Cohen's kappa (1960): agreement beyond chance. None when both used one and the same label only.
    """

    documents: int
    raw: float
    kappa: float | None

    def as_dict(self) -> dict[str, Any]:
        return {"documents": self.documents, "raw": self.raw, "kappa": self.kappa}


def judge(
    examples: Sequence[Example],
    topics: Mapping[str, Sequence[str]],
    ask: Ask,
    rubric: Rubric,
    max_tokens: int = MAX_TOKENS,
) -> Verdicts:
    """Asks for each document which of two topics is better, in both orders.

    Args:
        examples: The documents.
        topics: Exactly two systems' topics by name, one for each document, in order; the first system is ``a``.
        ask: Asks the judge.
        rubric: What the judge is asked.
        max_tokens: Longest answer of the judge.

    Raises:
        UsageError: When there are not exactly two systems.
        ValueError: When a system, or ``ask``, has not one item for each document or prompt.
    """
    if len(topics) != 2:
        raise UsageError(f"the judge compares exactly two systems, not {len(topics)}: {', '.join(topics) or 'none'}")
    a, b = topics
    rows = list(zip(examples, topics[a], topics[b], strict=True))
    asked = [row for row in rows if folded(row[1]) != folded(row[2])]
    prompts = [
        rubric.prompt(example.text, *order) for example, one, other in asked for order in ((one, other), (other, one))
    ]
    answers: Iterator[Choice | ChatFailure | None] = (
        answer if isinstance(answer, ChatFailure) else parse_answer(answer)
        for _, answer in zip(prompts, ask(prompts, max_tokens) if prompts else (), strict=True)
    )
    pairs = iter(list(zip(answers, answers, strict=True)))
    return Verdicts(
        (a, b),
        tuple(Verdict(example.id, next(pairs) if folded(one) != folded(other) else ()) for example, one, other in rows),
    )


def summarise(verdicts: Verdicts, samples: int = 2_000, seed: int = 0) -> JudgeSummary:
    """Win rates with 95 % bootstrap intervals over the judged documents, and what is to be known beside them."""
    all_verdicts = verdicts.verdicts
    wins = [{"a": 1.0, "b": 0.0, "tie": 0.5}[verdict.outcome] for verdict in all_verdicts if verdict.outcome]
    read = [verdict for verdict in all_verdicts if verdict.read]
    answers = [answer for verdict in all_verdicts for answer in verdict.answers]
    rates = None
    if wins:  # the same resamples for both, so that the intervals mirror each other
        values = (wins, [1 - win for win in wins])
        first, second = (bootstrap(value, samples=samples, seed=seed) for value in values)
        rates = (first, second)
    return JudgeSummary(
        systems=verdicts.systems,
        win_rates=rates,
        documents=len(all_verdicts),
        judged=len(wins),
        ties=wins.count(0.5),
        equal=sum(not verdict.answers for verdict in all_verdicts),
        position_bias=sum(verdict.followed_position for verdict in read) / len(read) if read else None,
        unparsable=answers.count(None),
        failed=len(verdicts.failures),
    )


def agreement(verdicts: Verdicts, human: Mapping[str, str]) -> Agreement | None:
    """Agreement of the judge's outcomes with human labels ``a``, ``b``, ``tie`` by document id; None without any.

    Raises:
        UserError: When a label is none of these.
    """
    for name, label in human.items():
        if label not in _OUTCOMES:
            raise UserError(f"human label of {name}: {label!r}, needed is one of {', '.join(_OUTCOMES)}")
    pairs = [(v.outcome, human[v.id]) for v in verdicts.verdicts if v.read and v.id in human]
    if not pairs:
        return None
    size = len(pairs)
    raw = sum(ours == theirs for ours, theirs in pairs) / size
    ours, theirs = (Counter(labels) for labels in zip(*pairs, strict=True))
    same_by_chance = sum(ours[label] * theirs[label] for label in _OUTCOMES)
    kappa = None if same_by_chance == size**2 else (raw - same_by_chance / size**2) / (1 - same_by_chance / size**2)
    return Agreement(size, raw, kappa)
