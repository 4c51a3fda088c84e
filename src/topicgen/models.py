"""A model name, folder or hub id in, a checked model folder out."""

import hashlib
import os
from collections.abc import Iterable, Sequence
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from topicgen.adapters import Adapter, is_adapter, read_object, unsafe_instead
from topicgen.digests import file_digest
from topicgen.errors import UserError
from topicgen.prompt import PROMPT_FILE, Prompt

if TYPE_CHECKING:
    from tokenizers import Tokenizer

EMBEDDED = ("mini",)
SERVED_BYTES = 24_000  # of a text that a server's model reads
SERVED_PROMPT = (
    "Please generate a meaningful topic for the following article. Answer with the topic alone, a phrase of two to six "
    "words, without quotation marks.\n\n"
)
BASES = {"llama3-8b": "unsloth/llama-3-8b-bnb-4bit"}
"""Short names of base models, and their hub ids."""

FILES = ("*.json", "*.safetensors")


class WeightsFolder:
    """Whole weights (safetensors), config and tokenizer: a base model, or part of a model folder.

    Args:
        path: The folder.
        name: The name that the user gave.
        weights: The weight files where they lie in another folder; none where they are not needed.

    Raises:
        UserError: When a file is missing, damaged or of an unsafe kind.
    """

    def __init__(self, path: Path, name: str, weights: list[Path] | None = None) -> None:
        self.path = path
        self.name = name
        if not (path / "config.json").is_file():
            raise UserError(
                f"{path}: no config.json; a model folder holds config.json, *.safetensors and tokenizer.json"
            )
        self.config = read_object(path / "config.json")
        self.weights = sorted(path.glob("*.safetensors")) if weights is None else weights
        if weights is None and not self.weights:
            raise UserError(f"{path}: no *.safetensors{unsafe_instead(path)}")

    @property
    def context_tokens(self) -> int:
        """Longest sequence that the model was made for, prompt and topic together."""
        return self.number("max_position_embeddings", 2048)

    @property
    def quantized(self) -> bool:
        """Whether the weights are stored in a quantised form, such as bitsandbytes' NF4."""
        return bool(self.config.get("quantization_config"))

    @property
    def own_prompt(self) -> Prompt | None:
        """The prompt that the folder brings; base models of the hub bring none."""
        return Prompt.load(self.path) if (self.path / PROMPT_FILE).is_file() else None

    def number(self, name: str, default: int | None = None) -> int:
        """A whole number of the config; raises UserError when it is missing or not positive."""
        value = self.config.get(name, default)
        if type(value) is not int or value < 1:
            raise UserError(f"{self.path}/config.json: {name} must be a positive whole number, not {value!r}")
        return value

    @property
    def rotary(self) -> tuple[float, str, dict[str, Any]]:
        """Base, kind of scaling and its numbers of rotary embeddings; older configs keep the scaling apart."""
        rope = self.config.get("rope_parameters") or {}
        scaling = self.config.get("rope_scaling") or rope
        kind = scaling.get("rope_type") or scaling.get("type", "default")
        return float(rope.get("rope_theta", self.config.get("rope_theta", 10000.0))), kind, scaling

    def require_llama(self, who: str) -> None:
        """Raises UserError for an architecture other than a plain Llama, in the name of who cannot compute it."""
        found = (self.config.get("architectures") or ["?"])[0]
        if found != "LlamaForCausalLM" or self.config.get("attention_bias") or self.config.get("mlp_bias"):
            raise UserError(f"{self.path}: {who} runs LlamaForCausalLM without biases, not {found}")
        if self.config.get("hidden_act", "silu") != "silu":
            raise UserError(f"{self.path}: {who} knows the activation silu, not {self.config['hidden_act']}")

    @property
    def head_width(self) -> int:
        """Numbers of one attention head."""
        if self.config.get("head_dim"):
            return self.number("head_dim")
        return self.number("hidden_size") // self.number("num_attention_heads")

    def linear_shapes(self) -> dict[str, tuple[int, int]]:
        """Rows and columns of the linear maps of each layer, as the config has them."""
        hidden, inner, heads = (self.number(n) for n in ("hidden_size", "intermediate_size", "num_attention_heads"))
        width = self.head_width
        keys = self.number("num_key_value_heads", heads) * width
        return {
            "q_proj": (heads * width, hidden),
            "k_proj": (keys, hidden),
            "v_proj": (keys, hidden),
            "o_proj": (hidden, heads * width),
            "gate_proj": (inner, hidden),
            "up_proj": (inner, hidden),
            "down_proj": (hidden, inner),
        }

    @cached_property
    def tokenizer(self) -> "Tokenizer":
        from tokenizers import Tokenizer

        path = self.path / "tokenizer.json"
        try:
            return Tokenizer.from_file(str(path))
        except Exception as error:  # noqa: BLE001 - the library raises bare Exception
            raise UserError(f"{path}: not a tokenizer ({error})") from None

    @cached_property
    def weights_digest(self) -> str:
        """SHA-256 over the weight files."""
        return _digest(map(file_digest, self.weights))

    @cached_property
    def digest(self) -> str:
        """SHA-256 over config, tokenizer, prompt (where there is one) and weights: the identity of the model."""
        texts = [
            file for name in ("config.json", "tokenizer.json", PROMPT_FILE) if (file := self.path / name).is_file()
        ]
        return _digest([*map(file_digest, texts), bytes.fromhex(self.weights_digest)])


