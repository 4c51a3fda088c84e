"""Statistics of documents, and the scores that become of them."""

import numpy as np
import pytest
from sacrebleu.metrics import BLEU

from topicgen.evaluation.scores import METRICS, bleu, bleu_statistics, score
from topicgen.records import Example

TOPICS = ["Solar cell design", "Graph neural networks for molecules", "Night trains in Europe return", "Glaciers", ""]
REFERENCES = [
    "Design of solar cells",
    "Graph neural networks for small molecules",
    "The return of night trains in Europe",
    "Glacier melt",
    "Oak floors",
]


def examples(*references: tuple[str, ...]) -> list[Example]:
    return [Example(str(i), "A text on solar cells and glaciers.", found) for i, found in enumerate(references)]


def test_bleu_is_that_of_sacrebleu() -> None:
    sums = bleu_statistics(TOPICS, [(r,) for r in REFERENCES]).sum(axis=0)
    assert 100 * bleu(sums) == pytest.approx(BLEU(lowercase=True).corpus_score(TOPICS, [REFERENCES]).score)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_bleu_without_longer_matches_is_smoothed_like_sacrebleu(count: int) -> None:
    topics = ["solar one two three four", "five glaciers six seven", "cells"][:count]
    references = ["solar a b c d", "e glaciers f g", "cell"][:count]
    sums = bleu_statistics(topics, [(r,) for r in references]).sum(axis=0)
    assert 100 * bleu(sums) == pytest.approx(BLEU(lowercase=True).corpus_score(topics, [references]).score)


def test_bleu_of_many_sums_is_that_of_each() -> None:
    statistics = bleu_statistics(TOPICS, [(r,) for r in REFERENCES])
    sums = np.stack([statistics.sum(axis=0), statistics[:2].sum(axis=0), np.zeros(10)])
    assert bleu(sums)[:2].tolist() == pytest.approx([float(bleu(one)) for one in sums[:2]])
    assert np.isnan(bleu(sums)[2])


def test_bleu_has_no_value_for_one_document() -> None:
    assert np.isnan(score(["solar cells"], examples(("solar cells",)), None)["bleu"].per_document).all()


def test_the_best_of_several_references_counts() -> None:
    found = score(["solar cells"], examples(("oak floors", "solar cells", "glaciers")), None)
    assert found["rouge1"].per_document.tolist() == [1]
    assert found["exact"].per_document.tolist() == [1]
    assert found["wer"].per_document.tolist() == [0]


def test_documents_without_a_reference_count_only_where_none_is_needed() -> None:
    found = score(["solar cells", "unicorns"], examples(("solar cells",), ()), None)
    assert found["rouge1"].counted.tolist() == [True, False]
    assert np.isnan(found["rouge1"].per_document[1])
    assert found["supported"].per_document.tolist() == [1, 0]


def test_without_any_reference_only_text_and_length_are_measured() -> None:
    assert list(score(["solar cells"], examples(()), None)) == ["supported", "words"]


def test_an_empty_topic_scores_nothing_and_has_no_words() -> None:
    found = score([""], examples(("solar cells",)), None)
    zero = {name: one.per_document[0] for name, one in found.items() if name not in ("wer", "supported", "bleu")}
    assert set(zero.values()) == {0}
    assert found["wer"].per_document[0] == 1


def test_word_error_rate_is_that_of_the_collection_not_the_mean_of_documents() -> None:
    found = score(["x", "solar cells and glaciers"], examples(("a",), ("solar cells and glaciers",)), None)["wer"]
    assert found.aggregate(found.values.sum(axis=0)) == pytest.approx(1 / 5)


def test_word_error_rate_counts_words_of_any_script_and_skips_references_without_words() -> None:
    topics, references = ["погода", "x"], (("вода и рыба",), ("!?",))
    found = score(topics, examples(*references), None)["wer"]
    assert found.aggregate(found.values.sum(axis=0)) == 1
    assert found.counted.tolist() == [True, False]


def test_every_score_is_described() -> None:
    found = score(TOPICS, examples(*((r,) for r in REFERENCES)), None)
    assert set(METRICS) - set(found) == {"embedding"}
