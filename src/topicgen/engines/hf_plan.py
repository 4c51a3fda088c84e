"""A model, a GPU and a wished precision in; how the hf engine computes it out."""

from dataclasses import dataclass

from topicgen.engines.base import Precision
from topicgen.engines.packed_weights import supports, weight_bytes
from topicgen.errors import UsageError, UserError
from topicgen.llama import fp8
from topicgen.models import ModelFolder

GB = 1 << 30
WORK_BYTES = 4 * GB  # packs of prompts, keys and values
PACKED_CAPABILITY = (8, 0)  # compute capability from which on PyTorch attends over documents without padding


@dataclass(frozen=True, slots=True)
class HFPlan:
    """How a model is computed.

    Attributes:
        precision: ``float32``, ``bf16``, ``fp8`` or ``nf4``.
        packed: Whether by topicgen's own generation, or by transformers' in batches.
        reason: Why, for people.
    """

    precision: str
    packed: bool
    reason: str


def on_cpu(precision: Precision) -> HFPlan:
    """Without a GPU there is one way.

    Raises:
        UsageError: For another precision.
    """
    if precision not in ("auto", "float32"):
        raise UsageError(f"precision {precision} needs a GPU; without one the hf engine computes in float32")
    return HFPlan("float32", packed=False, reason="no GPU: transformers in float32")


def on_gpu(model: ModelFolder, precision: Precision, capability: tuple[int, int], free: int) -> HFPlan:
    """The fastest way that fits into ``free`` bytes of a GPU, exact ones first.

    Raises:
        UsageError: For a precision that no GPU is used with.
        UserError: When the model or the GPU lacks what was asked for.
    """
    if precision in ("int8", "float32"):
        raise UsageError(f"on a GPU the hf engine computes in bf16, fp8 or nf4, not in {precision}; ct2 does")
    if precision == "fp8" and capability < fp8.CAPABILITY:
        raise UserError(f"precision fp8 needs a GPU of compute capability 8.9, this one has {_dotted(capability)}")
    plain = supports(model)
    fast = plain and capability >= PACKED_CAPABILITY
    if not fast:
        lack = f"compute capability {_dotted(capability)}" if plain else "no plain Llama"
        if precision == "fp8" or (precision == "bf16" and model.quantized):
            raise UserError(f"{model.name}: {lack}, so that transformers runs it, and not in {precision}; use auto")
        kept = "nf4" if model.quantized or precision == "nf4" else "bf16"
        return HFPlan(kept, packed=False, reason=f"{lack}: transformers in {kept}")
    if precision != "nf4":
        chosen = "fp8" if precision == "fp8" else "bf16"
        size = weight_bytes(model, chosen)
        if size + WORK_BYTES <= free:
            source = "NF4 weights made dense, " if model.quantized else ""
            return HFPlan(chosen, True, f"{chosen}: {source}{size / GB:.1f} GB of weights, {free / GB:.0f} GB are free")
        if precision != "auto":
            raise UserError(
                f"{model.name}: {size / GB:.1f} GB of weights in {chosen} and {WORK_BYTES // GB} GB to work with do "
                f"not fit into the {free / GB:.0f} GB that the GPU has free; use fp8 or nf4"
            )
    return HFPlan("nf4", packed=False, reason=f"transformers in nf4, {free / GB:.0f} GB are free")


def _dotted(capability: tuple[int, int]) -> str:
    return ".".join(map(str, capability))
