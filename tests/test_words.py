"""Words of scripts that write vowels as marks."""

import re

import pytest

from topicgen.metrics import word_edits
from topicgen.phrase import support
from topicgen.phrases import runs
from topicgen.themes.duplicates import merged_topics
from topicgen.themes.terms import counted_terms
from topicgen.words import WORD


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("தமிழ் மொழி", ["தமிழ்", "மொழி"]),
        ("cafe\u0301s and re\u0301sume\u0301", ["cafe\u0301s", "and", "re\u0301sume\u0301"]),
        ("don't x_1, 50%", ["don", "t", "x_1", "50"]),
    ],
)
def test_marks_belong_to_their_word(text: str, words: list[str]) -> None:
    assert re.findall(WORD, text) == words


def test_different_words_of_the_same_consonants_differ() -> None:
    assert word_edits("दिन", "दान") == (1, 1)
    assert len(set(merged_topics(["दिन", "दान", "दीन"]))) == 3
    assert support("दिन", "दान की बात") == 0


def test_terms_and_phrases_are_whole_words() -> None:
    assert set(counted_terms("हिन्दी भाषा 2024")) == {"हिन्दी", "भाषा"}
    assert runs("हिन्दी भाषा, कक्षा") == [["हिन्दी", "भाषा"], ["कक्षा"]]
    assert set(counted_terms("Solar cells a 42 x")) == {"solar", "cell"}
