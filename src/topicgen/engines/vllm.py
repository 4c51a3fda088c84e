"""Prompts as token ids in, completions of vLLM's offline engine out. Needs the extra ``vllm``."""

from collections.abc import Sequence
from typing import Any

from topicgen.config import GenerationSettings
from topicgen.engines.base import TOPIC_ROOM, Completion, Engine, Precision, sampling_state
from topicgen.errors import UsageError, UserError
from topicgen.extras import require
from topicgen.models import ModelFolder

WINDOW = 4096
RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # of adapters that vLLM has room for


class VLLMEngine(Engine):
    """Causal language models on vLLM: continuous batching, the prompts' common beginning computed once.

    Args:
        model: The model folder; an adapter stays beside its base, in vLLM's own LoRA layers.
        threads: Without effect: the GPU computes.
        precision: ``bf16`` (``auto`` is the same), or ``fp8``: weights are rounded when they are loaded. NF4 weights
            stay so.

    Raises:
        UsageError: For another precision.
        UserError: When vLLM is missing, or cannot load the model.
    """

    name = "vllm"
    window = WINDOW

    def __init__(self, model: ModelFolder, *, threads: int | None = None, precision: Precision = "auto") -> None:
        if precision not in ("auto", "bf16", "fp8"):
            raise UsageError(f"the vllm engine computes in bf16 or fp8, not in {precision}")
        if precision == "fp8" and model.quantized:
            raise UsageError(f"{model.name}: its weights are quantised; vllm rounds whole ones to fp8, hf any")
        self._vllm = require("vllm", "vllm")
        self.max_prompt_tokens = model.context_tokens - TOPIC_ROOM
        self.precision = "nf4" if model.quantized else "fp8" if precision == "fp8" else "bf16"
        self.reason = f"vLLM {self._vllm.__version__} in {self.precision}"
        self._stop = model.tokenizer.token_to_id(model.prompt.stop)
        self._adapter = None
        options: dict[str, Any] = {}
        if model.adapter:
            self._adapter = require("vllm.lora.request", "vllm").LoRARequest("adapter", 1, str(model.path))
            rank = next((rank for rank in RANKS if rank >= model.adapter.rank), model.adapter.rank)
            options = {"enable_lora": True, "max_lora_rank": rank}
        if self.precision != "bf16":
            options["quantization"] = "fp8" if self.precision == "fp8" else "bitsandbytes"
        try:
            self._model = self._vllm.LLM(
                model=str(model.base.path if model.base else model.path),
                tokenizer=str(model.path),
                dtype="bfloat16",
                max_model_len=model.context_tokens,
                enable_prefix_caching=True,
                trust_remote_code=False,
                disable_log_stats=True,
                **options,
            )
        except Exception as error:  # noqa: BLE001 - of vLLM, its workers, and damaged files
            reason = " ".join(str(error).split()) or type(error).__name__
            raise UserError(f"{model.path}: vLLM cannot load it: {reason}") from None

    def generate(self, prompts: Sequence[Sequence[int]], settings: GenerationSettings) -> list[list[Completion]]:
        """Completions for each prompt, likeliest first: ``settings.beams`` of them."""
        if not prompts:
            return []
        inputs = [{"prompt_token_ids": list(prompt)} for prompt in prompts]
        if settings.beams > 1:
            return self._searched(inputs, settings)
        asked = self._vllm.SamplingParams(
            temperature=settings.temperature,
            max_tokens=settings.max_topic_tokens,
            min_tokens=1,
            seed=sampling_state(prompts, settings.seed) if settings.temperature > 0 else None,
            stop_token_ids=[self._stop],
            logprobs=0,  # those of the written tokens alone
            detokenize=False,
        )
        groups = [[one] for one in inputs] if settings.deterministic else [inputs]
        outputs = [
            output
            for group in groups
            for output in self._model.generate(group, asked, use_tqdm=False, lora_request=self._adapter)
        ]
        return [[self._completion(output.outputs[0], settings)] for output in outputs]

    def _completion(self, output: Any, settings: GenerationSettings) -> Completion:
        tokens = list(output.token_ids)
        logprobs = tuple(step[token].logprob for step, token in zip(output.logprobs, tokens, strict=True))
        finished = bool(tokens) and tokens[-1] == self._stop
        if not settings.token_logprobs:
            logprobs = (sum(logprobs) / len(logprobs),)
        return Completion(tuple(tokens[:-1] if finished else tokens), logprobs, finished)

    def _searched(self, inputs: Sequence[dict[str, list[int]]], settings: GenerationSettings) -> list[list[Completion]]:
        asked = self._vllm.sampling_params.BeamSearchParams(
            beam_width=settings.beams, max_tokens=settings.max_topic_tokens
        )
        found = self._model.beam_search(inputs, asked, lora_request=self._adapter)
        done = []
        for given, output in zip(inputs, found, strict=True):
            several = []
            for sequence in output.sequences:
                tokens = list(sequence.tokens[len(given["prompt_token_ids"]) :])
                if not tokens:
                    continue
                finished = tokens[-1] == self._stop
                mean = sequence.cum_logprob / len(tokens)
                several.append(Completion(tuple(tokens[:-1] if finished else tokens), (mean,), finished))
            done.append(sorted(several, key=lambda completion: -completion.score))
        return done
