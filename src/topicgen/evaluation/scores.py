"""Topics and references in, statistics of each document out, from which every score and interval is computed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from topicgen.embed import Embedder, cosine
from topicgen.extras import require
from topicgen.intervals import Aggregate, Array, mean_of, ratio_of, values_as_statistics
from topicgen.metrics import SCORES, rouge_l, rouge_n, stems, token_f1, word_edits
from topicgen.phrase import support
from topicgen.records import Example

_BLEU_ORDER = 4


@dataclass(frozen=True, slots=True)
class Metric:
    """How a score is called and read; its unit is ``percent`` (0 to 1), ``words`` or ``ratio``."""

    label: str
    unit: str
    higher_is_better: bool | None

    def as_dict(self) -> dict[str, object]:
        return {"label": self.label, "unit": self.unit, "higher_is_better": self.higher_is_better}


METRICS: Mapping[str, Metric] = {
    "rouge1": Metric("ROUGE-1", "percent", True),
    "rouge2": Metric("ROUGE-2", "percent", True),
    "rougeL": Metric("ROUGE-L", "percent", True),
    "rouge1_stem": Metric("ROUGE-1, stemmed", "percent", True),
    "rouge2_stem": Metric("ROUGE-2, stemmed", "percent", True),
    "rougeL_stem": Metric("ROUGE-L, stemmed", "percent", True),
    "bleu": Metric("BLEU", "percent", True),
    "exact": Metric("exact match", "percent", True),
    "f1": Metric("token F1", "percent", True),
    "wer": Metric("word error rate", "ratio", False),
    "embedding": Metric("embedding similarity", "percent", True),
    "supported": Metric("words in the text", "percent", True),
    "words": Metric("words", "words", None),
}
"""All scores, in the order of the tables; docs/evaluation.md defines each."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """What each document adds to a score: (documents, k) numbers, and how their sums become the score."""

    values: Array
    aggregate: Aggregate = mean_of
    single: bool = True
    """Whether the score means something for one document."""

    @property
    def counted(self) -> NDArray[np.bool_]:
        """(documents,) which documents count."""
        return np.asarray(self.values[:, -1] != 0)

    @property
    def per_document(self) -> Array:
        """(documents,) the score of each document alone; NaN where it has none."""
        with np.errstate(invalid="ignore"):
            return np.where(self.counted & self.single, self.aggregate(self.values), np.nan)


_PAIRWISE: Mapping[str, Callable[[str, str], float]] = {
    **SCORES,
    "rouge1_stem": partial(rouge_n, n=1, words=stems),
    "rouge2_stem": partial(rouge_n, n=2, words=stems),
    "rougeL_stem": partial(rouge_l, words=stems),
    "f1": token_f1,
}


def score(topics: Sequence[str], examples: Sequence[Example], embedder: Embedder | None) -> dict[str, Statistics]:
    """Statistics of every metric that the examples allow, in the order of METRICS.

    With several references the best one counts, except in BLEU, which knows several. Documents without a reference
    count only where none is needed.
    """
    found: dict[str, Statistics] = {}
    references = [example.references for example in examples]
    if any(references):
        for name, pair in _PAIRWISE.items():
            found[name] = Statistics(values_as_statistics(best_of(pair, topics, references)))
        found["bleu"] = Statistics(bleu_statistics(topics, references), bleu, single=False)
        found["wer"] = Statistics(edit_statistics(topics, references), ratio_of)
        if embedder is not None:
            found["embedding"] = Statistics(values_as_statistics(similarities(topics, references, embedder)))
    texts = [example.text for example in examples]
    supported = [support(t, text) if t and text else np.nan for t, text in zip(topics, texts, strict=True)]
    if not all(np.isnan(supported)):
        found["supported"] = Statistics(values_as_statistics(supported))
    found["words"] = Statistics(values_as_statistics([len(topic.split()) for topic in topics]))
    return {name: found[name] for name in METRICS if name in found}


def best_of(
    pair: Callable[[str, str], float], topics: Sequence[str], references: Sequence[Sequence[str]]
) -> list[float]:
    """The score of each topic against its best reference; NaN without one."""
    return [
        max((pair(topic, reference) for reference in found), default=np.nan)
        for topic, found in zip(topics, references, strict=True)
    ]


def similarities(topics: Sequence[str], references: Sequence[Sequence[str]], embedder: Embedder) -> list[float]:
    """Cosine of each topic with its nearest reference; NaN without one."""
    pairs = [(i, reference) for i, found in enumerate(references) for reference in found]
    near = cosine(embedder.encode([topics[i] for i, _ in pairs]), embedder.encode([text for _, text in pairs]))
    best = [float("nan")] * len(topics)
    for (i, _), value in zip(pairs, near.tolist(), strict=True):
        best[i] = value if np.isnan(best[i]) else max(best[i], value)
    return best


def edit_statistics(topics: Sequence[str], references: Sequence[Sequence[str]]) -> Array:
    """(documents, 2): word edits to the nearest reference, and its words."""
    rows = [
        min(
            (edits for reference in found if (edits := word_edits(topic, reference))[1]),
            key=lambda edits: edits[0] / edits[1],
            default=(0, 0),
        )
        for topic, found in zip(topics, references, strict=True)
    ]
    return np.array(rows, dtype=np.float64)


def bleu_statistics(topics: Sequence[str], references: Sequence[Sequence[str]]) -> Array:
    """(documents, 10): n-grams found, and n-grams written, for n = 1 to 4; words written; words of the references.

    Counted by sacrebleu (Post 2018), lowercase, tokeniser 13a.
    """
    # The effective order changes the score of one sentence, which is not used, and not the counts.
    bleu = require("sacrebleu.metrics", "evaluate").BLEU(lowercase=True, effective_order=True)
    rows = np.zeros((len(topics), 2 * _BLEU_ORDER + 2))
    for row, topic, found in zip(rows, topics, references, strict=True):
        if found:
            counted = bleu.sentence_score(topic, list(found))
            row[:] = [*counted.counts, *counted.totals, counted.sys_len, counted.ref_len]
    return rows


def bleu(sums: Array) -> Array:
    """Corpus BLEU-4 (Papineni et al. 2002) of summed statistics, 0 to 1; NaN without references: (..., 10) to (...).

    Orders without a match are smoothed as sacrebleu does by default ("exp").
    """
    correct, total = sums[..., :_BLEU_ORDER], sums[..., _BLEU_ORDER : 2 * _BLEU_ORDER]
    written, expected = sums[..., -2], sums[..., -1]
    smoothing, logs = np.ones(sums.shape[:-1]), np.zeros(sums.shape[:-1])
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for n in range(_BLEU_ORDER):
            smoothing = np.where(correct[..., n] == 0, 2 * smoothing, smoothing)
            share = np.where(correct[..., n] == 0, 1 / smoothing, correct[..., n]) / total[..., n]
            logs += np.log(share)
        brevity = np.where(written < expected, np.exp(1 - expected / written), 1.0)
        scores = brevity * np.exp(logs / _BLEU_ORDER)
    whole = (total > 0).all(axis=-1) & (correct[..., 0] > 0)
    return np.where(expected == 0, np.nan, np.where(whole, scores, 0.0))