class ModelFolder(WeightsFolder):
    """Everything needed to generate: weights or an adapter on a base's weights, config, tokenizer and prompt.

    Attributes:
        adapter: The LoRA weights, in an adapter folder; ``weights`` are then those of the base.
        base: The base model of the adapter.
        prompt: The prompt that the model was trained with.

    Raises:
        UserError: As for WeightsFolder, and when the adapter cannot be applied to the base.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.adapter = Adapter.load(path) if is_adapter(path) else None
        self.base = _base_of(self.adapter) if self.adapter else None
        super().__init__(path, name, self.base.weights if self.base else None)
        if self.adapter and self.base:
            _require_base(self, self.adapter, self.base)
        self.prompt = Prompt.load(path)

    @property
    def stop_token(self) -> int:
        """The token that ends a topic; raises UserError where the tokenizer does not have it."""
        token = self.tokenizer.token_to_id(self.prompt.stop)
        if token is None:
            raise UserError(f"{self.path}: its tokenizer has no token {self.prompt.stop!r}, which ends a topic")
        return token

    @property
    def quantized(self) -> bool:
        return self.base.quantized if self.base else super().quantized

    @cached_property
    def weights_digest(self) -> str:
        """SHA-256 over the weight files, the adapter included."""
        if not self.adapter or not self.base:
            return super().weights_digest
        return _digest([bytes.fromhex(self.base.weights_digest), *map(file_digest, self.adapter.files)])


class ServedModel(ModelFolder):
    """A model of which only a server's name for it is known. It is asked in words, and its tokens are bytes of UTF-8.

    Args:
        name: The model's name on the server.
    """

    def __init__(self, name: str) -> None:
        if not name:
            raise UserError("the openai engine needs --model NAME, the model's name on the server")
        self.path, self.name = Path(name), name
        self.config = {"max_position_embeddings": SERVED_BYTES}
        self.weights = []
        self.adapter = self.base = None
        self.prompt = Prompt(SERVED_PROMPT, "", stop="")

    @cached_property
    def tokenizer(self) -> "Tokenizer":
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers

        letters = sorted(pre_tokenizers.ByteLevel.alphabet())
        tokenizer = Tokenizer(models.BPE({letter: number for number, letter in enumerate(letters)}, []))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        tokenizer.decoder = decoders.ByteLevel()
        return tokenizer

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the name and of what it is asked: nothing else is known of the model."""
        return _digest([self.name.encode(), SERVED_PROMPT.encode()])


def _digest(parts: Iterable[bytes]) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()


