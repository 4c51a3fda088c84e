"""pyproject.toml -> requirements.txt and environment.yml; run by ``make environments``."""

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
EXTRAS = ("evaluate", "serve", "themes", "train")
MADE = "# Made from pyproject.toml by `make environments`."


def requirements(project: dict[str, Any], extras: Iterable[str] = EXTRAS) -> list[str]:
    """The libraries of the package and of extras, and of those that these name, each once, sorted."""
    lines = [*project["dependencies"], *(line for extra in extras for line in project["optional-dependencies"][extra])]
    found = {Requirement(line) for line in lines}
    own = {requirement for requirement in found if requirement.name == project["name"]}
    inner = {str(line) for requirement in own for line in requirements(project, requirement.extras)}
    return sorted({str(requirement) for requirement in found - own} | inner, key=str.lower)


def newest_python(project: dict[str, Any]) -> str:
    """The last version of Python that the classifiers name."""
    name = "Programming Language :: Python :: 3."
    minors = [int(line.removeprefix(name)) for line in project["classifiers"] if line.startswith(name)]
    return f"3.{max(minors)}"


def requirements_text(project: dict[str, Any]) -> str:
    """requirements.txt."""
    libraries = f"# The libraries of topicgen[{','.join(EXTRAS)}]; the versions tested together: -c constraints.txt."
    return "\n".join([MADE, libraries, *requirements(project), ""])


def environment_text(project: dict[str, Any]) -> str:
    """environment.yml: Python from conda-forge, the libraries from PyPI, so that they are the ones that were tested."""
    return f"""\
{MADE}
# conda env create --file environment.yml && conda activate topicgen
name: topicgen
channels:
  - conda-forge
dependencies:
  - python={newest_python(project)}
  - pip
  - pip:
      - --constraint constraints.txt
      - --requirement requirements.txt
      - --editable .
"""


def texts() -> dict[str, str]:
    """The files by name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {"requirements.txt": requirements_text(project), "environment.yml": environment_text(project)}


if __name__ == "__main__":
    for name, text in texts().items():
        (ROOT / name).write_text(text, encoding="utf-8")
