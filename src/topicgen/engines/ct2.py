"""CTranslate2 on the CPU: prompts as token ids in, completions out. Needs no torch."""

import ctypes
import os
import platform
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from topicgen.cache import cache_folder
from topicgen.config import GenerationSettings
from topicgen.engines.base import (
    LENGTH_SPREAD,
    TOPIC_ROOM,
    Completion,
    Engine,
    Precision,
    available_threads,
    groups,
    processor_flags,
    sampling_state,
)
from topicgen.engines.ct2_weights import ct2_folder, vocabulary
from topicgen.errors import UsageError
from topicgen.models import ModelFolder

BATCH_TOKENS = 512  # smaller batches read the weights more often, larger ones mix more lengths
SEARCH_SPREAD = 1  # a step costs more with several beams
POLL_SECONDS = 0.002
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # names of glibc's malloc.h
_KEPT_BYTES = 1 << 30


class CT2Engine(Engine):
    """Llama-architecture models on CTranslate2.

    Args:
        model: The model folder.
        threads: Cores to use; None takes all that the process may use.
        precision: ``int8`` (weights with a scale per row; ``auto`` is the same), or ``float32`` for exactness.
        exported: A CTranslate2 folder of this model that is run in place of the one in the cache.

    Raises:
        UsageError: For another precision.
    """

    name = "ct2"

    def __init__(
        self,
        model: ModelFolder,
        *,
        threads: int | None = None,
        precision: Precision = "auto",
        exported: Path | None = None,
    ) -> None:
        self.max_prompt_tokens = model.context_tokens - TOPIC_ROOM
        self._tokens = vocabulary(model)
        self._stop = model.prompt.stop
        self.precision: str = "int8" if precision == "auto" else precision
        if self.precision not in ("int8", "float32"):
            raise UsageError(f"the ct2 engine computes in int8 or float32, not in {precision}; the hf engine may")
        self._workers = threads or available_threads()
        self.reason = f"{self.precision} on {self._workers} CPU cores"
        self._folder, self._owner = (exported, None) if exported else ct2_folder(model, self.precision, cache_folder())
        # Prompts of a small model are short: one batch on each core beats one batch over all cores.
        self._generator = self._open(self._workers, 1)

    def _open(self, workers: int, threads_each: int) -> Any:
        _use_vector_instructions()
        _keep_memory()
        import ctranslate2

        return ctranslate2.Generator(
            str(self._folder),
            device="cpu",
            inter_threads=workers,
            intra_threads=threads_each,
            compute_type=self.precision,
        )

    def generate(self, prompts: Sequence[Sequence[int]], settings: GenerationSettings) -> list[list[Completion]]:
        """Completions for each prompt, likeliest first: ``settings.beams`` of them."""
        generator = self._generator if settings.temperature == 0 else self._sampler(prompts, settings.seed)
        done: list[list[Completion]] = [[] for _ in prompts]
        running: deque[tuple[Sequence[int], Batch]] = deque()
        spread = LENGTH_SPREAD if settings.beams == 1 else SEARCH_SPREAD
        batch_tokens = 1 if settings.deterministic else settings.batch_tokens or BATCH_TOKENS
        for group in groups([len(prompt) for prompt in prompts], batch_tokens, spread):
            start = [[self._tokens[i] for i in prompts[number]] for number in group]
            running.append((group, Batch(generator, start, self._stop, settings)))
            # Few batches wait in the queue, so that an interrupted run ends soon.
            while len(running) > self._workers + 1:
                _collect(running, done)
        while running:
            _collect(running, done)
        return done

    def _sampler(self, prompts: Sequence[Sequence[int]], seed: int) -> Any:
        """A generator of one worker: the library seeds the random state of a worker's thread once, at its start."""
        import ctranslate2

        ctranslate2.set_random_seed(sampling_state(prompts, seed))
        return self._open(1, self._workers)


def _use_vector_instructions() -> None:
    """Lets the library use AVX-512 where the processor has its int8 instructions: a fifth faster there.

    The library keeps to AVX2 by default, because the first processors with AVX-512 slowed their clock down for it;
    those do not have VNNI. Its choice is made once, at the first import.
    """
    if "avx512_vnni" in processor_flags():
        os.environ.setdefault("CT2_FORCE_CPU_ISA", "AVX512")


def _keep_memory() -> None:
    """Lets freed buffers stay with the process where its C library is glibc: about 5 % faster.

    The library allocates all buffers of a step anew; beyond a threshold glibc would give each back to the system and
    get it again as pages that must be filled with zeros.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)


class Batch:
    """One batch in the library's queue."""

    def __init__(self, generator: Any, start: list[list[str]], stop: str, settings: GenerationSettings) -> None:
        self._longest = settings.max_topic_tokens
        self._logprobs: list[list[float]] = [[] for _ in start]
        options: dict[str, Any] = {}
        if settings.beams > 1:
            options = {"beam_size": settings.beams, "num_hypotheses": settings.beams}
        elif settings.token_logprobs:
            options = {"callback": self._step}
        if settings.temperature > 0:
            options |= {"sampling_topk": 0, "sampling_temperature": settings.temperature}
        self._results = generator.generate_batch(
            start,
            asynchronous=True,
            max_length=settings.max_topic_tokens,
            min_length=1,
            end_token=stop,
            include_prompt_in_result=False,
            return_scores=True,
            **options,
        )

    def _step(self, step: Any) -> bool:
        self._logprobs[step.batch_id].append(step.log_prob)
        return False

    def wait(self) -> list[list[Completion]]:
        """Completions of each prompt. Polls, because waiting inside the library would hold back Ctrl-C."""
        while not all(result.done() for result in self._results):
            time.sleep(POLL_SECONDS)
        return [self._completions(number, result.result()) for number, result in enumerate(self._results)]

    def _completions(self, number: int, result: Any) -> list[Completion]:
        # The library gives the mean log-probability of a completion, and that of each token only step by step.
        return [
            Completion(tuple(ids), tuple(self._logprobs[number]) or (score,), finished=len(ids) < self._longest)
            for ids, score in zip(result.sequences_ids, result.scores, strict=True)
        ]


def _collect(running: "deque[tuple[Sequence[int], Batch]]", done: list[list[Completion]]) -> None:
    group, batch = running[0]
    for number, completions in zip(group, batch.wait(), strict=True):
        done[number] = completions
    running.popleft()
