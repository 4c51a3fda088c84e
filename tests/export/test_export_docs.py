"""docs/export.md: every command and every program in it runs."""

import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest
from adapter_folders import make_adapter
from commands import Command

PAGE = (Path(__file__).resolve().parents[2] / "docs/export.md").read_text(encoding="utf-8")
CALLS = [line.split("#")[0].strip() for line in re.findall(r"^ {4}(topicgen export .*)$", PAGE, re.MULTILINE)]
PROGRAMS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("docs")
    make_adapter(made / "my-model", "mini")
    return made


@pytest.mark.parametrize("call", CALLS)
def test_a_command_of_the_page_does_what_it_says(folder: Path, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "")
    result = Command(folder).here(*shlex.split(call)[1:])
    if "--to hub" in call and "--dry-run" not in call:  # nothing is sent from tests
        assert (result.code, "HF_TOKEN is not set" in result.err) == (1, True)
        return
    assert result.code == 0, result.err
    assert "topics equal" in result.err
    assert "--to hub" in call or (folder / result.out.strip() / "export.json").is_file()


@pytest.mark.parametrize("program", PROGRAMS, ids=["ctranslate2", "llama.cpp"])
def test_a_program_of_the_page_prints_a_topic(folder: Path, program: str) -> None:
    printed = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(printed):
        exec(compile(program, "export.md", "exec"), {})
    assert re.fullmatch(r"\S.{3,80}\n", printed.getvalue())
