"""Vectors of members in, the centres of themes out, and how near a later document must come to join one."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from topicgen.embed import Vectors
from topicgen.errors import UserError

IntArray = NDArray[np.int64]

QUANTILE = 0.02  # of the members' own similarities: so many of them would not join again
FEWEST = 20  # members; the quantile of fewer says little, and that of the whole collection counts
HIGHEST = 0.8  # a theme of equal topics must not be closed to all others
_BLOCK = 8192


@dataclass
class Centroids:
    """The centres of the themes of one level.

    Attributes:
        ids: The themes, merged ones too: what is near them belongs to the target.
        sums: Sum of the vectors of the members, shape (themes, size).
        thresholds: Lowest cosine at which a document joins, shape (themes,).
    """

    ids: list[str]
    sums: Vectors
    thresholds: Vectors

    @property
    def units(self) -> Vectors:
        """The centroids at length 1, or zero, shape (themes, size)."""
        return unit_rows(self.sums)

    def nearest(self, vectors: Vectors, allowed: IntArray | None = None) -> tuple[IntArray, Vectors]:
        """The row of the nearest theme for each vector, the first of equal ones, and the cosine; both (vectors,).

        Args:
            vectors: Rows of length 1 or 0, shape (vectors, size).
            allowed: Rows of themes that may answer, shape (some themes,); None allows all.
        """
        units = self.units if allowed is None else self.units[allowed]
        best = np.zeros(len(vectors), np.int64)
        similarity = np.zeros(len(vectors), np.float32)
        for start in range(0, len(vectors), _BLOCK):  # bounds the memory
            cosines = vectors[start : start + _BLOCK] @ units.T
            found = cosines.argmax(axis=1)
            best[start : start + _BLOCK] = found
            similarity[start : start + _BLOCK] = cosines[np.arange(len(found)), found]
        return (best if allowed is None else allowed[best]), similarity

    def scores(self, vectors: Vectors, themes: Sequence[str]) -> Vectors:
        """The cosine of each vector, shape (vectors, size), with the centroid of the theme named for it; (vectors,)."""
        rows = {identifier: row for row, identifier in enumerate(self.ids)}
        scores: Vectors = np.einsum("vs,vs->v", vectors, self.units[[rows[theme] for theme in themes]])
        return scores

    def extended(self, other: "Centroids") -> "Centroids":
        """These and others of the same level."""
        sums, thresholds = [self.sums, other.sums], [self.thresholds, other.thresholds]
        return Centroids([*self.ids, *other.ids], np.concatenate(sums), np.concatenate(thresholds))


def centroids_of(vectors: Vectors, labels: Sequence[str]) -> Centroids:
    """The centroids of labelled vectors, shape (documents, size), in the order in which the labels first come."""
    ids = list(dict.fromkeys(labels))
    rows = {identifier: row for row, identifier in enumerate(ids)}
    groups = np.array([rows[label] for label in labels], np.int64)
    sums = sums_of(vectors, groups, len(ids))
    some = vectors.any(axis=1)  # documents without a known word are like nothing, and say nothing of a theme
    similarity = likeness(vectors, groups, sums)[some]
    return Centroids(ids, sums, thresholds_of(similarity, groups[some], len(ids)))


def sums_of(vectors: Vectors, groups: IntArray, count: int) -> Vectors:
    """Sum of the vectors of each group, shape (count, size); in float64, so that the order hardly matters."""
    sums = np.zeros((count, vectors.shape[1]), np.float64)
    np.add.at(sums, groups, vectors)
    return sums.astype(np.float32)


def likeness(vectors: Vectors, groups: IntArray, sums: Vectors) -> Vectors:
    """Cosine of each vector to the centre of the others of its group, shape (vectors,); 1 where it is alone.

    Leaving the vector out shows how like a document is that the group has not seen, which is what later ones are.
    """
    similarity = np.ones(len(vectors), np.float32)
    sizes = np.bincount(groups, minlength=len(sums))
    for start in range(0, len(vectors), _BLOCK):
        part = slice(start, start + _BLOCK)
        others = unit_rows(sums[groups[part]] - vectors[part])
        found = np.einsum("vs,vs->v", vectors[part], others)
        similarity[part] = np.where(sizes[groups[part]] > 1, found, 1)
    return similarity


def thresholds_of(similarity: Vectors, groups: IntArray, count: int) -> Vectors:
    """The threshold of each group, shape (count,), from the members' likeness."""
    sizes = np.bincount(groups, minlength=count)
    together = similarity[sizes[groups] > 1]
    overall = min(HIGHEST, float(np.quantile(together, QUANTILE))) if len(together) else HIGHEST
    thresholds = np.full(count, overall, np.float32)
    order = np.argsort(groups, kind="stable")
    for group, members in enumerate(np.split(similarity[order], np.cumsum(sizes)[:-1])):
        if len(members) >= FEWEST:
            thresholds[group] = min(HIGHEST, float(np.quantile(members, QUANTILE)))
    return thresholds


def unit_rows(vectors: Vectors) -> Vectors:
    """Each row at length 1; a row of nothing but rounding becomes zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    units: Vectors = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 1e-6)
    return units


def save_centroids(path: Path, themes: Centroids, subthemes: Centroids) -> None:
    """Writes both levels as safetensors; the ids stand in its metadata."""
    import json

    from safetensors.numpy import save

    tensors: dict[str, NDArray[np.float32]] = {}
    metadata: dict[str, str] = {}
    for name, level in (("themes", themes), ("subthemes", subthemes)):
        tensors[name] = np.ascontiguousarray(level.units, np.float32)
        tensors[f"{name}_sums"] = np.ascontiguousarray(level.sums, np.float32)
        tensors[f"{name}_thresholds"] = np.ascontiguousarray(level.thresholds, np.float32)
        metadata[name] = json.dumps(level.ids)
    path.write_bytes(save(tensors, metadata=metadata))


def load_centroids(path: Path) -> tuple[Centroids, Centroids]:
    """Both levels; raises UserError when the file is not what ``save_centroids`` writes."""
    import json

    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            levels = [
                Centroids(
                    json.loads(metadata[name]), file.get_tensor(f"{name}_sums"), file.get_tensor(f"{name}_thresholds")
                )
                for name in ("themes", "subthemes")
            ]
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise UserError(f"{path}: not the centroids of a themes folder ({error})") from None
    if any(len(level.ids) != len(level.sums) or len(level.ids) != len(level.thresholds) for level in levels):
        raise UserError(f"{path}: not the centroids of a themes folder (ids and tensors differ in number)")
    return levels[0], levels[1]
