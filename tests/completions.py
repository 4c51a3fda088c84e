"""Prompts of texts, and what an engine writes after them."""

from collections.abc import Sequence
from typing import Any

from passages import PASSAGES

from topicgen import GenerationSettings
from topicgen.engines import Completion, CT2Engine
from topicgen.models import ModelFolder
from topicgen.prompt import PromptEncoder

SOME = PASSAGES[16:34]  # two words to five sentences


def prompts(model: ModelFolder, texts: Sequence[str] = PASSAGES) -> list[tuple[int, ...]]:
    encoder = PromptEncoder(model.prompt, model.tokenizer, model.context_tokens - 64)
    return [prompt.ids for prompt in encoder.encode(texts)]


def best(engine: CT2Engine, inputs: Sequence[Sequence[int]], **settings: Any) -> list[Completion]:
    return [
        completions[0] for completions in engine.generate(inputs, GenerationSettings(token_logprobs=True, **settings))
    ]
