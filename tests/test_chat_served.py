"""The chat client and the judge beside a real OpenAI-compatible server, ``transformers serve``, on the loopback."""

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from chatting import clear_environment, only, reason

from topicgen.chat import ChatClient
from topicgen.evaluation.judge import judge, summarise
from topicgen.evaluation.rubric import Rubric
from topicgen.models import ModelFolder
from topicgen.records import Example

pytestmark = [pytest.mark.slow, pytest.mark.allow_hosts(["127.0.0.1"])]

BEES = "Bees make honey from the nectar of flowers. They store it in combs of wax."
SUN = "The sun is a star. It gives light and warmth to all the planets around it."

START_LIMIT = 120  # seconds; it takes about ten on two idle cores


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    clear_environment(monkeypatch)


@pytest.fixture(scope="session")
def chat_folder(mini: ModelFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded model with what a chat server needs besides: a chat template around its own prompt."""
    folder = tmp_path_factory.mktemp("served") / "mini"
    shutil.copytree(mini.path, folder)
    messages = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": mini.prompt.stop,
        "chat_template": f"{mini.prompt.prefix}{messages}{mini.prompt.suffix}",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def is_up(url: str) -> bool:
    with suppress(OSError), urllib.request.urlopen(f"{url}/health", timeout=5) as answer:
        return bool(answer.status == 200)
    return False


@pytest.fixture(scope="session")
def real_server(chat_folder: Path) -> Iterator[str]:
    """The base URL of ``transformers serve`` on a free port of the loopback."""
    pytest.importorskip("fastapi", reason="transformers serve needs transformers[serving]")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url, log = f"http://127.0.0.1:{port}", chat_folder.parent / "log.txt"
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(chat_folder)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--dtype", "float32"]
    with log.open("wb") as stream, subprocess.Popen(command, stdout=stream, stderr=stream) as process:
        try:
            deadline = time.monotonic() + START_LIMIT
            while not is_up(url):
                with suppress(subprocess.TimeoutExpired):
                    process.wait(0.2)
                assert process.returncode is None, f"the server ended: {log.read_text()[-2000:]}"
                assert time.monotonic() < deadline, f"the server did not start: {log.read_text()[-2000:]}"
            yield f"{url}/v1"
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()


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
