"""A base model's configuration, a device and settings in; how to compute within its memory out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from topicgen.errors import UserError
from topicgen.llama import fp8
from topicgen.training.distributed import Group
from topicgen.training.settings import TrainingSettings

GB = 1 << 30
RESERVE = 1.5 * GB  # kernels, work space of matrix products, fragments
PACK_TOKENS = (8192, 6144, 4096, 3072, 2048)
# Time of a token, as measured (docs/benchmarks.md): with packs of 2,048 tokens 1.35 (H200) and 1.47 times (H100) that
# with 8,192; with all layers computed again 1.46 times that with none.
PACK_COST, AGAIN_COST = 1500, 0.45  # tokens, share


@dataclass(frozen=True, slots=True)
class Plan:
    """How the base model is computed.

    Attributes:
        precision: ``float32``, ``bf16``, ``fp8`` or ``nf4``.
        packed: Whether the frozen matrices stay in NF4 and are made dense layer by layer, each time.
        recompute: How many layers, from the first on, are computed again in the backward pass.
        pack_tokens: Longest pack.
        compiled: Whether the layers are compiled.
        reason: Why, for people.
        shares: Processes that keep a share of every layer each (FSDP); 1 where each has all of it.
    """

    precision: str
    packed: bool
    recompute: int
    pack_tokens: int
    compiled: bool
    reason: str
    shares: int = 1


@dataclass(frozen=True, slots=True)
class Sizes:
    """Numbers of a Llama that memory depends on."""

    matrices: int  # weights of all layers
    layer: int  # weights of one layer
    embeddings: int  # weights of the embedding and, where it is another, of the output matrix
    head: int
    depth: int
    per_token: int  # numbers kept for the backward pass, per token and layer
    width: int

    @classmethod
    def of(cls, config: dict[str, Any]) -> "Sizes":
        """From config.json."""
        width, inner, depth = config["hidden_size"], config["intermediate_size"], config["num_hidden_layers"]
        heads = config["num_attention_heads"]
        head_width = config.get("head_dim") or width // heads
        keys = config.get("num_key_value_heads", heads) * head_width
        queries = heads * head_width
        layer = width * (2 * queries + 2 * keys) + 3 * width * inner
        vocabulary = config["vocab_size"] * width
        return cls(
            matrices=layer * depth,
            layer=layer,
            embeddings=vocabulary * (1 if config.get("tie_word_embeddings") else 2),
            head=vocabulary,
            depth=depth,
            per_token=3 * width + 2 * queries + 2 * keys + 3 * inner,
            width=width,
        )

    def needed(self, packed: bool, recompute: int, tokens: int, shares: int = 1) -> float:
        """Estimated peak in bytes of one pack in two-byte numbers, with so many layers computed again.

        When the first layers are computed again, what the later ones kept has been freed.
        """
        if packed:
            weights = 0.53 * self.matrices + 2 * self.layer + 2 * self.head
        else:
            weights = 2 * self.matrices / shares + 2 * self.embeddings
        if shares > 1:  # a layer, what it was copied from, and the next one, which is gathered meanwhile
            weights += 2 * 3 * self.layer
        whole = 1.1 * (self.depth - recompute) * self.per_token + 1.2 * self.per_token
        kept = max(whole, 2.2 * self.per_token) + recompute * self.width
        return weights + 2 * kept * tokens + RESERVE

    def quickest(
        self, packed: bool, recompute: bool | None, lengths: Sequence[int], free: float, shares: int = 1
    ) -> tuple[int, int] | None:
        """How many layers to compute again and how long packs may be, so that a token takes the least time.

        Args:
            packed: Whether matrices stay in 4 bits; then all layers are computed again, for the dense ones that a layer
                kept for its backward pass would add up.
            recompute: All layers or none; None goes by ``free``.
            lengths: Of packs, in tokens, longest first.
            free: Bytes that there are.
            shares: See Plan.

        Returns:
            None where nothing fits.
        """
        if packed or recompute is not None:
            counts = range(self.depth, self.depth + 1) if packed or recompute else range(1)
        else:
            counts = range(self.depth + 1)
        costs = {
            (again, tokens): (1 + PACK_COST / tokens) * (1 + AGAIN_COST * again / self.depth)
            for tokens in lengths
            for again in counts
            if self.needed(packed, again, tokens, shares) <= free
        }
        return min(costs, key=lambda way: costs[way]) if costs else None


def plan(config: dict[str, Any], settings: TrainingSettings, device: torch.device, group: Group | None = None) -> Plan:
    """The fastest way that fits, the same for all processes of a run.

    Raises:
        UserError: When nothing fits, or the chip or the number of processes lacks what was asked for.
    """
    group = group or Group()
    if settings.fsdp and group.size == 1:
        raise UserError(
            "fsdp shares the base among several processes, and there is one; start them with torchrun"
            " --nproc-per-node N -m topicgen train, or leave fsdp out"
        )
    shares = group.size if settings.fsdp else 1
    if device.type != "cuda":
        if settings.precision not in ("auto", "float32"):
            raise UserError(f"precision {settings.precision} needs a GPU; without one there is float32")
        if settings.optim == "adamw_8bit":
            raise UserError("adamw_8bit needs a GPU; use --optim adamw")
        tokens = settings.pack_tokens or max(1024, settings.max_length + 64)
        return Plan(
            "float32",
            False,
            config["num_hidden_layers"] if settings.recompute else 0,
            tokens,
            bool(settings.compile),
            "no GPU: float32",
            shares,
        )
    capability = torch.cuda.get_device_capability(device)
    if settings.precision == "fp8" and capability < fp8.CAPABILITY:
        raise UserError(f"precision fp8 needs a GPU of compute capability 8.9, this one has {capability}")
    if settings.precision == "float32":
        raise UserError("precision float32 is for machines without a GPU; use bf16")
    free, _ = torch.cuda.mem_get_info(device)
    least = -group.most(-float(free), device)
    return choose(config, settings, least, capability >= fp8.CAPABILITY, shares)


def choose(config: dict[str, Any], settings: TrainingSettings, free: float, has_fp8: bool, shares: int = 1) -> Plan:
    """The plan for a GPU with ``free`` bytes, or for as many as there are shares."""
    if settings.memory != "auto":
        free = min(free, float(settings.memory) * GB)
    sizes = Sizes.of(config)
    quantised = bool(config.get("quantization_config"))
    asked = settings.precision
    order: list[str] = [asked]
    if asked == "auto":
        order = (["fp8"] if has_fp8 else []) + (["nf4"] if quantised else ["bf16", "nf4"])
    lengths = [settings.pack_tokens] if settings.pack_tokens else [n for n in PACK_TOKENS if n >= settings.max_length]
    forms = (False, True) if shares == 1 else (False,)  # 4-bit values are not shared out
    ways = [(name, packed) for packed in forms for name in order if not packed or name == "nf4"]
    for name, packed in ways:
        found = sizes.quickest(packed, settings.recompute, lengths or [settings.max_length], free, shares)
        if found:
            again, tokens = found
            form = "kept in 4 bits" if packed else "dense"
            form += f", shared by {shares} processes" if shares > 1 else ""
            chip = ""
            if asked == "auto" and name != "fp8":
                chip = "; FP8 needs more memory" if has_fp8 else "; this GPU has no FP8"
            which = "layers" if again == sizes.depth else f"{again} of {sizes.depth} layers"
            more = f", {which} computed again in the backward pass" if again else ""
            reason = f"{name}, {form}{more}: fits into {free / GB:.0f} GB with packs of {tokens} tokens{chip}"
            return Plan(name, packed, again, tokens, settings.compile is not False, reason, shares)
    shortest = min(lengths or [settings.max_length])
    least = min(sizes.needed(packed, sizes.depth, shortest, shares) for _, packed in ways)
    help_first = "use --precision nf4" if shares == 1 else "use more processes"
    raise UserError(
        f"{free / GB:.1f} GB of GPU memory are too few: {asked} needs about {least / GB:.1f} GB; {help_first},"
        " lower --max-length or --pack-tokens, or take a smaller base"
    )
