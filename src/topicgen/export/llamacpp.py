"""A GGUF file in, topics written by llama.cpp out: its tokenizer, its arithmetic."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from topicgen.config import GenerationSettings
from topicgen.engines.base import available_threads
from topicgen.errors import UserError
from topicgen.export.check import Writer
from topicgen.extras import require
from topicgen.phrase import clean
from topicgen.prompt import Prompt

SMALL_BYTES = 1_000_000_000  # below, threads wait for each other longer than they compute


def llamacpp_writer(file: Path, prompt: Prompt, context: int) -> Writer:
    """Writes likeliest tokens after prompts that go in as text, as other programs send them.

    Args:
        file: The GGUF file.
        prompt: The prompt, without a first token that llama.cpp adds itself.
        context: Tokens of prompt and topic together.

    Raises:
        UserError: When llama.cpp cannot load the file.
    """
    library = require("xllamacpp", "export")
    params = library.CommonParams()
    params.model.path = str(file)
    params.n_ctx = context
    params.n_parallel = 1
    params.warmup = False
    params.verbosity = 0
    threads = 1 if file.stat().st_size < SMALL_BYTES else available_threads()
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    longest = GenerationSettings().max_topic_tokens

    def topic(text: str) -> str:
        folded = " ".join(text.split()) if prompt.fold_white_space else text.strip()
        asked = {
            "prompt": prompt.prefix + folded + prompt.suffix,
            "max_tokens": longest,
            "temperature": 0.0,
            "repeat_penalty": 1.0,
        }
        [choice] = server.handle_completions(asked)["choices"]
        return clean(choice["text"], finished=choice["finish_reason"] == "stop")

    def write(texts: Sequence[str]) -> list[str]:
        return [topic(text) for text in texts]

    with tempfile.TemporaryDirectory(prefix="topicgen-") as folder:
        params.hostnames = [f"{folder}/llama.sock"]  # it listens, and nobody need hear it
        try:
            server = library.Server(params)
        except RuntimeError as error:
            raise UserError(f"{file}: llama.cpp cannot load it ({error})") from None
    return write
