"""Prompts as token ids in, completions out: a plain Llama on a GPU, several times as fast as batches of transformers.

Prompts are read without padding and behind a shared prefix; then hundreds of documents are written at once, token by
token, each step a replayed CUDA graph. On a CPU the same is computed without graphs, as a reference for tests.
"""

from collections.abc import Sequence
from typing import Any

import torch

from topicgen.config import GenerationSettings
from topicgen.engines.base import Completion, sampling_state
from topicgen.engines.packed_cache import Writing, pack, parts, row_slots
from topicgen.engines.packed_model import PackedModel
from topicgen.engines.packed_search import written
from topicgen.engines.packed_weights import load_weights
from topicgen.errors import UserError
from topicgen.models import ModelFolder

PACK_TOKENS = 32_768  # prompt tokens that are read at once
ROWS = 512  # beams of all documents that are written at once
CACHE_SHARE = 0.6  # of the memory that the weights leave free
CACHE_TOKENS = 262_144
WARM_STEPS = 20  # steps of one shape before they are captured: a graph costs as much as it saves in about so many
FUSED_TOKENS = 32_768  # prompts of one call from which on compiling pays


class PackedLlama:
    """Generates with a plain Llama.

    Args:
        model: Computes the logits.
        prefix: Token ids that prompts begin with; prompts that do not are read whole.
        stop: The token that ends a topic.
        compiles: Whether functions are compiled when a call is large.
    """

    def __init__(self, model: PackedModel, prefix: Sequence[int], stop: int, *, compiles: bool = True) -> None:
        self._model, self._prefix, self._stop = model, tuple(prefix), stop
        self._gpu = model.device.type == "cuda"
        self._compiles = compiles and self._gpu
        self._pack_tokens = PACK_TOKENS
        self._shared: dict[tuple[int, ...], torch.Tensor] = {}
        self._room: torch.Tensor | None = None
        self._forms: dict[tuple[int, int, int], _Form] = {}
        self._pool: Any = None

    @torch.no_grad()
    def generate(self, prompts: Sequence[Sequence[int]], settings: GenerationSettings) -> list[list[Completion]]:
        """Completions for each prompt, likeliest first: ``settings.beams`` of them.

        Raises:
            UserError: When the memory is too small for one document.
        """
        done: list[list[Completion]] = [[] for _ in prompts]
        if self._compiles and sum(map(len, prompts)) >= FUSED_TOKENS:
            self._model.fused = True
        size = len(self._prefix)
        shared = [tuple(prompt[:size]) == self._prefix and len(prompt) > size for prompt in prompts]
        for prefix, wanted in ((self._prefix, True), ((), False)):
            chosen = [number for number, is_so in enumerate(shared) if is_so == wanted]
            order = sorted(chosen, key=lambda number: -len(prompts[number]))
            while order:
                longest = len(prompts[order[0]])
                group = order[: self._documents(longest, settings)]
                rest = [prompts[number][len(prefix) :] for number in group]
                for number, found in zip(group, self._written(prefix, rest, settings), strict=True):
                    done[number] = found
                order = order[len(group) :]
        return done

    def _documents(self, longest: int, settings: GenerationSettings) -> int:
        """Documents of a group: a power of two, so that few forms are captured."""
        if settings.deterministic:
            return 1
        slots, _ = row_slots(longest, settings.max_topic_tokens, settings.beams)
        room = self._cache_tokens() // slots
        if settings.batch_tokens:
            room = min(room, settings.batch_tokens // longest)
        return 1 << (max(1, min(ROWS // settings.beams, room)).bit_length() - 1)

    def _written(
        self, prefix: tuple[int, ...], prompts: Sequence[Sequence[int]], settings: GenerationSettings
    ) -> list[list[Completion]]:
        """Completions of one group; where memory is too small, packs are made smaller."""
        while True:
            try:
                return self._group(prefix, prompts, settings)
            except torch.OutOfMemoryError:
                if self._pack_tokens < max(map(len, prompts)):
                    raise UserError(
                        f"a prompt of {len(prefix) + max(map(len, prompts))} tokens needs more memory than the GPU has"
                    ) from None
            self._pack_tokens //= 2
            torch.cuda.empty_cache()

    def _group(
        self, prefix: tuple[int, ...], prompts: Sequence[Sequence[int]], settings: GenerationSettings
    ) -> list[list[Completion]]:
        lengths = [len(prefix) + len(prompt) for prompt in prompts]
        slots, first_written = row_slots(max(lengths), settings.max_topic_tokens, settings.beams)
        count = 1 << (len(prompts) - 1).bit_length()  # a power of two: the rest are rows that nobody reads
        form = self._form(count, slots, settings.beams)
        cache, model = form.writing.keys_values, self._model
        if prefix:
            if prefix not in self._shared:
                self._shared[prefix] = model.prefix(prefix)
            cache[:, :, :, : len(prefix)] = self._shared[prefix][:, :, None]
        logits = [
            model.read(pack(prompts[start:stop], start, len(prefix), slots, model.device), cache)
            for start, stop in parts([len(prompt) for prompt in prompts], self._pack_tokens)
        ]
        logits += [logits[0][:1].expand(count - len(prompts), -1)]
        form.writing.begin(torch.tensor([*lengths, *[1] * (count - len(prompts))], device=model.device), first_written)
        seed = sampling_state(prompts, settings.seed) if settings.temperature > 0 else 0
        return written(torch.cat(logits), form.step, len(prompts), self._stop, settings, seed)

    def _cache_tokens(self) -> int:
        if not self._gpu:
            return CACHE_TOKENS
        if self._room is None:
            each = self._model.cache(1, 1).nbytes
            free, _ = torch.cuda.mem_get_info(self._model.device)
            room = min(CACHE_TOKENS, int(CACHE_SHARE * free) // each)
            self._room = self._model.cache(1, max(room, 1))
        return self._room.shape[3]

    def _form(self, documents: int, slots: int, beams: int) -> "_Form":
        """What writes groups of one shape; on a GPU all use the same room, and are kept."""
        if not self._gpu:
            return _Form(self._model, Writing(self._model.cache(documents, slots), beams))
        key = (documents, slots, beams)
        if key not in self._forms:
            tokens = self._cache_tokens()
            assert self._room is not None
            if documents * slots > tokens:
                raise torch.OutOfMemoryError
            layers, two, _, _, heads, width = self._room.shape
            size = layers * two * documents * slots * heads * width
            room = self._room.view(-1)[:size].view(layers, two, documents, slots, heads, width)
            self._pool = self._pool or torch.cuda.graph_pool_handle()
            self._forms[key] = _Form(self._model, Writing(room, beams), self._pool)
        return self._forms[key]


def load_packed(
    model: ModelFolder, prefix: Sequence[int], stop: int, device: torch.device, precision: str
) -> PackedLlama:
    """Loads a plain Llama.

    Raises:
        UserError: When weights are missing or damaged, or do not fit into the memory.
    """
    try:
        return PackedLlama(PackedModel(load_weights(model, device, precision)), prefix, stop)
    except torch.OutOfMemoryError:
        raise UserError(f"{model.name}: does not fit into the memory of the GPU") from None


class _Form:
    """The step of groups of one shape: a CUDA graph once it is used often, one launch instead of hundreds."""

    def __init__(self, model: PackedModel, writing: Writing, pool: Any = None) -> None:
        self._model, self.writing, self._pool = model, writing, pool
        self._graph: Any = None
        self._logits: torch.Tensor | None = None
        self._calls = 0
        self._fused = model.fused

    def step(self, tokens: torch.Tensor, parents: torch.Tensor | None) -> torch.Tensor:
        """(rows, vocabulary) logits of what follows the tokens; they are overwritten by the next call."""
        self.writing.put(tokens, parents)
        if self._pool is None:
            return self._model.step(self.writing)
        if self._fused != self._model.fused:
            self._fused, self._graph, self._calls = self._model.fused, None, 0
        self._calls += 1
        if self._calls <= WARM_STEPS:  # compiles, and finds out how matrices are best multiplied
            return self._model.step(self.writing)
        if self._graph is None:
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph, pool=self._pool):
                self._logits = self._model.step(self.writing)
        self._graph.replay()
        assert self._logits is not None
        return self._logits
