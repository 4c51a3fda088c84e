"""What a form of export is: how it is written, and how it is loaded again."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from topicgen.export.check import Reopened
from topicgen.models import ModelFolder


@dataclass(frozen=True, slots=True)
class Target:
    """One form of export.

    Attributes:
        types: Types of numbers that it can hold; the first is the default, ``auto`` keeps that of the model's files.
        write: Writes a model into an empty folder, in one of the types.
        reopen: Loads what was written.
    """

    types: tuple[str, ...]
    write: Callable[[ModelFolder, Path, str], None]
    reopen: Callable[[ModelFolder, Path, str], Reopened]
