"""The documentation says what the tool does."""

import re
import shlex
from argparse import ArgumentParser, _SubParsersAction
from pathlib import Path

import pytest

from topicgen.cli import build_parser

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "RELEASING.md", "mini/README.md")]
PAGES += sorted((ROOT / "docs").glob("*.md"))


def subcommands() -> dict[str, ArgumentParser]:
    actions = build_parser()._actions
    return next(dict(action.choices) for action in actions if isinstance(action, _SubParsersAction))


def code_lines(page: Path) -> list[str]:
    """Indented and fenced lines of a page, continuation lines joined."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    fenced = re.findall(r"^```[a-z]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    indented = re.findall(r"^ {4}(\S.*)$", text, re.MULTILINE)
    return [*indented, *(line for block in fenced for line in block.splitlines())]


def documented_calls() -> list[tuple[str, str]]:
    calls = []
    for page in PAGES:
        for line in code_lines(page):
            for part in line.split("#")[0].split("|"):
                if part.strip().startswith("topicgen "):
                    calls.append((page.name, part.strip()))
    return calls


def test_the_readme_names_the_two_commands() -> None:
    assert "make demo" in README
    assert "make test" in README


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_make_target_in_the_docs_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {match for line in code_lines(page) for match in re.findall(r"^make ([a-z-]+)", line)}
    assert named <= targets


@pytest.mark.parametrize(("page", "call"), documented_calls())
def test_every_command_in_the_docs_parses(page: str, call: str) -> None:
    build_parser().parse_args(shlex.split(call)[1:])


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("generate", "generate"),
        ("evaluate", "evaluation"),
        ("train", "training"),
        ("themes", "themes"),
        ("report", "themes"),
        ("serve", "serving"),
        ("export", "export"),
    ],
)
def test_every_option_of_a_command_is_documented(command: str, name: str) -> None:
    page = (ROOT / f"docs/{name}.md").read_text(encoding="utf-8")
    options = {o for a in subcommands()[command]._actions for o in a.option_strings if o.startswith("--")}
    undocumented = {option for option in options - {"--help"} if f"`{option}`" not in page}
    assert not undocumented


@pytest.mark.parametrize("name", ["generate", "evaluation", "training", "themes", "serving", "export"])
def test_every_option_in_the_docs_exists(name: str) -> None:
    page = (ROOT / f"docs/{name}.md").read_text(encoding="utf-8")
    options = {o for parser in subcommands().values() for a in parser._actions for o in a.option_strings}
    assert set(re.findall(r"`(--[a-z-]+)`", page)) <= options


def test_every_command_is_in_the_readme() -> None:
    assert all(f"topicgen {name}" in README for name in subcommands())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_files_of_the_project_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8"))
    assert all((page.parent / link).exists() for link in links), links


def test_the_tree_in_contributing_names_every_module() -> None:
    tree = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    modules = [p.relative_to(ROOT / "src/topicgen").as_posix() for p in (ROOT / "src/topicgen").rglob("*.py")]
    assert [m for m in modules if m not in tree and m not in ("__init__.py", "__main__.py")] == []
