"""Prompts in, one by one, into slots of a cache; the documents in the slots are written together, token by token."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Event
from typing import Any

import numpy as np

from topicgen.engines.base import Completion
from topicgen.engines.hypotheses import Hypotheses
from topicgen.engines.onnx_graph import Shape, cache_names
from topicgen.engines.weights import Array, widened

ROOM_STEP = 16  # tokens
SPARSE = 0.75  # share of used groups below which gaps are closed
Take = Callable[[], int | None]


class Sessions:
    """What the workers of one engine share: both graphs, which may run in several threads, and the embeddings.

    Args:
        prompt: Session of the graph of ``save_prompt_graph``.
        step: Session of the graph of ``save_step_graph``.
        embeddings: (vocabulary, hidden) in float32, or as the upper halves of such numbers (bfloat16).
    """

    def __init__(self, shape: Shape, prompt: Any, step: Any, embeddings: Array) -> None:
        self.shape, self.prompt, self.step = shape, prompt, step
        self._embeddings = embeddings

    def embedded(self, ids: Sequence[int] | Array) -> Array:
        """Embeddings of tokens, (tokens, hidden) in float32."""
        rows: Array = self._embeddings[np.asarray(ids)]
        return rows if rows.dtype == np.float32 else widened(rows)


@dataclass(slots=True)
class _Document:
    """A document that is being written: its number, the tokens of its prompt and of its topic, and what was written."""

    number: int
    prompt: int
    longest: int
    hypotheses: Hypotheses
    steps: int = 0
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)


class Slots:
    """One worker's documents, each in a group of as many slots as it has beams.

    Args:
        sessions: What it runs.
        count: Documents that are written together.
        beams: Completions of each; one is the likeliest token each time.
        room: Tokens of the longest prompt and its topic.
        longest: Tokens of a topic, where the context has room for them.
        stop: The token that ends a topic. It is never the first.
    """

    def __init__(self, sessions: Sessions, count: int, beams: int, room: int, longest: int, stop: int) -> None:
        self._run, self._beams, self._longest, self._stop = sessions, beams, longest, stop
        shape, slots = sessions.shape, count * beams
        room = -(-room // ROOM_STEP) * ROOM_STEP
        self._cache = np.zeros((2 * shape.layers, slots, shape.kv_heads, room, shape.width), np.float32)
        self._candidates = np.array([2 * beams], np.int64)  # as many may end at once as there are beams
        self._tokens = np.zeros((slots, 2 * beams), np.int64)
        self._logprobs = np.zeros((slots, 2 * beams), np.float32)
        self._next, self._places = np.zeros(slots, np.int64), np.zeros(slots, np.int32)
        self._rows, self._end = np.zeros((slots, 1, shape.hidden), np.float32), np.zeros((), np.int32)
        self._documents: list[_Document | None] = [None] * count
        self._names = cache_names(shape.layers)
        self._filling = sessions.prompt.io_binding()
        self._stepping: Any = None
        self._bound = 0

    def write(self, take: Take, prompts: Sequence[Sequence[int]], done: list[list[Completion]], ended: Event) -> None:
        """Writes prompts, whose numbers ``take`` gives until it gives None, into ``done``; leaves when ``ended``."""
        more = True
        while not ended.is_set():
            for group, document in enumerate(self._documents):
                if document is None and more:
                    taken = take()
                    if taken is None:
                        more = False
                    else:
                        self._fill(group, taken, prompts[taken])
            used = [group for group, document in enumerate(self._documents) if document is not None]
            if not used:
                return
            if len(used) < SPARSE * (used[-1] + 1):
                used = self._close_gaps(used)
            self._step((used[-1] + 1) * self._beams)
            for group in used:
                made = self._advance(group) if self._beams > 1 else self._read(group)
                if made:
                    self._leave(group, made, done)

    def _fill(self, group: int, number: int, prompt: Sequence[int]) -> None:
        """All tokens of a prompt but the last go into the cache; the last is read by the next step."""
        longest = min(self._longest, self._run.shape.context - len(prompt) + 1)  # the last token is not read
        self._documents[group] = _Document(number, len(prompt), longest, Hypotheses(self._beams, self._stop))
        slot, before = group * self._beams, len(prompt) - 1
        self._next[slot], self._places[slot] = prompt[-1], before
        if not before:
            return
        shape, rows = self._run.shape, self._run.embedded(prompt[:-1])
        if shape.kv_heads > 1:
            for cache, made in zip(self._cache, self._run.prompt.run(None, {"x": rows[None]}), strict=True):
                cache[slot, :, :before] = made[0]
            return
        # The numbers of one head lie together, so that they need no copy.
        self._filling.bind_input("x", "cpu", 0, np.float32, (1, *rows.shape), rows.ctypes.data)
        for name, cache in zip(self._names, self._cache, strict=True):
            place = cache[slot].ctypes.data
            self._filling.bind_output(name, "cpu", 0, np.float32, (1, 1, before, shape.width), place)
        self._run.prompt.run_with_iobinding(self._filling)

    def _step(self, count: int) -> None:
        """One token for each of the first slots."""
        if count != self._bound:
            self._bind(count)
        self._end[...] = self._places[:count].max() + 1
        self._rows[:count, 0] = self._run.embedded(self._next[:count])
        self._run.step.run_with_iobinding(self._stepping)
        self._places[:count] += 1

    def _bind(self, count: int) -> None:
        binding, self._bound = self._run.step.io_binding(), count

        def bind(to: Any, name: str, array: Array, shape: tuple[int, ...]) -> None:
            to(name, "cpu", 0, array.dtype.type, shape, array.ctypes.data)

        bind(binding.bind_input, "x", self._rows, (count, *self._rows.shape[1:]))
        bind(binding.bind_input, "places", self._places, (count,))
        bind(binding.bind_input, "longest", self._end, ())
        bind(binding.bind_input, "k", self._candidates, (1,))
        bind(binding.bind_output, "tokens", self._tokens, (count, *self._tokens.shape[1:]))
        bind(binding.bind_output, "logprobs", self._logprobs, (count, *self._logprobs.shape[1:]))
        for name, array in zip(self._names, self._cache, strict=True):
            shape = (count, *array.shape[1:])
            bind(binding.bind_input, name, array, shape)
            bind(binding.bind_output, f"new_{name}", array, shape)
        self._stepping = binding

    def _read(self, slot: int) -> list[Completion]:
        """Takes the likeliest token of a step; gives the completion of a document that ends with it."""
        document = self._documents[slot]
        assert document is not None
        choice = int(not document.ids and self._tokens[slot, 0] == self._stop)
        token = int(self._tokens[slot, choice])
        document.logprobs.append(float(self._logprobs[slot, choice]))
        if token != self._stop:
            document.ids.append(token)
            self._next[slot] = token
            if len(document.ids) < document.longest:
                return []
        return [Completion(tuple(document.ids), tuple(document.logprobs), finished=token == self._stop)]

    def _advance(self, group: int) -> list[Completion]:
        """Takes the candidates of a step for all beams of a document; gives its completions where it ends with them."""
        document = self._documents[group]
        assert document is not None
        first, running = group * self._beams, document.hypotheses.running
        found = []
        for beam, (total, _) in enumerate(running):
            rows = zip(self._logprobs[first + beam].tolist(), self._tokens[first + beam].tolist(), strict=True)
            found += [
                (total + logprob, beam, token) for logprob, token in rows if document.steps or token != self._stop
            ]
        found.sort(key=lambda candidate: -candidate[0])
        scores, parents, tokens = (list(column) for column in zip(*found[: 2 * self._beams], strict=True))
        came_from, chosen = document.hypotheses.advance(scores, parents, tokens)
        document.steps += 1
        if document.hypotheses.full or document.steps == document.longest:
            return document.hypotheses.best()
        self._follow(first, document, came_from, chosen)
        return []

    def _follow(self, first: int, document: _Document, came_from: list[int], chosen: list[int]) -> None:
        """Beams go on from others: they have the prompt in common, and take over what was written after it."""
        last, place = first + len(chosen), int(self._places[first])
        if document.steps == 1:
            self._cache[:, first + 1 : last, :, :place] = self._cache[:, first : first + 1, :, :place]
        else:
            sources = [first + beam for beam in came_from]
            self._cache[:, first:last, :, document.prompt : place] = self._cache[:, sources, :, document.prompt : place]
        self._next[first:last] = chosen
        self._places[first:last] = place

    def _leave(self, group: int, made: list[Completion], done: list[list[Completion]]) -> None:
        document = self._documents[group]
        assert document is not None
        done[document.number] = made
        self._documents[group] = None
        self._places[group * self._beams : (group + 1) * self._beams] = 0

    def _close_gaps(self, used: list[int]) -> list[int]:
        for to, group in enumerate(used):
            if to == group:
                continue
            new, old = (slice(number * self._beams, (number + 1) * self._beams) for number in (to, group))
            end = self._places[old].max()
            self._cache[:, new, :, :end] = self._cache[:, old, :, :end]
            self._next[new], self._places[new] = self._next[old], self._places[old]
            self._documents[to], self._documents[group] = self._documents[group], None
            self._places[old] = 0
        return list(range(len(used)))
