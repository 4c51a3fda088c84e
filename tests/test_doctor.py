"""What the installation reports about itself."""

import importlib.metadata
import json
from pathlib import Path

import pytest
from commands import Command

from topicgen import __version__, doctor
from topicgen.models import ModelFolder


def lacking(*missing: str) -> object:
    version = importlib.metadata.version

    def found(package: str) -> str:
        if package in missing:
            raise importlib.metadata.PackageNotFoundError(package)
        return version(package)

    return found


def test_report_names_versions_devices_models_and_cache(command: Command, mini: ModelFolder, cache: Path) -> None:
    result = command.here("doctor")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(f"topicgen {__version__}, Python 3.")
    assert f"ctranslate2   {importlib.metadata.version('ctranslate2')}" in result.out
    assert "CPU threads" in result.out
    assert f"model mini: {mini.weights[0].stat().st_size / 2**20:.0f} MiB, {mini.path}" in result.out
    assert str(cache) in result.out
    assert result.out.endswith("no problems found\n")


def test_report_as_json_has_the_same_facts(command: Command, mini: ModelFolder, cache: Path) -> None:
    result = command.here("doctor", "--json")
    state = json.loads(result.out)
    assert (result.code, state["topicgen"], state["problems"]) == (0, __version__, [])
    assert state["packages"]["numpy"] == importlib.metadata.version("numpy")
    assert state["devices"]["cpu_threads"] >= 1
    assert state["models"][0]["sha256"] == mini.digest
    assert state["cache"]["path"] == str(cache)
    assert state["cache"]["bytes"] > 1_000_000


def test_missing_package_is_a_problem_with_its_install_line(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lacking("ctranslate2"))
    result = command.here("doctor")
    assert result.code == 1
    assert "problem: ctranslate2 is not installed: pip install topicgen\n" in result.out


def test_missing_extra_is_no_problem_but_named_with_its_install_line(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lacking("torch"))
    result = command.here("doctor")
    assert result.code == 0
    assert "extra 'train' is not installed: pip install 'topicgen[train]'\n" in result.out
    assert "  torch         -\n" in result.out


def test_missing_model_is_a_problem(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "EMBEDDED", ("maxi",))
    state = json.loads(command.here("doctor", "--json").out)
    assert state["problems"] == [f"model maxi: {state['models'][0]['error']}"]


def test_cache_that_is_not_there_is_empty(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in (command.folder / "absent", command.write("file", "") / "cache"):
        monkeypatch.setenv("TOPICGEN_CACHE", str(place))
        assert json.loads(command.here("doctor", "--json").out)["cache"] == {"path": str(place), "bytes": 0}
