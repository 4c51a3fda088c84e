"""From long documents to passages."""

import re
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from passages import PASSAGES
from tokenizers import Tokenizer

from topicgen.models import find_model
from topicgen.passages import Passage, split_passages
from topicgen.prompt import Prompt, PromptEncoder

MODEL = find_model("mini")
LONG = "\n\n".join(PASSAGES)


def encoder(room: int, fold: bool = True) -> PromptEncoder:
    prompt = Prompt(MODEL.prompt.prefix, MODEL.prompt.suffix, MODEL.prompt.stop, fold)
    tokenizer = Tokenizer.from_file(str(MODEL.path / "tokenizer.json"))
    return PromptEncoder(prompt, tokenizer, room + 2)


ENCODERS = [encoder(40), encoder(40, fold=False)]


def split(text: str, room: int = 40, most: int = 1_000) -> tuple[list[Passage], bool]:
    return split_passages(text, encoder(room), most)


def lengths(passages: list[Passage]) -> list[int]:
    return [len(passage.prompt.ids) - 2 for passage in passages]


@pytest.mark.parametrize("room", [40, 150, 958])
def test_passages_of_a_text_are_all_of_it_in_order(room: int) -> None:
    passages, whole = split(LONG, room)
    assert whole
    assert " ".join(passage.text for passage in passages).split() == LONG.split()
    assert all(LONG[p.offset : p.offset + len(p.text)] == p.text == p.text.strip() for p in passages)
    assert max(lengths(passages)) <= room
    assert not any(passage.prompt.truncated for passage in passages)


words = st.sampled_from(
    ["a", "b.", "c!\n\n", "\n\n\n", "今天天气很好。", "今天", "x" * 50, "w" * 400, "\ud800", " ", "😀", "e.g. "]
)


@given(st.lists(words | st.text(max_size=5), max_size=60), st.integers(1, 8))
@example(["w" * 400, "今天" * 100], 8)
def test_any_text_gives_passages_that_fit_in_order_without_overlap(parts: list[str], most: int) -> None:
    text = "".join(parts)
    for reader in ENCODERS:
        passages, whole = split_passages(text, reader, most)
        assert len(passages) <= most
        end = 0
        for passage in passages:
            assert passage.offset >= end
            end = passage.offset + len(passage.text)
            assert text[passage.offset : end] == passage.text
            assert len(passage.prompt.ids) <= 42
        if whole:
            read = "".join(passage.text for passage in passages)
            assert re.sub(r"\s", "", read) == re.sub(r"\s", "", text)


def test_passages_have_nearly_equal_lengths() -> None:
    sentence = "Boats on the river carry grain to the mill. "
    passages, _ = split(sentence * 30, room=100)
    assert max(lengths(passages)) - min(lengths(passages)) <= 12  # a sentence


def test_passage_ends_at_a_paragraph_where_one_is_near() -> None:
    paragraphs = ["Boats carry grain. They are slow. Boats carry coal.", "Bees make honey. Bees sleep. Honey is sweet."]
    passages, _ = split("\n\n".join(paragraphs), room=16)
    assert [passage.text for passage in passages] == paragraphs


def test_passage_ends_at_a_sentence_where_no_paragraph_is_near() -> None:
    passages, _ = split("Boats on the river carry grain. " * 20, room=50)
    assert len(passages) > 1
    assert all(passage.text.endswith("grain.") for passage in passages)


def test_long_sentence_is_split_between_words() -> None:
    text = "boats and bees " * 50
    passages, whole = split(text, room=20)
    assert whole
    assert {word for passage in passages for word in passage.text.split()} == {"boats", "and", "bees"}


def test_text_without_spaces_is_split_between_characters() -> None:
    passages, whole = split("今天天气很好我们去公园玩" * 20, room=60)
    assert whole
    assert len(passages) > 2
    assert "".join(passage.text for passage in passages) == "今天天气很好我们去公园玩" * 20


def test_word_of_more_than_a_prompt_is_cut() -> None:
    passages, whole = split("Bees make honey. " + "xq" * 5_000 + " Boats carry grain.", room=30)
    assert not whole
    assert [passage.text[:5] for passage in passages] == ["Bees ", "xqxqx", "Boats"]
    assert 28 <= lengths(passages)[1] <= 30


def test_of_too_many_passages_some_at_even_distances_are_kept() -> None:
    text = " ".join(f"Sentence number {number} is about boats." for number in range(200))
    every, whole = split(text, room=40)
    assert whole
    some, part = split(text, room=40, most=5)
    assert not part
    assert (some[0].text, some[-1].text) == (every[0].text, every[-1].text)
    places = [every.index(passage) for passage in some]
    gaps = [b - a for a, b in pairwise(places)]
    assert max(gaps) - min(gaps) <= 1
    assert split(text, room=40, most=2)[0] == [every[0], every[-1]]


@pytest.mark.parametrize("hostile", ["x" * 2_000_000, "." * 200_000, "\n \n " * 100_000, '."' * 100_000, "。" * 50_000])
def test_hostile_text_costs_no_more_than_its_length(hostile: str) -> None:
    counted = 0

    class Counting(PromptEncoder):
        def encode(self, texts: list[str]) -> list[object]:
            nonlocal counted
            counted += sum(map(len, texts))
            return super().encode(texts)

    reader = Counting(MODEL.prompt, Tokenizer.from_file(str(MODEL.path / "tokenizer.json")), 100)
    passages, _ = split_passages(hostile, reader, 10)
    assert len(passages) <= 10
    assert counted <= len(hostile)
