"""A topic -> the fields of its row, in order, and the row as one line of JSON."""

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from topicgen.config import WriterSettings
from topicgen.records import PassageTopic, Topic

OWN_FIELDS = ("id", "topic", "score", "status", "topics", "source", "position", "passages", "text")
"""The fields that topicgen itself may write; a kept column with one of these names gets the prefix ``input_``."""

_SCORE_DIGITS = 4


def kept_fields(keep: Iterable[str], own: Iterable[str] = OWN_FIELDS) -> dict[str, str]:
    """Returns the field that each kept column is written to; ``own`` are the fields that are taken."""
    fields: dict[str, str] = {}
    taken = set(own)
    for column in dict.fromkeys(keep):
        field = column
        while field in taken:
            field = f"input_{field}"
        fields[column] = field
        taken.add(field)
    return fields


def field_names(settings: WriterSettings) -> list[str]:
    """Returns the fields of every row, in order."""
    several = ["topics"] if settings.several else []
    passages = ["passages"] if settings.passages else []
    text = ["text"] if settings.with_text else []
    kept = kept_fields(settings.keep).values()
    return ["id", "topic", "score", "status", *several, "source", "position", *passages, *kept, *text]


def topic_row(topic: Topic, settings: WriterSettings, kept: Mapping[str, str]) -> dict[str, Any]:
    """Returns the row of a topic; ``kept`` comes from ``kept_fields``."""
    row: dict[str, Any] = {
        "id": topic.id,
        "topic": topic.topic,
        "score": _rounded(topic.score),
        "status": topic.status,
    }
    if settings.several:
        row["topics"] = [{"topic": ranked.topic, "score": _rounded(ranked.score)} for ranked in topic.topics]
    row["source"] = topic.source
    row["position"] = topic.position
    if settings.passages:
        row["passages"] = [_passage(merged) for merged in topic.passages] or None
    for column, field in kept.items():
        row[field] = topic.columns.get(column)
    if settings.with_text:
        row["text"] = topic.text
    return row


def _passage(merged: PassageTopic) -> dict[str, Any]:
    return {
        "topic": merged.topic,
        "weight": _rounded(merged.weight),
        "score": _rounded(merged.score),
        "offset": merged.offset,
        "length": merged.length,
    }


def json_text(value: Any) -> str:
    """Returns strict JSON on one line: numbers that JSON lacks become null, unknown types their text form."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=str)
    except ValueError:
        return json.dumps(_finite(value), ensure_ascii=False, allow_nan=False, default=str)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value


def _rounded(score: float | None) -> float | None:
    return None if score is None else round(score, _SCORE_DIGITS)
