"""The name of a sentence-transformers or model2vec model in, what turns texts into its vectors out."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from topicgen.adapters import unsafe_instead
from topicgen.embed import Embedder, TokenEmbedder, Vectors
from topicgen.errors import UserError
from topicgen.extras import require
from topicgen.models import EMBEDDED, locate

FILES = ("*.json", "*.safetensors", "*.txt", "*.model")
"""What is downloaded of a model: no pickles and no code."""

OWNER = "sentence-transformers"  # of the models that this library knows by their bare names
STATIC_WEIGHTS, STATIC_TENSOR = "model.safetensors", "embeddings"


class SentenceTransformerEmbedder:
    """A model of the library sentence-transformers (Reimers and Gurevych 2019).

    Weights are read from safetensors only, and no code from the model is run.

    Args:
        folder: Its files.
        name: What a report calls it.

    Raises:
        UserError: When the library is missing, or the folder has no such model.
    """

    def __init__(self, folder: Path, name: str) -> None:
        library = require("sentence_transformers", "embed")
        from topicgen.engines.hf_batches import quiet  # imports torch, which the other embedders do without

        self.name = name
        for part in [folder, *sorted(path for path in folder.rglob("*") if path.is_dir())]:
            unsafe = unsafe_instead(part)
            if unsafe and not any(part.glob("*.safetensors")):  # else the library would read them
                raise UserError(f"{part}: no *.safetensors{unsafe}")
        try:
            with quiet(require("transformers", "embed")):
                self._model = library.SentenceTransformer(
                    str(folder), trust_remote_code=False, local_files_only=True, model_kwargs={"use_safetensors": True}
                )
        except Exception as error:  # noqa: BLE001 - of transformers, tokenizers, safetensors and torch
            raise _unreadable(name, "sentence-transformers", error) from None

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Vectors of shape (texts, dimensions), rows of length 1; an empty text gives zeros."""
        given = list(texts) or [""]  # of no text, the library tells no dimensions
        vectors = self._model.encode(given, normalize_embeddings=True, convert_to_numpy=True, show_progress_bar=False)
        return _zero_where_empty(vectors[: len(texts)], texts)


class Model2VecEmbedder:
    """A static model of the library model2vec (Tulkens and van Dongen 2024): fast, and without torch.

    Args:
        folder: Its config.json, model.safetensors and tokenizer.json.
        name: What a report calls it.

    Raises:
        UserError: When the library is missing, or the folder has no such model.
    """

    def __init__(self, folder: Path, name: str) -> None:
        library = require("model2vec", "embed")
        self.name = name
        try:
            self._model = library.StaticModel.from_pretrained(folder, normalize=True)
        except Exception as error:  # noqa: BLE001 - of tokenizers, safetensors and numpy
            raise _unreadable(name, "model2vec", error) from None

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Vectors of shape (texts, dimensions), rows of length 1; a text without a known word gives zeros."""
        vectors = self._model.encode(list(texts) or [""], use_multiprocessing=False)
        return _zero_where_empty(vectors[: len(texts)], texts)


def load_embedder(name: str | None = None) -> Embedder:
    """The offline embedder for None and "mini", else that of a folder or a hub id, which is downloaded once.

    A bare name such as ``all-MiniLM-L6-v2`` is a model of the owner sentence-transformers, as in that library.

    Raises:
        UserError: When there is no such model, the hub cannot be reached, or a library is missing.
    """
    if name is None or name in EMBEDDED:
        return TokenEmbedder()
    folder = locate(_hub_id(name), (), FILES)
    return Model2VecEmbedder(folder, name) if _is_static(folder) else SentenceTransformerEmbedder(folder, name)


def _hub_id(name: str) -> str:
    bare = re.fullmatch(r"\w[\w.-]*", name) and not os.path.exists(name)  # noqa: PTH110 - Path's raises for long names
    return f"{OWNER}/{name}" if bare else name


def _is_static(folder: Path) -> bool:
    """Whether a folder holds a model of model2vec, which has no modules.json where it is old."""
    from safetensors import SafetensorError, safe_open

    weights = folder / STATIC_WEIGHTS
    if not weights.is_file():
        return False
    try:
        with safe_open(weights, framework="numpy") as tensors:
            return STATIC_TENSOR in tensors.keys()  # noqa: SIM118 - not a dict
    except (OSError, SafetensorError) as error:
        raise UserError(f"{weights}: cannot be read as safetensors ({error})") from None


def _zero_where_empty(vectors: Vectors, texts: Sequence[str]) -> Vectors:
    filled = np.array([bool(text.strip()) for text in texts], dtype=bool)
    return np.where(filled[:, None], vectors, 0).astype(np.float32)


def _unreadable(name: str, kind: str, error: Exception) -> UserError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return UserError(f"embedder {name!r}: not a {kind} model in safetensors, or damaged ({reason})")
