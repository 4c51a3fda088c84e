"""Inputs as the user names them -> the files to read, in order, each with its format."""

import os
import re
import stat
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from topicgen.config import ReaderSettings
from topicgen.errors import UsageError, UserError

Format = Literal["text", "csv", "tsv", "jsonl", "parquet"]

FORMATS: dict[str, Format] = {
    ".txt": "text",
    ".md": "text",
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}
_QUARANTINE = re.compile(r"(^|\.)quarantine(-\d+)?\.jsonl$")  # rows that an earlier run could not read
KNOWN_SUFFIXES = f"{', '.join(FORMATS)}, each also with .gz"


@dataclass(frozen=True, slots=True)
class Source:
    """One file to read, or standard input when ``path`` is None."""

    name: str
    path: Path | None
    format: Format
    gzipped: bool = False


def find_sources(inputs: Sequence[str], settings: ReaderSettings, skip: Collection[Path] = ()) -> list[Source]:
    """Returns the sources behind files, folders and ``-``; raises UserError for what cannot be read.

    A folder stands for its files with a known suffix, at any depth, sorted by path. Hidden files, quarantine files and
    the outputs of this very run (``skip``, standard output) are left out, and links to folders are not followed.
    """
    if not inputs:
        raise UsageError("no input: name a file, a folder, or - for standard input")
    left_out = {_place(path) for path in skip}
    found: list[Source] = []
    places: set[Path | None] = set()
    for given in inputs:
        for source in _sources_of(given, settings, left_out):
            place = source.path and _place(source.path)
            if place in places:
                raise UsageError(f"{source.name} is given twice")
            places.add(place)
            found.append(source)
    return found


def _sources_of(given: str, settings: ReaderSettings, left_out: Collection[Path]) -> Iterator[Source]:
    if given == "-":
        yield Source("-", None, "text" if settings.input_format == "auto" else settings.input_format)
        return
    if not given:
        raise UsageError("an input has an empty name; name a file, a folder, or - for standard input")
    path = Path(given)
    if stat.S_ISDIR(_mode(path)):
        yield from _folder_sources(path, settings, left_out)
        return
    _require_regular(path)
    by_suffix, gzipped = format_of(path.name)
    known = by_suffix if settings.input_format == "auto" else settings.input_format
    if known is None:
        suffix = Path(path.name.removesuffix(".gz")).suffix
        raise UserError(
            f"{_shown(path)}: unknown file type {suffix!r}; known are {KNOWN_SUFFIXES}; "
            "for other names, say the format with --input-format"
        )
    yield Source(_shown(path), path, known, gzipped)


def _folder_sources(folder: Path, settings: ReaderSettings, left_out: Collection[Path]) -> Iterator[Source]:
    wanted = settings.input_format
    sources = []
    for path in _visible_files(folder):
        known, gzipped = format_of(path.name)
        if known is None or wanted not in ("auto", known) or _place(path) in left_out:
            continue
        if _QUARANTINE.search(path.name) or _is_standard_output(path):
            continue
        _require_regular(path)
        sources.append((path, Source(_shown(path), path, known, gzipped)))
    if not sources:
        kind = "" if wanted == "auto" else f" that holds {wanted}"
        raise UserError(f"{_shown(folder)}: the folder has no file{kind}; known are {KNOWN_SUFFIXES}")
    for _, source in sorted(sources, key=lambda pair: pair[0].parts):
        yield source


def _is_standard_output(path: Path) -> bool:
    """Whether standard output is sent to this file, as by ``topicgen generate . > topics.jsonl``."""
    with suppress(OSError, ValueError):
        return os.path.samestat(path.stat(), os.fstat(1))
    return False


def _visible_files(folder: Path) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise UserError(f"{error.filename}: cannot be listed: {error.strerror}") from None

    for where, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(where, name) for name in names if not name.startswith("."))


def format_of(name: str) -> tuple[Format | None, bool]:
    """The format that a file's name stands for, None for an unknown one, and whether it is gzipped."""
    name = name.lower()
    gzipped = name.endswith(".gz")
    return FORMATS.get(Path(name.removesuffix(".gz")).suffix), gzipped


def _require_regular(path: Path) -> None:
    mode = _mode(path)
    if stat.S_ISREG(mode):
        return
    # Opening a pipe would wait for its writer, and a device may never end.
    kind = "a named pipe" if stat.S_ISFIFO(mode) else "not a regular file"
    raise UserError(f"{_shown(path)}: {kind}; pipe its content into standard input and give - as the input")


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except OSError as error:
        raise UserError(f"{_shown(path)}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise UserError(f"{_shown(path)!r}: cannot be read: {error}") from None


def _place(path: Path) -> Path:
    # The link itself, not its target: a folder may hold a file and a link to it under two names.
    return path.parent.resolve() / path.name


def _shown(path: Path) -> str:
    """The path as text that can be encoded, whatever bytes the file system has."""
    return str(path).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
