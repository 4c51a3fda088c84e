"""The records of a collection: a document with its topic, and a theme."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Member:
    """One document of the collection, with its topic."""

    id: str
    topic: str
    text: str
    source: str
    position: int
    date: datetime.date | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Theme:
    """A group of topics with a name."""

    id: str
    name: str
    level: int
    parent: str | None
    size: int
    topics: tuple[str, ...]
    born: int
    status: str = "active"
    merged_into: str | None = None
    named_by: str = "model"
    history: tuple[Mapping[str, Any], ...] = ()
