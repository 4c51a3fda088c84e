"""A folder that ``topicgen themes`` wrote in; its themes, documents and trends out, checked, for page and report."""

import datetime
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topicgen.errors import UserError
from topicgen.themes.records import Theme

FORMAT = 1
_TEXTS = ("id", "topic", "text", "source", "theme", "subtheme")
_NUMBERS = ("position", "x", "y", "score")
_HINT = "name a folder that `topicgen themes` wrote"


@dataclass(frozen=True, slots=True)
class Documents:
    """The columns of the documents, all of one length; ``theme`` and ``subtheme`` are positions, -1 is none.

    ``xy`` (documents, 2) lies in 0..1, ``scores`` are cosines to the centroid of the theme.
    """

    ids: list[str]
    topics: list[str]
    texts: list[str | None]
    sources: list[str]
    positions: list[int]
    dates: list[datetime.date | None]
    theme: NDArray[np.int64]
    subtheme: NDArray[np.int64]
    xy: NDArray[np.float64]
    scores: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Trend:
    """A theme over the periods: its documents, their share of the period's (0 to 1), the slope of the share."""

    counts: tuple[int, ...]
    shares: tuple[float, ...]
    slope: float | None
    p: float | None
    direction: str


@dataclass(frozen=True, slots=True)
class Collection:
    """All that a page or a report shows; themes and sub-themes by falling size, sizes as counted in the documents."""

    version: str
    created: str
    updates: tuple[Mapping[str, Any], ...]
    themes: tuple[Theme, ...]
    subthemes: tuple[Theme, ...]
    documents: Documents
    unit: str
    periods: tuple[str, ...]
    trends: Mapping[str, Trend]

    @property
    def coverage(self) -> float:
        """The share of the documents that belong to a theme; 1 for no documents."""
        found = self.documents.theme
        return float((found >= 0).mean()) if len(found) else 1.0


def read_folder(folder: Path) -> Collection:
    """Reads registry.json, documents.parquet and, where there is one, trends.json.

    Raises:
        UserError: when the folder or one of the files is missing, damaged or of another format.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: {'is a file' if folder.exists() else 'there is no such folder'}; {_HINT}")
    registry = _json(folder / "registry.json", required=True)
    with _checked(folder / "registry.json"):
        if registry["format"] != FORMAT:
            raise UserError(
                f"{folder / 'registry.json'}: has format {str(registry['format'])[:40]}; this version of topicgen "
                f"reads format {FORMAT}"
            )
        known = {theme.id: theme for theme in map(_theme, registry["themes"])}
        updates = tuple(dict(update) for update in registry.get("updates", ()))
    columns = _columns(folder / "documents.parquet")
    with _checked(folder / "documents.parquet"):
        themes, theme = _placed(columns["theme"], known, level=1)
        subthemes, subtheme = _placed(columns["subtheme"], known, level=2)
        documents = Documents(
            ids=_strings(columns["id"]),
            topics=_strings(columns["topic"]),
            texts=columns["text"],
            sources=_strings(columns["source"]),
            positions=[position or 0 for position in columns["position"]],
            dates=columns["date"],
            theme=theme,
            subtheme=subtheme,
            xy=np.clip(np.nan_to_num(np.array([columns["x"], columns["y"]], float).T, nan=0.5), 0, 1),
            scores=np.nan_to_num(np.array(columns["score"], float)),
        )
    trends = _json(folder / "trends.json", required=False) or {"unit": "", "periods": [], "themes": {}}
    with _checked(folder / "trends.json"):
        periods = tuple(str(period) for period in trends["periods"])
        found = {name: _trend(about, len(periods)) for name, about in trends["themes"].items()}
        unit = str(trends["unit"])
    return Collection(
        version=str(registry.get("topicgen", "")),
        created=str(registry.get("created", "")),
        updates=updates,
        themes=themes,
        subthemes=subthemes,
        documents=documents,
        unit=unit,
        periods=periods,
        trends=found,
    )


@contextmanager
def _checked(path: Path) -> Iterator[None]:
    """What a file of the wrong shape raises becomes one line."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:160]
        raise UserError(f"{path}: is damaged ({reason}); run `topicgen themes` again") from None


