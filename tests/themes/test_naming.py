"""Names of themes, and topics that say the same."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from topicgen.embed import Vectors
from topicgen.themes.duplicates import merged_topics
from topicgen.themes.naming import WRITTEN, Candidates, candidates, names

CATS = ("cat food", "wild cat habitats", "food of house cats")
ABOUT = {"cat": [1.0, 0.2], "cats": [1.0, 0.2], "food": [0.6, 0.8], "habitats": [0, 1.0], "energy": [1.0, 0]}


def encode(phrases: Sequence[str]) -> Vectors:
    """The first dimension is the theme's; words that are not in ABOUT have no direction."""
    rows = np.array([np.sum([ABOUT.get(w.casefold(), [0, 0]) for w in phrase.split()], axis=0) for phrase in phrases])
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.where(lengths > 0, rows / np.maximum(lengths, 1e-9), 0).astype(np.float32)


def group(*topics: str) -> Candidates:
    """A group whose documents all lie in the theme's direction."""
    vectors = np.repeat(np.array([[1, 0]], np.float32), len(topics), axis=0)
    return candidates(topics, vectors, np.arange(len(topics)), np.array([1, 0], np.float32), encode)


def answer(*texts: str) -> Callable[[Sequence[str]], list[list[str]]]:
    return lambda prompts: [list(texts)] * len(prompts)


@pytest.mark.parametrize(
    ("topics", "stands"),
    [
        (["GAN training", "training of GANs"], [0, 0]),
        (["Graph Networks", "graph network", "graph network"], [1, 1, 1]),
        (["soil bacteria", "soil fungi"], [0, 1]),
        (["of the", "to the", ""], [0, 1, 2]),
        ([], []),
    ],
)
def test_near_duplicate_topics_are_merged(topics: list[str], stands: list[int]) -> None:
    assert merged_topics(topics) == stands


def test_the_most_central_topic_says_itself_what_the_group_is_about() -> None:
    assert group("food habitats", "energy and food", "cats habitats", "energy of cats").topics == (
        "energy of cats",
        "energy and food",
        "cats habitats",
        "food habitats",
    )


def test_no_topic_is_central_twice_in_other_words() -> None:
    assert group("cat food", "food for cats", "food of the cat", "cats").topics == ("cats", "cat food")


def test_only_members_of_the_group_are_central() -> None:
    vectors = np.array([[1, 0], [0.8, 0.6], [1, 0]], np.float32)
    topics = ["cat food", "cats", "energy"]
    assert candidates(topics, vectors, np.array([0, 1]), vectors[0], encode, 1).topics == ("cats",)


def test_a_frequent_topic_goes_before_a_rare_one() -> None:
    assert group("cat food", "energy food", "cats").topics[0] == "cats"
    assert group(*["cat food"] * 4, "energy food", "cats").topics[0] == "cat food"


def test_a_word_that_no_other_topic_has_makes_a_topic_less_central() -> None:
    found = group("sunamed energy", "energy policy", "nuclear energy policy")
    assert found.topics == ("energy policy", "nuclear energy policy", "sunamed energy")


def test_a_topic_that_stammers_is_the_last() -> None:
    assert group("cats, cats and cats", "habitats").topics == ("habitats", "cats, cats and cats")
    assert group("cat's cat's cat", "habitats").topics == ("habitats", "cat's cat's cat")


def test_written_name_is_kept_when_the_topics_support_it() -> None:
    asked: list[str] = []

    def write(prompts: Sequence[str]) -> list[list[str]]:
        asked.extend(prompts)
        return [['Topic: "Food for cats".']]

    cats = group(*CATS)
    assert names([cats], encode, write) == [("Food for cats", "model")]
    assert asked == ["; ".join(cats.topics)]


def test_the_best_of_several_answers_is_taken() -> None:
    assert names([group(*CATS)], encode, answer("Habitats of food", "Cat", "Cat habitats")) == [("Cat", "model")]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Dogs",
        "cat " * 30,
        "habitats",
        "wild food habitats",
        "house cat house cat",
        "cats' house: house cat",
        "cat; food",
    ],
)
def test_other_answers_give_way_to_the_most_central_topic(text: str) -> None:
    assert names([group(*CATS)], encode, answer(text)) == [("cat food", "topic")]


def test_names_are_unique_within_a_level() -> None:
    groups = [group(*CATS), group(*CATS), group("cats food"), group("cats food"), group(), group("")]
    found = [name for name, _ in names(groups, encode, answer("Cats"))]
    assert len({name.casefold() for name in found}) == len(groups)
    assert found[:2] == ["Cats", "cat food"]


def test_without_a_model_the_topics_name_the_groups() -> None:
    groups = [group(*CATS), group("dog food")]
    assert names(groups, encode, None) == [("cat food", "topic"), ("dog food", "topic")]


def test_a_model_names_the_largest_groups_of_many() -> None:
    asked: list[str] = []

    def write(prompts: Sequence[str]) -> list[list[str]]:
        asked.extend(prompts)
        return [["wild cats"]] * len(prompts)

    direction = np.array([1, 0], np.float32)
    topics = [(f"wild cats {number}", f"cats {number} wild") for number in range(WRITTEN + 5)]
    groups = [Candidates(pair, direction, {}, documents=number) for number, pair in enumerate(topics)]
    written = names(groups, encode, write)
    assert set(asked) == {"; ".join(pair) for pair in topics[5:]}
    assert [name for name, _ in written[:5]] == [f"wild cats {number}" for number in range(5)]
    assert {by for _, by in written[:5]} == {"topic"}


@pytest.mark.parametrize(
    ("topic", "name"),
    [
        ("effects of the " + "very " * 9 + "synergistic cats", "effects of the " + "very " * 8 + "very"),
        ("c" * 70, "c" * 60),
    ],
)
def test_a_name_from_a_long_topic_ends_with_a_word(topic: str, name: str) -> None:
    [(found, by)] = names([Candidates((topic,), np.array([1, 0], np.float32), {})], encode, None)
    assert (found, by) == (name, "topic")
