"""``topicgen serve`` on the command line: what is refused before a model is loaded, and what is served."""

import socket
from pathlib import Path

import pytest
from commands import WITHOUT_TORCH, Command
from models import copy_of_mini
from serving.servers import served

from topicgen import TopicGenerator
from topicgen.errors import UsageError
from topicgen.serving.settings import ServerSettings

NEEDS_TOKEN = (
    "topicgen: --host {} can be reached from other machines: set TOPICGEN_TOKEN to a secret, which every request must "
    "then show, or listen on 127.0.0.1"
)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "topics.example"])
def test_an_address_for_others_needs_a_token(command: Command, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    for token in (None, ""):
        monkeypatch.delenv("TOPICGEN_TOKEN", raising=False)
        if token is not None:
            monkeypatch.setenv("TOPICGEN_TOKEN", token)
        result = command.here("serve", "--host", host)
        assert (result.code, result.complaint) == (2, NEEDS_TOKEN.format(host))


def test_a_token_that_no_header_can_hold_is_refused_and_not_shown(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    for token in ("two words", "schlüssel", "line\n"):
        monkeypatch.setenv("TOPICGEN_TOKEN", token)
        result = command.here("serve")
        assert result.code == 2
        assert result.complaint.startswith("topicgen: TOPICGEN_TOKEN: holds white space")
        assert token.strip() not in result.err
    assert "sesame" not in repr(ServerSettings(token="sesame"))


@pytest.mark.parametrize(
    "arguments", [["--port", "70000"], ["--max-documents", "0"], ["--header-seconds", "0"], ["--queue-documents", "9"]]
)
def test_settings_that_make_no_sense_are_refused(command: Command, arguments: list[str]) -> None:
    result = command.here("serve", *arguments)
    assert result.code == 2
    assert " must be between " in result.complaint


@pytest.mark.enable_socket
def test_a_port_that_is_taken_is_one_line(command: Command) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = command.here("serve", "--port", str(port), "--model", "no-such-model")
    assert (result.code, result.complaint) == (
        1,
        f"topicgen: cannot listen on 127.0.0.1:{port}: Address already in use",
    )


@pytest.mark.enable_socket
@pytest.mark.parametrize(
    ("models", "reason"),
    [
        (["no-such-model"], "no model 'no-such-model'"),
        (["mini", "mini"], "two models are called 'mini'"),
        (["mini", "./mini"], "two models are called 'mini'"),
    ],
)
def test_models_that_cannot_be_served_are_one_line(command: Command, models: list[str], reason: str) -> None:
    copy_of_mini(command.folder / "mini")
    result = command.here("serve", "--port", "0", "--model", *models)
    assert result.code in (1, 2)
    assert reason in result.complaint


@pytest.mark.parametrize("library", ["fastapi", "uvicorn", "prometheus_client", "sklearn"])
def test_without_the_extra_the_command_says_how_to_install_it(command: Command, library: str) -> None:
    missing = f"sys.modules[{library!r}] = None"
    result = command.run("serve", wrapper=missing)
    assert (result.code, result.complaint) == (
        1,
        f"topicgen: {library} needs the extra 'serve': pip install 'topicgen[serve]'",
    )


def test_a_limit_of_bodies_above_that_of_all_bodies_is_refused() -> None:
    with pytest.raises(UsageError, match="max_body_bytes must be between 1 and 1000"):
        ServerSettings(max_body_bytes=2000, max_buffered_bytes=1000)


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_models_are_called_by_the_names_of_their_folders(tmp_path: Path) -> None:
    folder = copy_of_mini(tmp_path / "news")
    with served("--model", str(folder), "mini", "--deterministic") as server:
        assert [model["id"] for model in server.client.get("/v1/models").json()["data"]] == ["news", "mini"]
        answers = [server.topics("Bees.", **more).json() for more in ({}, {"model": "mini"})]
        assert [answer["model"] for answer in answers] == ["news", "mini"]
        assert answers[0]["topics"] == answers[1]["topics"]
        assert str(tmp_path) not in server.client.get("/v1/models").text + server.topics("a", model="x").text
        code, said = server.stop()
    assert (code, said) == (0, "topicgen: stopped\n")


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_the_server_needs_no_torch(generator: TopicGenerator) -> None:
    with served(wrapper=WITHOUT_TORCH) as server:
        assert server.topics("Bees make honey.").json()["topics"][0]["topic"]
        documents = [{"id": str(n), "topic": f"Honey of bees {n}"} for n in range(4)]
        assert server.client.post("/v1/themes", json={"documents": documents}).json()["themes"]
        assert server.client.get("/").status_code == 200
