"""From the topics of passages to the topics of a document."""

from topicgen.merging import merge_topics
from topicgen.passages import Passage
from topicgen.prompt import EncodedPrompt
from topicgen.records import PassageTopic, RankedTopic

BEES = "Bees make honey from nectar in the hive."
BOATS = "Boats carry grain and honey on the river."


def passages(*texts: str) -> list[Passage]:
    offsets = [sum(len(text) + 1 for text in texts[:number]) for number in range(len(texts))]
    return [Passage(text, offset, EncodedPrompt((), False)) for text, offset in zip(texts, offsets, strict=True)]


def ranked(*topics: tuple[str, float]) -> list[RankedTopic]:
    return [RankedTopic(*topic) for topic in topics]


def test_like_topics_are_one_with_the_name_and_place_of_the_likeliest() -> None:
    found = merge_topics(
        passages(BEES, BOATS, BEES),
        [ranked(("Making of Honey", 0.5)), ranked(("Boats on the River", 0.6)), ranked(("Honey Making", 0.9))],
    )
    assert [topic.topic for topic in found] == ["Honey Making", "Boats on the River"]
    honey = found[0]
    assert (honey.score, honey.offset, honey.length) == (0.9, len(BEES) + len(BOATS) + 2, len(BEES))


def test_weight_is_the_share_of_characters_read() -> None:
    found = merge_topics(
        passages("a" * 30, "b" * 60, "c" * 10), [ranked(("A", 0.5)), ranked(("B", 0.5)), ranked(("A", 0.4))]
    )
    assert {topic.topic: round(topic.weight, 6) for topic in found} == {"A": 0.4, "B": 0.6}


def test_topic_of_the_beginning_comes_first_then_the_heavier() -> None:
    found = merge_topics(
        passages("a" * 20, "b" * 30, "c" * 45, "d" * 5),
        [ranked(("A", 0.2), ("E", 0.1)), ranked(("B", 0.9)), ranked(("C", 0.3)), ranked(("D", 0.8))],
    )
    assert [topic.topic for topic in found] == ["A", "C", "B", "E", "D"]


def test_topic_of_more_than_half_of_the_text_comes_before_that_of_the_beginning() -> None:
    found = merge_topics(passages("a" * 40, "b" * 60), [ranked(("A", 0.9)), ranked(("B", 0.2))])
    assert [topic.topic for topic in found] == ["B", "A"]


def test_several_topics_of_a_passage_all_count() -> None:
    found = merge_topics(
        passages(BEES, BOATS), [ranked(("Honey", 0.9), ("Bees", 0.5)), ranked(("Boats", 0.7), ("Honey", 0.6))]
    )
    assert found[0] == PassageTopic("Honey", 1.0, 0.9, 0, len(BEES))
    assert {topic.topic for topic in found} == {"Honey", "Bees", "Boats"}
