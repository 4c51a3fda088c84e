"""Pushing to the hub: what is sent, what is not, and to whom."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from adapter_folders import make_adapter
from commands import Command
from models import tiny_llama
from writing import names

from topicgen.export.card import card
from topicgen.models import find_model

SECRET = "hf_" + "s3cret" * 4


def test_a_dry_run_shows_files_and_card_and_needs_no_token(command: Command) -> None:
    result = command.here("export", "mini", "--to", "hub", "--repo", "someone/topics", "--dry-run")
    assert result.code == 0, result.err
    assert "24 of 24 topics equal" in result.err
    listing, _, shown = result.out.partition("\n\n")
    assert listing.startswith("would send to someone/topics (private if new); nothing was sent:")
    sent = [line.split()[-1] for line in listing.splitlines()[1:]]
    assert sent == [
        "README.md",
        "config.json",
        "export.json",
        "generation_config.json",
        "model.safetensors",
        "prompt.json",
        "tokenizer.json",
    ]
    assert "topicgen generate --model someone/topics texts.csv" in shown
    assert '"suffix": "<|topic|>"' in shown
    assert names(command.folder) == []


def test_texts_and_paths_of_this_machine_are_not_sent(command: Command) -> None:
    folder = make_adapter(command.folder / "tuned", "mini")
    training = {
        "settings": {"lora_r": 4, "lora_alpha": 8.0, "learning_rate": 0.001, "seed": 1, "output_dir": "/home/me"},
        "plan": {"precision": "float32"},
        "data": {"train": 90, "validation": 10, "test": 5},
        "steps": 30,
        "best_step": 20,
        "best_validation_loss": 1.25,
        "history": [{"step": 20, "rouge1": 0.5}],
        "topics": [{"text": "A private text", "topic": "Private"}] * 8,
        "versions": {"torch": "2.13.0", "transformers": "5.17.0"},
        "date": "2026-11-25",
    }
    (folder / "training.json").write_text(json.dumps(training))
    (folder / "test.jsonl").write_text(json.dumps({"text": "A private text", "topic": "Private"}) + "\n")
    call = ("export", str(folder), "--to", "hub", "--repo", "someone/topics", "--dry-run", "-o", "sent")
    result = command.here(*call)
    assert result.code == 0, result.err
    sent = command.folder / "sent"
    assert {"adapter_config.json", "adapter_model.safetensors", "base.json", "README.md"} <= set(names(sent))
    assert not {"training.json", "test.jsonl"} & set(names(sent))
    texts = [path.read_text() for path in sent.iterdir() if path.suffix in (".json", ".md")]
    assert not any("private text" in text.lower() or str(command.folder) in text for text in texts)
    shown = (sent / "README.md").read_text()
    assert "- 90 examples for training, 10 for validation, 5 for test" in shown
    assert "Validation loss on topic tokens 1.2500 (step 20)" in shown
    assert "ROUGE-1 of 8 validation topics at the last evaluation: 50.0" in shown


def test_a_card_begins_with_what_the_hub_reads() -> None:
    import yaml

    head = yaml.safe_load(card(find_model("mini"), "someone/topics").split("---")[1])
    assert head == {
        "library_name": "transformers",
        "license": "apache-2.0",
        "pipeline_tag": "text-generation",
        "tags": ["topicgen"],
    }


def test_an_adapter_on_a_folder_of_this_machine_is_not_pushed(command: Command) -> None:
    base = tiny_llama(command.folder / "base")
    folder = make_adapter(command.folder / "tuned", str(base))
    result = command.here("export", str(folder), "--to", "hub", "--repo", "a/b", "--dry-run", "-q")
    assert result.code == 1
    assert "which others lack; export --to merged, and push that" in result.complaint


@pytest.mark.parametrize("repo", ["topics", "a/b/c", "../b", "a/b c", ""])
def test_a_repository_is_an_owner_and_a_name(command: Command, repo: str) -> None:
    result = command.here("export", "mini", "--to", "hub", "--repo", repo)
    assert result.code == 2
    assert "--to hub needs --repo owner/name" in result.complaint


def test_options_of_the_hub_are_for_the_hub(command: Command) -> None:
    assert command.here("export", "mini", "--to", "gguf", "--public").code == 2


def test_without_a_token_nothing_is_loaded(command: Command) -> None:
    call = ("export", "no-such-model", "--to", "hub", "--repo", "a/b")
    assert "HF_TOKEN is not set" in command.run(*call, HF_TOKEN="", HF_HUB_OFFLINE="").complaint
    assert "HF_HUB_OFFLINE is set" in command.run(*call, HF_TOKEN=SECRET, HF_HUB_OFFLINE="1").complaint


class Refusing(BaseHTTPRequestHandler):
    """A hub that knows nobody."""

    asked: list[tuple[str, bytes, str]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.asked.append((self.path, body, self.headers.get("Authorization", "")))
        self.send_response(401)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def hub() -> Iterator[tuple[str, list[tuple[str, bytes, str]]]]:
    Refusing.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", Refusing.asked
    server.shutdown()
    server.server_close()


@pytest.mark.enable_socket
def test_a_hub_that_refuses_is_told_without_the_token(
    command: Command, hub: tuple[str, list[tuple[str, bytes, str]]]
) -> None:
    address, asked = hub
    call = ("export", "mini", "--to", "hub", "--repo", "someone/topics", "-q")
    result = command.run(*call, HF_TOKEN=SECRET, HF_HUB_OFFLINE="", HF_ENDPOINT=address)
    assert result.code == 1
    assert "someone/topics: cannot be pushed to the hub" in result.complaint
    assert SECRET not in result.out + result.err
    path, body, authorization = asked[0]
    assert path == "/api/repos/create"
    made = json.loads(body)
    assert (made["name"], made["organization"]) == ("topics", "someone")
    assert made.get("private") is True or made.get("visibility") == "private"
    assert authorization == f"Bearer {SECRET}"
