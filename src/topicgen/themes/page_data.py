"""A collection of themes in, the data block of its page out: columns that the script draws, filters and lists."""

import datetime
import math
import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topicgen.html import safe_json
from topicgen.themes.page_folder import Collection, Documents, Trend
from topicgen.themes.records import Theme

TEXT_LIMIT = 200
"""Characters of a document that the page holds."""

NAME_LIMIT = 120
"""Characters of an id, a topic or a name that the page holds."""

TEXT_BYTES = 24_000_000
"""Texts beyond this sum are left out, so that the page stays below 40 MB."""

DOCUMENT_LIMIT = 150_000
"""Of more documents the page holds an even sample; counts and trends are over all."""

COLOURS = 10
"""Colours of the page's palette; themes that share one lie far apart on the map."""

_GRID = 65_535  # coordinates as whole numbers: a third of the bytes, finer than any screen


def page_data(collection: Collection) -> dict[str, Any]:
    """The themes, the sub-themes, the documents as columns, and the trends; parents and themes are positions."""
    documents = collection.documents
    shown = sample(len(documents.ids))
    places = [_middle(documents.xy[documents.theme == i]) for i in range(len(collection.themes))]
    subplaces = [_middle(documents.xy[documents.subtheme == i]) for i in range(len(collection.subthemes))]
    position = {theme.id: i for i, theme in enumerate(collection.themes)}
    total = len(documents.ids)
    colours = colouring(places)
    return {
        "themes": [
            {**_theme(theme, place, total), "colour": colour}
            for theme, place, colour in zip(collection.themes, places, colours, strict=True)
        ],
        "subthemes": [
            {**_theme(theme, place, total), "parent": position[theme.parent]}
            for theme, place in zip(collection.subthemes, subplaces, strict=True)
            if theme.parent in position
        ],
        "documents": _columns(collection, shown),
        "total": total,
        "trends": _trends(collection, position),
    }


