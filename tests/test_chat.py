"""The chat client beside a server that misbehaves on purpose."""

import socket
import time
from threading import Barrier, Event, Lock
from threading import enumerate as enumerate_threads

import pytest
from chatting import Reply, clear_environment, completion, only, reason, serving

from topicgen.chat import ChatClient, ChatFailure
from topicgen.errors import UsageError, UserError

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

KEY = "sk-do-not-show-0123456789"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    clear_environment(monkeypatch)


def test_request_is_one_user_message_at_temperature_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serving(monkeypatch, lambda prompt: completion(prompt.upper())) as server:
        assert only(ChatClient("judge"), "hello \ud800") == "HELLO ?"
    message = {"role": "user", "content": "hello ?"}
    assert server.requests == [{"model": "judge", "messages": [message], "temperature": 0, "max_tokens": 8}]
    assert server.keys == [f"Bearer {KEY}"]


def test_local_server_needs_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(monkeypatch, lambda prompt: completion("yes")) as server:
        assert only(ChatClient("m")) == "yes"
    assert server.keys == ["Bearer unused"]


@pytest.mark.parametrize("status", [429, 503])
def test_refusal_for_now_is_tried_again(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    replies = iter([(status, {}), (status, {}), completion("at last")])
    with serving(monkeypatch, lambda prompt: next(replies)) as server:
        assert only(ChatClient("m")) == "at last"
    assert len(server.requests) == 3


def test_server_that_stays_broken_fails_after_the_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(monkeypatch, lambda prompt: (500, {"error": {"message": "out of\nmemory"}})) as server:
        said = reason(only(ChatClient("m", retries=2)))
    assert said == f"http://{server.address}/v1 answered HTTP 500: out of memory"
    assert len(server.requests) == 3


def test_wrong_request_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(monkeypatch, lambda prompt: (404, {"detail": "no model m"})) as server:
        assert reason(only(ChatClient("m"))).endswith("answered HTTP 404: no model m")
    assert len(server.requests) == 1


def test_silent_server_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    over = Event()

    def silent(prompt: str) -> Reply:
        assert over.wait(60)
        return completion("too late")

    with serving(monkeypatch, silent) as server:
        began = time.monotonic()
        try:
            said = reason(only(ChatClient("m", timeout=0.2, retries=1)))
        finally:
            over.set()
    assert time.monotonic() - began < 20
    assert said.endswith("did not answer within 0.2 s")
    assert len(server.requests) == 2


def test_failed_prompt_leaves_the_others_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    last_was_asked = Event()

    def reply(prompt: str) -> Reply:
        if prompt == "0":
            assert last_was_asked.wait(60)  # so that the first is answered last
        elif prompt == "3":
            last_was_asked.set()
        return (400, {"detail": "no"}) if prompt == "1" else completion(f"answer {prompt}")

    with serving(monkeypatch, reply):
        answers = list(ChatClient("m", concurrency=2).ask(["0", "1", "2", "3"], 8))
    assert [answers[0], *answers[2:]] == ["answer 0", "answer 2", "answer 3"]
    assert isinstance(answers[1], ChatFailure)


def test_as_many_requests_at_a_time_as_allowed_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    two, lock, crowded, running = Barrier(2), Lock(), Event(), []

    def reply(prompt: str) -> Reply:
        with lock:
            running.append(prompt)
            if len(running) > 2:
                crowded.set()
        if not crowded.is_set():
            two.wait(60)  # passed only by two requests at the same time
            crowded.wait(0.3)  # a third one would come now
        with lock:
            running.remove(prompt)
        return completion(prompt)

    with serving(monkeypatch, reply):
        assert list(ChatClient("m", concurrency=2).ask(["0", "1", "2", "3"], 8)) == ["0", "1", "2", "3"]
    assert not crowded.is_set()


def test_reader_that_leaves_early_cancels_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    left = Event()

    def reply(prompt: str) -> Reply:
        assert prompt == "0" or left.wait(60)
        return completion(prompt)

    with serving(monkeypatch, reply) as server:
        answers = ChatClient("m", concurrency=1).ask(["0", "1", "2", "3", "4"], 8)
        assert next(answers) == "0"
        answers.close()  # type: ignore[attr-defined]
        left.set()
        for thread in enumerate_threads():
            if thread.name.startswith("chat"):
                thread.join(60)
    assert len(server.requests) <= 2  # the second may be under way


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ((200, "<html>Welcome</html>"), "did not answer with a chat completion"),
        ((200, {}), "did not answer with a chat completion"),
        ((200, {"choices": []}), "did not answer with a chat completion"),
        ((200, [1]), "did not answer with a chat completion"),
        (completion(None), "answered without text (finish_reason stop)"),
        ((418, "<p>tea</p>"), "answered HTTP 418: <p>tea</p>"),
        ((400, "x" * 1_000), "x…"),
    ],
)
def test_answer_that_is_no_completion_is_a_failure(monkeypatch: pytest.MonkeyPatch, reply: Reply, said: str) -> None:
    with serving(monkeypatch, lambda prompt: reply):
        found = reason(only(ChatClient("m")))
    assert found.endswith(said)
    assert len(found) < 300


def test_refused_connection_is_a_failure_that_names_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:  # bound but not listening: nobody else gets the port
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{port}/v1")
        said = reason(only(ChatClient("m", retries=0)))
    assert said == f"http://127.0.0.1:{port}/v1 cannot be reached (Connection refused)"


@pytest.mark.parametrize("status", [400, 401, 403, 500])
def test_key_and_password_are_never_shown(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serving(monkeypatch, lambda prompt: (status, {"error": {"message": f"bad {KEY} pass%20word pass word"}})) as s:
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://me:pass%20word@{s.address}/v1?token=hidden")
        client = ChatClient("m", retries=0)
        shown = reason(only(client)) + repr(client) + repr(vars(client)) + client.address
    for secret in (KEY, "pass%20word", "pass word", "hidden", "me:"):
        assert secret not in shown
    assert f"http://{s.address}/v1" in shown
    assert f"HTTP {status}" in shown


def test_half_hidden_key_in_a_refusal_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serving(monkeypatch, lambda prompt: (401, {"error": {"message": f"wrong key {KEY[:9]}****{KEY[-4:]}"}})):
        said = reason(only(ChatClient("m")))
    assert said.endswith("refused OPENAI_API_KEY (HTTP 401)")
    assert KEY[:9] not in said


@pytest.mark.parametrize("key", ["sk-a b", "sk-é", "sk-a\nX-Header: b"])
def test_key_that_no_header_can_hold_is_refused_without_being_shown(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(UserError, match=r"^OPENAI_API_KEY: holds white space") as caught:
        ChatClient("m")
    assert "sk-" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["localhost:8000", "ftp://me:word@host", "http://", "http://me:word@host:port", "http://[me:word"]
)
def test_base_url_that_is_none_is_refused_without_being_shown(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    with pytest.raises(UserError, match=r"^OPENAI_BASE_URL: not a URL such as") as caught:
        ChatClient("m")
    assert "word" not in str(caught.value)


@pytest.mark.parametrize("value", [None, "", " "])
def test_without_a_server_both_variables_are_named(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY") if value is not None else ():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=r"set OPENAI_BASE_URL .* OPENAI_API_KEY"):
        ChatClient("m")


def test_key_alone_means_the_hosted_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert ChatClient("m").address == "https://api.openai.com/v1"


@pytest.mark.parametrize("options", [{"concurrency": 0}, {"timeout": 0}, {"retries": -1}])
def test_settings_that_cannot_work_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="a chat client needs"):
        ChatClient("m", **options)
