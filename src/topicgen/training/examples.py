"""Labelled files, folders and hub data sets in; examples for training, validation and test out.

The split is what the names of files or of a data set's splits say; what they leave open, a seeded hash of the text
decides, so that copies of a text never stand on both sides.
"""

import hashlib
import json
import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from topicgen.columns import Header, choose_columns
from topicgen.config import ReaderSettings
from topicgen.errors import UserError
from topicgen.extras import require
from topicgen.ids import derived_id
from topicgen.labelled import REFERENCE_NAMES, Notify, cell_text, once, with_topic
from topicgen.reader import Problems, column_names, read_documents
from topicgen.records import Example
from topicgen.sources import FORMATS, Source, find_sources
from topicgen.training.settings import TrainingSettings

Part = Literal["train", "validation", "test"]

PART_NAMES: dict[str, Part] = {"train": "train", "test": "test"}
PART_NAMES.update(dict.fromkeys(("validation", "valid", "val", "dev"), "validation"))
_SHARD = re.compile(r"-\d+-of-\d+$")
_HUB_ID = re.compile(r"\w[\w.-]{0,95}/\w[\w.-]{0,95}", re.ASCII)
_STRINGS = ("string", "large_string", "string_view")


@dataclass(frozen=True, slots=True)
class ExampleSplit:
    """Examples with a text and one reference each; no text stands in two of the lists.

    Attributes:
        train: Examples to learn from; never empty.
        validation: Examples to choose a checkpoint by; may be empty.
        test: Examples that training never reads; may be empty.
        left_out: How many rows were left out, by reason: ``without text``, ``without topic``, ``repeated``.
        fingerprint: SHA-256 over texts, topics and the split, in order: the identity of the data.
    """

    train: list[Example]
    validation: list[Example]
    test: list[Example]
    left_out: dict[str, int]
    fingerprint: str


@dataclass(frozen=True, slots=True)
class LabelledTable:
    """One file, or one split of a data set.

    Attributes:
        name: What people know it by.
        part: What its name says it is for, if anything.
        asked_for: Whether the user named this very table, rather than what it lies in.
        rows: Reads all rows, also those without text or topic.
    """

    name: str
    part: Part | None
    asked_for: bool
    rows: Callable[[], Iterator[Example]]


def read_examples(
    inputs: Sequence[str],
    settings: TrainingSettings,
    problems: Problems,
    notify: Notify,
    reading: ReaderSettings | None = None,
) -> ExampleSplit:
    """Reads labelled tables: files, folders and ids of data sets on the hub.

    Raises:
        UserError: When an input cannot be read, a column not be guessed, or nothing is left to train on.
    """
    reading = reading or ReaderSettings()
    topic = (settings.topic_column,) if settings.topic_column else ()
    reading = replace(reading, text_column=settings.text_column or reading.text_column, keep=topic)
    notify = once(notify)
    hub_ids = [name for name in inputs if _is_hub_id(name)]
    paths = [name for name in inputs if name not in hub_ids]
    tables = file_tables(paths, reading, problems, notify) if paths or not hub_ids else []
    for name in hub_ids:
        notify(f"{name}: from the hub")
        tables += dataset_tables(name, load_hub_dataset(name), reading, notify)
    return divide(tables, settings, problems, notify)


def file_tables(
    inputs: Sequence[str], reading: ReaderSettings, problems: Problems, notify: Notify
) -> list[LabelledTable]:
    """The tables among files and folders; texts in folders, such as a README, are no tables.

    ``reading`` names the column of the text, and keeps that of the topic; without them they are guessed.
    """
    named = {Path(name) for name in inputs}
    tables = []
    for source in find_sources(inputs, reading):
        asked_for = source.path is None or source.path in named
        if source.format == "text" and not asked_for:
            notify(f"{source.name}: no table; left out")
            continue
        stem = _SHARD.sub("", Path(source.name.lower().removesuffix(".gz")).stem)
        rows = partial(_file_rows, source, reading, problems, notify)
        tables.append(LabelledTable(source.name, PART_NAMES.get(stem), asked_for, rows))
    return tables


def _file_rows(source: Source, reading: ReaderSettings, problems: Problems, notify: Notify) -> Iterator[Example]:
    path = str(source.path or source.name)
    # The usual names are asked for, so that rows of JSON lines are sampled until one has a topic.
    names = column_names(path, replace(reading, keep=reading.keep or REFERENCE_NAMES))
    chosen = with_topic(source.name, names, reading, notify) if names else reading
    for document in read_documents([path], chosen, problems, notify=notify):
        where = f"{document.source}, row {document.position}"
        yield _example(document.id, document.text, document.columns, chosen.keep[0], where)


def _example(identifier: str, text: str, values: Mapping[str, Any], topic: str, where: str) -> Example:
    line = " ".join(cell_text(values.get(topic), topic, where).split())
    return Example(identifier, text, (line,) if line else ())


def _is_hub_id(name: str) -> bool:
    # A table that is missing must not be sought on the hub.
    suffix = Path(name.lower().removesuffix(".gz")).suffix
    return bool(_HUB_ID.fullmatch(name)) and suffix not in FORMATS and not Path(name).exists()


