"""Fixtures, and Hypothesis profiles: HYPOTHESIS_PROFILE=fuzz searches longer."""

import os
from collections.abc import Iterator
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # read by the hub's library when it is imported

import pytest
from commands import Command
from hypothesis import HealthCheck, settings
from reading import Reading
from served import chat_folder, real_server

from topicgen import TopicGenerator
from topicgen.models import ModelFolder, find_model
from topicgen.topic_cache import FILE_NAME

_SHARED = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]}

settings.register_profile("default", max_examples=200, **_SHARED)
settings.register_profile("fuzz", max_examples=10_000, **_SHARED)
__all__ = ["chat_folder", "real_server"]  # fixtures of another file

settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes more than ten seconds; leave out with -m 'not slow'")
    config.addinivalue_line("markers", "torture: tries more with TOPICGEN_TORTURE=1; make torture")
    share_cores(config)
    config.addinivalue_line("markers", "browser: needs Playwright and Debian's chromium; skipped without them")


def share_cores(config: pytest.Config) -> None:
    """Gives each worker of pytest-xdist, and what it starts, cores of its own.

    Threads that wait for a core that another worker has taken cost more than they compute.
    """
    worker = getattr(config, "workerinput", None)
    if worker is None or not hasattr(os, "sched_setaffinity"):
        return
    number = int(worker["workerid"].removeprefix("gw"))
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[number :: worker["workercount"]] or cores)


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    return tmp_path / "notes.txt"


@pytest.fixture
def reading(tmp_path: Path) -> Iterator[Reading]:
    made = Reading(tmp_path)
    yield made
    made.problems.close()


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache of the tests' own, also for the commands that they start."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("TOPICGEN_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def mini() -> ModelFolder:
    return find_model("mini")


@pytest.fixture(scope="session")
def generator(cache: Path) -> TopicGenerator:
    return TopicGenerator.load("mini")


@pytest.fixture(scope="session")
def exact(cache: Path) -> TopicGenerator:
    return TopicGenerator.load("mini", precision="float32")


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "cache"
    monkeypatch.setenv("TOPICGEN_CACHE", str(folder))
    yield folder


@pytest.fixture
def command(generator: TopicGenerator, tmp_path: Path, cache: Path) -> Command:
    """The command line in a folder of its own; the model's cache is warm, that of topics empty."""
    for file in cache.glob(f"{FILE_NAME}*"):
        file.unlink()
    return Command(tmp_path)
