"""PyTorch on a GPU or the CPU: prompts as token ids in, completions out. Needs the extra ``train``.

Plain Llamas are computed by topicgen itself on a GPU (``packed``), everything else by transformers in batches.
"""

from collections.abc import Sequence

from topicgen.config import GenerationSettings
from topicgen.engines.base import TOPIC_ROOM, WINDOW, Completion, Engine, Precision, available_threads
from topicgen.extras import require
from topicgen.models import ModelFolder
from topicgen.prompt import PromptEncoder

GPU_WINDOW = 2048


class HFEngine(Engine):
    """Causal language models, whole, quantised or with an adapter.

    Args:
        model: The model folder.
        threads: Cores to use on the CPU; None takes all that the process may use.
        precision: On a GPU ``bf16``, ``fp8`` or ``nf4``; on the CPU ``float32``; ``auto`` takes what fits.

    Raises:
        UserError: When a library is missing, or the model cannot be loaded or computed so.
    """

    name = "hf"

    def __init__(self, model: ModelFolder, *, threads: int | None = None, precision: Precision = "auto") -> None:
        torch = require("torch", "train")
        require("transformers", "train")
        from topicgen.engines import hf_plan
        from topicgen.engines.hf_batches import TransformersBatches

        self.max_prompt_tokens = model.context_tokens - TOPIC_ROOM
        stop = model.stop_token
        gpu = torch.cuda.is_available()
        if gpu:
            free, _ = torch.cuda.mem_get_info()
            plan = hf_plan.on_gpu(model, precision, torch.cuda.get_device_capability(), free)
        else:
            torch.set_num_threads(threads or available_threads())
            plan = hf_plan.on_cpu(precision)
        self.precision, self.reason = plan.precision, plan.reason
        self.window = GPU_WINDOW if gpu else WINDOW
        if plan.packed:
            from topicgen.engines.packed import load_packed

            prefix = PromptEncoder(model.prompt, model.tokenizer, self.max_prompt_tokens).prefix
            self._generate = load_packed(model, prefix, stop, torch.device("cuda"), plan.precision).generate
        else:
            self._generate = TransformersBatches(model, stop, nf4=plan.precision == "nf4").generate

    def generate(self, prompts: Sequence[Sequence[int]], settings: GenerationSettings) -> list[list[Completion]]:
        """Completions for each prompt, likeliest first: ``settings.beams`` of them."""
        return self._generate(prompts, settings)
