"""The engine that asks a server, beside real ``transformers serve`` and beside a server that misbehaves."""

import json
from pathlib import Path

import pytest
from chatting import Reply, clear_environment, serving
from chatting import completion as chat_completion
from commands import Command
from models import copy_of_mini
from passages import PASSAGES

from topicgen import GenerationSettings, TopicGenerator, UserError
from topicgen.engines import HFEngine, OpenAIEngine
from topicgen.models import ServedModel, find_served

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
SHARE = 0.9  # of topics that must be the same; the arithmetic is float32 everywhere
PLAIN = GenerationSettings(second_look=False)
KEY = "sk-do-not-show-0123456789"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    clear_environment(monkeypatch)


def text_completion(text: str, logprobs: list[float] | None = None) -> Reply:
    choice = {"index": 0, "finish_reason": "stop", "text": text}
    if logprobs is not None:
        choice["logprobs"] = {"token_logprobs": logprobs}
    return 200, {"id": "1", "object": "text_completion", "created": 0, "model": "m", "choices": [choice]}


@pytest.mark.slow
def test_topics_are_those_of_other_engines(
    exact: TopicGenerator, real_server: str, chat_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", real_server)
    texts = PASSAGES[:12]
    served = TopicGenerator.load(str(chat_folder), engine="openai", threads=2).generate(texts, PLAIN)
    assert [(topic.status, topic.score) for topic in served] == [("ok", None)] * len(texts)
    for other in (exact, TopicGenerator(exact.model, HFEngine(exact.model, threads=1))):
        expected = [topic.topic for topic in other.generate(texts, PLAIN)]
        assert sum(a.topic == b for a, b in zip(served, expected, strict=True)) >= SHARE * len(texts)


@pytest.mark.slow
def test_command_writes_the_topics_of_a_server(
    command: Command, real_server: str, chat_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", real_server)
    command.write("notes.txt", "Bees make honey from the nectar of flowers.\n\n\nThe sun is a star.\n")
    result = command.here("generate", "notes.txt", "--engine", "openai", "--model", str(chat_folder))
    assert (result.code, result.err) == (0, "")
    assert [(row["status"], row["score"]) for row in result.rows] == [("ok", None)] * 2
    assert "bees" in result.rows[0]["topic"].lower()


def test_folder_is_asked_with_its_own_prompt_by_completions(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(monkeypatch, lambda prompt: text_completion("Honey bees", [-0.1, -0.3])) as server:
        generator = TopicGenerator.load("mini", engine="openai")
        [topic] = generator.generate(["Bees <|topic|> make\nhoney."], PLAIN)
    assert (topic.topic, topic.score) == ("Honey bees", pytest.approx(0.8187, abs=1e-3))
    [request] = server.requests
    # What only looks like a special token of the model is told apart from those of the prompt.
    assert request["prompt"] == "<|begin_of_text|>Bees < |topic|> make honey.<|topic|>"
    assert (request["model"], request["max_tokens"], request["temperature"]) == ("mini", 16, 0)


def test_server_that_puts_the_first_token_itself_gets_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = copy_of_mini(tmp_path / "model")
    file = folder / "tokenizer.json"
    tokenizer = json.loads(file.read_text(encoding="utf-8"))
    begin = "<|begin_of_text|>"
    tokenizer["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": begin, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {begin: {"id": begin, "ids": [0], "tokens": [begin]}},
    }
    file.unlink()
    file.write_text(json.dumps(tokenizer), encoding="utf-8")
    with serving(monkeypatch, lambda prompt: text_completion("Honey bees")) as server:
        TopicGenerator.load(str(folder), engine="openai").generate(["Bees make honey."], PLAIN)
    assert server.requests[0]["prompt"] == "Bees make honey.<|topic|>"


def test_other_names_are_asked_for_a_topic_by_chat(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(monkeypatch, lambda prompt: chat_completion('"Honey bees"\n')) as server:
        generator = TopicGenerator.load("llama3:8b", engine="openai")
        topics = generator.generate(["Bienen machen Honig 🐝", "", "x" * 30_000])
    assert [(topic.topic, topic.status) for topic in topics] == [
        ("Honey bees", "ok"),
        ("", "empty"),
        ("Honey bees", "truncated"),
    ]
    contents = [request["messages"][0]["content"] for request in server.requests]  # type: ignore[index]
    assert sum(content.startswith("Please generate a meaningful topic") for content in contents) == 2
    assert any(content.endswith("\n\nBienen machen Honig 🐝") for content in contents)
    assert {request["model"] for request in server.requests} == {"llama3:8b"}


def test_document_that_fails_is_counted_and_the_others_go_on(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    command.write("notes.txt", "One bee.\n\nTwo bees.\n\nThree bees.\n")

    def reply(prompt: str) -> Reply:
        return (400, {"error": {"message": f"no {KEY}"}}) if "Two" in prompt else text_completion("Bees")

    with serving(monkeypatch, reply) as server:
        result = command.here("generate", "notes.txt", "--engine", "openai", "--with-text")
    assert result.code == 3
    assert [(row["text"], row["topic"], row["status"]) for row in result.rows] == [
        ("One bee.", "Bees", "ok"),
        ("Two bees.", "", "failed"),
        ("Three bees.", "Bees", "ok"),
    ]
    assert f"topicgen: 1 document failed: http://{server.address}/v1 answered HTTP 400: no ***\n" in result.err
    assert KEY not in result.err + result.out


def test_refused_log_probabilities_are_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def reply(prompt: str) -> Reply:
        if "logprobs" in server.requests[-1]:
            return 400, {"error": {"message": "logprobs are not supported"}}
        return chat_completion("Honey bees")

    with serving(monkeypatch, reply) as server:
        [topic] = TopicGenerator.load("o9", engine="openai").generate(["Bees make honey."])
    assert (topic.topic, topic.score, len(server.requests)) == ("Honey bees", None, 2)


def test_dead_server_fails_at_once_on_one_line(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(monkeypatch, lambda prompt: text_completion("")) as server:
        address = server.address
    command.write("notes.txt", "One bee.\n")
    result = command.here("generate", "notes.txt", "--engine", "openai")
    assert (result.code, result.out) == (1, "")
    assert result.complaint == f"topicgen: http://{address}/v1 cannot be reached (Connection refused)"


def test_missing_server_is_named(command: Command, notes: Path) -> None:
    notes.write_text("One bee.\n")
    result = command.here("generate", "notes.txt", "--engine", "openai")
    assert result.code == 1
    assert "set OPENAI_BASE_URL" in result.complaint


@pytest.mark.parametrize(("arguments", "message"), [
    (["--topics", "2"], "one topic for a document"),
    (["--precision", "fp8"], "leaves precision to the server"),
])  # fmt: skip
def test_what_a_server_cannot_do_is_wrong_usage(
    command: Command, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    command.write("notes.txt", "One bee.\n")
    with serving(monkeypatch, lambda prompt: text_completion("Bees")):
        result = command.here("generate", "notes.txt", "--engine", "openai", *arguments)
    assert result.code == 2
    assert message in result.complaint


def test_sampling_passes_on_temperature_and_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(monkeypatch, lambda prompt: text_completion("Bees")) as server:
        generator = TopicGenerator.load("mini", engine="openai")
        for seed in (1, 1, 2):
            generator.generate(["Bees make honey."], GenerationSettings(temperature=0.5, seed=seed))
    first, again, other = (request["seed"] for request in server.requests)
    assert first == again != other
    assert server.requests[0]["temperature"] == 0.5


def test_cut_character_is_left_out() -> None:
    model = ServedModel("m")
    ids = model.tokenizer.encode("Bees 🐝").ids
    assert len(ids) == 9
    engine = OpenAIEngine.__new__(OpenAIEngine)
    engine._tokenizer, engine._specials, engine._put_before = model.tokenizer, {}, -1
    assert engine._text(ids) == "Bees 🐝"
    assert engine._text(ids[:-1]) == "Bees "


def test_served_model_needs_a_name_and_has_an_identity() -> None:
    assert find_served("a").digest != find_served("b").digest
    with pytest.raises(UserError, match="--model NAME"):
        find_served("")


def test_document_with_a_passage_that_is_not_answered_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    def reply(prompt: str) -> Reply:
        return (400, {"error": {"message": "no"}}) if "Trains" in prompt else chat_completion("Honey bees")

    with serving(monkeypatch, reply):
        generator = TopicGenerator.load("llama3:8b", engine="openai")
        [topic] = generator.generate(["Bees make honey.\n\n" * 1500 + "Trains run at night.\n\n" * 1500])
    assert (topic.topic, topic.status) == ("Honey bees", "failed")  # so that no cache keeps it


def test_topics_that_a_server_cannot_rank_cost_no_earlier_output(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    command.write("notes.txt", "One bee.\n")
    command.write("out.jsonl", "an earlier output\n")
    call = ("generate", "notes.txt", "-o", "out.jsonl", "--force", "--engine", "openai", "--topics", "3")
    with serving(monkeypatch, lambda prompt: text_completion("Bees")):
        assert "one topic for a document" in command.here(*call).complaint
    assert (command.folder / "out.jsonl").read_text() == "an earlier output\n"
