"""An evaluation, its documents and every system's answers in; one HTML page that needs nothing else out."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from topicgen.evaluation.page_data import EACH_END, TEXT_LIMIT, Answers, capital, humanise, page_data
from topicgen.html import render

DASH = "–"
_DECIMALS = {"percent": 1, "words": 1, "ratio": 2}
_FILTERS: dict[str, Callable[..., Any]] = {
    "arrow": {True: "↑", False: "↓", None: ""}.get,
    "direction": {True: "higher is better", False: "lower is better", None: "neither is better"}.get,
    "unit": {"percent": "%", "words": "words", "ratio": ""}.get,
    "capital": capital,
}
_SIDE_TABLES = {
    "collection": ("Collection", "What the topics of each system look like taken together."),
    "faithfulness": ("Faithfulness", "How far the words of a topic stand in its document."),
    "stability": ("Stability", "How far the topics stay the same when the input or the order changes."),
}


@dataclass(frozen=True, slots=True)
class Cell:
    """A number of a table: what it sorts by (None: not measured), how it reads, whether it is its column's best."""

    value: float | None = None
    text: str = DASH
    interval: str = ""
    best: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A heading, its explanation, column labels, and one row of cells for each system."""

    title: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]


def render_page(evaluation: Mapping[str, Any], documents: Sequence[Mapping[str, Any]], answers: Answers) -> str:
    """The page of an evaluation: self-contained, no network, the same bytes for the same input.

    ``documents`` are aligned with the topics and scores in ``answers``. Texts are cut to ``TEXT_LIMIT`` characters, and
    of very many documents only the worst and best are listed; tables and charts are over all of them.

    Raises:
        UserError: the extra with the template engine is not installed.
    """
    data = page_data(evaluation, documents, answers)
    page = render(
        "evaluation",
        data,
        _FILTERS,
        evaluation=evaluation,
        metrics=measured_metrics(evaluation),
        scores=list(score_rows(evaluation)),
        pairs=[_pair(pair, evaluation["metrics"][pair["metric"]]) for pair in evaluation.get("paired", ())],
        tables=list(side_tables(evaluation["systems"])),
        categories=sorted({document["category"] for document in data["documents"] if document["category"]}),
        cut=sum(len(document["text"]) > TEXT_LIMIT for document in documents),
        text_limit=TEXT_LIMIT,
        listed=len(data["documents"]),
        documents_total=len(documents),
        each_end=EACH_END,
    )
    return page.encode("utf-8", "replace").decode()  # a lone surrogate in a name could not be written to a file


def shown(value: float, unit: str, *, sign: bool = False) -> str:
    """A score as a reader sees it: shares as percent, a true minus, never a negative zero."""
    scale = 100 if unit == "percent" else 1
    text = f"{scale * value:{'+' if sign else ''}z,.{_DECIMALS[unit]}f}"
    return text.replace("-", "−")


def measured_metrics(evaluation: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The metrics that at least one system has a score of."""
    found = {key for system in evaluation["systems"] for key, score in system["scores"].items() if score}
    return {key: about for key, about in evaluation["metrics"].items() if key in found}


def score_rows(evaluation: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], list[Cell]]]:
    """Each system with one cell for each measured metric."""
    metrics = measured_metrics(evaluation)
    best = {key: _best(key, about, evaluation["systems"]) for key, about in metrics.items()}
    for system in evaluation["systems"]:
        cells = [_score_cell(system["scores"].get(key), about["unit"]) for key, about in metrics.items()]
        rivals = system["kind"] != "references"
        yield (
            system,
            [
                replace(cell, best=rivals and cell.value is not None and cell.value == best[key])
                for key, cell in zip(metrics, cells, strict=True)
            ],
        )


def _best(key: str, about: Mapping[str, Any], systems: Sequence[Mapping[str, Any]]) -> float | None:
    """The best mean, where the metric has a direction and there is a choice; references do not compete."""
    means = [s["scores"][key]["mean"] for s in systems if s["kind"] != "references" and s["scores"].get(key)]
    if about["higher_is_better"] is None or len(means) < 2:
        return None
    return float(max(means) if about["higher_is_better"] else min(means))


def _score_cell(score: Mapping[str, float] | None, unit: str) -> Cell:
    if not score:
        return Cell()
    return Cell(score["mean"], shown(score["mean"], unit), _interval(score, unit))


def _interval(score: Mapping[str, Any], unit: str, *, sign: bool = False) -> str:
    if score.get("low") is None or score.get("high") is None:
        return ""
    return f"[{shown(score['low'], unit, sign=sign)}, {shown(score['high'], unit, sign=sign)}]"


def _pair(pair: Mapping[str, Any], about: Mapping[str, Any]) -> dict[str, Any]:
    p = pair.get("p")
    return {
        "a": pair["a"],
        "b": pair["b"],
        "metric": about["label"],
        "documents": pair["documents"],
        "difference": Cell(pair["difference"], shown(pair["difference"], about["unit"], sign=True)),
        "interval": _interval(pair, about["unit"], sign=True) or DASH,
        "p": Cell() if p is None else Cell(p, "< 0.001" if p < 0.001 else f"{p:.3f}"),
        "verdict": _verdict(pair, about["higher_is_better"]),
    }


def _verdict(pair: Mapping[str, Any], higher_is_better: bool | None) -> tuple[str, str]:
    """Who is ahead (empty: nobody), and what that means in words."""
    low, high = pair.get("low"), pair.get("high")
    if low is None or high is None:
        return "", DASH
    if pair.get("p") is None:
        return "", "too few documents to tell"
    if low <= 0 <= high:
        return "", "no difference shown"
    if higher_is_better is None:
        return pair["a" if low > 0 else "b"], "is higher"
    return pair["a" if (low > 0) == higher_is_better else "b"], "is better"


def side_tables(systems: Sequence[Mapping[str, Any]]) -> Iterator[Table]:
    """Tables of what was measured beside the metrics; without those that have no number at all."""
    for part, (title, note) in _SIDE_TABLES.items():
        numbers = {system["name"]: dict(_numbers(system.get(part) or {})) for system in systems}
        columns = {label: None for found in numbers.values() for label, value in found.items() if value is not None}
        if columns:
            rows = tuple((name, tuple(_plain(found.get(key)) for key in columns)) for name, found in numbers.items())
            yield Table(title, note, tuple(humanise(key) for key in columns), rows)


def _numbers(part: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float | None]]:
    """The numbers of a part; those of a group inside it are named after both."""
    for key, value in part.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{prefix}{key} ")
        elif value is None or isinstance(value, int | float):
            yield f"{prefix}{key}", value


def _plain(value: float | None) -> Cell:
    if value is None:
        return Cell()
    return Cell(value, f"{value:,}" if isinstance(value, int) else f"{value:z,.{3 if abs(value) <= 1 else 2}f}")
