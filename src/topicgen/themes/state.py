"""registry.json in and out: themes, updates and corrections, with the checksums of the files beside it."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from topicgen.errors import UserError
from topicgen.themes.records import Theme

FORMAT = 1
REGISTRY = "registry.json"
SPACE = "space"
CENTROIDS = "centroids.safetensors"
DOCUMENTS = "documents.parquet"

_NEEDED = ("topicgen", "created", "settings", "space", "updates", "themes", "corrections", "loose", "checksums")


def write_state(folder: Path, state: Mapping[str, Any]) -> None:
    """Writes registry.json with the checksums of the other files, which must be there, and one of its own."""
    files = [folder / CENTROIDS, folder / DOCUMENTS, *sorted(p for p in (folder / SPACE).rglob("*") if p.is_file())]
    checksums = {file.relative_to(folder).as_posix(): _digest(file) for file in files}
    whole = {"format": FORMAT, **state, "checksums": checksums}
    whole["checksum"] = _own_checksum(whole)
    text = json.dumps(whole, indent=1, ensure_ascii=False) + "\n"
    (folder / REGISTRY).write_text(text, encoding="utf-8", errors="backslashreplace")


def read_state(folder: Path) -> dict[str, Any]:
    """The content of registry.json, once it and the files beside it are what was written.

    Raises:
        UserError: When the folder holds no registry, one of another format, or a damaged one.
    """
    path = folder / REGISTRY
    try:
        state = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        hint = "`topicgen themes topics.jsonl -o FOLDER` writes one"
        raise UserError(f"{folder}: no themes folder, there is no {REGISTRY} in it; {hint}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise UserError(f"{path}: damaged, it is not JSON") from None
    if not isinstance(state, dict) or "format" not in state:
        raise UserError(f"{path}: not the registry of a themes folder")
    if state["format"] != FORMAT:
        raise UserError(f"{path}: of format {state['format']!r}; this topicgen reads format {FORMAT}")
    if missing := [name for name in _NEEDED if name not in state]:
        raise UserError(f"{path}: damaged, there is no {missing[0]!r} in it")
    if state.get("checksum") != _own_checksum(state):
        raise UserError(f"{path}: damaged or edited by hand, its checksum is not the one that was written")
    for name, expected in state["checksums"].items():
        if not (folder / name).is_file():
            raise UserError(f"{folder / name}: missing; the themes folder is damaged")
        if _digest(folder / name) != expected:
            raise UserError(f"{folder / name}: damaged, its checksum is not the one that was written")
    return state


def themes_from_json(rows: Iterable[Mapping[str, Any]]) -> list[Theme]:
    """Themes back from registry.json; fields of later versions are left out."""
    known = [field.name for field in fields(Theme)]
    found = []
    for row in rows:
        values: dict[str, Any] = {name: row[name] for name in known if name in row}
        values |= {"topics": tuple(row["topics"]), "history": tuple(row["history"])}
        found.append(Theme(**values))
    return found


def id_numbers(identifier: str) -> list[int]:
    """ "t12.3" as [12, 3], to sort by."""
    return [int(part) for part in identifier[1:].split(".")]


def _own_checksum(state: Mapping[str, Any]) -> str:
    """Checksum of everything in registry.json but itself, whatever its white space."""
    rest = {name: value for name, value in state.items() if name != "checksum"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
