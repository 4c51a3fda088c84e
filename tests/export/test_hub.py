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
    model = tiny_llama(command.folder / "tiny")
    result = command.here("export", str(model), "--to", "hub", "--repo", "someone/topics", "--dry-run")
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
    assert names(command.folder) == ["tiny"]


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


class Hub(BaseHTTPRequestHandler):
    """As much of the hub's interface as a push needs: it takes every file into one commit."""

    refuses: int | None
    asked: list[tuple[str, bytes, str]]

    def do_POST(self) -> None:
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b"".join(iter(self._chunk, b""))
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.asked.append((self.path, body, self.headers.get("Authorization", "")))
        page = f"http://{self.headers['Host']}/someone/topics"
        if self.refuses:
            self._answer(self.refuses, {"error": "refused"})
        elif "/preupload/" in self.path:
            files = [{"path": f["path"], "uploadMode": "regular"} for f in json.loads(body)["files"]]
            self._answer(200, {"files": [file | {"shouldIgnore": False, "oid": None} for file in files]})
        elif "/commit/" in self.path:
            self._answer(200, {"commitUrl": f"{page}/commit/1", "commitOid": "1", "success": True})
        else:
            self._answer(200, {"url": page, "name": "someone/topics"})

    def _chunk(self) -> bytes:
        size = int(self.rfile.readline(), 16)
        data = self.rfile.read(size)
        self.rfile.readline()
        return data

    def _answer(self, status: int, value: dict[str, object]) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def hub() -> Iterator[dict[str, str]]:
    """The environment in which the hub is one of our own."""
    Hub.asked, Hub.refuses = [], None
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    Thread(target=server.serve_forever, daemon=True).start()
    yield {"HF_TOKEN": SECRET, "HF_HUB_OFFLINE": "", "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}"}
    server.shutdown()
    server.server_close()


@pytest.mark.enable_socket
@pytest.mark.parametrize("public", [False, True])
def test_a_push_makes_a_repository_and_one_commit(command: Command, hub: dict[str, str], public: bool) -> None:
    model = tiny_llama(command.folder / "tiny")
    more = ["--public"] if public else []
    call = ("export", str(model), "--to", "hub", "--repo", "someone/topics", "-q", *more)
    result = command.run(*call, **hub)
    assert (result.code, result.out) == (0, f"{hub['HF_ENDPOINT']}/someone/topics/commit/1\n"), result.err
    made = json.loads(Hub.asked[0][1])
    assert (Hub.asked[0][0], made["name"], made["organization"]) == ("/api/repos/create", "topics", "someone")
    assert (made.get("private"), made.get("visibility")) in (
        [(False, None), (None, "public")]
        if public
        else [
            (True, None),
            (None, "private"),
        ]
    )
    assert {authorization for *_, authorization in Hub.asked} <= {f"Bearer {SECRET}", ""}
    [commit] = [body for path, body, _ in Hub.asked if "/commit/" in path]
    entries = [json.loads(line)["value"] for line in commit.splitlines()]
    assert entries[0]["summary"].startswith("topicgen ")
    assert {entry["path"] for entry in entries[1:]} == {
        *("README.md", "config.json", "export.json", "generation_config.json"),
        *("model.safetensors", "prompt.json", "tokenizer.json"),
    }


@pytest.mark.enable_socket
@pytest.mark.parametrize(("status", "hint"), [(401, False), (409, True)])
def test_a_hub_that_refuses_is_told_without_the_token(
    command: Command, hub: dict[str, str], status: int, hint: bool
) -> None:
    Hub.refuses = status
    model = tiny_llama(command.folder / "tiny")
    result = command.run("export", str(model), "--to", "hub", "--repo", "someone/topics", "-q", **hub)
    assert result.code == 1
    assert "someone/topics: cannot be pushed to the hub" in result.complaint
    assert ("--force adds to it" in result.complaint) is hint
    assert SECRET not in result.out + result.err
