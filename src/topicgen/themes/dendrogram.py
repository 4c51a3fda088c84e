"""Unit vectors with weights in, the order in which they merge out, from which any number of groups can be cut."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

BALANCE = 0.1


@dataclass(frozen=True, slots=True)
class Dendrogram:
    """The merges of an agglomerative clustering.

    Attributes:
        leaves: Number of points.
        merges: Shape (leaves - 1, 2): at each step the second group goes into the first; a group is named by a leaf.
        costs: Shape (leaves - 1,): what each merge cost.
    """

    leaves: int
    merges: IntArray
    costs: FloatArray

    def cut(self, groups: int) -> IntArray:
        """The group of each leaf, 0 to ``groups`` - 1, when the merges stop at that number."""
        label = np.arange(self.leaves)
        for kept, gone in self.merges[: max(self.leaves - groups, 0)][::-1]:
            label[gone] = label[kept]
        # Later merges name earlier heads: undone backwards, every leaf finds its head.
        _, dense = np.unique(label, return_inverse=True)
        return dense.astype(np.int64)


def agglomerate(vectors: FloatArray, weights: FloatArray, balance: float = BALANCE) -> Dendrogram:
    """Merges the two groups of the least cost until one is left.

    The cost of a merge is ``1 - s``, where s is the mean cosine between the members of the two groups (average
    linkage, Sokal and Michener 1958), times ``(a b / (a + b)) ** balance`` for groups of weights a and b: with balance
    0 it is average linkage, which leaves strays alone and makes one huge group; with 1 it behaves as Ward's method
    (1963), which makes groups of like size. A little of the latter keeps the natural sizes without the strays.

    Args:
        vectors: Shape (points, dimensions).
        weights: Shape (points,), how many documents each point stands for, from 1.
        balance: The exponent, 0 to 1.
    """
    points = len(vectors)
    weight = weights.astype(np.float64).copy()
    similarity = vectors @ vectors.T
    alive = np.ones(points, dtype=bool)
    merges = np.zeros((max(points - 1, 0), 2), np.int64)
    costs = np.zeros(len(merges))

    def row(point: int) -> FloatArray:
        size = weight[point] * weight / (weight[point] + weight)
        found: FloatArray = (1 - similarity[point]) * size**balance
        found[~alive] = np.inf
        found[point] = np.inf
        return found

    partner = np.zeros(points, np.int64)
    least = np.full(points, np.inf)

    def seek(point: int) -> FloatArray:
        found = row(point)
        partner[point] = found.argmin()
        least[point] = found[partner[point]]
        return found

    for point in range(points if points > 1 else 0):
        seek(point)
    for step in range(len(merges)):
        kept = int(least.argmin())
        gone = int(partner[kept])
        merges[step], costs[step] = (kept, gone), least[kept]
        share = weight[gone] / (weight[kept] + weight[gone])
        similarity[kept] += share * (similarity[gone] - similarity[kept])
        similarity[:, kept] = similarity[kept]
        weight[kept] += weight[gone]
        alive[gone], least[gone] = False, np.inf
        found = seek(kept)
        nearer = found < least
        partner[nearer], least[nearer] = kept, found[nearer]
        stale = alive & ((partner == kept) | (partner == gone)) & ~nearer
        stale[kept] = False
        for index in np.flatnonzero(stale):
            seek(int(index))
    return Dendrogram(points, merges, costs)
