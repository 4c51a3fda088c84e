"""A collection of themes in, a report in Markdown out; texts of the collection stay text."""

import re
from collections.abc import Iterator

import numpy as np

from topicgen.themes.page import counted, facts, percent
from topicgen.themes.page_data import NAME_LIMIT, TEXT_LIMIT, cut
from topicgen.themes.page_folder import Collection, Trend
from topicgen.themes.records import Theme

EXAMPLES = 3
"""Example documents of a theme: those most like it, one of a topic."""

_MARKUP = re.compile(
    r"[\\`*_\[\]|~$@]|^[-#+=>:]|(?<=^www)\.|(?<=\Wwww)\.|:(?=//)|(?<=^\d)[.)]|(?<=^\d\d)[.)]", re.IGNORECASE
)
_HTML = {"&": "&amp;", "<": "&lt;", "\0": "\ufffd"}
_DIRECTIONS = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def escaped(text: str, limit: int = NAME_LIMIT) -> str:
    """A text on one line in which no character is markup, and none turns the direction of what follows.

    Links, too, are broken: renderers make some of ``www.`` and ``user@``.
    """
    line = _DIRECTIONS.sub("", cut(text, limit))
    return re.sub("[&<\0]", lambda found: _HTML[found[0]], _MARKUP.sub(r"\\\g<0>", line))


def render_markdown(collection: Collection) -> str:
    """The report: facts, a table of themes, what rises and falls, and each theme with its documents."""
    lines = [*_head(collection), *_table(collection)]
    if collection.periods:
        lines += _changes(collection)
    for i, theme in enumerate(collection.themes):
        lines += _theme(collection, i, theme)
    return "\n".join(lines).encode("utf-8", "replace").decode() + "\n"


def _head(collection: Collection) -> Iterator[str]:
    yield f"# {counted(len(collection.themes), 'theme')} in {counted(len(collection.documents.ids), 'document')}"
    yield ""
    yield from (f"- {label}: {escaped(value)}" for label, value in facts(collection))
    yield ""


def _table(collection: Collection) -> Iterator[str]:
    yield "## Themes"
    yield ""
    yield "| Theme | Id | Documents | Share | Central topics |"
    yield "| --- | --- | ---: | ---: | --- |"
    for theme in collection.themes:
        topics = "; ".join(escaped(topic) for topic in theme.topics[:3])
        share = _share(collection, theme)
        yield f"| {escaped(theme.name)} | {escaped(theme.id)} | {theme.size:,} | {share} | {topics} |"
    yield ""


def _changes(collection: Collection) -> Iterator[str]:
    yield "## Over time"
    yield ""
    yield (
        f"Share of each theme by {escaped(collection.unit)}, from {escaped(collection.periods[0])} to "
        f"{escaped(collection.periods[-1])}."
    )
    yield ""
    yield "| Theme | Direction | First share | Last share | Points per period | p |"
    yield "| --- | --- | ---: | ---: | ---: | ---: |"
    order = {"rising": 0, "falling": 1}
    found = [(theme, collection.trends[theme.id]) for theme in collection.themes if theme.id in collection.trends]
    for theme, trend in sorted(found, key=lambda pair: order.get(pair[1].direction, 2)):
        yield (
            f"| {escaped(theme.name)} | {escaped(trend.direction)} | {percent(trend.shares[0])} | "
            f"{percent(trend.shares[-1])} | {_slope(trend)} | {_p(trend.p)} |"
        )
    yield ""


def _theme(collection: Collection, place: int, theme: Theme) -> Iterator[str]:
    yield f"## {escaped(theme.name)}"
    yield ""
    yield f"{theme.size:,} documents, {_share(collection, theme)}. {'; '.join(map(escaped, theme.topics))}"
    yield ""
    for sub in collection.subthemes:
        if sub.parent == theme.id:
            topics = f": {'; '.join(map(escaped, sub.topics[:3]))}" if sub.topics else ""
            yield f"- **{escaped(sub.name)}**, {sub.size:,} documents{topics}"
    yield ""
    documents = collection.documents
    for i in _examples(collection, place):
        text = documents.texts[i]
        where = f"{escaped(documents.sources[i])}, {documents.positions[i]:,}" if documents.sources[i] else ""
        yield f"> **{escaped(documents.topics[i])}**{f' ({where})' if where else ''}{'  ' if text else ''}"
        if text:
            yield f"> {escaped(text, TEXT_LIMIT)}"
        yield ""


def _examples(collection: Collection, place: int) -> list[int]:
    """Positions of the documents most like the theme, each with another topic."""
    members = np.flatnonzero(collection.documents.theme == place)
    ranked = members[np.argsort(-collection.documents.scores[members], kind="stable")]
    found: dict[str, int] = {}
    for i in ranked.tolist():
        found.setdefault(collection.documents.topics[i].casefold(), i)
        if len(found) == EXAMPLES:
            break
    return list(found.values())


def _share(collection: Collection, theme: Theme) -> str:
    total = len(collection.documents.ids)
    return percent(theme.size / total) if total else "–"


def _slope(trend: Trend) -> str:
    return "–" if trend.slope is None else f"{100 * trend.slope:+.2f}".replace("-", "−")


def _p(value: float | None) -> str:
    return "–" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"
