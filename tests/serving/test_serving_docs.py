"""What docs/serving.md tells people to type."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from serving.conftest import TOKEN
from serving.servers import PATIENCE, Server

from topicgen import TopicGenerator

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "serving.md").read_text(encoding="utf-8")
LINES = re.findall(r"^ {4}(\S.*)$", PAGE, re.MULTILINE)


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("curl ")])
@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
def test_requests_of_the_page_are_answered(server: Server, tmp_path: Path, line: str) -> None:
    (tmp_path / "documents.jsonl").write_text('"Bees make honey."\n{"id": "b", "text": "Trains run at night."}\n')
    call = shlex.split(line.replace("http://127.0.0.1:8000", server.url))
    done = subprocess.run(
        [*call, "--silent", "--fail-with-body"], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stdout + done.stderr
    answers = [json.loads(part) for part in done.stdout.splitlines()]
    assert len(answers) == (2 if "x-ndjson" in line else 1)


def test_the_example_in_python_prints_a_topic(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    [code] = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    exec(code.replace("http://127.0.0.1:8000", server.url), {})
    [row] = server.topics("Bees make honey from nectar.").json()["topics"]
    assert capsys.readouterr().out == f"{row['topic']}\n"


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
def test_the_request_of_the_page_about_docker_is_answered(guarded: Server) -> None:
    [line] = re.findall(r"^ {4}(curl .*)$", (DOCS / "docker.md").read_text(encoding="utf-8"), re.MULTILINE)
    call = shlex.split(line.replace("$TOPICGEN_TOKEN", TOKEN).replace("localhost:8000", f"localhost:{guarded.port}"))
    done = subprocess.run(
        [*call, "--silent", "--fail", "--ipv4"], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert (done.returncode, json.loads(done.stdout or "{}")) == (0, {"status": "ok"})


@pytest.mark.parametrize("line", [line for line in LINES if "topicgen serve" in line])
@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl here")
def test_servers_of_the_page_serve_it(generator: TopicGenerator, tmp_path: Path, line: str) -> None:
    program, secret = tmp_path / "topicgen", tmp_path / "token"  # on a free port; the token is known to the shell only
    program.write_text(
        f'#!/bin/sh\nprintf %s "$TOPICGEN_TOKEN" > {secret}\nexec {sys.executable} -m topicgen "$@" --port 0\n'
    )
    program.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if name != "TOPICGEN_TOKEN"}
    environment["PATH"] = f"{tmp_path}:{environment['PATH']}"
    with subprocess.Popen(
        line, shell=True, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            assert process.stderr is not None
            said = process.stderr.readline()
            found = re.fullmatch(r"topicgen: serving mini on http://(?:127\.0\.0\.1|0\.0\.0\.0):(\d+)\n", said)
            assert found, said
            page, token = f"http://127.0.0.1:{found[1]}/", secret.read_text()
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            answer = httpx.get(page, headers=headers, timeout=PATIENCE, trust_env=False)
            assert (answer.status_code, "<title>topicgen</title>" in answer.text) == (200, True)
            assert bool(token) == ("0.0.0.0" in said)
            assert httpx.get(page, timeout=PATIENCE, trust_env=False).status_code == (401 if token else 200)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
