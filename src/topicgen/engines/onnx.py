"""ONNX Runtime on the CPU, in int8: prompts as token ids in, completions out. Needs no torch."""

from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from threading import Event, Lock
from typing import Any

import numpy as np

from topicgen.cache import cache_folder
from topicgen.config import GenerationSettings
from topicgen.engines.base import (
    TOPIC_ROOM,
    Completion,
    Engine,
    Precision,
    available_threads,
    processor_flags,
)
from topicgen.engines.ct2 import CT2Engine
from topicgen.engines.denormals import flush_denormals
from topicgen.engines.derived import derived_folder
from topicgen.engines.onnx_graph import ROTARIES, Constants, Graph, Shape, save_step_graph
from topicgen.engines.onnx_prompt import save_prompt_graph
from topicgen.engines.onnx_slots import Sessions, Slots
from topicgen.engines.weights import read_tensors, require_fitting
from topicgen.errors import UsageError, UserError
from topicgen.models import ModelFolder

FORM = "onnx-1"  # part of the cache key: raise the number when the derived form changes
LIBRARIES = ("onnx", "onnxruntime")
"""They come with topicgen where they make it faster: on Linux on x86-64."""
FAST = {"avx512_vnni", "avx_vnni"}  # products of 8-bit numbers in one instruction
DOCUMENTS = 16  # that one core writes together
FEWEST = 4  # with several beams each
CACHE_BYTES = 128 << 20  # of keys and values of one core
HEAD_STEP = 16
PRECISIONS = ("auto", "int8")
EMBEDDINGS = "embeddings.npy"


