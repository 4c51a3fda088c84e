"""What an engine is: token ids of prompts in, completions with log-probabilities out."""

import math
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Literal, Protocol

from topicgen.config import GenerationSettings
from topicgen.errors import UsageError

Precision = Literal["auto", "int8", "float32", "bf16", "fp8", "nf4"]
"""Arithmetic of an engine; each has some of them, ``auto`` is its own choice."""
WINDOW = 256
TOPIC_ROOM = 64  # tokens of the context that a prompt leaves free
LENGTH_SPREAD = 4


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model wrote after one prompt.

    Attributes:
        ids: Generated token ids, without the end token.
        logprobs: Natural logarithms of the model's probabilities of those tokens, and of the end token where reached;
            one number, their mean, where there are several beams or an engine is faster without the others and
            ``token_logprobs`` was not asked for.
        finished: Whether the model ended the text itself, rather than being cut at the longest length.
    """

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finished: bool

    @property
    def score(self) -> float:
        """Geometric mean of the token probabilities, 0 to 1; 0 where the engine gave none."""
        return math.exp(sum(self.logprobs) / len(self.logprobs)) if self.logprobs else 0.0


class Engine(Protocol):
    """Runs a model. Engines derive from it for what it says of them by default."""

    name: str
    max_prompt_tokens: int
    """Longest prompt, in tokens, that leaves room for a topic of the usual length."""
    window: int = WINDOW
    """Prompts of one call that it runs at full speed with."""
    beam_search: bool = True
    """Whether ``settings.beams`` may be above 1."""
    precision: str = ""
    """Arithmetic that it computes in; empty where that is not known."""
    reason: str = ""
    """How it computes and why so, for people; may be empty."""
    failures: Mapping[str, int] = MappingProxyType({})
    """Why prompts have no completions, and how many."""

    def generate(self, prompts: Sequence[Sequence[int]], settings: GenerationSettings) -> list[list[Completion]]:
        """Completions for each prompt, likeliest first: ``settings.beams`` of them; none for a prompt that failed."""
        ...

    def require_beams(self, beams: int) -> None:
        """Raises UsageError for more beams than the engine searches with."""
        if beams > 1 and not self.beam_search:
            raise UsageError(f"the {self.name} engine gives one topic for a document; --topics needs ct2, hf or vllm")


def groups(lengths: Sequence[int], batch_tokens: int, spread: int = LENGTH_SPREAD) -> Iterator[list[int]]:
    """Batches of prompts of nearly the same length, longest first; gives their indices.

    CTranslate2 computes what all prompts of a batch have in length at once and the rest token by token, so that there
    a spread of lengths costs more than a smaller batch.
    """
    order = sorted(range(len(lengths)), key=lambda number: -lengths[number])
    group: list[int] = []
    for number in order:
        longest = lengths[group[0]] if group else 0
        if group and ((len(group) + 1) * longest > batch_tokens or longest - lengths[number] > spread):
            yield group
            group = []
        group.append(number)
    if group:
        yield group


def sampling_state(prompts: Sequence[Sequence[int]], seed: int) -> int:
    """State of random numbers: it depends on the seed and on the prompts, not on what ran before."""
    return zlib.crc32(repr(prompts).encode(), seed) & 0x7FFFFFFF


def available_threads() -> int:
    """Cores that this process may use: its affinity mask, and the CPU quota of its control group (containers)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return max(1, min(cores, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):  # no control group, or "max": no quota
        return cores


@cache
def processor_flags() -> frozenset[str]:
    """Instruction sets of the processor in Linux's names (``avx2``, ``avx512_vnni``); empty elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), []))
