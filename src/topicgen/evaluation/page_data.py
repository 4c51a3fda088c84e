"""Documents, answers and scores in, the data block of the evaluation page out: what its script draws and lists."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

TEXT_LIMIT = 1000
"""Characters of a document that the page shows."""

EACH_END = 1000
"""With more than twice as many documents, the page lists this many of the worst and of the best."""

BINS = 20

Answers = Mapping[str, Mapping[str, Any]]


def humanise(key: str) -> str:
    """``mean_words`` -> ``Mean words``."""
    return capital(key.replace("_", " ").replace("-", " ").strip())


def capital(text: str) -> str:
    """The text with a capital first letter; ``str.capitalize`` would make the others small."""
    return text[:1].upper() + text[1:]


def page_data(
    evaluation: Mapping[str, Any], documents: Sequence[Mapping[str, Any]], answers: Answers
) -> dict[str, Any]:
    """The listed documents with every system's topics and scores, and the charts over all documents.

    Topics and scores are aligned with ``documents``; a score may be None. Only systems with answers are listed.
    """
    metrics = _metrics(evaluation, answers)
    names = [system["name"] for system in evaluation["systems"] if system["name"] in answers]
    listed = listed_positions(len(documents), _deciding_scores(metrics, names, answers))
    return {
        "documents": [_document(documents[i]) for i in listed],
        "systems": [_system(name, answers[name], listed) for name in names],
        "metrics": [metric for metric in metrics if any(metric["key"] in answers[name]["scores"] for name in names)],
        "charts": [_chart(metric, evaluation["systems"], answers) for metric in metrics],
    }


def listed_positions(count: int, goodness: Sequence[float | None]) -> list[int]:
    """Positions of the documents to list, in their own order: all, or the worst and best by ``goodness``.

    Documents without a score stand between worst and best, and of equal ones the first come first.
    """
    if count <= 2 * EACH_END:
        return list(range(count))
    known = {i: value for i, value in enumerate(goodness) if value is not None and math.isfinite(value)}
    scored = sorted(known, key=lambda i: (known[i], i))
    middle = len(scored) // 2
    order = scored[:middle] + [i for i in range(count) if i not in known] + scored[middle:]
    return sorted(order[:EACH_END] + order[-EACH_END:])


def _deciding_scores(
    metrics: Sequence[Mapping[str, Any]], names: Sequence[str], answers: Answers
) -> list[float | None]:
    """The first system's scores by its first metric, higher is better."""
    for name in names[:1]:
        for metric in metrics:
            if metric["key"] in answers[name]["scores"]:
                sign = -1 if metric["higher_is_better"] is False else 1
                return [None if value is None else sign * value for value in answers[name]["scores"][metric["key"]]]
    return []


def _metrics(evaluation: Mapping[str, Any], answers: Answers) -> list[dict[str, Any]]:
    """The metrics of the tables in their order, then scores that only single documents have."""
    metrics = [{**about, "key": key, "label": capital(about["label"])} for key, about in evaluation["metrics"].items()]
    more = {key: None for answer in answers.values() for key in answer["scores"] if key not in evaluation["metrics"]}
    for key in more:
        values = [value for answer in answers.values() for value in _finite(answer["scores"].get(key, ()))]
        unit = "percent" if all(0 <= value <= 1 for value in values) else "ratio"
        metrics.append({"key": key, "label": humanise(key), "unit": unit, "higher_is_better": None})
    return metrics


def _document(document: Mapping[str, Any]) -> dict[str, Any]:
    text = document["text"]
    return {
        "id": str(document["id"]),
        "text": text if len(text) <= TEXT_LIMIT else text[:TEXT_LIMIT] + "…",
        "references": list(document.get("references") or ()),
        "category": document.get("category"),
    }


def _system(name: str, answer: Mapping[str, Any], listed: Sequence[int]) -> dict[str, Any]:
    scores = {key: [_rounded(values[i]) for i in listed] for key, values in answer["scores"].items()}
    return {"name": name, "topics": [answer["topics"][i] for i in listed], "scores": scores}


def _chart(metric: Mapping[str, Any], systems: Sequence[Mapping[str, Any]], answers: Answers) -> dict[str, Any]:
    """Means with intervals, and histograms on one scale; both only of systems that have them."""
    key = metric["key"]
    measured = {
        system["name"]: _finite(answers[system["name"]]["scores"].get(key, ()))
        for system in systems
        if system["name"] in answers
    }
    values = [value for scores in measured.values() for value in scores]
    low, high = _range(values, shares=metric["unit"] == "percent")
    return {
        **metric,
        "low": low,
        "high": high,
        "intervals": [{"name": s["name"], **s["scores"][key]} for s in systems if s["scores"].get(key)],
        "histograms": [
            {"name": name, "counts": np.histogram(scores, bins=BINS, range=(low, high))[0].tolist()}
            for name, scores in measured.items()
            if scores
        ],
    }


def _range(values: Sequence[float], *, shares: bool) -> tuple[float, float]:
    """The histogram's ends; shares span 0 to 1 even where no document comes near, so that charts compare."""
    ends = [*values, 0.0, 1.0] if shares or not values else values
    low, high = float(min(ends)), float(max(ends))
    return (low, high) if high > low else (low, low + 1)


def _finite(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None and math.isfinite(value)]


def _rounded(value: float | None) -> float | None:
    """Five decimals: far below what the page shows, and half the size of the page."""
    return round(float(value), 5) if value is not None and math.isfinite(value) else None