def _base_of(adapter: Adapter) -> WeightsFolder:
    """The base of an adapter; a relative folder is looked for here, then beside the adapter folder."""
    beside = str(adapter.folder.resolve().parent / adapter.base_name)
    known = adapter.base_name in (*EMBEDDED, *BASES) or os.path.isdir(adapter.base_name)  # noqa: PTH112 - see below
    try:
        return find_base(beside if not known and os.path.isdir(beside) else adapter.base_name)  # noqa: PTH112
    except UserError as error:
        raise UserError(f"{adapter.folder}: its base model is not here: {error}") from None


def _require_base(model: ModelFolder, adapter: Adapter, base: WeightsFolder) -> None:
    """Raises UserError when the adapter was trained on other weights, or does not fit these.

    The config, tokenizer and prompt are those of the adapter folder, so that only the base's weights must be the same.
    """
    needed, found = adapter.base_weights, base.weights_digest if adapter.base_weights else ""
    if not needed and adapter.base_digest:
        needed, found = adapter.base_digest, base.digest
    if needed and needed != found:
        raise UserError(
            f"{adapter.folder}: was trained on base {adapter.base_name} (sha {needed[:12]}), "
            f"found {base.path} (sha {found[:12]}), which is another model"
        )
    shapes, layers = base.linear_shapes(), base.number("num_hidden_layers")
    adapter.require_fitting(base.name, layers, shapes)
    if (model.linear_shapes(), model.number("num_hidden_layers")) != (shapes, layers):
        raise UserError(f"{model.path}/config.json: describes a model of another shape than the base {base.name}")


def find_model(name: str) -> ModelFolder:
    """The folder of an embedded model ("mini"), of a path, or of a hub id ("owner/name", downloaded once).

    Raises:
        UserError: When there is no such model, or the hub cannot be reached.
    """
    return ModelFolder(locate(name, EMBEDDED), name)


def find_served(name: str) -> ModelFolder:
    """A model that a server runs: a folder here whose prompt and tokenizer it has, or else only a name.

    Raises:
        UserError: When the folder is no model folder.
    """
    return find_model(name) if name in EMBEDDED or os.path.isdir(name) else ServedModel(name)  # noqa: PTH112


def find_base(name: str, *, weights: bool = True) -> WeightsFolder:
    """A model to fine-tune, named as for ``find_model`` or by a key of BASES; it needs no prompt.

    Args:
        name: What the user named.
        weights: Whether weights are needed; a hub id's are not downloaded otherwise.

    Raises:
        UserError: When there is no such model, the hub cannot be reached, or it is an adapter.
    """
    path = locate(BASES.get(name, name), (*EMBEDDED, *BASES), FILES if weights else FILES[:1])
    if is_adapter(path):
        raise UserError(f"{path}: is an adapter folder; a base model has whole weights")
    return WeightsFolder(path, name, None if weights else [])


def locate(name: str, known: tuple[str, ...], patterns: Sequence[str] = FILES) -> Path:
    """The folder of a model that is part of topicgen, lies here, or has a hub id.

    Args:
        name: What the user named.
        known: Short names that an error tells of.
        patterns: Files that are downloaded of a hub id.

    Raises:
        UserError: When there is no such model, or the hub cannot be reached.
    """
    if name in EMBEDDED:
        return Path(str(files("topicgen") / "assets" / name))
    path = Path(name)
    if name and os.path.isdir(path):  # noqa: PTH112 - the method of Path raises for names that are too long
        return path
    if name and os.path.exists(path):  # noqa: PTH110
        raise UserError(f"{name}: is a file; a model is a folder with config.json and *.safetensors")
    if name.count("/") == 1 and not name.startswith((".", "/", "~")):
        return _download(name, patterns)
    short = f"{' or '.join(known)}, " if known else ""
    raise UserError(f"no model {name!r}: give {short}a model folder, or a hub id like owner/name")


def _download(hub_id: str, patterns: Sequence[str]) -> Path:
    from huggingface_hub import snapshot_download

    offline = os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on")
    try:
        return Path(snapshot_download(hub_id, allow_patterns=list(patterns)))
    except Exception as error:  # noqa: BLE001 - network, permission and naming errors of several libraries
        reason = "HF_HUB_OFFLINE is set and it is not in the cache" if offline else str(error).strip().splitlines()[0]
        raise UserError(f"model {hub_id!r} is no folder here and cannot be downloaded: {reason}") from None
