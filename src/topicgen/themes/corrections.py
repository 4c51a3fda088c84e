"""What a person says about the themes in, a corrected registry out; corrections hold in all later updates."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from topicgen.errors import UserError
from topicgen.phrase import folded
from topicgen.themes.records import Theme
from topicgen.themes.registry import Registry
from topicgen.themes.updates import with_event

_LONGEST_NAME = 200  # characters
_SHOWN = 5


def rename(registry: Registry, identifier: str, name: str) -> Theme:
    """Gives a theme a name, which it keeps.

    Raises:
        UserError: When there is no such theme, it is pinned, or its level has the name already.
    """
    theme = _known(registry, identifier)
    _refuse_pinned(registry, theme)
    name = " ".join(name.split())
    if not any(c.isalnum() for c in name) or len(name) > _LONGEST_NAME:
        raise UserError(f"a name needs a letter or digit and at most {_LONGEST_NAME} characters, not {name[:40]!r}")
    for other in registry.active(theme.level):
        if other.id != theme.id and folded(other.name) == folded(name):
            raise UserError(f"{other.id} is called {other.name!r} already; names are unique, or merge the two")
    changed = with_event(theme, registry.number, "renamed", before=theme.name, name=name)
    registry.themes[theme.id] = replace(changed, name=name, named_by="person")
    registry.corrections.append({"kind": "rename", "theme": theme.id, "name": name, "update": registry.number})
    return registry.themes[theme.id]


def merge(registry: Registry, source: str, target: str) -> Theme:
    """Merges a theme into another, which gets its documents and its sub-themes, now and later.

    Raises:
        UserError: When there is no such theme, it is pinned, both are one, or they are of different levels or parents.
    """
    gone, kept = _known(registry, source), _known(registry, target)
    if gone.id == kept.id:
        raise UserError(f"{gone.id} cannot be merged into itself; name two themes")
    if (gone.level, gone.parent) != (kept.level, kept.parent):
        raise UserError(f"{gone.id} and {kept.id} cannot be merged: two themes, or two sub-themes of one theme, can")
    for theme in (gone, kept):
        _refuse_pinned(registry, theme)
    number, size = registry.number, gone.size
    topics = tuple(dict.fromkeys([*kept.topics, *gone.topics]))[:10]
    grown = with_event(kept, number, "merged", source=gone.id, documents=size)
    registry.themes[kept.id] = replace(grown, size=kept.size + size, topics=topics)
    ended = with_event(gone, number, "merged", into=kept.id, documents=size)
    registry.themes[gone.id] = replace(ended, status="merged", merged_into=kept.id, size=0)
    for theme in list(registry.themes.values()):
        if theme.parent == gone.id:
            registry.themes[theme.id] = replace(theme, parent=kept.id)
    for index, row in enumerate(registry.documents):
        if row.theme == gone.id:
            registry.documents[index] = replace(row, theme=kept.id)
        elif row.subtheme == gone.id:
            registry.documents[index] = replace(row, subtheme=kept.id)
    registry.corrections.append({"kind": "merge", "theme": gone.id, "into": kept.id, "update": number})
    return registry.themes[kept.id]


def move(registry: Registry, document: str, identifier: str) -> Theme:
    """Moves a document to a theme, or a sub-theme, where it stays.

    Raises:
        UserError: When there is no such document or theme, or the document is there already.
    """
    theme = _known(registry, identifier)
    index = next((i for i, row in enumerate(registry.documents) if row.member.id == document), None)
    if index is None:
        raise UserError(f"no document {document!r}; ids stand in the column id of documents.parquet")
    row = registry.documents[index]
    if theme.id in (row.theme, row.subtheme):
        raise UserError(f"document {document!r} is in {theme.id} already")
    subtheme = theme if theme.level == 2 else _nearest_below(registry, theme, row.member.topic, row.member.text)
    parent = str(subtheme.parent)
    for source, target, unit in ((row.theme, parent, 1), (row.subtheme, subtheme.id, 1)):
        if source != target:
            left, entered = registry.themes[source], registry.themes[target]
            event: dict[str, Any] = {"update": registry.number, "event": "moved", "document": document}
            registry.themes[source] = replace(
                left, size=left.size - unit, history=(*left.history, {**event, "to": target})
            )
            registry.themes[target] = replace(
                entered, size=entered.size + unit, history=(*entered.history, {**event, "from": source})
            )
    registry.documents[index] = replace(row, theme=parent, subtheme=subtheme.id)
    registry.corrections.append(
        {"kind": "move", "document": document, "theme": theme.id, "from": row.theme, "update": registry.number}
    )
    return registry.themes[theme.id]


def pin(registry: Registry, identifier: str, on: bool = True) -> Theme:
    """Keeps a theme from being renamed or merged, and from losing documents to new themes; or ends that.

    Raises:
        UserError: When there is no such theme.
    """
    theme = _known(registry, identifier)
    registry.corrections.append({"kind": "pin", "theme": theme.id, "on": on, "update": registry.number})
    return theme


def labelled_examples(registry: Registry, *, corrected: bool = False) -> Iterator[dict[str, str]]:
    """Documents with the name of their theme as topic, as ``topicgen train`` reads them; those without text are not.

    Args:
        registry: The registry.
        corrected: Only documents that were moved, and those of themes that a person renamed, merged or pinned. What a
            person said of a sub-theme says nothing of the theme's name.
    """
    moved = {c["document"] for c in registry.corrections if c["kind"] == "move"}
    touched = {c["theme"] for c in registry.corrections if c["kind"] == "rename"} | registry.pinned
    touched |= {registry.target(c["into"]).id for c in registry.corrections if c["kind"] == "merge"}
    for row in registry.documents:
        about = row.member.id in moved or row.theme in touched
        if row.member.text.strip() and (about or not corrected):
            name = registry.themes[row.theme].name
            yield {"id": row.member.id, "text": row.member.text, "topic": name, "theme": row.theme}


def _known(registry: Registry, identifier: str) -> Theme:
    theme = registry.themes.get(identifier)
    if theme is None:
        ids = [t.id for t in registry.active()]
        more = f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
        raise UserError(f"no theme {identifier!r}; there are {', '.join(ids[:_SHOWN])}{more}")
    if theme.status != "active":
        raise UserError(f"{identifier} was merged into {registry.target(identifier).id}; name that one")
    return theme


def _refuse_pinned(registry: Registry, theme: Theme) -> None:
    if theme.id in registry.pinned:
        raise UserError(
            f"{theme.id} is pinned, so it is never renamed or merged; `pin FOLDER {theme.id} --off` ends that"
        )


def _nearest_below(registry: Registry, theme: Theme, topic: str, text: str) -> Theme:
    """The sub-theme of a theme that is nearest to a document."""
    rows = registry.subrows.get(theme.id)
    if rows is None:  # all its documents left
        return next(below for below in registry.active(2) if below.parent == theme.id)
    row, _ = registry.subcentroids.nearest(registry.space.encode([topic], [text]), rows)
    return registry.target(registry.subcentroids.ids[int(row[0])])
