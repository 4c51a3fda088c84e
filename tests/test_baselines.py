"""The floors that any model has to clear."""

from topicgen.baselines import constant, first_words, tfidf_words

DOCUMENTS = ["the ferry and the ramp", "the bees and the hive", "the ferry and the bees"]


def test_constant_gives_the_same_topic_to_every_document() -> None:
    assert constant(DOCUMENTS, "news") == ["news"] * 3


def test_first_words_stop_at_the_end_of_a_short_document() -> None:
    assert first_words(["one  two\nthree", "one"], 2) == ["one two", "one"]


def test_tfidf_prefers_words_that_few_documents_have() -> None:
    assert tfidf_words(["rare common", "common other"], 1) == ["rare", "other"]


def test_tfidf_breaks_ties_by_alphabet() -> None:
    assert tfidf_words(["b a", "c d"], 2) == ["a b", "c d"]


def test_tfidf_of_a_text_without_words_is_empty() -> None:
    assert tfidf_words(["!!!"]) == [""]
