"""A model's tokenizer in, the tokens, merges and special tokens of a GGUF file out."""

import json
from dataclasses import dataclass
from typing import Any

from topicgen.adapters import read_object
from topicgen.errors import UserError
from topicgen.models import ModelFolder

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
PRE_TOKENIZERS = {LLAMA3: "llama-bpe"}
"""llama.cpp's name of the way to split a text before its parts become tokens, by the pattern in tokenizer.json."""

NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5  # llama.cpp's token types


@dataclass(frozen=True, slots=True)
class GGUFTokens:
    """What a GGUF file holds of a tokenizer.

    Attributes:
        tokens: Token strings in the order of their ids, as many as the embedding has rows.
        types: llama.cpp's type of each.
        merges: Merges of byte pair encoding, likeliest first.
        pre: llama.cpp's name of the way to split a text.
        begin: Id of the token that begins a text, if there is one.
        end: Id of the token that ends a topic.
        add_begin: Whether programs put the first token before a prompt themselves.
    """

    tokens: list[str]
    types: list[int]
    merges: list[str]
    pre: str
    begin: int | None
    end: int
    add_begin: bool


def gguf_tokens(model: ModelFolder) -> GGUFTokens:
    """Reads tokenizer.json.

    Raises:
        UserError: When it is not byte-level BPE with Llama 3's way to split a text, or lacks the end of a topic.
    """
    path = model.path / "tokenizer.json"
    kept = read_object(path)
    bpe = kept.get("model") or {}
    merges = bpe.get("merges")
    pre = PRE_TOKENIZERS.get(_pattern(kept.get("pre_tokenizer")))
    if bpe.get("type") != "BPE" or not merges or pre is None or kept.get("normalizer"):
        raise UserError(
            f"{path}: GGUF is written for byte-level BPE that splits texts as Llama 3 does; for other tokenizers export"
            " --to merged, and convert that folder with llama.cpp's convert_hf_to_gguf.py"
        )
    end = model.tokenizer.token_to_id(model.prompt.stop)
    if end is None:
        raise UserError(f"{path}: has no token {model.prompt.stop!r}, which ends a topic")
    size = model.number("vocab_size")
    found = [model.tokenizer.id_to_token(number) for number in range(size)]
    types = [UNUSED if token is None else NORMAL for token in found]
    for added in kept.get("added_tokens") or ():
        types[added["id"]] = CONTROL if added.get("special") else USER_DEFINED
    begin = _begin(model)
    return GGUFTokens(
        tokens=[f"[UNUSED{number}]" if token is None else token for number, token in enumerate(found)],
        types=types,
        merges=[merge if isinstance(merge, str) else " ".join(merge) for merge in merges],
        pre=pre,
        begin=begin,
        end=end,
        add_begin=begin is not None and _adds(model, begin),
    )


def without_begin(prefix: str, tokens: GGUFTokens) -> str:
    """A prompt's prefix without the first token, where programs put it there themselves."""
    return prefix.removeprefix(tokens.tokens[tokens.begin]) if tokens.add_begin and tokens.begin is not None else prefix


def _pattern(pre_tokenizer: Any) -> str:
    """The pattern that splits a text, where a byte-level step without a pattern of its own follows it."""
    match pre_tokenizer:
        case {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": str(pattern)}, "behavior": "Isolated", "invert": False},
                {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False},
            ],
        }:
            return pattern
    return ""


def _begin(model: ModelFolder) -> int | None:
    number = model.config.get("bos_token_id")
    return number if isinstance(number, int) and model.tokenizer.id_to_token(number) else None


def _adds(model: ModelFolder, begin: int) -> bool:
    """Whether the tokenizer itself begins every text with that token, and the prompt does too."""
    token = str(model.tokenizer.id_to_token(begin))
    return model.tokenizer.encode("a").ids[:1] == [begin] and model.prompt.prefix.startswith(token)


def chat_template(model: ModelFolder) -> str:
    """The prompt as the template with which chat programs put a message before the model."""
    before, after = (json.dumps(text, ensure_ascii=False) for text in (model.prompt.prefix, model.prompt.suffix))
    return "{{ " + before + " + (messages[-1]['content'] | trim) + " + after + " }}"
