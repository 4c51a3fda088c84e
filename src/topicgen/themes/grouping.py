"""Unit vectors of documents in, themes and sub-themes out: every document in one of each."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from topicgen.embed import Vectors
from topicgen.errors import UsageError
from topicgen.extras import require
from topicgen.themes.dendrogram import Dendrogram, FloatArray, IntArray, agglomerate

MICRO = 2_000  # groups of near-equal documents that the dendrogram is made of: bounds memory and time
SUB_MICRO = 300  # the same within one theme
DRAWING = 5  # neighbours that a point is drawn towards
LINKED = 10  # neighbours of the graph whose modularity is taken
STEPS = 10  # refinement steps at most
CHUNK = 8_192  # documents compared with all centroids at a time
MOST = 500  # themes of granularity 1
LEAST_DOCUMENTS = 5  # documents for each theme, on average, at granularity 1
SMALLEST_PARENT = 20  # documents of a theme that is looked at for sub-themes
MOST_SUBTHEMES = 12
MOST_CHOSEN = 200  # themes that are chosen without being asked for
TRIED = 40
NEARLY = 0.95  # of the best worth: as good


@dataclass(frozen=True, slots=True)
class Grouping:
    """The groups of a collection.

    Attributes:
        themes: Shape (documents,): the theme of each document, 0 to k - 1, by falling size.
        subthemes: Shape (documents,): its sub-theme, 0 to m - 1; numbered by theme, then by falling size.
        parents: Shape (m,): the theme of each sub-theme.
        centroids: Shape (k, size): the mean direction of each theme.
        sub_centroids: Shape (m, size): the same of each sub-theme.
    """

    themes: IntArray
    subthemes: IntArray
    parents: IntArray
    centroids: Vectors
    sub_centroids: Vectors


def group(vectors: Vectors, *, themes: int | None = None, granularity: float | None = None) -> Grouping:
    """Groups documents; the result does not depend on their order.

    Near documents first become at most 2,000 micro-groups (spherical k-means), those are merged to a dendrogram, which
    is cut, and the documents are then moved to the nearest centroid until few still move. Time and memory grow
    linearly with the documents.

    Args:
        vectors: Shape (documents, size), rows of length 1 or 0; rows of zeros go to the largest theme.
        themes: How many themes; fewer where there are fewer different documents. None chooses the number.
        granularity: 0 for the fewest themes, 1 for the most; the number grows by equal factors.

    Raises:
        UsageError: When the number is below 1, the granularity is outside of 0 to 1, or both are given.
        UserError: When scikit-learn is missing.
    """
    if themes is not None and granularity is not None:
        raise UsageError("give a number of themes or a granularity, not both")
    if themes is not None and themes < 1:
        raise UsageError(f"themes must be at least 1, not {themes}")
    if granularity is not None and not 0 <= granularity <= 1:
        raise UsageError(f"granularity must be between 0 and 1, not {granularity}")
    size = vectors.shape[1]
    if not len(vectors):
        nothing, empty = np.zeros(0, np.int64), np.zeros((0, size), np.float32)
        return Grouping(nothing, nothing, nothing, empty, empty)
    order = canonical_order(vectors)
    sorted_rows = vectors[order].astype(np.float32)
    with require("threadpoolctl", "themes").threadpool_limits(1):  # sums must not depend on the number of threads
        top = _by_size(_partition(sorted_rows, themes, granularity, MICRO))
        sub, parents = _subdivided(sorted_rows, top)
        back = np.empty(len(order), np.int64)
        back[order] = np.arange(len(order))
        return Grouping(top[back], sub[back], parents, _centroids(sorted_rows, top), _centroids(sorted_rows, sub))


def most_themes(documents: int) -> int:
    """The number of themes of granularity 1."""
    return max(min(MOST, documents // LEAST_DOCUMENTS), min(documents, 2))


def canonical_order(vectors: Vectors) -> IntArray:
    """The rows by content: equal rows are interchangeable, so ties do not matter."""
    rows = np.ascontiguousarray(vectors)
    if not rows.shape[1]:
        return np.arange(len(rows))
    return np.argsort(rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel(), kind="stable")


def _partition(rows: Vectors, themes: int | None, granularity: float | None, most: int) -> IntArray:
    """The group of each row, by way of at most so many micro-groups."""
    directed = np.flatnonzero(np.einsum("nd,nd->n", rows, rows) > 0)
    label = np.zeros(len(rows), np.int64)
    if len(directed) < 2 or themes == 1:
        return label
    found = rows[directed]
    micro = _micro_groups(found, most)
    points = int(micro.max()) + 1
    centroids = _centroids(found, micro).astype(np.float64)
    weights = np.bincount(micro).astype(np.float64)
    tree = agglomerate(_smoothed(centroids), weights)
    if themes is not None:
        number = min(themes, points)
    elif granularity is not None:
        number = min(round(math.exp(math.log(2) + granularity * math.log(most_themes(len(rows)) / 2))), points)
    else:
        number = _natural_number(tree, centroids, weights, len(rows))
    grouped = _refined(found, tree.cut(number)[micro])
    label[directed] = grouped
    if len(directed) < len(rows):
        label[np.setdiff1d(np.arange(len(rows)), directed)] = np.bincount(grouped).argmax()
    return label


def _micro_groups(rows: Vectors, most: int) -> IntArray:
    """At most so many groups of near rows; equal rows are always together."""
    different, same = np.unique(rows, axis=0, return_inverse=True)
    if len(different) <= most:
        return same.ravel().astype(np.int64)
    seeds = np.random.default_rng(0).choice(len(different), most, replace=False)
    centroids = different[np.sort(seeds)]
    nearest = _nearest(rows, centroids)
    for _ in range(STEPS):
        found = _centroids(rows, nearest, len(centroids))
        centroids = np.where(np.abs(found).sum(axis=1, keepdims=True) > 0, found, centroids)
        nearest = _nearest(rows, centroids)
    return np.unique(nearest, return_inverse=True)[1].astype(np.int64)


def _refined(rows: Vectors, label: IntArray, weights: FloatArray | None = None) -> IntArray:
    """Rows moved to the nearest centroid until none moves (spherical k-means); no group is emptied."""
    groups = int(label.max()) + 1
    for _ in range(STEPS):
        moved = _nearest(rows, _centroids(rows, label, groups, weights))
        if len(np.unique(moved)) < groups or np.array_equal(moved, label):
            break
        label = moved
    return label


def _smoothed(points: FloatArray) -> FloatArray:
    """Each point drawn towards the mean of its nearest neighbours, which closes gaps within a group."""
    nearest = _neighbours(points, DRAWING)
    if not nearest.shape[1]:
        return points
    moved = points + points[nearest].mean(axis=1)
    result: FloatArray = moved / np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-12)
    return result


def _neighbours(points: FloatArray, most: int) -> IntArray:
    """The nearest other points of each, shape (points, neighbours)."""
    similarity = points @ points.T
    np.fill_diagonal(similarity, -np.inf)
    return np.argsort(-similarity, axis=1, kind="stable")[:, : min(most, len(points) // 10)]


def _natural_number(tree: Dendrogram, points: FloatArray, weights: FloatArray, documents: int) -> int:
    """The fewest groups that are about as distinct as groups of any number are.

    Groups are distinct when documents are much nearer to their own centroid than to any other (the mean of the first
    cosine less the second: a silhouette, Rousseeuw 1987, with centroids for groups, without its division, which
    favours many groups), and when neighbours belong to the same group (modularity, Newman 2004, of the graph of
    nearest neighbours, which does not favour two huge groups). The product of both is taken for 40 numbers spaced by
    equal factors; one group where it is never positive.
    """
    most = min(most_themes(documents), MOST_CHOSEN, len(points))
    rows, nearest = points.astype(np.float32), _neighbours(points, LINKED)
    worth: dict[int, float] = {}
    for groups in sorted({round(k) for k in np.geomspace(2, max(most, 2), TRIED)}):
        if groups > most:
            break
        label = _refined(rows, tree.cut(groups), weights)
        cosine = rows @ _centroids(rows, label, weights=weights).T
        first_two = np.partition(cosine, groups - 2, axis=1)[:, -2:].astype(np.float64)
        margin = np.average(first_two[:, 1] - first_two[:, 0], weights=weights)
        worth[groups] = round(float(margin) * _modularity(nearest, label), 6)
    best = max(worth.values(), default=0.0)
    return next((groups for groups, found in worth.items() if found >= NEARLY * best), 1) if best > 0 else 1


def _modularity(nearest: IntArray, label: IntArray) -> float:
    """Share of neighbours in the same group, less what chance would give; of an undirected graph."""
    degree = nearest.shape[1] + np.bincount(nearest.ravel(), minlength=len(label))
    if not degree.sum():
        return 0.0
    share = np.bincount(label, weights=degree) / degree.sum()
    return float((label[nearest] == label[:, None]).mean() - (share**2).sum())


def _subdivided(rows: Vectors, top: IntArray) -> tuple[IntArray, IntArray]:
    """The sub-theme of each row, and the theme of each sub-theme."""
    label = np.zeros(len(rows), np.int64)
    parents: list[int] = []
    for theme in range(int(top.max()) + 1):
        members = np.flatnonzero(top == theme)
        if len(members) < SMALLEST_PARENT:
            sub = np.zeros(len(members), np.int64)
        else:
            number = min(max(2, round(math.sqrt(len(members)) / 3)), MOST_SUBTHEMES)
            sub = _by_size(_partition(rows[members], number, None, SUB_MICRO))
        label[members] = sub + len(parents)
        parents += [theme] * (int(sub.max()) + 1)
    return label, np.array(parents, np.int64)


def _by_size(label: IntArray) -> IntArray:
    """Groups renumbered by falling size; of equal sizes the one with the first row comes first."""
    groups, first, dense, sizes = np.unique(label, return_index=True, return_inverse=True, return_counts=True)
    order = np.lexsort((first, -sizes))
    rank = np.empty(len(groups), np.int64)
    rank[order] = np.arange(len(groups))
    return rank[dense.ravel()]


def _nearest(rows: Vectors, centroids: NDArray[np.floating]) -> IntArray:
    """The centroid of the highest cosine for each row, the first of equal ones."""
    transposed = np.ascontiguousarray(centroids.T, np.float32)
    parts = [(rows[i : i + CHUNK] @ transposed).argmax(axis=1) for i in range(0, len(rows), CHUNK)]
    return np.concatenate(parts).astype(np.int64)


def _centroids(rows: Vectors, label: IntArray, groups: int | None = None, weights: FloatArray | None = None) -> Vectors:
    """The mean direction of each group, shape (groups, size); zero for a group without direction."""
    sparse = require("scipy.sparse", "themes")
    groups = int(label.max()) + 1 if groups is None else groups
    weight = np.ones(len(rows)) if weights is None else weights
    member = sparse.csr_matrix((weight, (label, np.arange(len(rows)))), shape=(groups, len(rows)))
    sums = np.asarray(member @ rows.astype(np.float64))
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    result: Vectors = np.where(lengths > 1e-9, sums / np.maximum(lengths, 1e-9), 0).astype(np.float32)
    return result
