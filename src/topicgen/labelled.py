"""The column names of a labelled table -> the columns of topic and text; a cell -> a topic."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

from topicgen.columns import USUAL_NAMES
from topicgen.config import ReaderSettings
from topicgen.errors import UserError

REFERENCE_NAMES = ("topic", "reference", "label", "target")
_LISTED_NAMES = 30

Notify = Callable[[str], None]


def reference_column(source: str, names: Sequence[str], taken: Collection[str | None], notify: Notify) -> str | None:
    """The column with a usual name for topics, or None; raises UserError when there are several.

    ``notify`` hears of it, unless it is simply called ``topic``.
    """
    usual = [name for name in names if name.lower() in REFERENCE_NAMES and name not in taken]
    if len(usual) > 1:
        raise UserError(f"{source}: which column holds the reference topic? Use --topic-column with {either(usual)}")
    if usual and usual != ["topic"]:
        notify(f"reference topics: {usual[0]!r}")
    return usual[0] if usual else None


def text_column(
    source: str, names: Sequence[str], id_column: str | None, taken: Collection[str | None], notify: Notify
) -> str | None:
    """The only column that can be the text; None leaves the guess to the reader, where only the id is taken.

    Other taken columns must not be mistaken for the text, as the reader could: it knows nothing of topics.

    Raises:
        UserError: When no column is left, or several are.
    """
    others = [name for name in names if name != id_column]
    free = [name for name in others if name not in taken]
    if not free:
        raise UserError(f"{source}: no column is left for the text; its columns are {', '.join(names) or 'none'}")
    usual = [name for name in free if name.lower() in USUAL_NAMES]
    for found, reason in ((free, "the only one left"), (usual, "the only one with a usual name")):
        if len(found) == 1:
            if found[0] != "text":
                notify(f"text column: {found[0]!r} ({reason})")
            return found[0]
    if free == others:
        return None
    raise UserError(f"{source}: which column holds the text? Use --text-column with {either(usual or free)}")


def with_topic(source: str, names: Sequence[str], reading: ReaderSettings, notify: Notify) -> ReaderSettings:
    """The settings with the column of the text, and as the only kept one that of the topic: what is kept, else a guess.

    Raises:
        UserError: When a column cannot be guessed; whether named columns are there is left to the reader.
    """
    text = reading.text_column
    topic = reading.keep[0] if reading.keep else reference_column(source, names, {text}, notify)
    if topic is None:
        hint = " or --delimiter" if len(names) == 1 else ""
        listed = f"its columns are {', '.join(map(repr, names[:_LISTED_NAMES]))}; use --topic-column{hint}"
        raise UserError(f"{source}: no column is called {either(REFERENCE_NAMES)}; {listed}")
    if text is None and topic in names:
        text = text_column(source, names, reading.id_column or "id", {topic}, notify)
    return replace(reading, text_column=text, keep=(topic,))


def either(names: Sequence[str]) -> str:
    """The names as a choice, for people."""
    return " or ".join(names)


def cell_text(value: Any, column: str, where: str) -> str:
    """The text of a cell, without white space around it; raises UserError, naming column and row, for anything else."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise UserError(f"{where}: column {column!r} holds {type(value).__name__}, not text")
    return value.strip()


def once(notify: Notify) -> Notify:
    """Passes each notice on once: many tables of one kind have the same to say."""
    said: set[str] = set()

    def notify_once(notice: str) -> None:
        if notice not in said:
            said.add(notice)
            notify(notice)

    return notify_once