def _json(path: Path, *, required: bool) -> Any:
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        if required:
            raise UserError(f"{path.parent}: has no {path.name}; {_HINT}") from None
        return None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError):
        raise UserError(f"{path}: is not valid JSON; run `topicgen themes` again") from None
    if not isinstance(found, dict):
        raise UserError(f"{path}: is a JSON {type(found).__name__}, not an object; run `topicgen themes` again")
    return found


def _columns(path: Path) -> dict[str, list[Any]]:
    """The columns of documents.parquet as Python values; ``date`` may be absent."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise UserError(f"{path.parent}: has no {path.name}; {_HINT}")
    try:
        names = pq.read_schema(path).names
        missing = [name for name in (*_TEXTS, *_NUMBERS) if name not in names]
        if missing:
            raise UserError(f"{path}: lacks the columns {', '.join(missing)}; run `topicgen themes` again")
        dated = ["date"] if "date" in names else []
        table = pq.read_table(path, columns=[*_TEXTS, *_NUMBERS, *dated])
        found = {name: table[name].to_pylist() for name in (*_TEXTS, *_NUMBERS)}
        found["date"] = table["date"].cast(pa.date32()).to_pylist() if dated else [None] * table.num_rows
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:160]
        raise UserError(f"{path}: cannot be read as Parquet: {reason}") from None
    return found


def _strings(values: Sequence[Any]) -> list[str]:
    return ["" if value is None else str(value) for value in values]


def _theme(about: Mapping[str, Any]) -> Theme:
    return Theme(
        id=str(about["id"]),
        name=str(about["name"]),
        level=int(about["level"]),
        parent=None if about.get("parent") is None else str(about["parent"]),
        size=int(about["size"]),
        topics=tuple(str(topic) for topic in about["topics"]),
        born=int(about["born"]),
        status=str(about.get("status", "active")),
        merged_into=about.get("merged_into"),
        named_by=str(about.get("named_by", "model")),
        history=tuple(about.get("history", ())),
    )


def _standing(name: str, known: Mapping[str, Theme]) -> str:
    """The id of the theme that a merged one has become part of."""
    for _ in known:
        theme = known.get(name)
        if theme is None or theme.merged_into is None:
            break
        name = theme.merged_into
    return name


def _placed(
    ids: Sequence[str | None], known: Mapping[str, Theme], *, level: int
) -> tuple[tuple[Theme, ...], NDArray[np.int64]]:
    """The active themes of a level by falling size, and the place among them of each document's theme, or -1."""
    standing = {name: _standing(name, known) for name in {name for name in ids if name is not None}}
    sizes = dict.fromkeys((t.id for t in known.values() if t.level == level and t.status == "active"), 0)
    for name in ids:
        if name is not None and standing[name] in sizes:
            sizes[standing[name]] += 1
    order = sorted(sizes, key=lambda name: -sizes[name])
    place = {name: i for i, name in enumerate(order)}
    found = [-1 if name is None else place.get(standing[name], -1) for name in ids]
    return tuple(replace(known[name], size=sizes[name]) for name in order), np.array(found, np.int64)


def _trend(about: Mapping[str, Any], periods: int) -> Trend:
    counts, shares = tuple(int(c) for c in about["counts"]), tuple(_finite(s) or 0.0 for s in about["shares"])
    if not len(counts) == len(shares) == periods:
        raise ValueError(f"{len(shares)} shares and {len(counts)} counts for {periods} periods")
    return Trend(
        counts, shares, _finite(about.get("slope")), _finite(about.get("p")), str(about.get("direction", "steady"))
    )


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
