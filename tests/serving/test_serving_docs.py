"""What docs/serving.md tells people to type."""

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from serving.servers import PATIENCE, Server

from topicgen.cli import build_parser
from topicgen.serving.command import settings_of

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

PAGE = (Path(__file__).parents[2] / "docs/serving.md").read_text(encoding="utf-8")
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


def test_servers_of_the_page_have_settings_that_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = [line for line in LINES if "topicgen serve" in line]
    assert len(calls) == 3
    for line in calls:
        monkeypatch.delenv("TOPICGEN_TOKEN", raising=False)
        before, _, rest = line.partition("topicgen serve")
        if "TOPICGEN_TOKEN=" in before:
            monkeypatch.setenv("TOPICGEN_TOKEN", "0f" * 32)
        settings_of(build_parser().parse_args(["serve", *shlex.split(rest, comments=True)]))
