"""A model name, folder or hub id in, a checked model folder out."""

import hashlib
import json
import os
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from topicgen.errors import UserError
from topicgen.prompt import Prompt

if TYPE_CHECKING:
    from tokenizers import Tokenizer

EMBEDDED = ("mini",)
_UNSAFE = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


class ModelFolder:
    """Everything needed to generate: weights (safetensors), config, tokenizer and prompt.

    Args:
        path: The folder.
        name: The name that the user gave.

    Raises:
        UserError: When a file is missing, damaged or of an unsafe kind.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self.name = name
        if not (path / "config.json").is_file():
            raise UserError(
                f"{path}: no config.json; a model folder holds config.json, *.safetensors and tokenizer.json"
            )
        self.config = self._read_json("config.json")
        if "auto_map" in self.config:
            raise UserError(f"{path}/config.json: auto_map asks to run code from the model; topicgen never does")
        self.weights = sorted(path.glob("*.safetensors"))
        if not self.weights:
            unsafe = next((file for kind in _UNSAFE for file in path.glob(kind)), None)
            found = f"; {unsafe.name} may run code when it is loaded and is refused" if unsafe else ""
            raise UserError(f"{path}: no *.safetensors{found}")
        self.prompt = Prompt.load(path)

    def _read_json(self, name: str) -> dict[str, Any]:
        try:
            value = json.loads((self.path / name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(f"{self.path / name}: cannot be read as JSON ({error})") from None
        if not isinstance(value, dict):
            raise UserError(f"{self.path / name}: a JSON object is needed")
        return value

    @property
    def context_tokens(self) -> int:
        """Longest sequence that the model was made for, prompt and topic together."""
        return self.number("max_position_embeddings", 2048)

    def number(self, name: str, default: int | None = None) -> int:
        """A whole number of the config; raises UserError when it is missing or not positive."""
        value = self.config.get(name, default)
        if type(value) is not int or value < 1:
            raise UserError(f"{self.path}/config.json: {name} must be a positive whole number, not {value!r}")
        return value

    @cached_property
    def tokenizer(self) -> "Tokenizer":
        from tokenizers import Tokenizer

        path = self.path / "tokenizer.json"
        try:
            return Tokenizer.from_file(str(path))
        except Exception as error:  # noqa: BLE001 - the library raises bare Exception
            raise UserError(f"{path}: not a tokenizer ({error})") from None

    @cached_property
    def digest(self) -> str:
        """SHA-256 over config, tokenizer, prompt and weights: the identity of the model."""
        total = hashlib.sha256()
        for file in [*(self.path / n for n in ("config.json", "tokenizer.json", "prompt.json")), *self.weights]:
            with file.open("rb") as stream:
                total.update(hashlib.file_digest(stream, "sha256").digest())
        return total.hexdigest()


def find_model(name: str) -> ModelFolder:
    """The folder of an embedded model ("mini"), of a path, or of a hub id ("owner/name", downloaded once).

    Raises:
        UserError: When there is no such model, or the hub cannot be reached.
    """
    if name in EMBEDDED:
        return ModelFolder(Path(str(files("topicgen") / "assets" / name)), name)
    path = Path(name)
    if name and os.path.isdir(path):  # noqa: PTH112 - the method of Path raises for names that are too long
        return ModelFolder(path, name)
    if name and os.path.exists(path):  # noqa: PTH110
        raise UserError(f"{name}: is a file; a model is a folder with config.json and *.safetensors")
    if name.count("/") == 1 and not name.startswith((".", "/", "~")):
        return ModelFolder(_download(name), name)
    raise UserError(f"no model {name!r}: give {' or '.join(EMBEDDED)}, a model folder, or a hub id like owner/name")


def _download(hub_id: str) -> Path:
    from huggingface_hub import snapshot_download

    offline = os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on")
    try:
        return Path(snapshot_download(hub_id, allow_patterns=["*.json", "*.safetensors"]))
    except Exception as error:  # noqa: BLE001 - network, permission and naming errors of several libraries
        reason = "HF_HUB_OFFLINE is set and it is not in the cache" if offline else str(error).strip().splitlines()[0]
        raise UserError(f"model {hub_id!r} is no folder here and cannot be downloaded: {reason}") from None
