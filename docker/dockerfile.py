"""A Dockerfile -> its stages, and what an image made from one says about starting it."""

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

from dockerfile_parse import DockerfileParser

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Step:
    """One instruction: its name, its options (``--from=build`` -> ``from: build``), and the rest of its text."""

    name: str
    options: Mapping[str, str]
    text: str

    @property
    def words(self) -> list[str]:
        return shlex.split(self.text)

    @property
    def argv(self) -> list[str]:
        """The words of an instruction in JSON form, which no shell reads.

        Raises ValueError where it has the form of a shell command.
        """
        found: list[str] = json.loads(self.text)
        return found


@dataclass(frozen=True)
class Stage:
    """``FROM base AS name`` and the steps that follow; the base is an image or an earlier stage."""

    name: str
    base: str
    steps: tuple[Step, ...]


@dataclass
class Image:
    """What an image says about its processes."""

    environment: dict[str, str] = field(default_factory=lambda: {"PATH": SEARCH_PATH})
    user: str = "root"
    folder: str = "/"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    health: Step | None = None

    def take(self, step: Step) -> None:
        """Follows a step that changes no file."""
        match step.name:
            case "ENV":
                pairs = [word.split("=", 1) for word in step.words]
                new = {name: Template(value).safe_substitute(self.environment) for name, value in pairs}
                self.environment |= new
            case "USER":
                self.user = step.text
            case "WORKDIR":
                self.folder = str(Path(self.folder) / step.text)
            case "ENTRYPOINT":
                self.entrypoint, self.command = step.argv, []
            case "CMD":
                self.command = step.argv
            case "HEALTHCHECK":
                self.health = step


def _step(name: str, value: str) -> Step:
    options = {}
    while found := re.match(r"--([a-z-]+)=(\S+)\s+", value):
        options[found[1]] = found[2]
        value = value[found.end() :]
    if name == "HEALTHCHECK":
        value = value.removeprefix("CMD").strip()
    return Step(name, options, value)


def read_stages(path: Path) -> dict[str, Stage]:
    """The stages of a Dockerfile by name, in its order; arguments before the first stage are filled in."""
    with path.open("rb") as file:
        found = DockerfileParser(fileobj=file).structure
    arguments: dict[str, str] = {}
    stages: dict[str, Stage] = {}
    for entry in found:
        name, value = entry["instruction"], entry["value"]
        if name == "FROM":
            base, _, stage = value.partition(" AS ")
            stages[stage] = Stage(stage, Template(base).substitute(arguments), ())
        elif name == "ARG" and not stages:
            key, _, default = value.partition("=")
            arguments[key] = default
        elif name != "COMMENT":
            last = stages[next(reversed(stages))]
            stages[last.name] = Stage(last.name, last.base, (*last.steps, _step(name, value)))
    return stages


def lineage(stages: Mapping[str, Stage], name: str) -> list[Stage]:
    """The stage and those that it starts from, the first of them first."""
    stage = stages[name]
    return [*(lineage(stages, stage.base) if stage.base in stages else []), stage]


def image_of(stages: Mapping[str, Stage], name: str) -> Image:
    """What the image of a stage says about its processes."""
    image = Image()
    for stage in lineage(stages, name):
        for step in stage.steps:
            image.take(step)
    return image
