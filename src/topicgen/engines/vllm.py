"""Prompts as token ids in, completions of vLLM's offline engine out. Needs the extra ``vllm``."""

import os
from collections.abc import Sequence
from typing import Any

from topicgen.config import GenerationSettings
from topicgen.engines.base import TOPIC_ROOM, Completion, Engine, Precision, sampling_state
from topicgen.engines.hypotheses import Hypotheses
from topicgen.errors import UsageError, UserError
from topicgen.extras import require
from topicgen.models import ModelFolder

WINDOW = 4096
RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # of adapters that vLLM has room for
MOST_BEAMS = 64
LOGGING = {"VLLM_LOGGING_STREAM": "ext://sys.stderr", "VLLM_LOGGING_LEVEL": "WARNING"}
"""Read when vLLM is imported. Without it, vLLM and its processes log on standard output, among the topics."""


class VLLMEngine(Engine):
    """Causal language models on vLLM: continuous batching, the prompts' common beginning computed once.

    Args:
        model: The model folder; an adapter stays beside its base, in vLLM's own LoRA layers.
        threads: Without effect: the GPU computes, or the cores that vLLM takes.
        precision: ``bf16`` (``auto`` is the same), ``float32``, or ``fp8``: weights are rounded when they are loaded.
            NF4 weights stay so.

    Raises:
        UsageError: For another precision.
        UserError: When vLLM is missing, or cannot load the model.
    """

    name = "vllm"
    window = WINDOW

    def __init__(self, model: ModelFolder, *, threads: int | None = None, precision: Precision = "auto") -> None:
        if precision not in ("auto", "bf16", "float32", "fp8"):
            raise UsageError(f"the vllm engine computes in bf16, float32 or fp8, not in {precision}")
        if precision == "fp8" and model.quantized:
            raise UsageError(f"{model.name}: its weights are quantised; vllm rounds whole ones to fp8, hf any")
        self._stop = model.stop_token
        for name, value in LOGGING.items():
            os.environ.setdefault(name, value)
        self._vllm = require("vllm", "vllm")
        self._context = model.context_tokens
        self.max_prompt_tokens = model.context_tokens - TOPIC_ROOM
        self.precision = "nf4" if model.quantized else "bf16" if precision == "auto" else precision
        self.reason = f"vLLM {self._vllm.__version__} in {self.precision}"
        self._adapter = None
        options: dict[str, Any] = {}
        if model.adapter:
            self._adapter = require("vllm.lora.request", "vllm").LoRARequest("adapter", 1, str(model.path))
            rank = next((rank for rank in RANKS if rank >= model.adapter.rank), model.adapter.rank)
            options = {"enable_lora": True, "max_lora_rank": rank}
        if self.precision in ("nf4", "fp8"):
            options["quantization"] = "fp8" if self.precision == "fp8" else "bitsandbytes"
        try:
            self._model = self._vllm.LLM(
                model=str(model.base.path if model.base else model.path),
                tokenizer=str(model.path),
                dtype="float32" if precision == "float32" else "bfloat16",
                max_model_len=model.context_tokens,
                max_logprobs=2 * MOST_BEAMS + 1,  # it allows 20, and a beam search asks for more
                enable_prefix_caching=True,
                trust_remote_code=False,
                disable_log_stats=True,
                use_tqdm_on_load=False,
                **options,
            )
        except Exception as error:  # noqa: BLE001 - of vLLM, its workers, and damaged files
            reason = " ".join(str(error).split()) or type(error).__name__
            raise UserError(f"{model.path}: vLLM cannot load it: {reason}") from None

    def generate(self, prompts: Sequence[Sequence[int]], settings: GenerationSettings) -> list[list[Completion]]:
        """Completions for each prompt, likeliest first: ``settings.beams`` of them."""
        if not prompts:
            return []
        if not settings.deterministic:
            return self._run(prompts, settings)
        done = []
        for prompt in prompts:
            self._model.reset_prefix_cache()  # what a neighbour left there was computed in its batch
            done += self._run([prompt], settings)
        return done

    def _run(self, prompts: Sequence[Sequence[int]], settings: GenerationSettings) -> list[list[Completion]]:
        if settings.beams > 1:
            return self._searched(prompts, settings)
        sampled = settings.temperature > 0
        asked = [
            self._vllm.SamplingParams(
                temperature=settings.temperature,
                max_tokens=settings.max_topic_tokens,
                min_tokens=1,
                seed=sampling_state([prompt], settings.seed) if sampled else None,  # vLLM draws for each by itself
                ignore_eos=True,  # the prompt says what ends a topic; the model's own list may have other tokens
                stop_token_ids=[self._stop],
                logprobs=0,  # those of the written tokens alone
                detokenize=False,
            )
            for prompt in prompts
        ]
        return [[self._completion(output, settings)] for output in self._written(prompts, asked)]

    def _written(self, prompts: Sequence[Sequence[int]], asked: Any) -> list[Any]:
        inputs = [{"prompt_token_ids": list(prompt)} for prompt in prompts]
        outputs = self._model.generate(inputs, asked, use_tqdm=False, lora_request=self._adapter)
        return [output.outputs[0] for output in outputs]

    def _completion(self, output: Any, settings: GenerationSettings) -> Completion:
        tokens = list(output.token_ids)
        logprobs = tuple(step[token].logprob for step, token in zip(output.logprobs, tokens, strict=True))
        finished = bool(tokens) and tokens[-1] == self._stop
        if not settings.token_logprobs:
            logprobs = (sum(logprobs) / len(logprobs),)
        return Completion(tuple(tokens[:-1] if finished else tokens), logprobs, finished)

    def _searched(self, prompts: Sequence[Sequence[int]], settings: GenerationSettings) -> list[list[Completion]]:
        """Beam search like that of the other engines, in steps of one token; the prompts stay in the prefix cache.

        vLLM's own ends at the tokenizer's end token, which need not be the prompt's, and counts the prompt as length.
        """
        beams, stop = settings.beams, self._stop
        # One more than the search looks at: the end token may be among them, and is never the first.
        asked = self._vllm.SamplingParams(
            temperature=0, max_tokens=1, ignore_eos=True, logprobs=2 * beams + 1, detokenize=False
        )
        hypotheses = [Hypotheses(beams, stop) for _ in prompts]
        for number in range(settings.max_topic_tokens):
            going = [
                (tuple(prompt), hypothesis)
                for prompt, hypothesis in zip(prompts, hypotheses, strict=True)
                if not hypothesis.full and len(prompt) + number < self._context
            ]
            if not going:
                break
            texts = [prompt + written for prompt, hypothesis in going for _, written in hypothesis.running]
            outputs = iter(self._written(texts, asked))
            for _, hypothesis in going:
                candidates = [
                    (before + found.logprob, parent, token)
                    for parent, (before, _) in enumerate(hypothesis.running)
                    for token, found in next(outputs).logprobs[0].items()
                    if number or token != stop
                ]
                best = sorted(candidates, key=lambda candidate: -candidate[0])[: 2 * beams]
                hypothesis.advance(*map(list, zip(*best, strict=True)))
        return [hypothesis.best() for hypothesis in hypotheses]
