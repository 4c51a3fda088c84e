"""requirements.txt, environment.yml, the image and the workflow say what pyproject.toml says."""

import importlib.util
import re
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WORKFLOW: dict[str, Any] = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def environments() -> ModuleType:
    spec = importlib.util.spec_from_file_location("environments", ROOT / "scripts/environments.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["requirements.txt", "environment.yml"])
def test_the_files_are_what_the_script_makes(environments: ModuleType, name: str) -> None:
    assert (ROOT / name).read_text(encoding="utf-8") == environments.texts()[name], "run make environments"


def test_requirements_are_the_libraries_of_the_package_and_its_extras(environments: ModuleType) -> None:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    found = {str(Requirement(line)) for line in lines if not line.startswith("#")}
    extras = [PROJECT["optional-dependencies"][name] for name in environments.EXTRAS]
    direct = {
        line for lines in [PROJECT["dependencies"], *extras] for line in lines if not line.startswith("topicgen[")
    }
    assert found == {str(Requirement(line)) for line in direct}


def test_the_environment_takes_the_same_libraries_on_a_python_that_the_package_allows() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    *_, python, pip, libraries = environment["dependencies"]
    assert pip == "pip"
    assert python.split("=")[1] in pythons()
    named = [line.split()[1] for line in libraries["pip"]]
    assert named == ["constraints.txt", "requirements.txt", "."]
    assert all((ROOT / name).exists() for name in named)


def pythons() -> list[str]:
    return re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))


def test_the_pythons_of_the_classifiers_are_allowed_and_tested() -> None:
    assert pythons()[0] == PROJECT["requires-python"].removeprefix(">=")
    assert WORKFLOW["jobs"]["test"]["strategy"]["matrix"]["python"] == pythons()


def test_the_workflow_runs_targets_that_exist_with_rights_to_read_only() -> None:
    assert WORKFLOW["permissions"] == {"contents": "read"}
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    steps = [step for job in WORKFLOW["jobs"].values() for step in job["steps"]]
    made = {word for step in steps for word in step.get("run", "").split() if step["run"].startswith("make ")} - {
        "make"
    }
    assert {"lint", "demo", "test", "test-dist", "test-browser"} <= made <= targets
    assert all("permissions" not in job and job["timeout-minutes"] <= 60 for job in WORKFLOW["jobs"].values())


def test_every_action_has_an_exact_version() -> None:
    used = [step["uses"] for job in WORKFLOW["jobs"].values() for step in job["steps"] if "uses" in step]
    assert used
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@v\d+\.\d+\.\d+", name) for name in used), used
