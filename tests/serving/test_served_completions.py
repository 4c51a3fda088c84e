"""``POST /v1/chat/completions`` as the client of OpenAI uses it."""

from collections.abc import Iterator

import openai
import pytest
from chatting import clear_environment
from serving.conftest import TOKEN
from serving.servers import Server

from topicgen.chat import ChatClient

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

BEES = "Bees make honey from the nectar of flowers. They store it in combs of wax."


@pytest.fixture
def client(server: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0) as made:
        yield made


@pytest.fixture
def topic(server: Server) -> str:
    return str(server.topics(BEES).json()["topics"][0]["topic"])


def test_the_topic_of_the_last_message_of_the_user_is_the_answer(client: openai.OpenAI, topic: str) -> None:
    answer = client.chat.completions.create(
        model="mini",
        messages=[
            {"role": "system", "content": "You write topics."},
            {"role": "user", "content": "Trains."},
            {"role": "user", "content": [{"type": "text", "text": BEES}]},
            {"role": "assistant", "content": "Well."},
        ],
        temperature=0,
        max_tokens=16,
    )
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == (topic, "stop")
    assert answer.model == "mini"
    assert answer.usage is not None
    assert answer.usage.prompt_tokens > answer.usage.completion_tokens > 0
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_a_streamed_answer_is_the_same(client: openai.OpenAI, topic: str) -> None:
    chunks = list(
        client.chat.completions.create(
            model="mini",
            messages=[{"role": "user", "content": BEES}],
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices) == topic
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices] == [None, "stop"]
    assert chunks[-1].usage is not None
    assert chunks[-1].choices == []


def test_more_choices_are_distinct_topics(client: openai.OpenAI, server: Server) -> None:
    answer = client.chat.completions.create(model="mini", messages=[{"role": "user", "content": BEES}], n=3)
    [row] = server.topics(BEES, topics=3).json()["topics"]
    assert [choice.message.content for choice in answer.choices] == [ranked["topic"] for ranked in row["topics"]]


def test_the_models_are_listed(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["mini"]


def test_another_model_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="no such model; there are mini") as raised:
        client.chat.completions.create(model="gpt-9", messages=[{"role": "user", "content": BEES}])
    assert raised.value.code == "model_not_found"


@pytest.mark.parametrize(
    "content", [None, [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}], [{"type": "text"}], 3]
)
def test_a_message_without_text_is_refused(server: Server, content: object) -> None:
    body = {"model": "mini", "messages": [{"role": "user", "content": content}]}
    assert server.client.post("/v1/chat/completions", json=body).status_code == 422


def test_the_key_of_the_client_is_the_token(guarded: Server) -> None:
    ask = {"model": "mini", "messages": [{"role": "user", "content": BEES}]}
    with openai.OpenAI(base_url=f"{guarded.url}/v1", api_key=TOKEN, max_retries=0) as known:
        assert known.chat.completions.create(**ask).choices[0].message.content
    unknown = openai.OpenAI(base_url=f"{guarded.url}/v1", api_key="wrong", max_retries=0)
    with unknown, pytest.raises(openai.AuthenticationError):
        unknown.chat.completions.create(**ask)


def test_topicgen_itself_can_ask_it(server: Server, topic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    clear_environment(monkeypatch)
    monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
    assert list(ChatClient("mini").ask([BEES], 16)) == [topic]
