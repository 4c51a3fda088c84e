"""``transformers serve`` with the embedded model on the loopback, started once for all tests."""

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

from topicgen.models import ModelFolder

START_LIMIT = 120  # seconds; it takes about ten on two idle cores


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
