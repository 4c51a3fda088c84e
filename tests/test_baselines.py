"""The floors that any model has to clear."""

import sys

import pytest

from topicgen.baselines import (
    BASELINES,
    constant,
    first_words,
    frequent_topic,
    nearest_topic,
    tfidf_words,
    titles,
)
from topicgen.errors import UserError
from topicgen.records import Example

DOCUMENTS = ["the ferry and the ramp", "the bees and the hive", "the ferry and the bees"]


def example(text: str, *references: str, title: str | None = None) -> Example:
    return Example(id=text, text=text, references=references, title=title)


TRAINING = [
    example("The ferry was late and its ramp stuck.", "ferry delays", "late boats"),
    example("A swarm of bees left the hive.", "bee swarms"),
    example("The orchard froze in April.", "frost damage"),
]


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


def test_titles_are_empty_where_there_are_none() -> None:
    assert titles([example("a", title="On Ferries"), example("b")]) == ["On Ferries", ""]


def test_the_frequent_topic_of_the_training_documents_goes_to_every_document() -> None:
    training = [example("a", "x", "y"), example("b", "y"), example("c", "z")]
    assert frequent_topic([example("d", "x"), example("e", "y")], training) == ["y", "y"]


def test_equally_frequent_topics_are_taken_by_alphabet() -> None:
    assert frequent_topic([example("c")], [example("a", "y"), example("b", "x")]) == ["x"]


def test_without_training_documents_no_example_votes_for_its_own_topic() -> None:
    examples = [example("a", "x"), example("b", "x"), example("c", "y"), example("d", "y"), example("e", "x")]
    assert frequent_topic(examples) == ["x", "x", "x", "x", "x"]
    assert frequent_topic(examples[:4]) == ["y", "y", "x", "x"]


@pytest.mark.parametrize("training", [None, []])
def test_without_any_reference_the_frequent_topic_is_empty(training: list[Example] | None) -> None:
    assert frequent_topic([example("a"), example("b")], training) == ["", ""]


def test_the_only_reference_is_not_given_to_its_own_document() -> None:
    assert frequent_topic([example("a", "x"), example("b")]) == ["", "x"]


def test_the_nearest_training_document_gives_its_first_reference() -> None:
    queries = [example("Bees in the hive"), example("A late ferry")]
    assert nearest_topic(queries, TRAINING) == ["bee swarms", "ferry delays"]


def test_a_training_document_with_the_same_text_never_answers() -> None:
    query = example("the FERRY was late  and its ramp stuck.")
    other = example("Bees took the ferry.", "travelling bees")
    assert nearest_topic([query], [*TRAINING, other]) == ["travelling bees"]


def test_without_training_documents_the_other_examples_answer() -> None:
    examples = [
        example("ferry ramp", "a"),
        example("ferry ramp", "b"),
        example("ferry bees", "c"),
        example("bees", "d"),
    ]
    assert nearest_topic(examples) == ["c", "c", "d", "c"]


def test_of_equally_near_documents_the_first_answers() -> None:
    training = [example("hive", "a"), example("ferry one", "b"), example("ferry two", "c")]
    assert nearest_topic([example("ferry")], training) == ["b"]


def test_documents_that_share_no_word_have_no_nearest_topic() -> None:
    assert nearest_topic([example("quantum optics"), example("")], TRAINING) == ["", ""]


@pytest.mark.parametrize("training", [[], [example("the and of", "function words"), example("bees")]])
def test_training_documents_without_words_or_references_never_answer(training: list[Example]) -> None:
    assert nearest_topic([example("the bees")], training) == [""]


def test_every_query_of_a_large_collection_is_answered() -> None:
    training = [example(f"word{number}{chr(97 + number % 26)} ferry", str(number)) for number in range(700)]
    queries = [example(f"bees word{number}{chr(97 + number % 26)}") for number in range(700)]
    assert nearest_topic(queries, training) == [str(number) for number in range(700)]


def test_the_baselines_are_those_of_the_table() -> None:
    assert list(BASELINES) == [
        "constant",
        "first words",
        "TF-IDF words",
        "TF-IDF phrase",
        "YAKE",
        "TextRank",
        "title",
        "nearest topic",
    ]


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_answers_every_document_the_same_way_twice(name: str) -> None:
    examples = [example("The ferry was late. The ferry ramp stuck.", title="On Ferries"), example(""), example("!!")]
    topics = BASELINES[name](examples, TRAINING)
    assert len(topics) == len(examples)
    assert topics[0] != ""
    assert topics == BASELINES[name](examples, TRAINING)


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_takes_no_documents(name: str) -> None:
    assert BASELINES[name]([], None) == BASELINES[name]([], TRAINING) == []


@pytest.mark.parametrize(
    ("name", "library"),
    [("YAKE", "yake"), ("TextRank", "networkx"), ("nearest topic", "sklearn")],
)
def test_a_missing_library_is_named_with_its_extra(name: str, library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for loaded in [module for module in sys.modules if module.startswith(f"{library}.")]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(UserError, match=rf"^{library} needs the extra 'evaluate': pip install"):
        BASELINES[name](TRAINING, None)
