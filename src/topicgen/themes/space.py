"""Topics and texts of a collection in, a space out in which near documents are about the same."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from topicgen.embed import Embedder, Vectors
from topicgen.errors import UserError
from topicgen.extras import require

DIMENSIONS = 64
TOPIC_WEIGHT = 3.0
LONGEST = 20_000  # characters of a text that are read
VOCABULARY = 50_000
SMALL = 100  # documents; in a smaller collection a word counts that stands in one of them
COMMON = 0.5  # share of the documents; a word in more of them tells nothing
TENSORS, VALUES = "space.safetensors", "space.json"

# Written without spaces between words: pairs of characters stand for words.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_TERM = re.compile(rf"[{_UNSPACED}]+|[^\W\d_{_UNSPACED}][^\W_{_UNSPACED}]+")
_UNSPACED_RUN = re.compile(rf"[{_UNSPACED}]")


def terms(text: str) -> Iterator[str]:
    """Lowercase words of a text with two letters or more, without plural endings; pairs of characters of Chinese."""
    for found in _TERM.findall(text[:LONGEST].lower()):
        if _UNSPACED_RUN.match(found):
            yield from (found[i : i + 2] for i in range(max(len(found) - 1, 1)))
        else:
            yield found


class Space:
    """Unit vectors of documents from latent semantic analysis (Deerwester et al. 1990) of topic and text.

    Words are weighted by ``(1 + ln count) * idf``, where each word of the topic counts ``topic_weight`` times, and the
    largest singular vectors of the collection are kept. The vectors of a given embedder, where there is one, stand
    beside them with equal weight. Nothing depends on the order of the documents.

    Attributes:
        name: What a registry calls the space.
        size: Dimensions.
    """

    def __init__(
        self,
        vocabulary: Sequence[str],
        idf: NDArray[np.float64],
        components: Vectors,
        *,
        topic_weight: float,
        embedder: Embedder | None = None,
        embedder_size: int = 0,
        embedder_name: str | None = None,
    ) -> None:
        self._vocabulary = {term: i for i, term in enumerate(vocabulary)}
        self._idf = idf
        self._components = components  # (terms, dimensions)
        self._topic_weight = topic_weight
        self._embedder = embedder
        self._embedder_size = embedder_size
        self._embedder_name = embedder_name
        self.size = components.shape[1] + embedder_size
        self.name = f"LSA of {components.shape[1]}" + (f" beside {embedder_name}" if embedder_name else "")

    @property
    def embedder(self) -> str | None:
        """Name of the embedder that a loaded space needs before it can encode; None for the offline default."""
        return self._embedder_name

    @classmethod
    def fit(
        cls,
        topics: Sequence[str],
        texts: Sequence[str],
        *,
        embedder: Embedder | None = None,
        topic_weight: float = TOPIC_WEIGHT,
    ) -> "Space":
        """The space of a collection.

        Args:
            topics: The topic of each document.
            texts: Its text; may be empty.
            embedder: What else turns topic and text into vectors.
            topic_weight: How often a word of the topic counts, against once for a word of the text.

        Raises:
            UserError: When scikit-learn is missing.
        """
        require("sklearn", "themes")
        order = sorted(range(len(topics)), key=lambda i: (topics[i], texts[i]))
        counts = [_counted(topics[i], texts[i], topic_weight) for i in order]
        spread: Counter[str] = Counter()
        for count in counts:
            spread.update(count.keys())
        words = require("sklearn.feature_extraction.text", "themes").ENGLISH_STOP_WORDS
        documents = len(counts)
        least = 1 if documents < SMALL else 2
        told = {term: n for term, n in spread.items() if term not in words}
        kept = [t for t, n in told.items() if least <= n <= COMMON * documents] or list(told)
        vocabulary = sorted(sorted(kept, key=lambda term: (-spread[term], term))[:VOCABULARY])
        idf = np.array([np.log((1 + documents) / (1 + spread[t])) + 1 for t in vocabulary], np.float64)
        size = embedder.encode(["size"]).shape[1] if embedder else 0
        unreduced = cls(
            vocabulary,
            idf,
            np.zeros((len(vocabulary), 0), np.float32),
            topic_weight=topic_weight,
            embedder=embedder,
            embedder_size=size,
            embedder_name=embedder.name if embedder else None,
        )
        return unreduced._reduced(unreduced._weighted(counts))

    def _reduced(self, weighted: Any) -> "Space":
        """The same with the singular vectors of the documents of the rows."""
        dimensions = min(DIMENSIONS, *(side - 1 for side in weighted.shape)) if min(weighted.shape) > 1 else 0
        if dimensions < 1:  # one document, or one word: the words themselves are the dimensions
            components = np.eye(len(self._vocabulary), min(len(self._vocabulary), DIMENSIONS), dtype=np.float32)
        else:
            extmath = require("sklearn.utils.extmath", "themes")
            with require("threadpoolctl", "themes").threadpool_limits(1):  # sums must not depend on the threads
                _, _, rows = extmath.randomized_svd(weighted, dimensions, n_iter=4, random_state=0)
            components = np.ascontiguousarray(rows.T, np.float32)
        return Space(
            list(self._vocabulary),
            self._idf,
            components,
            topic_weight=self._topic_weight,
            embedder=self._embedder,
            embedder_size=self._embedder_size,
            embedder_name=self._embedder_name,
        )

    def with_embedder(self, embedder: Embedder) -> "Space":
        """A loaded space with its embedder."""
        self._embedder = embedder
        return self

    def encode(self, topics: Sequence[str], texts: Sequence[str]) -> Vectors:
        """Vectors of shape (documents, size), each of length 1, or zero for a document without a known word.

        Raises:
            UserError: When the space was loaded and needs an embedder.
        """
        if self._embedder_name and self._embedder is None:
            raise UserError(f"the space needs the embedder {self._embedder_name!r}; name it with --embedder")
        counts = (_counted(topic, text, self._topic_weight) for topic, text in zip(topics, texts, strict=True))
        vectors = _unit(np.asarray(self._weighted(counts) @ self._components, np.float32))
        if self._embedder is None:
            return vectors
        both = [f"{topic}. {text}" for topic, text in zip(topics, texts, strict=True)]
        return _unit(np.hstack([vectors, _unit(self._embedder.encode(both))]))

    def _weighted(self, counts: Any) -> Any:
        """Weights of the words of each document, sparse (documents, terms), rows of length 1 or 0."""
        sparse = require("scipy.sparse", "themes")
        starts, columns, values = [0], [], []
        for count in counts:
            known = sorted((self._vocabulary[t], n) for t, n in count.items() if t in self._vocabulary)
            row = (
                np.array([1 + np.log(n) for _, n in known]) * self._idf[[i for i, _ in known]] if known else np.zeros(0)
            )
            columns.append(np.array([i for i, _ in known], np.int32))
            values.append((row / max(float(np.linalg.norm(row)), 1e-12)).astype(np.float32))
            starts.append(starts[-1] + len(known))
        parts = (
            np.concatenate(values or [np.zeros(0, np.float32)]),
            np.concatenate(columns or [np.zeros(0, np.int32)]),
        )
        return sparse.csr_matrix((*parts, np.array(starts)), shape=(len(starts) - 1, len(self._vocabulary)))

    def save(self, folder: Path) -> None:
        """Writes the space into a folder, which is made.

        Raises:
            UserError: When it cannot be written.
        """
        from safetensors.numpy import save

        tensors = save({"components": np.ascontiguousarray(self._components), "idf": self._idf})
        values = {
            "format": 1,
            "sha": blake2b(tensors, digest_size=16).hexdigest(),
            "topic_weight": self._topic_weight,
            "embedder": self._embedder_name,
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
    def load(cls, folder: Path) -> "Space":
        """The space of a folder.

        Raises:
            UserError: When it is missing, damaged or of another version.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            content = (folder / TENSORS).read_bytes()
            values = json.loads((folder / VALUES).read_text(encoding="utf-8"))
            if values["format"] != 1:
                raise UserError(f"{folder}: format {values['format']} of a newer topicgen; this one reads format 1")
            tensors = load(content)
            if values["sha"] != blake2b(content, digest_size=16).hexdigest():
                raise UserError(f"{folder}: damaged: {TENSORS} is not the one that {VALUES} names")
            return cls(
                values["vocabulary"],
                tensors["idf"],
                tensors["components"],
                topic_weight=float(values["topic_weight"]),
                embedder_size=int(values["embedder_size"]),
                embedder_name=values["embedder"],
            )
        except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise UserError(f"{folder}: no space of a themes folder, or damaged ({reason})") from None


def _counted(topic: str, text: str, topic_weight: float) -> dict[str, float]:
    counts: dict[str, float] = {}
    for words, weight in ((terms(text), 1.0), (terms(topic), topic_weight)):
        for word in words:
            counts[word] = counts.get(word, 0) + weight
    return {word: max(count, 1.0) for word, count in counts.items() if count > 0}


def _unit(vectors: Vectors) -> Vectors:
    """Rows at length 1; zero where nothing but rounding is left."""
    lengths = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))[:, None]
    return cast(Vectors, np.where(lengths > 1e-6, vectors / np.maximum(lengths, 1e-6), 0).astype(np.float32))
