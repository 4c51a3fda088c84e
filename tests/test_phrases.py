"""One key phrase of each document, without a model."""

import pytest

from topicgen.phrases import runs, textrank_phrase, tfidf_phrase, yake_phrase

FERRY = """The night ferry was late. When the night ferry came, its ramp was stuck; passengers of the night ferry slept
in the harbour."""
BEES = "Bees left the hive in spring. A beekeeper caught the swarm and gave the bees another hive."


def test_punctuation_ends_a_run_and_hyphens_and_apostrophes_do_not() -> None:
    assert runs("A well-known bee's hive (old), a - b\n\nnext") == [
        ["A", "well-known", "bee's", "hive"],
        ["old"],
        ["a"],
        ["b"],
        ["next"],
    ]


def test_tfidf_names_a_document_by_the_phrase_that_it_repeats() -> None:
    assert tfidf_phrase([FERRY, BEES])[0] == "night ferry"


def test_tfidf_prefers_a_phrase_that_few_documents_have() -> None:
    documents = ["open harbour. grey seals.", "open harbour. old cranes.", "open harbour. red lamps."]
    assert tfidf_phrase(documents) == ["grey seals", "old cranes", "red lamps"]


def test_tfidf_writes_a_phrase_as_it_comes_first_in_the_text() -> None:
    assert tfidf_phrase(["Grey Seals sleep. We saw grey seals and grey seals."]) == ["Grey Seals"]


def test_tfidf_of_phrases_breaks_ties_by_place() -> None:
    assert tfidf_phrase(["zinc mines and alpine lakes"]) == ["zinc mines and alpine"]
    assert tfidf_phrase(["zinc mines, alpine lakes"]) == ["zinc mines"]


def test_phrases_neither_begin_nor_end_with_a_stop_word_nor_cross_punctuation() -> None:
    assert tfidf_phrase(["the ferry to. the island of. the"]) == ["ferry"]
    assert tfidf_phrase(["The price of milk"]) == ["price of milk"]


def test_yake_gives_a_phrase_of_at_most_three_words() -> None:
    phrase = yake_phrase([FERRY])[0]
    assert 1 <= len(phrase.split()) <= 3
    assert phrase.lower() in " ".join(FERRY.lower().split())


def test_yake_gives_the_same_whatever_came_before() -> None:
    assert yake_phrase([BEES, FERRY]) == [*yake_phrase([BEES]), *yake_phrase([FERRY])]


def test_textrank_joins_the_central_words_that_are_neighbours() -> None:
    text = "Cheap solar panels. Solar panels. Solar panels, old panels. Solar energy. Wind. Rain. Fog. Ice."
    assert textrank_phrase([text]) == ["solar panels"]


def test_textrank_prefers_connected_words_to_lone_ones() -> None:
    assert "ferry" in textrank_phrase(["Rain. Fog. Snow. Night ferry. Late ferry. Old ferry. Ice."])[0]


def test_textrank_takes_no_more_than_four_words() -> None:
    phrase = textrank_phrase(["alpha beta gamma delta epsilon zeta eta theta iota kappa lambda omega " * 3])[0]
    assert len(phrase.split()) == 4


@pytest.mark.parametrize("baseline", [tfidf_phrase, yake_phrase, textrank_phrase])
@pytest.mark.parametrize("text", ["", " \n", "!!!", "the and of", "1 2 3"])
def test_a_text_without_content_words_has_no_phrase(baseline, text: str) -> None:  # type: ignore[no-untyped-def]
    assert baseline([text]) == [""]
