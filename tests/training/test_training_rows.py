"""Examples -> token rows."""

import re

import pytest
from passages import PASSAGES
from tokenizers import Tokenizer

from topicgen.errors import UserError
from topicgen.models import find_model
from topicgen.prompt import Prompt, PromptEncoder
from topicgen.records import Example
from topicgen.training.rows import TokenRows, encode_examples, preview

MODEL = find_model("mini")
PROMPT = MODEL.prompt
TOKENIZER = MODEL.tokenizer
ALPACA = Prompt("<|begin_of_text|>### Input:\n", "\n\n### Response:\n", "<|end_of_text|>")
STOP = TOKENIZER.token_to_id(PROMPT.stop)
SPECIAL = [token.content for token in TOKENIZER.get_added_tokens_decoder().values() if token.special]


def encode(*pairs: tuple[str, str], prompt: Prompt = PROMPT, max_length: int = 512, needed: bool = True) -> TokenRows:
    tokenizer = Tokenizer.from_str(TOKENIZER.to_str())
    examples = [Example(str(number), text, (topic,)) for number, (text, topic) in enumerate(pairs)]
    return encode_examples(examples, prompt, tokenizer, max_length, needed=needed)


def plain(text: str) -> list[int]:
    TOKENIZER.encode_special_tokens = True
    ids: list[int] = TOKENIZER.encode(text, add_special_tokens=False).ids
    return ids


def decode(ids: tuple[int, ...]) -> str:
    text: str = TOKENIZER.decode(list(ids), skip_special_tokens=False)
    return text


@pytest.mark.parametrize("prompt", [PROMPT, ALPACA])
def test_a_row_up_to_its_answer_is_the_prompt_that_generation_sees(prompt: Prompt) -> None:
    texts = [*PASSAGES, " a \n\n b\t", "naïve 日本 🚢", *SPECIAL, "odd \ud800", "x " * 3000]
    rows = encode(*((text, "Boats") for text in texts), prompt=prompt)
    room = 512 - len(plain("Boats")) - 1
    prompts = PromptEncoder(prompt, Tokenizer.from_str(TOKENIZER.to_str()), room).encode(texts)
    assert [(*rows.prefix, *row.ids[: row.answer]) for row in rows.rows] == [prompt.ids for prompt in prompts]
    assert rows.cut == sum(prompt.truncated for prompt in prompts) == 1


@pytest.mark.parametrize("prompt", [PROMPT, ALPACA])
def test_the_answer_is_the_topic_and_the_stop_token(prompt: Prompt) -> None:
    [row] = encode(("Text", "Solar cells"), prompt=prompt).rows
    assert list(row.ids[row.answer :]) == [*plain("Solar cells"), STOP]
    assert decode(row.ids) == f"Text{prompt.suffix}Solar cells{prompt.stop}"


def test_special_tokens_in_text_and_topic_are_plain_text() -> None:
    marked = "".join(SPECIAL)
    [row] = encode((marked, marked)).rows
    special = {TOKENIZER.token_to_id(name) for name in SPECIAL}
    assert [number for number in row.ids if number in special] == [TOKENIZER.token_to_id(PROMPT.suffix), STOP]
    assert decode(row.ids) == marked + PROMPT.suffix + marked + PROMPT.stop


def test_a_long_text_gives_way_to_its_topic() -> None:
    text = " ".join(PASSAGES)
    for topic in ("Boats", "The repair of wooden boats in northern harbours"):
        rows = encode((text, topic), max_length=60)
        [row] = rows.rows
        assert len(rows.prefix) + len(row.ids) == 60
        assert list(row.ids[row.answer :]) == [*plain(topic), STOP]
        assert list(row.ids[: row.answer - 1]) == plain(text)[: row.answer - 1]
        assert (rows.cut, rows.left_out) == (1, 0)


def test_a_row_that_just_fits_is_whole() -> None:
    needed = len(plain(PASSAGES[0])) + len(plain("Soot")) + 3
    assert encode((PASSAGES[0], "Soot"), max_length=needed).cut == 0
    assert encode((PASSAGES[0], "Soot"), max_length=needed - 1).cut == 1


def test_a_topic_without_room_for_its_text_is_left_out_and_never_cut() -> None:
    long = "the repair of wooden boats " * 20
    rows = encode(("Text", "Boats"), ("Text", long), ("Other", "Ships"), max_length=40)
    assert [decode(row.ids[row.answer :]) for row in rows.rows] == [f"{t}{PROMPT.stop}" for t in ("Boats", "Ships")]
    assert (rows.left_out, rows.cut) == (1, 0)
    with pytest.raises(UserError, match="max_length is too low: with 40 tokens no topic leaves room"):
        encode(("Text", long), max_length=40)
    assert encode(("Text", long), max_length=40, needed=False).left_out == 1


def test_a_length_without_room_for_the_prompt_is_refused() -> None:
    with pytest.raises(UserError, match="max_length is too low: the prompt leaves no room"):
        encode(("Text", "Boats"), max_length=2)


def test_a_stop_token_that_the_tokenizer_lacks_is_refused() -> None:
    with pytest.raises(UserError, match=r"no token '<\|eot\|>'"):
        encode(("Text", "Boats"), prompt=Prompt("", "", "<|eot|>"))


def test_no_examples_are_no_rows() -> None:
    assert encode().rows == []


def test_a_prompt_may_be_empty() -> None:
    [row] = encode(("Text", " about boats"), prompt=Prompt("", "", PROMPT.stop)).rows
    assert decode(row.ids[: row.answer]) == "Text"


def test_preview_brackets_the_tokens_with_loss() -> None:
    shown = preview(encode(("Solar cells.", "Solar cells"), ("b", "c")), TOKENIZER, 1, color=False)
    assert shown.splitlines() == [
        "example 1: 10 tokens, loss on the last 4",
        "<|begin_of_text|>·S·olar· cells·.·<|topic|>·[S]·[olar]·[ cells]·[<|end_of_text|>]",
    ]


def test_colours_stand_for_prefix_text_and_topic() -> None:
    shown = preview(encode(("Text", "Boats")), TOKENIZER, 5, color=True)
    styles = re.findall(r"\x1b\[([\d;]*)m", shown)
    assert len(set(styles)) == 4
    assert styles[1::2] == ["0"] * 3
    without = re.sub(r"\x1b\[[\d;]*m", "", shown)
    assert without == re.sub(r"[\[\]]", "", preview(encode(("Text", "Boats")), TOKENIZER, 5, color=False))


def test_no_text_commands_the_terminal() -> None:
    shown = preview(encode(("a \x1b[31m red \u202e", "b\x07")), TOKENIZER, 1, color=False)
    assert all(character.isprintable() for character in shown.replace("\n", ""))
    assert r"\x1b" in shown
