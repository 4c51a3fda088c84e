"""Systems and examples in, every score with its interval and every difference between systems out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import compress
from typing import Any

import numpy as np

from topicgen.config import EvaluationSettings
from topicgen.embed import Embedder
from topicgen.errors import UserError
from topicgen.evaluation.collection import agree, describe_collection, near_key
from topicgen.evaluation.faithfulness import describe_faithfulness
from topicgen.evaluation.scores import METRICS, Statistics, score
from topicgen.evaluation.systems import System
from topicgen.intervals import Array, difference, interval, resampled_sums
from topicgen.records import Example
from topicgen.version import __version__

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Comparison:
    """What ``metrics.json`` holds, and the score of each system for each document."""

    summary: dict[str, Any]
    per_document: dict[str, dict[str, Array]]


def compare(
    systems: Sequence[System],
    examples: Sequence[Example],
    *,
    data: str,
    embedder: Embedder | None = None,
    settings: EvaluationSettings | None = None,
) -> Comparison:
    """Scores all systems on the same examples; the first is compared with each of the others."""
    settings = settings or EvaluationSettings()
    found = [_defined(_score(system, examples, embedder)) for system in systems]
    drawn = [_resample(statistics, settings) for statistics in found]
    described = [
        _describe(system, examples, statistics, sums, settings)
        for system, statistics, sums in zip(systems, found, drawn, strict=True)
    ]
    names = [system.name for system in systems]
    paired = [
        {"a": names[0], "b": names[i], "metric": metric, **result}
        for i in range(1, len(systems))
        if "references" not in (systems[0].kind, systems[i].kind)
        for metric, result in _differences(found[0], found[i], (drawn[0], drawn[i]), settings)
    ]
    used = [name for name in METRICS if any(name in statistics for statistics in found)]
    summary = {
        "version": FORMAT,
        "topicgen": __version__,
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "data": data,
        "documents": len(examples),
        "bootstrap": {"samples": settings.samples, "level": settings.level, "seed": settings.seed},
        "embedder": embedder.name if embedder else None,
        "metrics": {name: METRICS[name].as_dict() for name in used},
        "systems": described,
        "paired": paired,
    }
    per_document = {
        name: {metric: values.per_document for metric, values in statistics.items()}
        for name, statistics in zip(names, found, strict=True)
    }
    return Comparison(summary, per_document)


def evaluate(
    topics: Mapping[str, Sequence[str]],
    references: Sequence[str],
    texts: Sequence[str] | None = None,
    *,
    samples: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Scores the topics of one or more systems against reference topics.

    Args:
        topics: Topics by the name of their system; each list as long as ``references``.
        references: One reference topic for each document; "" where there is none.
        texts: The documents, for the share of words that stand in them.
        samples: Bootstrap resamples.
        seed: Seed of the bootstrap.

    Returns:
        What ``metrics.json`` holds: ``["systems"][i]["scores"]["rouge1"]`` is a mean with the ends of its interval, and
        ``["paired"]`` compares the first system with each other one. docs/evaluation.md defines the scores.

    Raises:
        UserError: When the lists differ in length or are empty, or a library is missing.
    """
    texts = [""] * len(references) if texts is None else texts
    for name, found in {**topics, "texts": texts}.items():
        if len(found) != len(references):
            raise UserError(f"{name}: {len(found)} items for {len(references)} references")
    if not topics or not references:
        raise UserError("nothing to evaluate: at least one system and one document are needed")
    examples = [
        Example(str(i), text, (reference,) if reference.strip() else ())
        for i, (text, reference) in enumerate(zip(texts, references, strict=True), 1)
    ]
    systems = [System(name, "predictions", found) for name, found in topics.items()]
    return compare(systems, examples, data="memory", settings=EvaluationSettings(samples=samples, seed=seed)).summary


def _score(system: System, examples: Sequence[Example], embedder: Embedder | None) -> dict[str, Statistics]:
    if system.references is None:
        return score(system.topics, examples, embedder)
    seen = [replace(e, references=tuple(r)) for e, r in zip(examples, system.references, strict=True)]
    kept = np.array(system.covers)[:, None]
    return {
        name: replace(one, values=np.where(kept, one.values, 0.0))
        for name, one in score(system.topics, seen, embedder).items()
    }


def _defined(statistics: Mapping[str, Statistics]) -> dict[str, Statistics]:
    """The metrics that have a value: some document counts, and its reference has words."""
    return {name: one for name, one in statistics.items() if not np.isnan(one.aggregate(one.values.sum(axis=0)))}


def _resample(statistics: Mapping[str, Statistics], settings: EvaluationSettings) -> dict[str, Array]:
    """Resampled sums of every metric, all from the same resamples."""
    if not statistics:
        return {}
    joined = np.concatenate([one.values for one in statistics.values()], axis=1)
    sums = _draw(joined, settings)
    ends = np.cumsum([one.values.shape[1] for one in statistics.values()])
    return dict(zip(statistics, np.split(sums, ends[:-1], axis=1), strict=True))


def _describe(
    system: System,
    examples: Sequence[Example],
    statistics: Mapping[str, Statistics],
    drawn: Mapping[str, Array],
    settings: EvaluationSettings,
) -> dict[str, Any]:
    scores = {
        name: interval(one.values, one.aggregate, drawn[name], settings.level).as_dict()
        for name, one in statistics.items()
    }
    topics, seen = list(compress(system.topics, system.covers)), list(compress(examples, system.covers))
    groups = [near_key(topic) if topic.strip() else None for topic in topics]
    return {
        "name": system.name,
        "kind": system.kind,
        "documents": int(next(iter(statistics.values())).counted.sum()) if statistics else 0,
        "failed": system.failed,
        "scores": scores,
        "collection": {
            **describe_collection(topics),
            **agree(groups, [example.category for example in seen]),
        },
        "faithfulness": describe_faithfulness(topics, [example.text for example in seen]),
        "stability": system.stability or None,
    }


def _differences(
    first: Mapping[str, Statistics],
    second: Mapping[str, Statistics],
    drawn: tuple[Mapping[str, Array], Mapping[str, Array]],
    settings: EvaluationSettings,
) -> Iterator[tuple[str, dict[str, float | None]]]:
    """Paired differences of every metric that both have, on the documents that count in both."""
    for name, one in first.items():
        if name not in second or METRICS[name].higher_is_better is None:
            continue
        pair, sums = (one.values, second[name].values), (drawn[0][name], drawn[1][name])
        shared = one.counted & second[name].counted
        if not (shared == one.counted).all() or not (shared == second[name].counted).all():
            if not shared.any():
                continue
            pair = (pair[0][shared], pair[1][shared])
            if any(np.isnan(one.aggregate(values.sum(axis=0))) for values in pair):
                continue
            sums = (_draw(pair[0], settings), _draw(pair[1], settings))
        found = difference(pair, one.aggregate, sums, settings.level)
        yield name, {**found.as_dict(), "documents": int(shared.sum())}


def _draw(statistics: Array, settings: EvaluationSettings) -> Array:
    return resampled_sums(statistics, samples=settings.samples, seed=settings.seed)
