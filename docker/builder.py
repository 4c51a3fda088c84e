"""The steps of a Dockerfile -> a tree for each stage, without Docker."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from dockerfile import Image, Stage, image_of
from pathspec import GitIgnoreSpec
from tree import Tree


def pip_settings() -> dict[str, str]:
    """The settings of pip on this machine as variables, for the steps only: no file of the tree holds them."""
    listed = subprocess.check_output([sys.executable, "-m", "pip", "config", "list"], text=True)
    found = {}
    for name, value in (line.split("=", 1) for line in listed.splitlines()):
        option = name.split(".", 1)[1].upper().replace("-", "_")
        found[f"PIP_{option}"] = " ".join(shlex.split(value.replace("\\n", " ")))
    return found | {name: value for name, value in os.environ.items() if name.startswith("PIP_")}


def local_paths(settings: Mapping[str, str]) -> set[str]:
    """The files and folders of this machine that settings name; the parent of an index, whose files lie beside it."""
    words = {word for value in settings.values() for word in value.split()}
    indexes = {str(Path(word.removeprefix("file://")).parent) for word in words if word.startswith("file:///")}
    return {path for path in indexes | {word for word in words if word.startswith("/")} if Path(path).exists()}


class Builder:
    """Builds stages into folders beside each other."""

    def __init__(self, stages: Mapping[str, Stage], context: Path, folder: Path) -> None:
        self._stages, self._context, self._folder = stages, context, folder
        self._pip = pip_settings()
        self._ignored = GitIgnoreSpec.from_lines((context / ".dockerignore").read_text().splitlines())
        self._built: dict[str, Tree] = {}

    def build(self, name: str) -> Tree:
        """The tree of a stage, and before it those of the stages that it starts from or copies from."""
        if name not in self._built:
            stage = self._stages[name]
            tree = self._base(stage).copied(self._folder / name)
            sources = {step.options["from"] for step in stage.steps if "from" in step.options}
            for source in sorted(sources):
                self.build(source)
            with tree.equipped(local_paths(self._pip)):
                self._follow(stage, tree)
            self._built[name] = tree
        return self._built[name]

    def _base(self, stage: Stage) -> Tree:
        if stage.base in self._stages:
            return self.build(stage.base)
        python, release = re.fullmatch(r"python:(\d\.\d+)\.\d+-slim-([a-z]+)", stage.base).groups()  # type: ignore[union-attr]
        tree = Tree.of_debian(release, self._folder / release)
        if not tree.inside(f"/usr/bin/python{python}").exists():
            raise SystemExit(f"Debian {release} has no Python {python}")
        return tree

    def _follow(self, stage: Stage, tree: Tree) -> None:
        image = image_of(self._stages, stage.base) if stage.base in self._stages else Image()
        for step in stage.steps:
            print(f"[{stage.name}] {step.name} {step.text}", flush=True)
            image.take(step)
            if step.name == "RUN":
                variables = self._pip | image.environment
                subprocess.run(tree.argv(["sh", "-c", step.text], variables, image.user, image.folder), check=True)
            elif step.name == "COPY":
                *sources, place = step.words
                self._copy(sources, tree, Path(image.folder) / place, place.endswith("/"), step.options)
            elif step.name == "WORKDIR":
                tree.inside(image.folder).mkdir(parents=True, exist_ok=True)

    def _copy(self, sources: list[str], tree: Tree, place: Path, into: bool, options: Mapping[str, str]) -> None:
        """Files of the context that .dockerignore lets through, or of another stage; they belong to root."""
        target = tree.inside(place)
        for source in sources:
            if "from" in options:
                target.parent.mkdir(parents=True, exist_ok=True)
                command = ["cp", "--archive", "--no-target-directory"]
                subprocess.run([*command, str(self._built[options["from"]].inside(source)), str(target)], check=True)
                continue
            files = self._sent(source)
            if not files:
                raise SystemExit(f"COPY {source}: .dockerignore keeps it out, or it is not there")
            for file in files:
                inner = file.relative_to(source) if file != Path(source) else Path(file.name)
                copy = target / inner if into or file != Path(source) else target
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes((self._context / file).read_bytes())

    def _sent(self, source: str) -> list[Path]:
        """The files of a source of the context that .dockerignore lets through."""
        place = self._context / source
        files = [place] if place.is_file() else [file for file in place.rglob("*") if file.is_file()]
        relative = [file.relative_to(self._context) for file in files]
        return [file for file in relative if not self._ignored.match_file(file)]
