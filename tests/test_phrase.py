"""From what a model wrote to a topic."""

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topicgen.phrase import clean, distinct, fallback, group_alike, repeats, support, unstuck

QUOTES = "\"'`“”‘’«»„"
TRAILING = ".,;:!?…-–—/|"

pieces = st.sampled_from(
    ["Topic: ", "### Response:", "- ", "1. ", '"', "“", "(", ")", "[", "…", ".", " of the", "\n", "\r", "\0", "\u202e"]
) | st.sampled_from(["\u2028", "\u200d", "\u200b", "\ufffd", "\ud800", "solar", "cells", "é", "电", "👩‍🚀", " "])
answers = st.text() | st.lists(pieces, max_size=12).map("".join)


def is_one_tidy_line(topic: str) -> bool:
    hidden = any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") and c not in "\u200d\u200c" for c in topic)
    loose = topic[0] in QUOTES or topic[-1] in QUOTES + TRAILING
    return not hidden and not loose and topic == topic.strip() and len(topic.splitlines()) == 1


@given(answers, st.booleans())
def test_topic_is_empty_or_one_tidy_line(raw: str, finished: bool) -> None:
    topic = clean(raw, finished=finished)
    assert topic == "" or (is_one_tidy_line(topic) and any(c.isalnum() for c in topic))


@given(answers, st.booleans())
def test_cleaning_twice_changes_nothing(raw: str, finished: bool) -> None:
    topic = clean(raw, finished=finished)
    assert clean(topic, finished=finished) == topic


@pytest.mark.parametrize(
    ("raw", "topic"),
    [
        ("Solar Cells", "Solar Cells"),
        ("  Solar\tCells \n", "Solar Cells"),
        ('"Solar Cells."', "Solar Cells"),
        ("“Solar Cells”.", "Solar Cells"),
        ("Topic: Solar Cells", "Solar Cells"),
        ("### Response: Solar Cells", "Solar Cells"),
        ("\n\n### Response:\nSolar Cells\n\nMore text", "Solar Cells"),
        ("Topic: Title: Solar Cells", "Solar Cells"),
        ("- Solar Cells", "Solar Cells"),
        ("1. Solar Cells", "Solar Cells"),
        ("## Solar Cells", "Solar Cells"),
        ("#solarcells", "#solarcells"),
        ('"- Solar Cells"', "Solar Cells"),
        ("Solar Cells (PV)", "Solar Cells (PV)"),
        ("Solar Cells (PV", "Solar Cells"),
        ("Solar Cells ((PV", "Solar Cells"),
        ("Solar-Cell Design", "Solar-Cell Design"),
        ("3D Printing", "3D Printing"),
        ("C++", "C++"),
        ("Topicality of News", "Topicality of News"),
        ("Solar\u202e Cells\u200b", "Solar Cells"),
        ("Solar Cells \ufffd", "Solar Cells"),
        ("👩‍🚀 Space Travel", "👩‍🚀 Space Travel"),
        ("太阳能电池。", "太阳能电池。"),
        ("!!!", ""),
        ("", ""),
        ("\n \n", ""),
    ],
)
def test_answer_becomes_topic(raw: str, topic: str) -> None:
    assert clean(raw) == topic


def test_loose_end_is_dropped_only_from_an_answer_that_was_cut() -> None:
    assert clean("The Design of the", finished=False) == "The Design"
    assert clean("What Dreams Are Made Of") == "What Dreams Are Made Of"


@given(st.text())
def test_fallback_is_one_visible_line(document: str) -> None:
    topic = fallback(document)
    assert topic.strip()
    assert len(topic.splitlines()) == 1
    assert not set(topic) <= set(" \u200d\u200c")
    assert not any(unicodedata.category(c) in ("Cc", "Cs") for c in topic)


@pytest.mark.parametrize(
    ("document", "topic"),
    [
        ("one two three four five six seven", "one two three four five six"),
        ('"Quoted".', "Quoted"),
        ("!!!", "!!!"),
        ("x" * 500, "x" * 80),
        ("\0\u202e", "no words"),
        ("\u200d", "no words"),
    ],
)
def test_fallback_is_the_beginning_of_the_document(document: str, topic: str) -> None:
    assert fallback(document) == topic


@pytest.mark.parametrize(
    "hostile",
    [
        " " * 500_000 + "x",
        "#" * 500_000,
        "# " * 250_000,
        "(" * 500_000,
        '."' * 250_000,
        " of the" * 70_000,
        "- " * 250_000,
        "Topic:" * 80_000,
        "a\n" * 250_000,
        "\n" * 500_000,
        "\u202e" * 500_000,
    ],
)
def test_hostile_answers_take_bounded_time(hostile: str) -> None:
    start = time.process_time()
    clean(hostile)
    clean(hostile, finished=False)
    fallback(hostile)
    assert time.process_time() - start < 2


