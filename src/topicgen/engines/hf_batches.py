"""Prompts as token ids in, completions of transformers' own ``generate`` out, batch by batch."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from topicgen.config import GenerationSettings
from topicgen.engines.base import Completion, groups, sampling_state
from topicgen.engines.packed_search import completion
from topicgen.errors import UserError
from topicgen.extras import require
from topicgen.models import ModelFolder

GPU_BATCH_TOKENS = 16_384
CPU_BATCH_TOKENS = 2_048
LENGTH_SPREAD = 256  # a step costs the same for few prompts as for many, so that padding is cheaper than more batches
LOGIT_BYTES = 1 << 30  # logits of one batch, which are kept until its probabilities are read
_NEVER = -1e8  # the library's score of a beam that was never filled is -1e9


class TransformersBatches:
    """Causal language models on transformers, whole, quantised or with an adapter.

    Args:
        model: The model folder.
        stop: The token that ends a topic.
        nf4: Whether weights that are not quantised are rounded to NF4 when they are loaded.

    Raises:
        UserError: When a library is missing, or the model cannot be loaded.
    """

    def __init__(self, model: ModelFolder, stop: int, *, nf4: bool = False) -> None:
        self._torch = require("torch", "train")
        self._transformers = require("transformers", "train")
        self._stop = stop
        self._gpu = self._torch.cuda.is_available()
        self._vocabulary = model.number("vocab_size")
        self._model = self._load(model, nf4)

    def _load(self, model: ModelFolder, nf4: bool) -> Any:
        torch = self._torch
        folder = model.base.path if model.base else model.path
        if model.quantized or nf4:
            require("bitsandbytes", "train")
        if model.adapter:
            require("peft", "train")
        try:
            with quiet(self._transformers):
                loaded, report = self._transformers.AutoModelForCausalLM.from_pretrained(
                    folder,
                    config=self._transformers.AutoConfig.from_pretrained(model.path, trust_remote_code=False),
                    dtype=torch.bfloat16 if self._gpu else torch.float32,
                    device_map={"": 0} if self._gpu else None,
                    **({"quantization_config": self._four_bits()} if nf4 and not model.quantized else {}),
                    local_files_only=True,
                    use_safetensors=True,
                    trust_remote_code=False,
                    output_loading_info=True,
                )
                _require_whole(model, report)
                # What the base's authors recommend, such as sampling, is not what was asked for here.
                loaded.generation_config = self._transformers.GenerationConfig()
                # Where a CPU has bf16 instructions, bitsandbytes would round inputs to bf16, and fail for odd widths.
                for module in loaded.modules():
                    if hasattr(module, "support_avx512bf16_for_cpu"):
                        module.support_avx512bf16_for_cpu = False
                if model.adapter:
                    loaded = self._with_adapter(loaded, model)
        except UserError:
            raise
        except torch.OutOfMemoryError:
            raise UserError(f"{model.name}: does not fit into the memory of the GPU") from None
        except Exception as error:  # noqa: BLE001 - of several libraries, and of damaged files
            reason = " ".join(str(error).split()) or type(error).__name__
            raise UserError(f"{folder}: transformers cannot load it: {reason}") from None
        return loaded.eval()

    def _four_bits(self) -> Any:
        return self._transformers.BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=self._torch.bfloat16,
        )

    def _with_adapter(self, loaded: Any, model: ModelFolder) -> Any:
        adapted = require("peft", "train").PeftModel.from_pretrained(loaded, str(model.path))
        # Merged into quantised weights, the adapter would be rounded to their few levels.
        return adapted if getattr(loaded, "is_quantized", False) else adapted.merge_and_unload()

    def generate(self, prompts: Sequence[Sequence[int]], settings: GenerationSettings) -> list[list[Completion]]:
        """Completions for each prompt, likeliest first: ``settings.beams`` of them."""
        done: list[list[Completion]] = [[] for _ in prompts]
        if settings.temperature == 0:
            self._generate(prompts, settings, done)
            return done
        with self._torch.random.fork_rng(devices=[0] if self._gpu else []):
            self._torch.manual_seed(sampling_state(prompts, settings.seed))
            self._generate(prompts, settings, done)
        return done

    def _generate(
        self, prompts: Sequence[Sequence[int]], settings: GenerationSettings, done: list[list[Completion]]
    ) -> None:
        usual = GPU_BATCH_TOKENS if self._gpu else CPU_BATCH_TOKENS
        budget = 1 if settings.deterministic else (settings.batch_tokens or usual) // settings.beams
        rows = max(1, LOGIT_BYTES // (4 * self._vocabulary * settings.max_topic_tokens * settings.beams))
        for group in groups([len(prompt) for prompt in prompts], budget, LENGTH_SPREAD):
            for start in range(0, len(group), rows):
                part = group[start : start + rows]
                found = self._batch([prompts[number] for number in part], settings)
                for number, completions in zip(part, found, strict=True):
                    done[number] = completions

    def _batch(self, prompts: Sequence[Sequence[int]], settings: GenerationSettings) -> list[list[Completion]]:
        """Completions of one batch; where the GPU's memory is too small for it, of its halves."""
        try:
            return self._run(prompts, settings)
        except self._torch.OutOfMemoryError:
            if len(prompts) == 1:
                raise UserError(f"a prompt of {len(prompts[0])} tokens needs more memory than the GPU has") from None
        self._torch.cuda.empty_cache()
        half = len(prompts) // 2
        return self._batch(prompts[:half], settings) + self._batch(prompts[half:], settings)

    def _run(self, prompts: Sequence[Sequence[int]], settings: GenerationSettings) -> list[list[Completion]]:
        torch, beams = self._torch, settings.beams
        longest = max(map(len, prompts))
        padding = [longest - len(prompt) for prompt in prompts]
        ids = [[self._stop] * pad + list(prompt) for pad, prompt in zip(padding, prompts, strict=True)]
        read = [[0] * pad + [1] * (longest - pad) for pad in padding]
        options: dict[str, Any] = {"output_logits": True}
        if beams > 1:
            options = {"num_beams": beams, "num_return_sequences": beams, "early_stopping": True, "output_scores": True}
        if settings.temperature > 0:
            options |= {"do_sample": True, "temperature": settings.temperature, "top_k": 0, "top_p": 1.0}
        with torch.inference_mode(), quiet(self._transformers):
            output = self._model.generate(
                input_ids=torch.tensor(ids, device=self._model.device),
                attention_mask=torch.tensor(read, device=self._model.device),
                generation_config=self._transformers.GenerationConfig(
                    max_new_tokens=settings.max_topic_tokens,
                    min_new_tokens=1,
                    eos_token_id=self._stop,
                    pad_token_id=self._stop,
                    return_dict_in_generate=True,
                    **options,
                ),
            )
            written = output.sequences[:, longest:]
            if beams == 1:
                logprobs = _token_logprobs(output.logits, written)
                return [
                    [completion(*row, self._stop, settings)] for row in zip(written.tolist(), logprobs, strict=True)
                ]
            # The library divides a beam's log-probability by its number of tokens, the end included: the mean.
            means = [[score] for score in output.sequences_scores.tolist()]
        found = [
            (completion(tokens, mean, self._stop, settings), mean[0])
            for tokens, mean in zip(written.tolist(), means, strict=True)
        ]
        return [
            [one for one, mean in found[start : start + beams] if mean > _NEVER]
            for start in range(0, len(found), beams)
        ]


def _token_logprobs(logits: Sequence[Any], written: Any) -> list[list[float]]:
    """Log-probabilities of the written tokens, step by step, so that no second copy of all logits is made."""
    steps = [
        step.float().log_softmax(-1).gather(1, written[:, number : number + 1]).squeeze(1).tolist()
        for number, step in enumerate(logits)
    ]
    return [list(row) for row in zip(*steps, strict=True)]


def _require_whole(model: ModelFolder, report: dict[str, Any]) -> None:
    """Raises UserError where the library would fill missing weights with random numbers."""
    missing = sorted(report.get("missing_keys", ())) + sorted(map(str, report.get("mismatched_keys", ())))
    if missing:
        raise UserError(f"{model.path}: config.json or the weights lack {missing[0]!r}")


@contextmanager
def quiet(transformers: Any) -> Iterator[None]:
    """Keeps the library's bars and advice from standard error."""
    logging = transformers.utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
