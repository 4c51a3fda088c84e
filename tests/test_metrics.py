"""Scores of topics against references."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topicgen.intervals import bootstrap
from topicgen.metrics import exact_match, rouge_l, rouge_n, stems, token_f1, word_edits, words

rouge_scorer = pytest.importorskip("rouge_score.rouge_scorer", reason="needs the package rouge_score")

word = st.sampled_from(["a", "cell", "cells", "Solar", "3d", "of", "x-ray", "C++", "!", "don't"]) | st.text(
    st.characters(min_codepoint=32, max_codepoint=126), max_size=6
)
phrases = st.lists(word, max_size=10).map(" ".join)


@given(phrases, phrases)
def test_rouge_agrees_with_the_reference_implementation(prediction: str, reference: str) -> None:
    scorer = rouge_scorer.RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=False)
    expected = {name: score.fmeasure for name, score in scorer.score(reference, prediction).items()}
    ours = {
        "rouge1": rouge_n(prediction, reference, 1),
        "rouge2": rouge_n(prediction, reference, 2),
        "rougeL": rouge_l(prediction, reference),
    }
    assert ours == pytest.approx(expected, abs=1e-12)


@given(phrases, phrases)
def test_stemmed_rouge_agrees_with_the_reference_implementation(prediction: str, reference: str) -> None:
    scorer = rouge_scorer.RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True)
    expected = {name: score.fmeasure for name, score in scorer.score(reference, prediction).items()}
    ours = {
        "rouge1": rouge_n(prediction, reference, 1, stems),
        "rouge2": rouge_n(prediction, reference, 2, stems),
        "rougeL": rouge_l(prediction, reference, stems),
    }
    assert ours == pytest.approx(expected, abs=1e-12)


def test_token_f1_by_hand() -> None:
    assert token_f1("The solar cell!", "a Solar Cell") == 1
    assert token_f1("solar cells", "solar cell design") == pytest.approx(2 / 5)
    assert token_f1("The", "a") == 1
    assert token_f1("", "the") == token_f1("", "?") == 0
    assert token_f1("", "cell") == 0


def test_word_edits_by_hand() -> None:
    assert word_edits("design of solar cells", "solar cells") == (2, 2)
    assert word_edits("", "solar cells") == (2, 2)
    assert word_edits("Solar-cells", "solar cells") == (0, 2)
    assert word_edits("вода", "Вода и рыба") == (2, 3)


@given(phrases, phrases)
def test_rouge_is_between_0_and_1_and_symmetric(one: str, other: str) -> None:
    for score in (rouge_l, lambda a, b: rouge_n(a, b, 1), lambda a, b: rouge_n(a, b, 2)):
        assert 0 <= score(one, other) <= 1
        assert score(one, other) == score(other, one)
    assert rouge_l(one, one) == (1 if words(one) else 0)


def test_rouge_by_hand() -> None:
    assert rouge_n("solar cell design", "design of solar cells", 1) == pytest.approx(4 / 7)
    assert rouge_n("the the the", "the cat", 1) == pytest.approx(2 / 5)
    assert rouge_l("a b c d", "a c b d") == pytest.approx(6 / 8)
    assert rouge_n("a", "b", 1) == rouge_n("", "", 1) == 0


def test_exact_match_ignores_case_and_outer_white_space() -> None:
    assert exact_match(" Solar Cells\n", "solar cells") == 1
    assert exact_match("Solar Cell", "Solar Cells") == 0
    assert exact_match("STRASSE", "straße") == exact_match("cafe\u0301", "café") == 1


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40), st.integers(0, 99))
def test_interval_holds_the_mean_and_depends_on_the_seed_only(values: list[float], seed: int) -> None:
    interval = bootstrap(values, samples=200, seed=seed)
    assert interval.low - 1e-9 <= interval.mean <= interval.high + 1e-9 or len(set(values)) > 1
    assert min(values) - 1e-9 <= interval.low <= interval.high <= max(values) + 1e-9
    assert interval == bootstrap(values, samples=200, seed=seed)


def test_interval_has_the_width_of_its_level() -> None:
    values = [0.0, 1.0] * 200
    interval = bootstrap(values)
    assert interval.mean == 0.5
    assert interval.low < 0.5 < interval.high
    # The standard error of this mean is 0.025; 95 % lie within 1.96 of them.
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * 0.025, rel=0.1)
    assert bootstrap(values, samples=50, seed=1) != bootstrap(values, samples=50, seed=2)
    narrow = bootstrap(values, level=0.5)
    assert narrow.high - narrow.low < interval.high - interval.low


def test_interval_reads_as_percent() -> None:
    assert bootstrap([0.5] * 3).percent() == "50.0 [50.0, 50.0]"


def test_interval_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one value"):
        bootstrap([])
