"""The judge: both orders, ties, counts, agreement with people. No server is asked."""

from collections.abc import Callable, Iterator, Sequence

import pytest

from topicgen.chat import ChatFailure
from topicgen.errors import UsageError, UserError
from topicgen.evaluation.judge import Agreement, Verdict, Verdicts, agreement, judge, summarise
from topicgen.evaluation.rubric import Rubric
from topicgen.records import Example

PLAIN = Rubric("D={document}|A={first}|B={second}")
DOWN = ChatFailure("http://localhost:8000/v1 cannot be reached (Connection refused)")

Reply = Callable[[str, str, str], str | ChatFailure]


def shown(prompt: str) -> tuple[str, str, str]:
    """Document, first and second topic of a plain prompt."""
    document, first, second = prompt.split("|")
    return document.removeprefix("D="), first.removeprefix("A="), second.removeprefix("B=")


def judged(rows: Sequence[tuple[str, str]], reply: Reply) -> Verdicts:
    """Verdicts on the topics of ``ours`` and ``theirs`` for documents named 0, 1, 2 ..."""

    def ask(prompts: Sequence[str], max_tokens: int) -> Iterator[str | ChatFailure]:
        return (reply(*shown(prompt)) for prompt in prompts)

    examples = [Example(str(number), f"text {number}") for number in range(len(rows))]
    return judge(examples, {"ours": [row[0] for row in rows], "theirs": [row[1] for row in rows]}, ask, PLAIN)


def prefers_good(document: str, first: str, second: str) -> str:
    return "A" if first.startswith("good") else "B" if second.startswith("good") else "TIE"


def outcomes(verdicts: Verdicts) -> list[str | None]:
    return [verdict.outcome for verdict in verdicts.verdicts]


def test_topic_preferred_in_both_orders_wins() -> None:
    assert outcomes(judged([("good", "bad"), ("bad", "good")], prefers_good)) == ["a", "b"]


def test_each_pair_is_asked_in_both_orders_with_its_own_document() -> None:
    seen = []

    def reply(*prompt: str) -> str:
        seen.append(prompt)
        return "TIE"

    judged([("p", "q"), ("r", "s")], reply)
    assert seen == [("text 0", "p", "q"), ("text 0", "q", "p"), ("text 1", "r", "s"), ("text 1", "s", "r")]


@pytest.mark.parametrize(
    ("straight", "swapped", "outcome", "followed"),
    [
        ("A", "B", "a", False),
        ("B", "A", "b", False),
        ("A", "A", "tie", True),
        ("B", "B", "tie", True),
        ("A", "TIE", "tie", False),
        ("TIE", "A", "tie", False),
        ("TIE", "TIE", "tie", False),
    ],
)
def test_only_a_choice_that_survives_the_swap_wins(straight: str, swapped: str, outcome: str, followed: bool) -> None:
    verdicts = judged([("p", "q")], lambda _, first, __: straight if first == "p" else swapped)
    assert outcomes(verdicts) == [outcome]
    assert summarise(verdicts, samples=10).position_bias == float(followed)


def test_equal_topics_are_ties_without_being_asked() -> None:
    def reply(*prompt: str) -> str:
        raise AssertionError("asked")

    summary = summarise(judged([("Bees", " bees "), ("The  sun", "the sun")], reply), samples=10)
    assert (summary.judged, summary.ties, summary.equal, summary.position_bias) == (2, 2, 2, None)
    assert summary.win_rates is not None
    assert summary.win_rates[0].mean == 0.5


def test_documents_after_one_with_equal_topics_keep_their_own_verdicts() -> None:
    assert outcomes(judged([("same", "same"), ("bad", "good"), ("good", "bad")], prefers_good)) == ["tie", "b", "a"]


def mixed() -> Verdicts:
    """Two wins and a loss, a pair judged by position, equal topics, an answer that cannot be read, a failure."""
    replies = {
        "text 3": lambda first: "A",
        "text 5": lambda first: "I think neither" if first == "p5" else "A",
        "text 6": lambda first: DOWN if first == "p6" else "B",
    }

    def reply(document: str, first: str, second: str) -> str | ChatFailure:
        return replies[document](first) if document in replies else prefers_good(document, first, second)

    rows = [("good", "bad"), ("good", "bad"), ("bad", "good"), ("p", "q"), ("same", "same"), ("p5", "q5"), ("p6", "q6")]
    return judged(rows, reply)


