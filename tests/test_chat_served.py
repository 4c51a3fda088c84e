"""The chat client and the judge beside a real OpenAI-compatible server, ``transformers serve``, on the loopback."""

from pathlib import Path

import pytest
from chatting import clear_environment, only, reason

from topicgen.chat import ChatClient
from topicgen.evaluation.judge import judge, summarise
from topicgen.evaluation.rubric import Rubric
from topicgen.records import Example

pytestmark = [pytest.mark.slow, pytest.mark.allow_hosts(["127.0.0.1"])]

BEES = "Bees make honey from the nectar of flowers. They store it in combs of wax."
SUN = "The sun is a star. It gives light and warmth to all the planets around it."


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    clear_environment(monkeypatch)


@pytest.fixture
def real(environment: None, real_server: str, chat_folder: Path, monkeypatch: pytest.MonkeyPatch) -> ChatClient:
    monkeypatch.setenv("OPENAI_BASE_URL", real_server)
    return ChatClient(str(chat_folder), concurrency=2)


def test_real_server_answers_each_prompt_in_order_and_the_same_again(real: ChatClient) -> None:
    answers = list(real.ask([BEES, SUN, BEES], 24))
    assert [isinstance(answer, str) for answer in answers] == [True] * 3
    assert "honey" in str(answers[0]).lower()
    assert "sun" in str(answers[1]).lower()
    assert answers[2] == answers[0]


def test_real_server_stops_at_the_longest_answer(real: ChatClient) -> None:
    (short,), (whole,) = real.ask([BEES], 2), real.ask([BEES], 24)
    assert isinstance(short, str)
    assert isinstance(whole, str)
    assert 0 < len(short) < len(whole)
    assert whole.startswith(short)


@pytest.mark.usefixtures("real")
def test_real_server_says_why_it_refuses_another_model() -> None:
    assert "answered HTTP 400: Server is pinned to" in reason(only(ChatClient("another", retries=0)))


def test_real_model_that_cannot_judge_is_counted_and_decides_nothing(real: ChatClient) -> None:
    rubric = Rubric("{document} A: {first} B: {second} Answer A, B or TIE.")
    topics = {"ours": ["How bees make honey"], "theirs": ["Insects"]}
    summary = summarise(judge([Example("1", BEES)], topics, real.ask, rubric, max_tokens=8), samples=10)
    assert (summary.documents, summary.judged, summary.unparsable, summary.failed) == (1, 0, 2, 0)
