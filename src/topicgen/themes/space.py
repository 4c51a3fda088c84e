"""Topics and texts of a collection in, a space out in which near documents are about the same."""

import json
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topicgen.embed import Embedder, Vectors
from topicgen.errors import UserError
from topicgen.extras import require
from topicgen.themes.weights import count_matrix, kept_terms, term_counts, weighted_rows

DIMENSIONS = 100
TOPIC_WEIGHT = 1.0
FORMAT = 1
TENSORS, VALUES = "space.safetensors", "space.json"


class Space:
    """Unit vectors of documents from latent semantic analysis (Deerwester et al. 1990) of topic and text.

    Terms are weighted by ``(1 + ln count) * idf``, where each term of the topic counts ``topic_weight`` times, and the
    100 largest singular vectors of the collection are kept. The vectors of a given embedder, where there is one, stand
    beside them with equal weight. Nothing depends on the order of the documents.

    Attributes:
        name: What a registry calls the space.
        size: Dimensions.
        embedder_name: The embedder that a loaded space needs before it can encode; None: none.
    """

    def __init__(
        self,
        vocabulary: Sequence[str],
        idf: NDArray[np.float64],
        components: Vectors,
        *,
        topic_weight: float = TOPIC_WEIGHT,
        embedder: Embedder | None = None,
        embedder_name: str | None = None,
        embedder_size: int = 0,
    ) -> None:
        self._vocabulary = {term: i for i, term in enumerate(vocabulary)}
        self._idf = idf
        self._components = components  # (terms, dimensions)
        self._topic_weight = topic_weight
        self._embedder = embedder
        self._embedder_size = embedder_size
        self.embedder_name = embedder_name
        self.size = components.shape[1] + embedder_size
        self.name = f"LSA of {components.shape[1]}" + (f" beside {embedder_name}" if embedder_name else "")

    @classmethod
    def fit(
        cls,
        topics: Sequence[str],
        texts: Sequence[str],
        *,
        embedder: Embedder | None = None,
        topic_weight: float = TOPIC_WEIGHT,
    ) -> "Space":
        """The space of a collection; see ``fit_encode``."""
        return cls.fit_encode(topics, texts, embedder=embedder, topic_weight=topic_weight)[0]

    @classmethod
    def fit_encode(
        cls,
        topics: Sequence[str],
        texts: Sequence[str],
        *,
        embedder: Embedder | None = None,
        topic_weight: float = TOPIC_WEIGHT,
    ) -> tuple["Space", Vectors]:
        """The space of a collection, and the vectors of its documents, for which the texts are read once.

        Args:
            topics: The topic of each document.
            texts: Its text; may be empty.
            embedder: What else turns topic and text into vectors.
            topic_weight: How often a term of the topic counts, against once for a term of the text.

        Raises:
            UserError: When scikit-learn is missing.
        """
        order = _by_content(topics, texts)
        terms: dict[str, int] = {}
        counts = count_matrix((term_counts(topics[i], texts[i], topic_weight) for i in order), terms, grow=True)
        kept = kept_terms(counts, list(terms))
        spread = np.diff(counts[:, kept].tocsc().indptr)
        idf = np.log((1 + len(order)) / (1 + spread)) + 1
        weighted = weighted_rows(counts[:, kept], idf)
        names = list(terms)
        space = cls(
            [names[i] for i in kept],
            idf,
            _components(weighted),
            topic_weight=topic_weight,
            embedder=embedder,
            embedder_name=embedder.name if embedder else None,
            embedder_size=embedder.encode(["size"]).shape[1] if embedder else 0,
        )
        vectors = np.empty((len(order), space.size), np.float32)
        vectors[order] = space._vectors(weighted, [topics[i] for i in order], [texts[i] for i in order])
        return space, vectors

    def encode(self, topics: Sequence[str], texts: Sequence[str]) -> Vectors:
        """Vectors of shape (documents, size), each of length 1, or zero for a document without a known term.

        Raises:
            UserError: When the space was loaded and its embedder was not given.
        """
        order = _by_content(topics, texts)
        counts = count_matrix((term_counts(topics[i], texts[i], self._topic_weight) for i in order), self._vocabulary)
        vectors = np.empty((len(order), self.size), np.float32)
        weighted = weighted_rows(counts, self._idf)
        vectors[order] = self._vectors(weighted, [topics[i] for i in order], [texts[i] for i in order])
        return vectors

    def _vectors(self, weighted: Any, topics: Sequence[str], texts: Sequence[str]) -> Vectors:
        vectors = _unit(np.asarray(weighted @ self._components))
        if self.embedder_name is None:
            return vectors
        if self._embedder is None:
            raise UserError(f"the space needs the embedder {self.embedder_name!r}; name it with --embedder")
        both = [f"{topic}. {text}" for topic, text in zip(topics, texts, strict=True)]
        return _unit(np.hstack([vectors, _unit(self._embedder.encode(both))]))

    def save(self, folder: Path) -> None:
        """Writes the space into a folder, which is made.

        Raises:
            UserError: When it cannot be written.
        """
        from safetensors.numpy import save

        tensors = save({"components": np.ascontiguousarray(self._components), "idf": self._idf})
        values = {
            "format": FORMAT,
            "checksum": blake2b(tensors, digest_size=16).hexdigest(),
            "topic_weight": self._topic_weight,
            "embedder": self.embedder_name,
            "embedder_size": self._embedder_size,
            "vocabulary": list(self._vocabulary),
        }
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / TENSORS).write_bytes(tensors)
            (folder / VALUES).write_text(json.dumps(values, ensure_ascii=False), encoding="utf-8")
        except OSError as error:
            raise UserError(f"{folder}: cannot be written: {error.strerror or error}") from None

    @classmethod
    def load(cls, folder: Path, *, embedder: Embedder | None = None) -> "Space":
        """The space of a folder, with the embedder that it was fitted with.

        Raises:
            UserError: When it is missing, damaged, of another version, or of another embedder.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            content = (folder / TENSORS).read_bytes()
            values = json.loads((folder / VALUES).read_text(encoding="utf-8"))
            if values["format"] != FORMAT:
                raise UserError(f"{folder}: a space of format {values['format']}; this topicgen reads {FORMAT}")
            if values["checksum"] != blake2b(content, digest_size=16).hexdigest():
                raise UserError(f"{folder}: damaged: {TENSORS} is not the file that {VALUES} describes")
            tensors, vocabulary = load(content), [str(term) for term in values["vocabulary"]]
            if tensors["idf"].shape != (len(vocabulary),) or len(tensors["components"]) != len(vocabulary):
                raise ValueError("tensors and vocabulary differ in size")
            name = values["embedder"]
            if embedder is not None and embedder.name != name:
                raise UserError(f"{folder}: was made with the embedder {name!r}, not {embedder.name!r}")
            return cls(
                vocabulary,
                tensors["idf"],
                tensors["components"],
                topic_weight=float(values["topic_weight"]),
                embedder=embedder,
                embedder_name=name,
                embedder_size=int(values["embedder_size"]),
            )
        except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise UserError(f"{folder}: not the space of a themes folder, or damaged ({reason})") from None


def _by_content(topics: Sequence[str], texts: Sequence[str]) -> NDArray[np.int64]:
    """The documents in an order that does not depend on theirs."""
    return np.array(sorted(range(len(topics)), key=lambda i: (topics[i], texts[i])), np.int64)


def _components(weighted: Any) -> Vectors:
    """The largest right singular vectors, shape (terms, dimensions)."""
    documents, terms = weighted.shape
    dimensions = min(DIMENSIONS, documents - 1, terms - 1)
    if dimensions < 1:  # one document or one term: the terms themselves are the dimensions
        return np.eye(terms, min(terms, DIMENSIONS), dtype=np.float32)
    extmath = require("sklearn.utils.extmath", "themes")
    with require("threadpoolctl", "themes").threadpool_limits(1):  # sums must not depend on the number of threads
        _, _, rows = extmath.randomized_svd(weighted, dimensions, n_iter=4, random_state=0)
    return np.ascontiguousarray(rows.T, np.float32)


def _unit(vectors: Vectors) -> Vectors:
    """Rows at length 1; zero where nothing but rounding is left."""
    lengths = np.sqrt(np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64))[:, None]
    result: Vectors = np.where(lengths > 1e-6, vectors / np.maximum(lengths, 1e-6), 0).astype(np.float32)
    return result