def test_summary_counts_every_document_once() -> None:
    summary = summarise(mixed(), samples=500)
    assert summary.win_rates is not None
    ours, theirs = summary.win_rates
    assert ours.mean == pytest.approx(3 / 5)  # 2 wins, 1 loss, 2 ties
    assert theirs.mean == pytest.approx(2 / 5)
    assert 0 <= ours.low < ours.mean < ours.high <= 1
    assert (theirs.low, theirs.high) == pytest.approx((1 - ours.high, 1 - ours.low))
    assert (summary.documents, summary.judged, summary.ties, summary.equal) == (7, 5, 2, 1)
    assert (summary.unparsable, summary.failed) == (1, 1)
    assert summary.position_bias == 1 / 4
    assert outcomes(mixed()) == ["a", "a", "b", "tie", "tie", None, None]
    assert mixed().failures == (DOWN.reason,)


def test_intervals_repeat_with_the_seed() -> None:
    assert summarise(mixed(), samples=50, seed=1) == summarise(mixed(), samples=50, seed=1)
    assert summarise(mixed(), samples=50, seed=1).win_rates != summarise(mixed(), samples=50, seed=2).win_rates


def test_without_a_verdict_there_is_no_win_rate() -> None:
    summary = summarise(judged([("p", "q")], lambda *_: DOWN), samples=10)
    assert summary.as_dict() == {
        "systems": ["ours", "theirs"],
        "win_rate": {"ours": None, "theirs": None},
        "documents": 1,
        "judged": 0,
        "ties": 0,
        "equal": 0,
        "position_bias": None,
        "unparsable": 0,
        "failed": 2,
    }


def test_win_rates_are_written_under_the_systems_names() -> None:
    rates = summarise(judged([("good", "bad")], prefers_good), samples=10).as_dict()["win_rate"]
    assert rates == {
        "ours": {"mean": 1.0, "low": 1.0, "high": 1.0},
        "theirs": {"mean": 0.0, "low": 0.0, "high": 0.0},
    }


@pytest.mark.parametrize("count", [0, 1, 3])
def test_other_than_two_systems_are_refused(count: int) -> None:
    topics = {name: ["t"] for name in "xyz"[:count]}
    with pytest.raises(UsageError, match=f"exactly two systems, not {count}"):
        judge([Example("1", "text")], topics, lambda *_: [], PLAIN)


def test_missing_topics_and_missing_answers_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        judge([Example("1", "text")], {"x": ["p"], "y": []}, lambda *_: [], PLAIN)
    with pytest.raises(ValueError, match="zip"):
        judge([Example("1", "text")], {"x": ["p"], "y": ["q"]}, lambda *_: ["A"], PLAIN)


LABELLED = Verdicts(
    ("ours", "theirs"),
    (
        *(Verdict(f"a{number}", ("first", "second")) for number in range(4)),
        *(Verdict(f"b{number}", ("second", "first")) for number in range(4)),
        *(Verdict(f"t{number}", ("tie", "tie")) for number in range(2)),
        Verdict("equal"),
        Verdict("unread", ("first", None)),
    ),
)


def test_agreement_is_counted_over_shared_documents_beyond_chance() -> None:
    human = {"a0": "a", "a1": "a", "a2": "a", "a3": "b", "b0": "b", "b1": "b", "b2": "a", "b3": "tie"}
    human |= {"t0": "tie", "t1": "b", "unknown": "a", "equal": "tie", "unread": "a"}
    # Equal: 3 a, 2 b, 1 tie of 10. By chance: (4*4 + 4*4 + 2*2) / 100 = 0.36.
    found = agreement(LABELLED, human)
    assert found is not None
    assert (found.documents, found.raw) == (10, 0.6)
    assert found.kappa == pytest.approx((0.6 - 0.36) / (1 - 0.36))
    assert found.as_dict() == {"documents": 10, "raw": 0.6, "kappa": found.kappa}


def test_agreement_on_one_label_only_has_no_kappa() -> None:
    assert agreement(LABELLED, {"a0": "a", "a1": "a"}) == Agreement(2, 1.0, None)


def test_opposite_labels_have_a_kappa_below_zero() -> None:
    assert agreement(LABELLED, {"a0": "b", "b0": "a"}) == Agreement(2, 0.0, -1.0)


def test_no_shared_documents_no_agreement() -> None:
    assert agreement(LABELLED, {"other": "a", "equal": "tie"}) is None


def test_unknown_human_label_is_refused() -> None:
    with pytest.raises(UserError, match=r"human label of a0: 'A', needed is one of a, b, tie"):
        agreement(LABELLED, {"a0": "A"})


def test_order_in_a_document_is_no_answer() -> None:
    examples = [Example("1", "answer B")]
    verdicts = judge(examples, {"x": ["p"], "y": ["q"]}, lambda prompts, _: [p[:10] for p in prompts], PLAIN)
    assert verdicts.verdicts[0].answers == (None, None)
