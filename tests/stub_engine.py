"""An engine without a model, for what is about runs and not about topics: fast, and as sensitive as can be.

Every topic depends on all prompts of its call, so that a window with other documents shows in every row of it.
"""

import zlib
from collections.abc import Sequence
from typing import Any

from topicgen.config import GenerationSettings
from topicgen.engines import ENGINES, Completion, Engine
from topicgen.job import GenerateJob
from topicgen.models import ModelFolder


class StubEngine(Engine):
    """Takes three tokens of each prompt."""

    name = "stub"
    max_prompt_tokens = 256

    def __init__(self, model: ModelFolder, **_: object) -> None:
        tokenizer = model.tokenizer
        self._around = [len(tokenizer.encode(text).ids) for text in (model.prompt.prefix, model.prompt.suffix)]

    def generate(self, prompts: Sequence[Sequence[int]], settings: GenerationSettings) -> list[list[Completion]]:
        salt = zlib.crc32(repr(prompts).encode())
        return [[self._completion(prompt, salt)] for prompt in prompts]

    def _completion(self, prompt: Sequence[int], salt: int) -> Completion:
        number = zlib.crc32(repr(prompt).encode(), salt)
        inner = prompt[self._around[0] : len(prompt) - self._around[1]] or prompt
        ids = tuple(inner[(number >> shift) % len(inner)] for shift in (0, 8, 16))
        return Completion(ids, (-(number % 1000) / 1000,), finished=True)


def stub_job(inputs: Sequence[str], output: str, **changes: Any) -> GenerateJob:
    """A generate call on the stub engine."""
    from topicgen.config import ReaderSettings

    ENGINES["stub"] = StubEngine
    options: dict[str, Any] = {
        "reader": ReaderSettings(),
        "generation": GenerationSettings(second_look=False),
        "output_format": None,
        "with_text": False,
        "escape_formulas": False,
        "quarantine": None,
        "force": False,
        "model": "mini",
        "load_options": {"engine": "stub", "threads": 1, "precision": "int8"},
        "cache": True,
        "say": lambda _: None,
        "warn": lambda _: None,
        "verbose": False,
        "progress": False,
    }
    return GenerateJob(inputs=inputs, output=output, **(options | changes))