def sample(count: int, limit: int | None = None) -> NDArray[np.int64]:
    """Positions of the documents that the page holds: all, or ``limit`` of them in even steps."""
    limit = DOCUMENT_LIMIT if limit is None else limit
    return np.arange(count) if count <= limit else (np.arange(limit) * count // limit).astype(np.int64)


def cut(text: str, limit: int) -> str:
    """The first characters of a text on one line, with a mark where something is left out."""
    line = " ".join(text[: 8 * limit].split())
    return line if len(line) <= limit and len(text) <= 8 * limit else line[:limit].rstrip() + "…"


def excerpts(texts: Sequence[str | None], scores: Sequence[float], budget: int | None = None) -> list[str | None]:
    """The texts, cut; beyond ``budget`` bytes in all, documents least like their theme (lowest score) go without."""
    left = TEXT_BYTES if budget is None else budget
    found: list[str | None] = [None] * len(texts)
    for i in sorted(range(len(texts)), key=lambda i: (-scores[i], i)):
        text = texts[i]
        if text is not None:
            short = cut(text, TEXT_LIMIT)
            left -= len(safe_json(short).encode("utf-8", "replace"))
            if left < 0:
                break
            found[i] = short
    return found


def colouring(places: Sequence[tuple[float, float]]) -> list[int]:
    """A colour for each place: the largest theme first, each takes the colour whose nearest bearer is farthest away."""
    found: list[int] = []
    for x, y in places:
        nearest = [math.inf] * COLOURS
        for (other_x, other_y), colour in zip(places, found, strict=False):
            nearest[colour] = min(nearest[colour], math.hypot(x - other_x, y - other_y))
        found.append(nearest.index(max(nearest)))
    return found


def period_of(dates: Iterable[datetime.date | None], unit: str, periods: Sequence[str]) -> list[int] | None:
    """The position of each date among the periods, -1 without a date or a period; None where periods are no dates."""
    try:
        starts = [period_start(period, unit) for period in periods]
    except ValueError:
        return None
    return [-1 if date is None else bisect_right(starts, date) - 1 for date in dates]


def period_start(period: str, unit: str) -> datetime.date:
    """The first day of ``2021``, ``2021-Q2``, ``2021-04``, ``2021-W07`` or ``2021-04-30``; raises ValueError."""
    numbers = [int(number) for number in re.findall(r"\d+", period)]
    if len(numbers) == 3:
        return datetime.date(*numbers)
    if len(numbers) == 1:
        return datetime.date(numbers[0], 1, 1)
    year, number = numbers  # no number at all, or four, is a ValueError too
    if unit == "week":
        return datetime.date.fromisocalendar(year, number, 1)
    return datetime.date(year, 3 * number - 2 if unit == "quarter" else number, 1)


def _middle(points: NDArray[np.float64]) -> tuple[float, float]:
    """Where the name of a theme stands: the median of its documents, which a few far ones do not move."""
    if not len(points):
        return 0.5, 0.5
    x, y = np.median(points, axis=0)
    return round(float(x), 4), round(float(y), 4)


def _theme(theme: Theme, place: tuple[float, float], total: int) -> dict[str, Any]:
    return {
        "id": theme.id,
        "name": cut(theme.name, NAME_LIMIT) or theme.id,
        "size": theme.size,
        "share": round(theme.size / total, 5) if total else 0,
        "topics": [cut(topic, NAME_LIMIT) for topic in theme.topics[:10]],
        "born": theme.born,
        "place": place,
    }


def _columns(collection: Collection, shown: NDArray[np.int64]) -> dict[str, Any]:
    documents = collection.documents
    scores = documents.scores[shown]
    sources = {source: i for i, source in enumerate(dict.fromkeys(documents.sources[i] for i in shown))}
    dates = [documents.dates[i] for i in shown]
    dated = any(date is not None for date in dates)
    # Positions among all sub-themes -> among those listed, which leave out sub-themes of unknown themes.
    listed = {theme.id for theme in collection.themes}
    kept = np.cumsum([theme.parent in listed for theme in collection.subthemes]) - 1
    place = [int(kept[i]) if theme.parent in listed else -1 for i, theme in enumerate(collection.subthemes)] + [-1]
    return {
        "id": [cut(documents.ids[i], NAME_LIMIT) for i in shown],
        "topic": [cut(documents.topics[i], NAME_LIMIT) for i in shown],
        "text": excerpts([documents.texts[i] for i in shown], scores.tolist()),
        "source": [sources[documents.sources[i]] for i in shown],
        "sources": list(sources),
        "position": [documents.positions[i] for i in shown],
        "theme": documents.theme[shown].tolist(),
        "subtheme": [place[i] for i in documents.subtheme[shown]],
        "x": _coordinates(documents, shown, 0),
        "y": _coordinates(documents, shown, 1),
        "score": np.round(scores, 3).tolist(),
        "date": [None if date is None else date.isoformat() for date in dates] if dated else None,
        "period": period_of(dates, collection.unit, collection.periods) if dated and collection.periods else None,
    }


def _coordinates(documents: Documents, shown: NDArray[np.int64], axis: int) -> list[int]:
    found: list[int] = np.round(documents.xy[shown, axis] * _GRID).astype(int).tolist()
    return found


def _trends(collection: Collection, position: dict[str, int]) -> dict[str, Any] | None:
    if not collection.periods:
        return None
    themes = [_trend(position[name], trend) for name, trend in collection.trends.items() if name in position]
    return {"unit": collection.unit, "periods": list(collection.periods), "themes": themes}


def _trend(theme: int, trend: Trend) -> dict[str, Any]:
    return {
        "theme": theme,
        "counts": list(trend.counts),
        "shares": [round(share, 5) for share in trend.shares],
        "slope": trend.slope,
        "p": trend.p,
        "direction": trend.direction,
    }
