"""The notebooks do what their saved outputs show, and what they call exists."""

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from topicgen.cli import build_parser

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "notebooks"))

from run import NOTEBOOK, executed  # noqa: E402 - a script, not a package

SAVED = '"output_type"' in NOTEBOOK.read_text(encoding="utf-8")
saved = pytest.mark.skipif(not SAVED, reason="the outputs are not saved yet: make notebooks")
BOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def cells(path: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def calls(path: Path) -> Iterator[str]:
    """Commands of topicgen in the cells, and in indented lines of the text; variables have the values of the cells."""
    source = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells)
    values = dict(re.findall(r'^(\w+) = "([^"]*)"', source, re.MULTILINE))
    for line in re.findall(r"^(?:!| {4})(topicgen .*)$", source, re.MULTILINE):
        yield re.sub(r"[{$](\w+)\}?", lambda name: values.get(name[1], name[1]), line.split(">")[0])


def shown(cell: nbformat.NotebookNode) -> list[tuple[str, str]]:
    """Kinds of a cell's outputs, and their text where that must repeat."""
    found = []
    for output in cell.outputs:
        kinds = "+".join(sorted(output.get("data", {}))) or output.get("name", "")
        repeats = "varies" not in cell.metadata.get("tags", []) and "image/png" not in kinds
        found.append((f"{output.output_type} {kinds}", output.get("text", "") if repeats else ""))
    return found


@saved
@pytest.mark.slow
@pytest.mark.enable_socket
def test_the_notebook_runs_and_shows_what_is_saved() -> None:
    fresh = [cell for cell in executed(NOTEBOOK).cells if cell.cell_type == "code"]
    assert [shown(cell) for cell in fresh] == [shown(cell) for cell in cells(NOTEBOOK)]
    assert any("image/png" in kind for cell in fresh for kind, _ in shown(cell))


@saved
def test_fine_tuning_gave_the_model_the_style_of_the_labels() -> None:
    [table] = [cell.outputs[0].text for cell in cells(NOTEBOOK) if "reference:30" in cell.source]
    before = [line[31:73] for line in table.splitlines()]
    after = [line[74:] for line in table.splitlines()]
    assert len(after) == 8
    assert sum(":" in topic for topic in before) <= 1
    assert sum(":" in topic for topic in after) >= 6


@pytest.mark.parametrize("path", BOOKS, ids=lambda path: path.name)
def test_every_command_in_a_notebook_parses(path: Path) -> None:
    found = list(calls(path))
    assert len(found) >= 2
    for call in found:
        build_parser().parse_args(shlex.split(call)[1:])


@pytest.mark.parametrize("path", BOOKS, ids=lambda path: path.name)
def test_a_notebook_holds_nothing_of_the_machine_it_was_saved_on(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"/tmp/|/home/|/root/|/Users/|site-packages|widget|\\u001b\[|Traceback", text)
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert all(set(cell.metadata) <= {"tags"} for cell in notebook.cells)
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts in ([None] * len(counts), list(range(1, len(counts) + 1)))


def test_the_recipe_in_the_colab_notebook_is_that_of_the_repository() -> None:
    [cell] = [cell for cell in cells(ROOT / "notebooks/llama3-colab.ipynb") if "%%writefile" in cell.source]
    recipe = ROOT / "recipes/llama3-8b-16gb.yaml"
    assert cell.source.partition("\n")[2].strip() == recipe.read_text(encoding="utf-8").strip()
