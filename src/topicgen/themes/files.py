"""A registry in, the files of a themes folder out: the registry's own, and tables for people."""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from topicgen.themes.records import Theme
from topicgen.themes.registry import Registry
from topicgen.themes.state import CENTROIDS, DOCUMENTS, REGISTRY, SPACE
from topicgen.themes.trends import Trends, trends_of

THEMES_TABLE, TRENDS_TABLE, TRENDS = "themes.csv", "trends.csv", "trends.json"
REPORTS = ("report.html", "report.md")
FILES = (REGISTRY, SPACE, CENTROIDS, DOCUMENTS, THEMES_TABLE, TRENDS_TABLE, TRENDS, *REPORTS)

_FIELDS = ("id", "name", "level", "parent", "size", "share", "born", "topics")


def write_files(folder: Path, registry: Registry) -> None:
    """Writes all files but the report into an empty folder; those of trends only when there are dates.

    Raises:
        OSError: When the disk is full, or the like.
    """
    registry.save(folder)
    _write_table(
        folder / THEMES_TABLE, _FIELDS, ({**r, "topics": "; ".join(r["topics"])} for r in theme_rows(registry))
    )
    trends = registry_trends(registry)
    if trends is not None:
        (folder / TRENDS).write_text(json.dumps(trends.as_dict(), indent=1) + "\n", encoding="utf-8")
        _write_table(folder / TRENDS_TABLE, ("period", "theme", "documents", "share"), _trend_rows(trends))


def theme_rows(registry: Registry) -> list[dict[str, Any]]:
    """One row for each active theme, the largest first, each followed by its sub-themes."""
    total = len(registry.documents)
    below: dict[str | None, list[Theme]] = {}
    for theme in registry.active(2):
        below.setdefault(theme.parent, []).append(theme)
    ordered = [row for theme in registry.active(1) for row in (theme, *below.get(theme.id, ()))]
    return [
        {
            "id": theme.id,
            "name": theme.name,
            "level": theme.level,
            "parent": theme.parent,
            "size": theme.size,
            "share": round(theme.size / max(1, total), 6),
            "born": theme.born,
            "topics": list(theme.topics),
        }
        for theme in ordered
    ]


def registry_trends(registry: Registry) -> Trends | None:
    """The trends of the active themes of the first level."""
    documents = registry.documents
    order = [theme.id for theme in registry.active(1)]
    return trends_of([row.member.date for row in documents], [row.theme for row in documents], order)


def _trend_rows(trends: Trends) -> Iterable[Mapping[str, Any]]:
    for number, period in enumerate(trends.periods):
        for theme, trend in trends.themes.items():
            count, share = trend.counts[number], trend.shares[number]
            yield {"period": period, "theme": theme, "documents": count, "share": share}


def _write_table(path: Path, fields: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="", errors="backslashreplace") as stream:
        writer = csv.DictWriter(stream, fields, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