def test_distinct_keeps_the_best_of_topics_with_the_same_words() -> None:
    topics = ["Solar Cells", "Cells, solar", "solar cells", "Wind Power", "Tidal Power"]
    assert list(distinct(topics, 3)) == [0, 3, 4]


def test_unlike_topics_go_before_like_ones() -> None:
    topics = ["Solar Cell Design", "The Solar Cell Design", "New Solar Cell Design", "Wind Power"]
    assert list(distinct(topics, 2)) == [0, 3]
    assert list(distinct(topics, 3)) == [0, 1, 3]


def test_groups_of_like_topics_begin_with_their_first() -> None:
    topics = ["Solar Cells", "Wind Power", "Cells, solar", "The Solar Cells", "wind power", "Tides"]
    assert group_alike(topics) == [0, 1, 0, 0, 1, 5]


@given(st.lists(st.text(max_size=8) | st.sampled_from(["a b", "b a", "a c", "!"]), max_size=12), st.integers(1, 6))
def test_distinct_gives_indices_in_order_without_repeats(topics: list[str], count: int) -> None:
    chosen = list(distinct(topics, count))
    assert chosen == sorted(set(chosen))
    assert len(chosen) <= count
    assert not topics or chosen[0] == 0
    assert len({topics[number] for number in chosen}) == len(chosen)


@pytest.mark.parametrize(
    ("topic", "said_once"),
    [
        ("Serena Williams' Recovery Recovery Recovery", "Serena Williams' Recovery"),
        ("World Champion Kim's Kim's Kim", "World Champion Kim"),
        ("Hewitt, Roddick, roddick", "Hewitt, roddick"),
        ("New York, New Jersey", "New York, New Jersey"),
        ("Duran Duran on tour tour", "Duran Duran on tour"),
        ("Growth of 2 2 percent", "Growth of 2 percent"),
        ("A - - B", "A - - B"),
        ("Stakeholder Interviews for Stakeholder Interviews", "Stakeholder Interviews"),
        ("Working Group's Working Group", "Working Group"),
        ("Likes vs Dislikes vs Dislikes", "Likes vs Dislikes"),
        ('Police" of the Police', "Police"),
        ("Components and Web of Web Components", "Components and Web"),
        ("Again, and again", "Again, and again"),
        ("Peer to Peer Networks", "Peer to Peer Networks"),
        ("", ""),
    ],
)
def test_a_word_is_said_again_only_where_the_document_does(topic: str, said_once: str) -> None:
    assert unstuck(topic, "The band Duran\nDuran plays again, and again on its tour.") == said_once


@pytest.mark.parametrize(
    ("topic", "count"),
    [
        ("Culture and Climate Survey Culture", 1),
        ("Sequence-to-Sequence Learning", 0),
        ("Peer to Peer Networks", 0),
        ("Face to Face", 1),
        ("Of Mice and of Men", 0),
        ("Web Web Web", 2),
        ("", 0),
    ],
)
def test_words_said_before_are_counted_unless_the_document_says_the_same(topic: str, count: int) -> None:
    assert repeats(topic, "Peer to\npeer, as it was once.") == count


@given(st.lists(st.sampled_from(["ice", "Ice", "ice's", "melts,", "of", "-", "“ice”", "電"])).map(" ".join), st.text())
def test_saying_once_is_done_in_one_go(topic: str, document: str) -> None:
    once = unstuck(topic, document)
    assert unstuck(once, document) == once
    assert bool(once) == bool(topic)


@pytest.mark.parametrize("hostile", ["a " * 250_000, "a" * 500_000, " -" * 250_000, "a " + "-" * 500_000])
def test_hostile_documents_are_searched_in_bounded_time(hostile: str) -> None:
    start = time.process_time()
    unstuck("ice ice melts", hostile)
    assert time.process_time() - start < 2


@pytest.mark.parametrize(
    ("topic", "share"),
    [
        ("Melting Glaciers", 1.0),
        ("Glacier Melts", 1.0),
        ("The Glacier and the Whale", 0.5),
        ("Whales", 0.0),
        ("", 1.0),
        ("of the", 1.0),
    ],
)
def test_support_is_the_share_of_words_that_the_document_has(topic: str, share: float) -> None:
    assert support(topic, "Glaciers are melting; ice melts at zero degrees.") == share


@given(st.text(), st.text())
def test_support_is_a_share(topic: str, document: str) -> None:
    assert 0 <= support(topic, document) <= 1
