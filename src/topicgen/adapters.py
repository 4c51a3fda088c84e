"""An adapter folder in PEFT's format in, checked LoRA weights and the name of their base model out.

For every adapted weight W of the base an adapter holds A (rank x columns) and B (rows x rank); the model computes with
W + lora_alpha / r * B A (Hu et al. 2021, LoRA, https://arxiv.org/abs/2106.09685).
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from topicgen.digests import file_digest
from topicgen.errors import UserError

CONFIG_FILE, WEIGHTS_FILE, BASE_FILE = "adapter_config.json", "adapter_model.safetensors", "base.json"
UNSAFE = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_TENSOR = re.compile(r"base_model\.model\.(model\.layers\.(\d+)\.(?:self_attn|mlp)\.(\w+))\.lora_([AB])\.weight")
# What PEFT knows and this project does not: each changes what is computed from the same two matrices.
_UNSUPPORTED = (
    *("use_dora", "use_rslora", "use_qalora", "use_bdlora", "modules_to_save", "alpha_pattern", "rank_pattern"),
    *("fan_in_fan_out", "lora_bias", "layer_replication", "trainable_token_indices", "target_parameters"),
    *("alora_invocation_tokens", "arrow_config", "velora_config", "monteclora_config", "kasa_config"),
)
_CHANGES_THE_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object of a model's configuration file.

    Raises:
        UserError: When it cannot be read, is no object, or asks to run code from the model.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read as JSON ({error})") from None
    if not isinstance(value, dict):
        raise UserError(f"{path}: a JSON object is needed")
    if "auto_map" in value:
        raise UserError(f"{path}: auto_map asks to run code from the model; topicgen never does")
    return value


def unsafe_instead(folder: Path) -> str:
    """The end of an error about weights that are not there: names those that may run code when they are loaded."""
    unsafe = next((file for kind in UNSAFE for file in sorted(folder.glob(kind))), None)
    return f"; {unsafe.name} may run code when it is loaded and is refused" if unsafe else ""


def is_adapter(folder: Path) -> bool:
    """Whether a folder is meant to hold an adapter, complete or not."""
    return (folder / CONFIG_FILE).is_file() or any(folder.glob("adapter_model.*"))


@dataclass(frozen=True, slots=True)
class Adapter:
    """LoRA weights on a base model.

    Attributes:
        folder: The adapter folder.
        rank: Rows of each A and columns of each B.
        scale: Factor of B A.
        base_name: What the user named the base model: ``mini``, a folder or a hub id.
        base_digest: SHA-256 of the base model, where the adapter recorded it.
        base_weights: SHA-256 of the base model's weight files, where the adapter recorded it.
        pairs: Names of A and B by the name of the base's weight.
    """

    folder: Path
    rank: int
    scale: float
    base_name: str
    base_digest: str | None
    base_weights: str | None
    pairs: Mapping[str, tuple[str, str]]

    @property
    def weights(self) -> Path:
        return self.folder / WEIGHTS_FILE

    @property
    def files(self) -> list[Path]:
        """The files that say what is added to the base."""
        return [self.folder / CONFIG_FILE, self.weights]

    @classmethod
    def load(cls, folder: Path) -> "Adapter":
        """Reads the configuration and the names of the weights, not the weights.

        Raises:
            UserError: When a file is missing, damaged, of an unsafe kind, or no plain LoRA adapter.
        """
        if not (folder / WEIGHTS_FILE).is_file():
            raise UserError(f"{folder}: no {WEIGHTS_FILE}{unsafe_instead(folder)}")
        path = folder / CONFIG_FILE
        if not path.is_file():
            raise UserError(f"{folder}: no {CONFIG_FILE} beside {WEIGHTS_FILE}; it says how the weights are applied")
        config = read_object(path)
        modules = _require_plain(config, path)
        rank, alpha = config.get("r"), config.get("lora_alpha")
        if type(rank) is not int or rank < 1:
            raise UserError(f"{path}: r must be a positive whole number, not {rank!r}")
        if not isinstance(alpha, int | float) or isinstance(alpha, bool) or not 0 < alpha < float("inf"):
            raise UserError(f"{path}: lora_alpha must be a positive number, not {alpha!r}")
        base = read_object(folder / BASE_FILE) if (folder / BASE_FILE).is_file() else {}
        name = base.get("name") or config.get("base_model_name_or_path")
        if not name or not isinstance(name, str):
            raise UserError(f"{folder}: neither {BASE_FILE} nor {CONFIG_FILE} names the base model")
        for text in (base.get("digest", ""), base.get("weights", ""), base.get("adapter", "")):
            if not isinstance(text, str):
                raise UserError(f"{folder / BASE_FILE}: digest, weights and adapter must be text, not {text!r}")
        _require_unchanged(folder, base.get("adapter"))
        pairs = _pairs(folder / WEIGHTS_FILE, rank, modules)
        return cls(folder, rank, alpha / rank, name, base.get("digest"), base.get("weights"), pairs)

    def require_fitting(self, base: str, layers: int, shapes: Mapping[str, tuple[int, int]]) -> None:
        """Raises UserError when the weights are not for a base with so many layers and linear maps of these shapes."""
        found = _shapes(self.weights)
        for weight, names in self.pairs.items():
            *_, layer, _, module = weight.removesuffix(".weight").split(".")
            if int(layer) >= layers:
                raise UserError(f"{self.weights}: adapts layer {layer}, but the base {base} has {layers} layers")
            if module not in shapes:
                raise UserError(f"{self.weights}: adapts {module}, which is none of {', '.join(shapes)}")
            rows, columns = shapes[module]
            for name, needed in zip(names, ((self.rank, columns), (rows, self.rank)), strict=True):
                if found[name] != needed:
                    raise UserError(
                        f"{self.weights}: {name} has the shape {_by(found[name])}, "
                        f"but rank {self.rank} on the base {base} needs {_by(needed)}"
                    )


def _require_unchanged(folder: Path, recorded: str | None) -> None:
    """Raises UserError when the weights are not those of which training wrote the checksum."""
    if recorded is None:
        return
    path = folder / WEIGHTS_FILE
    try:
        found = file_digest(path).hex()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    if found != recorded:
        raise UserError(
            f"{path}: damaged, its SHA-256 is not that in {BASE_FILE}; if you changed it yourself, delete adapter there"
        )


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _require_plain(config: Mapping[str, Any], path: Path) -> set[str] | None:
    """Raises UserError for anything but plain LoRA; the adapted modules, or None where they are given by a pattern."""
    if config.get("peft_type") != "LORA":
        raise UserError(f"{path}: peft_type is {config.get('peft_type')!r}; topicgen reads LORA adapters")
    for name in _UNSUPPORTED:
        if config.get(name):
            raise UserError(f"{path}: {name} is set, which topicgen does not support; it reads plain LoRA adapters")
    if config.get("bias", "none") != "none":
        raise UserError(f"{path}: bias is {config['bias']!r}, which topicgen does not support; train with bias none")
    start = str(config.get("init_lora_weights")).lower()
    if start.startswith(_CHANGES_THE_BASE):
        raise UserError(
            f"{path}: init_lora_weights {start!r} changes the base's weights, which topicgen does not support"
        )
    modules = config.get("target_modules")
    if isinstance(modules, str):
        return None
    if not isinstance(modules, list) or not modules or not all(isinstance(module, str) for module in modules):
        raise UserError(f"{path}: target_modules must be a list of names, not {modules!r}")
    return set(modules)


def _shapes(path: Path) -> dict[str, tuple[int, ...]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 - no dict
    except SafetensorError as error:
        raise UserError(f"{path}: damaged or not safetensors ({error})") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None


def _pairs(path: Path, rank: int, modules: set[str] | None) -> dict[str, tuple[str, str]]:
    """Names of A and B by the name of the base's weight; every tensor of the file is one of them."""
    found: dict[str, dict[str, str]] = {}
    for name in _shapes(path):
        match = _TENSOR.fullmatch(name)
        if match is None:
            raise UserError(f"{path}: {name} is no LoRA weight of a layer of the Llama architecture")
        if modules is not None and match[3] not in modules:
            raise UserError(f"{path}: adapts {match[3]}, which target_modules of {CONFIG_FILE} does not name")
        found.setdefault(f"{match[1]}.weight", {})[match[4]] = name
    if not found:
        raise UserError(f"{path}: no LoRA weights")
    for weight, sides in found.items():
        if len(sides) < 2:
            raise UserError(f"{path}: only one of lora_A and lora_B for {weight}")
    adapted = {weight.split(".")[-2] for weight in found}
    for module in sorted((modules or set()) - adapted):
        raise UserError(f"{path}: no LoRA weights of {module}, which target_modules of {CONFIG_FILE} names")
    return {weight: (sides["A"], sides["B"]) for weight, sides in found.items()}
