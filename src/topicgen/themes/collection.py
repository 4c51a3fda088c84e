"""Run files of ``topicgen generate``, or tables like them, in; documents with their topics out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from topicgen.columns import USUAL_NAMES
from topicgen.config import ReaderSettings
from topicgen.errors import UserError
from topicgen.labelled import cell_text
from topicgen.reader import Problems, column_names, read_documents
from topicgen.records import Document
from topicgen.themes.dates import read_dates
from topicgen.themes.records import Member

TOPIC_NAMES = ("topic", "prediction", "predicted", "output")
TEXT_NAMES = ("text", "input_text")
DATE_NAMES = ("date", "published", "created_at", "timestamp", "year")
RUN_COLUMNS = ("id", "status", "source", "position")
LONGEST_TOPIC = 500  # characters; a topic is a phrase
_FAILED = ("failed", "error")

Notify = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class CollectionColumns:
    """Columns of a run file; None takes those with a usual name."""

    topic: str | None = None
    text: str | None = None
    date: str | None = None
    labels: tuple[str, ...] = ()


@dataclass
class Collection:
    """What was read, and what was left out of it.

    Attributes:
        members: The documents with a topic, in the order of the inputs.
        empty: Rows whose document had no text.
        failed: Rows without a topic although their document had text.
        undated: Members without a readable date, where there is a date column.
        dated: Whether there is a date column.
    """

    members: list[Member] = field(default_factory=list)
    empty: int = 0
    failed: int = 0
    undated: int = 0
    dated: bool = False

    @property
    def without_text(self) -> int:
        """Members that are placed by their topic alone."""
        return sum(not member.text.strip() for member in self.members)

    def summary(self) -> list[str]:
        """Lines for people: what was left out or is unknown."""
        counts = {
            "{} left out: no text, so no topic": self.empty,
            "{} left out: no topic": self.failed,
            "{} without text: placed by the topic alone": self.without_text,
            "{} without a readable date: in no trend": self.undated,
        }
        return [
            form.format(f"{count:,} {'document' if count == 1 else 'documents'}")
            for form, count in counts.items()
            if count
        ]


@dataclass(frozen=True, slots=True)
class _Chosen:
    topic: str
    text: str | None
    date: str | None
    labels: tuple[str, ...]
    run: frozenset[str]


def read_collection(
    inputs: Sequence[str],
    columns: CollectionColumns,
    problems: Problems,
    notify: Notify,
    reading: ReaderSettings | None = None,
) -> Collection:
    """Reads the documents of all inputs; bad rows, and ids that an earlier input had, go to ``problems``.

    Raises:
        UserError: When a file cannot be read, or a column is missing or cannot be guessed.
    """
    found = Collection()
    reading = reading or ReaderSettings()
    seen: set[str] = set()
    for path in inputs:
        names = column_names(path, replace(reading, keep=_wanted(columns)))
        if not names:
            continue
        chosen = _choose(path, names, columns, notify)
        _read(path, chosen, reading, problems, notify, found, seen)
    return found


def _wanted(columns: CollectionColumns) -> tuple[str, ...]:
    """The columns that a sample of JSON lines is searched for."""
    given = [name for name in (columns.topic, columns.text, columns.date) if name is not None]
    return (*RUN_COLUMNS, "topic", "text", *given, *columns.labels)


def _choose(path: str, names: Sequence[str], columns: CollectionColumns, notify: Notify) -> _Chosen:
    topic = columns.topic or next((name for name in TOPIC_NAMES if name in names), None)
    if topic is None:
        raise UserError(
            f"{path}: no column of topics; its columns are {', '.join(names[:30])}; use --topic-column, or let"
            " `topicgen generate` write topics first"
        )
    free = [name for name in names if name not in {topic, columns.date, *columns.labels}]
    text = columns.text or next((name for name in TEXT_NAMES if name in free), None)
    if text is None:
        usual = [name for name in free if name.lower() in USUAL_NAMES]
        text = usual[0] if len(usual) == 1 else None
        if text is not None:
            notify(f"text column: {text!r}")
    date = columns.date or next((name for name in DATE_NAMES if name in free), None)
    if date is not None and columns.date is None and date != "date":
        notify(f"date column: {date!r}")
    return _Chosen(topic, text, date, columns.labels, frozenset(name for name in RUN_COLUMNS if name in names))


def _read(
    path: str,
    chosen: _Chosen,
    reading: ReaderSettings,
    problems: Problems,
    notify: Notify,
    found: Collection,
    seen: set[str],
) -> None:
    optional = [name for name in (chosen.text, chosen.date) if name is not None]
    keep = (*optional, *chosen.labels, *sorted(chosen.run - {"id"}))
    settings = replace(reading, text_column=chosen.topic, id_column="id" if "id" in chosen.run else None, keep=keep)
    members: list[Member] = []
    dates: list[Any] = []
    try:
        for document in read_documents([path], settings, problems, notify=notify):
            status = document.columns.get("status")
            topic = " ".join(document.text.split())[:LONGEST_TOPIC]
            if status == "empty":
                found.empty += 1
            elif not topic or status in _FAILED:
                found.failed += 1
            elif document.id in seen:
                where = document.position
                problems.quarantine(path, where, f"an earlier row or input has the id {document.id!r}", document.text)
            else:
                try:
                    members.append(_member(document, topic, chosen))
                except UserError as error:
                    reason = str(error).partition(": ")[2]
                    problems.quarantine(path, document.position, reason, document.text)
                    continue
                dates.append(document.columns.get(chosen.date) if chosen.date else None)
                seen.add(document.id)
    except UserError as error:
        raise UserError(str(error).replace("--text-column", "--topic-column")) from None
    if chosen.date:
        known = read_dates(dates)
        found.dated = True
        found.undated += known.count(None)
        members = [replace(member, date=date) for member, date in zip(members, known, strict=True)]
    found.members += members


def _member(document: Document, topic: str, chosen: _Chosen) -> Member:
    """The member of one row; raises UserError when its text is none."""
    columns = document.columns
    where = f"{document.source}, row {document.position}"
    text = cell_text(columns.get(chosen.text), chosen.text, where) if chosen.text else ""
    source, position = columns.get("source"), columns.get("position")
    return Member(
        id=document.id,
        topic=topic,
        text=text,
        source=source if isinstance(source, str) and source else document.source,
        position=_whole(position, document.position),
        labels={name: _label(columns, name) for name in chosen.labels},
    )


def _whole(value: Any, instead: int) -> int:
    """A cell as a whole number of 63 bits; CSV holds it as text."""
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        return instead
    return number if 0 <= number < 2**63 else instead


def _label(columns: Mapping[str, Any], name: str) -> str:
    value = columns.get(name)
    return "" if value is None or value != value else str(value)
