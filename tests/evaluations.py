"""An evaluation with documents and answers, made by code in the form that report, page and table read."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from passages import PASSAGES

METRICS: dict[str, dict[str, Any]] = {
    "rouge1": {"label": "ROUGE-1", "unit": "percent", "higher_is_better": True},
    "rougeL": {"label": "ROUGE-L", "unit": "percent", "higher_is_better": True},
    "exact": {"label": "Exact match", "unit": "percent", "higher_is_better": True},
    "bleu": {"label": "BLEU", "unit": "percent", "higher_is_better": True},
    "length": {"label": "Length", "unit": "words", "higher_is_better": None},
    "repeated": {"label": "Repeated words", "unit": "ratio", "higher_is_better": False},
}
KINDS = {"mini": "model", "larger model": "predictions", "first words": "baseline", "references": "references"}
CATEGORIES = ("science", "household", "news")


@dataclass(frozen=True)
class Made:
    """What ``render_page`` takes."""

    evaluation: dict[str, Any]
    documents: list[dict[str, Any]]
    answers: dict[str, dict[str, Any]]

    def add(self, text: str = "A text.", reference: str = "A reference", **topics: str) -> None:
        """One more document; systems without a given topic repeat its reference."""
        self.documents.append({"id": f"added-{len(self.documents)}", "text": text, "references": [reference]})
        for name, answer in self.answers.items():
            answer["topics"].append(topics.get(name.replace(" ", "_"), reference))
            for values in answer["scores"].values():
                values.append(0.0)


def made(count: int = 60) -> Made:
    chance = random.Random(7)
    documents = [_document(i, chance) for i in range(count)]
    answers = {name: _answers(name, documents, chance) for name in KINDS if name != "references"}
    systems = [_system(name, count, answers.get(name)) for name in KINDS]
    evaluation = {
        "version": 1,
        "topicgen": "0.1.0",
        "date": "2026-11-24",
        "data": "labelled.csv",
        "documents": count,
        "bootstrap": {"samples": 1000, "level": 0.95, "seed": 0},
        "embedder": "mini token embeddings (SIF)",
        "metrics": METRICS,
        "systems": systems,
        "paired": list(_paired(systems, count)),
    }
    return Made(evaluation, documents, answers)


def _document(i: int, chance: random.Random) -> dict[str, Any]:
    sentences = [PASSAGES[i % len(PASSAGES)], *chance.sample(PASSAGES, chance.choice([0, 1, 4, 9]))]
    reference = " ".join(PASSAGES[i % len(PASSAGES)].rstrip(".").split()[:5])
    return {
        "id": f"{i + 1:04d}",
        "text": " ".join(sentences),
        "references": [reference] if i % 7 else [reference, f"Notes on {reference.lower()}"],
        "category": CATEGORIES[i % 3],
    }


def _answers(name: str, documents: list[dict[str, Any]], chance: random.Random) -> dict[str, Any]:
    skill = {"mini": 0.55, "larger model": 0.6, "first words": 0.25}[name]
    topics, first, supported = [], [], []
    for document in documents:
        score = min(1.0, max(0.0, chance.gauss(skill, 0.3)))
        words = document["text"].split()[: 6 if name == "first words" else 3 + len(topics) % 4]
        topics.append(document["references"][0] if score == 1 else " ".join(words))
        first.append(score)
        supported.append(1.0 if chance.random() < 0.8 else 0.75)
    scores = {
        "rouge1": first,
        "rougeL": [0.9 * score if score < 1 else score for score in first],
        "exact": [float(score == 1) for score in first],
        "length": [float(len(topic.split())) for topic in topics],
        "repeated": [round(0.2 * chance.random(), 3) for _ in topics],
        "supported": supported,
    }
    if name == "larger model":
        del scores["repeated"]
    return {"topics": topics, "scores": scores}


def _system(name: str, count: int, answer: dict[str, Any] | None) -> dict[str, Any]:
    if answer is None:
        measured = {"length": {"mean": 5.0, "low": 4.8, "high": 5.2}}
    else:
        measured = {key: _mean(values) for key, values in answer["scores"].items() if key in METRICS}
        mean = 0.5 * measured["rouge1"]["mean"]
        measured["bleu"] = {"mean": mean, "low": mean - 0.03, "high": mean + 0.03}
    return {
        "name": name,
        "kind": KINDS[name],
        "documents": count,
        "failed": 2 if name == "larger model" else 0,
        "scores": measured,
        "collection": {"distinct": count - 4, "duplicates": 0.0672, "mean_words": 5.25, "vocabulary": 1431},
        "faithfulness": {"supported": 0.9132, "copied_from_start": 0.31} if answer else {},
        "stability": {"rerun": 1.0, "shuffled": 0.978} if name == "mini" else None,
    }


def _mean(values: list[float]) -> dict[str, float]:
    mean = sum(values) / len(values)
    half = 0.6 * mean / len(values) ** 0.5 + 0.001
    return {"mean": mean, "low": mean - half, "high": mean + half}


def _paired(systems: list[dict[str, Any]], count: int) -> Iterator[dict[str, Any]]:
    by_name = {system["name"]: system["scores"] for system in systems}
    for a, b in [("mini", "larger model"), ("mini", "first words"), ("larger model", "first words")]:
        for metric in METRICS:
            if metric in by_name[a] and metric in by_name[b]:
                difference = by_name[a][metric]["mean"] - by_name[b][metric]["mean"]
                ends = {"low": difference - 0.06, "high": difference + 0.06}
                p = 0.0002 if abs(difference) > 0.06 else 0.214
                yield {"a": a, "b": b, "metric": metric, "difference": difference, **ends, "p": p, "documents": count}
