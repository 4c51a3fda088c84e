"""What the topics of a collection are like together."""

import pytest

from topicgen.evaluation.collection import agree, describe_collection, near_key
from topicgen.evaluation.faithfulness import describe_faithfulness, malformed, residue


def test_near_duplicates_share_their_stems_in_any_order() -> None:
    assert near_key("GAN training") == near_key("Training of GAN") == near_key("the training of GAN")
    assert near_key("GAN training") != near_key("GAN evaluation")
    assert near_key("of the") == "of the"
    assert near_key("Модель 5") != near_key("Погода 5")


def test_repetition_and_coverage_by_hand() -> None:
    found = describe_collection(["Solar cells", "solar cells", "cells of solar", "glaciers", "", "oak floors"])
    assert found == {
        "coverage": 5 / 6,
        "distinct": 4,
        "duplicates": 2 / 5,
        "near_duplicates": 3 / 5,
        "singletons": 3 / 4,
        "words_p10": 1.4,
        "words_median": 2,
        "words_p90": 2.6,
        "words_longest": 3,
    }


def test_an_empty_collection_has_no_shares() -> None:
    assert set(describe_collection([]).values()) == {0}


def test_groups_that_are_the_categories_agree_fully() -> None:
    found = agree(["a", "a", "b", "b"], ["x", "x", "y", "y"])
    assert found["harmonic_purity"] == found["ari"] == found["nmi"] == found["ami"] == pytest.approx(1)
    assert found["outliers"] == 0


def test_outliers_count_against() -> None:
    found = agree(["a", "a", None, None], ["x", "x", "x", "y"])
    assert found["outliers"] == found["purity"] == found["inverse_purity"] == found["harmonic_purity"] == 0.5
    assert found["ari"] < 1


def test_a_system_that_groups_nothing_agrees_with_nothing() -> None:
    found = agree([None] * 4, ["x", "y", "z", "w"])
    assert found["harmonic_purity"] == found["ari"] == found["nmi"] == 0
    assert found["groups"] == 0


def test_one_topic_for_each_document_is_pure_and_useless() -> None:
    found = agree(["a", "b", "c", "d"], ["x", "x", "y", "y"])
    assert found["purity"] == 1
    assert found["inverse_purity"] == 0.5
    assert found["ari"] == 0


def test_documents_without_a_category_are_left_out() -> None:
    assert agree(["a", "a", "b"], ["x", "x", None])["purity"] == 1
    assert agree(["a"], [None]) == {}


@pytest.mark.parametrize("topic", ["Solar cells.", '"Solar cells"', "['solar', 'cells']", "solar\ncells", "w " * 17])
def test_what_is_not_one_bare_line_is_malformed(topic: str) -> None:
    assert malformed(topic)


@pytest.mark.parametrize(
    "topic", ["Topic: solar cells", "Here is the topic", "solar <|eot_id|>", "### Response: solar"]
)
def test_residue_of_a_prompt_is_seen(topic: str) -> None:
    assert residue(topic)


@pytest.mark.parametrize(
    "topic",
    [
        "Solar cells (thin film)",
        "AT&T's 5G",
        "Sure independence screening",
        "[Fe] and [Co]",
        '"Hamlet" versus "Macbeth"',
        "Response of bees to cold",
        "C++ templates",
    ],
)
def test_a_plain_topic_is_neither(topic: str) -> None:
    assert not malformed(topic)
    assert not residue(topic)


def test_faithfulness_counts_documents_with_text() -> None:
    found = describe_faithfulness(["solar price", "unicorns", "", "x"], ["Solar cell prices", "Bees", "Oak", " "])
    assert found == {"empty": 1 / 3, "foreign_words": 1 / 3, "residue": 0, "malformed": 0}
