"""Libraries that only an extra installs."""

import sys
from pathlib import Path

import pytest
from commands import WITHOUT_TORCH, Command

from topicgen.errors import UserError
from topicgen.extras import require


def test_an_installed_module_is_returned() -> None:
    assert require("json.decoder", "evaluate") is sys.modules["json.decoder"]


@pytest.mark.parametrize("module", ["no_such_library", "no_such_library.part.of_it"])
def test_a_missing_library_is_named_with_the_command_that_installs_it(module: str) -> None:
    with pytest.raises(UserError) as raised:
        require(module, "embed")
    assert str(raised.value) == "no_such_library needs the extra 'embed': pip install 'topicgen[embed]'"


def test_a_library_that_lacks_a_library_of_its_own_is_not_called_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "half_installed.py").write_text("import no_such_library\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        require("half_installed", "evaluate")


def test_themes_and_evaluate_run_without_torch(command: Command) -> None:
    rows = [f'{{"text": "Bees make honey, part {n}.", "topic": "Honey of bees {n}"}}\n' for n in range(6)]
    command.write("labelled.jsonl", "".join(rows))
    for call in (
        ["generate", "labelled.jsonl", "-o", "topics.jsonl"],
        ["themes", "topics.jsonl", "-o", "themes/"],
        ["report", "themes/"],
        ["evaluate", "labelled.jsonl", "--model", "mini", "-o", "evaluation/"],
    ):
        result = command.run(*call, wrapper=WITHOUT_TORCH)
        assert result.code == 0, result.err
    assert (command.folder / "themes/report.html").is_file()
