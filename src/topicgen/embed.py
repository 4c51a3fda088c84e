"""Texts in, unit vectors out whose cosine says how close two topics are in meaning."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from topicgen.engines.weights import widened
from topicgen.errors import UserError
from topicgen.models import ModelFolder, find_model

Vectors = NDArray[np.float32]

EMBEDDINGS = "model.embed_tokens.weight"
SMOOTHING = 1e-3  # a of a / (a + p), as in the paper
ROUNDING = 1e-6  # a vector shorter than this is nothing but rounding


class Embedder(Protocol):
    """What turns texts into vectors.

    Attributes:
        name: What a report calls it.
    """

    name: str

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Vectors of shape (texts, dimensions); each row has length 1, or is zero for a text without words."""
        ...


class TokenEmbedder:
    """The embedded model's own input embeddings, averaged: needs no network, no torch and no other model.

    Smooth inverse frequency (Arora et al. 2017): each token counts ``a / (a + p)`` with a = 0.001, where p is its
    probability, and the common component is removed. Both are properties of the model alone, so that a text has the
    same vector in any company: p follows Zipf's law in the rank of the token's id, for byte-pair encoding adds tokens
    roughly in order of frequency, and the common component is the direction of the mean embedding under p, which
    stands in for the paper's first singular vector of a collection. Texts are lowercased, since the same words with
    and without capitals are different tokens.

    It sees words and word parts more than meaning: two phrases without a common word are seldom close.

    Raises:
        UserError: When the embedded model is damaged.
    """

    name = "mini token embeddings (SIF)"

    def __init__(self) -> None:
        model = find_model("mini")
        self._tokenizer = model.tokenizer
        embeddings = _token_embeddings(model)
        special = [i for i, token in self._tokenizer.get_added_tokens_decoder().items() if token.special]
        probability = _zipf(len(embeddings), special)
        common = probability @ embeddings
        weight = SMOOTHING / (SMOOTHING + probability)
        weight[special] = 0
        self._common = common / np.linalg.norm(common)
        self._weighted = weight[:, None] * embeddings

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Vectors of shape (texts, dimensions); a text of nothing but white space gives zeros."""
        vectors = np.zeros((len(texts), self._weighted.shape[1]), np.float32)
        for row, text in enumerate(texts):  # one by one, so that no sum depends on the shape of a batch
            if text.strip():
                vectors[row] = self._vector(text)
        return vectors

    def _vector(self, text: str) -> Vectors:
        # The space makes the first word the same token as elsewhere in a text.
        ids = self._tokenizer.encode(" " + text.strip().lower(), add_special_tokens=False).ids
        vector = self._weighted[ids].mean(axis=0)
        return _unit(vector - (vector @ self._common) * self._common)


def cosine(left: Vectors, right: Vectors) -> Vectors:
    """Cosine of each row of one array with the same row of the other, shape (texts,); 0 where either row is zero.

    Args:
        left: Vectors of an embedder, shape (texts, dimensions), rows of length 1 or 0.
        right: The same of the other texts.

    Raises:
        ValueError: When the shapes differ.
    """
    if left.shape != right.shape:
        raise ValueError(f"cosine needs two arrays of the same shape, not {left.shape} and {right.shape}")
    products: Vectors = np.einsum("td,td->t", left, right)
    return products.clip(np.float32(-1), np.float32(1))  # rounding can take equal vectors past 1


def _unit(vector: Vectors) -> Vectors:
    """The vector at length 1; zero where nothing but rounding is left of it."""
    length = float(np.linalg.norm(vector))
    return vector / np.float32(length) if length > ROUNDING else np.zeros_like(vector)


def _zipf(size: int, special: Sequence[int]) -> Vectors:
    """Probability of each token by Zipf's law in the rank of its id, shape (size,); special tokens have none."""
    ordinary = np.ones(size, dtype=bool)
    ordinary[special] = False
    share = ordinary / np.maximum(np.cumsum(ordinary), 1)
    probability: Vectors = (share / share.sum()).astype(np.float32)
    return probability


def _token_embeddings(model: ModelFolder) -> Vectors:
    """The input embeddings of the embedded model, shape (vocabulary, dimensions), widened from bfloat16."""
    from safetensors import SafetensorError, deserialize

    for path in model.weights:
        try:
            entries = deserialize(path.read_bytes())  # type: ignore[no-untyped-call]
        except (OSError, SafetensorError) as error:
            raise UserError(f"{path}: cannot be read as safetensors ({error})") from None
        for name, entry in entries:
            if name == EMBEDDINGS and entry["dtype"] == "BF16":
                return widened(np.frombuffer(entry["data"], np.uint16)).reshape(entry["shape"])
    raise UserError(f"{model.path}: no {EMBEDDINGS} in bfloat16, which the offline embedder reads")