def load_hub_dataset(name: str) -> Mapping[str, Any]:
    """The splits of a data set on the hub, downloaded once; raises UserError when that fails."""
    datasets = require("datasets", "train")
    log = logging.getLogger("huggingface_hub")  # its own words of each attempt are raw errors
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        splits: Mapping[str, Any] = datasets.load_dataset(name)
    except Exception as error:  # noqa: BLE001 - network, permission and format errors of several libraries
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
            reason += "; HF_HUB_OFFLINE is set"
        raise UserError(f"data set {name!r} is no file or folder here and cannot be downloaded: {reason}") from None
    finally:
        log.setLevel(level)
    return splits


def dataset_tables(
    name: str, splits: Mapping[str, Any], reading: ReaderSettings, notify: Notify
) -> list[LabelledTable]:
    """The tables of a ``datasets.DatasetDict``; ``reading`` names columns as for files."""
    tables = []
    for split, data in splits.items():
        rows = partial(_dataset_rows, f"{name}/{split}", data, replace(reading, id_column=None), notify)
        tables.append(LabelledTable(f"{name}/{split}", PART_NAMES.get(split.lower()), False, rows))
    return tables


def _dataset_rows(name: str, data: Any, reading: ReaderSettings, notify: Notify) -> Iterator[Example]:
    kinds = {column: data.features[column] for column in data.column_names}
    strings = [column for column, kind in kinds.items() if getattr(kind, "dtype", None) in _STRINGS]
    others = {column: str(kind) for column, kind in kinds.items() if column not in strings}
    chosen = with_topic(name, list(kinds), reading, notify)
    columns = choose_columns(name, Header(list(kinds), strings, others), chosen, notify)
    for position, row in enumerate(data.select_columns(columns.needed), 1):
        text = (row[columns.text] or "")[: reading.max_characters]
        yield _example(derived_id(name, position), text, row, chosen.keep[0], f"{name}, row {position}")


def divide(
    tables: Sequence[LabelledTable], settings: TrainingSettings, problems: Problems, notify: Notify
) -> ExampleSplit:
    """Reads all tables and puts each example into one part; raises UserError when nothing is left to train on.

    A text of the test is dropped from validation and training, one of validation from training.
    """
    rows: Counter[str] = Counter()
    left_out: Counter[str] = Counter()
    found: dict[Part, list[Example]] = {"test": [], "validation": [], "train": []}
    for part, example in _parted(tables, settings, notify):
        rows["rows"] += 1
        if not example.text.strip() or not example.references:
            left_out["without topic" if example.text.strip() else "without text"] += 1
        else:
            found[part].append(example)
    _drop_repeated(found, left_out)
    if not found["train"]:
        rows += Counter({"unreadable": problems.quarantined}) + left_out
        rows += Counter({f"for {part}": len(examples) for part, examples in found.items()})
        counts = ", ".join(f"{count} {reason}" for reason, count in rows.items()) or "no row"
        raise UserError(f"no trainable example; found {counts}; rows with a text and a topic are needed")
    digest = hashlib.sha256()
    for part in ("train", "validation", "test"):
        for example in found[part]:
            digest.update(json.dumps([example.text, example.references[0], part]).encode() + b"\n")
    return ExampleSplit(found["train"], found["validation"], found["test"], dict(left_out), digest.hexdigest())


def _parted(
    tables: Sequence[LabelledTable], settings: TrainingSettings, notify: Notify
) -> Iterator[tuple[Part, Example]]:
    """All rows, each with its part: what the table's name says, else what the hash does."""
    given = {table.part for table in tables} - {None}
    for table in tables:
        if given and table.part is None:
            use = "taken for training" if table.asked_for else "left out"
            notify(f"{table.name}: {use}, as others are named for a split")
            if not table.asked_for:
                continue
        for example in table.rows():
            if table.part in ("validation", "test"):
                yield table.part, example
            else:
                yield _part_by_hash(example.text, settings, given), example


def _part_by_hash(text: str, settings: TrainingSettings, given: set[Part | None]) -> Part:
    """The part of a training row, among those that no table is for.

    Test and validation lie at the two ends of the hash, so that a change of one share leaves the other as it is.
    """
    digest = hashlib.sha256(f"{settings.seed}\0{' '.join(text.split())}".encode("utf-8", "replace")).digest()
    place = (int.from_bytes(digest[:8]) >> 11) / 2**53  # 53 bits, or the largest would round to 1
    if place < settings.test_fraction and "test" not in given:
        return "test"
    if place >= 1 - settings.validation_fraction and "validation" not in given:
        return "validation"
    return "train"


def _drop_repeated(found: dict[Part, list[Example]], left_out: Counter[str]) -> None:
    """Keeps one of equal examples, and each text in the first part that has it; parts are in order of precedence."""
    taken: set[bytes] = set()
    for part, examples in found.items():
        kept: dict[tuple[bytes, str], Example] = {}
        for example in examples:
            text = hashlib.sha256(" ".join(example.text.split()).encode("utf-8", "replace")).digest()
            key = (text, example.references[0])
            if text in taken or key in kept:
                left_out["repeated"] += 1
            else:
                kept[key] = example
        taken.update(text for text, _ in kept)
        found[part] = list(kept.values())
