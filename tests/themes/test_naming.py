"""Names of themes, and topics that say the same."""

from collections.abc import Sequence

import numpy as np
import pytest

from topicgen.themes.duplicates import merged_topics
from topicgen.themes.naming import central_topics, names

CATS = ["cat food", "wild cat habitats", "food of house cats"]


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


def test_central_topics_are_the_nearest_without_duplicates() -> None:
    vectors = np.array([[1, 0], [0.8, 0.6], [1, 0], [0, 1]], np.float32)
    topics = ["GAN training", "image models", "training of GANs", "far away"]
    found = central_topics(topics, vectors, np.array([0, 1, 2]), np.array([1, 0], np.float32))
    assert found == ["GAN training", "image models"]
    assert central_topics(topics, vectors, np.array([0, 1, 2]), np.array([1, 0], np.float32), count=1) == found[:1]


def test_a_word_that_no_other_topic_has_makes_a_topic_less_central() -> None:
    topics = ["sunamed energy pilots", "energy policy", "nuclear energy policy"]
    vectors = np.array([[1, 0], [0.96, 0.28], [0.92, 0.39]], np.float32)
    found = central_topics(topics, vectors, np.array([0, 1, 2]), np.array([1, 0], np.float32))
    assert found == ["energy policy", "nuclear energy policy", "sunamed energy pilots"]


def test_written_name_is_kept_when_the_topics_support_it() -> None:
    asked: list[str] = []

    def write(prompts: Sequence[str]) -> list[str]:
        asked.extend(prompts)
        return ['Topic: "Food for cats".']

    assert names([CATS], write) == [("Food for cats", "model")]
    assert asked[0] == "; ".join(CATS)


@pytest.mark.parametrize("answer", ["", "Dogs", "cat " * 30, "habitats", "wild food habitats", "house cat house cat"])
def test_other_answers_give_way_to_the_most_central_topic(answer: str) -> None:
    assert names([CATS], lambda prompts: [answer] * len(prompts)) == [("cat food", "topic")]


def test_names_are_unique_within_a_level() -> None:
    groups = [CATS, CATS, ["cats food"], ["cats food"], [], [""]]
    found = [name for name, _ in names(groups, lambda prompts: ["Cats"] * len(prompts))]
    assert len({name.casefold() for name in found}) == len(groups)
    assert found[:2] == ["Cats", "cat food"]


def test_without_a_model_the_topics_name_the_groups() -> None:
    assert names([CATS, ["dog food"]], None) == [("cat food", "topic"), ("dog food", "topic")]