class OnnxEngine(Engine):
    """Llama-architecture models on ONNX Runtime; samples are drawn by CTranslate2.

    Each core computes the prompts of its documents one by one, so that what is computed stays in the core's cache, and
    writes the topics of many documents together, so that the weights are read seldom. Inputs are quantised row by row,
    so that a topic does not depend on the documents beside it, but for the last bits of sums.

    Args:
        model: The model folder.
        threads: Cores to use; None takes all that the process may use.
        precision: ``int8``; ``auto`` is the same.

    Raises:
        UsageError: For another precision.
        UserError: Without the packages onnx and onnxruntime, on processors that do not multiply 8-bit numbers, and for
            models that are no plain Llama or have heads of an odd width.
    """

    name = "onnx"
    window = 512  # all cores wait for the last documents of a window

    def __init__(self, model: ModelFolder, *, threads: int | None = None, precision: Precision = "auto") -> None:
        if precision not in PRECISIONS:
            raise UsageError(f"the onnx engine computes in int8, not in {precision}; ct2 and hf know others")
        if needs := lacking():
            raise UserError(f"the onnx engine needs {needs}")
        self.max_prompt_tokens = model.context_tokens - TOPIC_ROOM
        self.precision = "int8"
        self._model, self._workers = model, threads or available_threads()
        self.reason = f"int8 on {self._workers} CPU cores"
        self._stop = model.stop_token
        self._folder, self._owner = derived_folder(
            model, FORM, self.precision, lambda folder: _build(model, folder), cache_folder()
        )
        self._sessions = Sessions(
            Shape.of(model),
            _session(self._folder / "prompt.onnx"),
            _session(self._folder / "step.onnx"),
            np.load(self._folder / EMBEDDINGS, mmap_mode="r"),
        )

    @cached_property
    def _sampler(self) -> CT2Engine:
        return CT2Engine(self._model, threads=self._workers)

    def generate(self, prompts: Sequence[Sequence[int]], settings: GenerationSettings) -> list[list[Completion]]:
        """Completions for each prompt, likeliest first: ``settings.beams`` of them."""
        if settings.temperature > 0:
            return self._sampler.generate(prompts, settings)
        done: list[list[Completion]] = [[] for _ in prompts]
        if not prompts:
            return done
        if max(map(len, prompts)) > self._sessions.shape.context:
            raise UserError(f"{self._model.name}: a prompt is longer than its {self._sessions.shape.context} tokens")
        order = iter(sorted(range(len(prompts)), key=lambda number: -len(prompts[number])))
        workers = min(self._workers, len(prompts))
        slots = [self._slots(prompts, settings, workers) for _ in range(workers)]
        self._write(slots, order, prompts, done)
        return done

    def _slots(self, prompts: Sequence[Sequence[int]], settings: GenerationSettings, workers: int) -> Slots:
        shape, longest, beams = self._sessions.shape, max(map(len, prompts)), settings.beams
        room = min(longest + settings.max_topic_tokens, shape.context)
        bytes_each = beams * 2 * shape.layers * shape.kv_heads * room * shape.width * 4
        count = min(max(DOCUMENTS // beams, FEWEST), -(-len(prompts) // workers), CACHE_BYTES // bytes_each)
        if settings.batch_tokens:
            count = min(count, settings.batch_tokens // (beams * longest))
        count = 1 if settings.deterministic else max(1, count)
        return Slots(self._sessions, count, beams, room, settings.max_topic_tokens, self._stop)

    def _write(
        self,
        slots: Sequence[Slots],
        order: Iterator[int],
        prompts: Sequence[Sequence[int]],
        done: list[list[Completion]],
    ) -> None:
        lock, ended = Lock(), Event()

        def take() -> int | None:
            with lock:
                return None if ended.is_set() else next(order, None)

        # Scores of hidden keys become denormal numbers, with which arithmetic is slow. (The library can flush them too,
        # but for the thread that opens the first session, which may be the caller's.)
        with ThreadPoolExecutor(len(slots), thread_name_prefix="onnx", initializer=flush_denormals) as pool:
            try:
                running = [pool.submit(each.write, take, prompts, done, ended) for each in slots]
                wait(running, return_when=FIRST_EXCEPTION)
            finally:  # also when Ctrl-C or a worker's failure ends this: none writes on
                ended.set()
            for future in running:
                future.result()


def lacking() -> str | None:
    """What the engine needs and this machine lacks."""
    if not all(find_spec(name) for name in LIBRARIES):
        return "onnx and onnxruntime: pip install onnx onnxruntime"
    if not FAST & processor_flags():  # there the library's sums of 8-bit products may overflow
        return "a processor with AVX-512 VNNI or AVX-VNNI; ct2 runs on every one"
    return None


def suits(model: ModelFolder, precision: Precision) -> bool:
    """Whether the engine runs a model on this machine, which it does faster than CTranslate2."""
    if lacking() or precision not in PRECISIONS:
        return False
    try:
        _require_computable(model)
    except UserError:
        return False
    return True


def _require_computable(model: ModelFolder) -> None:
    model.require_llama("the onnx engine")
    if (kind := model.rotary[1]) not in ROTARIES:
        raise UserError(f"the onnx engine knows rotary embeddings default, linear and llama3, not {kind!r}")
    if (width := Shape.of(model).width) % HEAD_STEP:
        raise UserError(f"{model.path}: the onnx engine knows heads of a multiple of {HEAD_STEP} numbers, not {width}")


def _session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # a prompt on each core beats one over all cores
    options.log_severity_level = 3
    # The sum with the norm in one operator takes twice the time of the two.
    return onnxruntime.InferenceSession(
        str(path), options, providers=["CPUExecutionProvider"], disabled_optimizers=["SkipLayerNormFusion"]
    )


def _build(model: ModelFolder, folder: Path) -> None:
    """Writes both graphs, their weights, and the embeddings: as bfloat16, where that loses nothing."""
    _require_computable(model)
    constants = Constants(folder)
    try:
        tensors = read_tensors(model)
        require_fitting(model, tensors)
        save_prompt_graph(Graph(model, tensors), folder / "prompt.onnx", constants)
        tied = bool(model.config.get("tie_word_embeddings", False))
        save_step_graph(Graph(model, tensors), folder / "step.onnx", constants, tied)
        embeddings = tensors["model.embed_tokens.weight"]
    except KeyError as error:
        raise UserError(f"{model.path}: config.json or the weights lack {error}") from None
    halves = embeddings.view(np.uint32)
    np.save(folder / EMBEDDINGS, embeddings if (halves & 0xFFFF).any() else (halves >> 16).astype(np.uint16))
