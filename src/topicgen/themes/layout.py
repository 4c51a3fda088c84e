"""Vectors of documents and their groups in, places on a map out: near themes are near each other."""

import numpy as np
from numpy.typing import NDArray

from topicgen.embed import Vectors
from topicgen.themes.grouping import Grouping, canonical_order

STEPS = 200
GAP = 1.05  # distance of two discs' centres that just do not overlap, over the sum of their radii
FILLING = 0.55  # of the area of the map, taken by the discs of all themes
GOLDEN = np.pi * (3 - np.sqrt(5))


def layout(vectors: Vectors, grouping: Grouping) -> NDArray[np.float32]:
    """Places of shape (documents, 2), in 0 to 1.

    Each theme is a disc of an area in proportion to its documents, each sub-theme a disc within it. Discs are laid out
    by the two main directions of the centroids (classical scaling, Torgerson 1952) and pushed apart until they do not
    overlap. Within a sub-theme the documents fill the disc evenly, the most central one in the middle, so that 100,000
    of them take a second, and no two lie in the same place. The same collection has the same map in any order.
    """
    places = np.zeros((len(vectors), 2), np.float64)
    if not len(vectors):
        return places.astype(np.float32)
    sizes = np.bincount(grouping.subthemes, minlength=len(grouping.parents)).astype(np.float64)
    theme_sizes = np.bincount(grouping.themes, minlength=len(grouping.centroids)).astype(np.float64)
    themes = _packed(grouping.centroids, np.sqrt(theme_sizes))
    for theme in range(len(theme_sizes)):
        subs = np.flatnonzero(grouping.parents == theme)
        inner = _packed(grouping.sub_centroids[subs], np.sqrt(sizes[subs]))
        extent = max(float((np.linalg.norm(inner, axis=1) + np.sqrt(sizes[subs])).max()), 1e-9)
        scale = np.sqrt(theme_sizes[theme]) / extent
        for sub, centre in zip(subs, inner, strict=True):
            members = np.flatnonzero(grouping.subthemes == sub)
            radius = np.sqrt(sizes[sub]) * scale * 0.95
            places[members] = (
                themes[theme] + centre * scale + radius * _disc(vectors[members], grouping.sub_centroids[sub])
            )
    low, high = places.min(axis=0), places.max(axis=0)
    extent = max(float((high - low).max()), 1e-9)
    middle = (low + high) / 2
    fitted: NDArray[np.float32] = np.clip((places - middle) / extent * 0.98 + 0.5, 0, 1).astype(np.float32)
    return fitted


def _disc(vectors: Vectors, centroid: Vectors) -> NDArray[np.float64]:
    """Places in a disc of radius 1, by falling cosine with the centroid along a sunflower's spiral (Vogel 1979)."""
    count = len(vectors)
    canonical = canonical_order(vectors)
    cosine = np.einsum("nd,d->n", vectors[canonical].astype(np.float64), centroid.astype(np.float64))
    order = canonical[np.argsort(-np.round(cosine, 6), kind="stable")]
    number = np.arange(count)
    radius = np.sqrt((number + 0.5) / count)
    places = np.empty((count, 2))
    places[order] = np.stack([radius * np.cos(number * GOLDEN), radius * np.sin(number * GOLDEN)], axis=1)
    return places


def _packed(centroids: Vectors, radii: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centres of discs that do not overlap, near each other where the centroids are; their middle is 0, 0."""
    count = len(radii)
    if count == 1:
        return np.zeros((1, 2))
    points = centroids.astype(np.float64)
    points = points - points.mean(axis=0)
    _, values, directions = np.linalg.svd(points, full_matrices=False)
    places = np.zeros((count, 2))
    for axis in range(min(2, len(values))):
        along = points @ directions[axis]
        # A singular vector has no sign of its own: the side of the largest part is positive.
        places[:, axis] = along * np.sign(along[np.abs(along).argmax()] or 1)
    # Equal centroids, or centroids on one line, need a second direction.
    angle = np.arange(count) * GOLDEN
    places += 1e-3 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    spread = np.sqrt((radii**2).sum() / FILLING)
    places *= spread / max(float(np.abs(places).max()), 1e-9)
    for _ in range(STEPS):
        offset = places[:, None] - places[None]
        distance = np.sqrt((offset**2).sum(axis=2))
        np.fill_diagonal(distance, np.inf)
        needed = GAP * (radii[:, None] + radii[None])
        overlap = np.maximum(needed - distance, 0)
        if overlap.max() < 1e-3 * radii.max():
            break
        push = (offset / np.maximum(distance, 1e-9)[..., None]) * (
            overlap * radii[None] / (radii[:, None] + radii[None])
        )[..., None]
        places += push.sum(axis=1) * 0.5
        places *= 0.995  # gravity keeps the map together
    for _ in range(STEPS):  # without gravity, until nothing overlaps
        offset = places[:, None] - places[None]
        distance = np.sqrt((offset**2).sum(axis=2))
        np.fill_diagonal(distance, np.inf)
        overlap = np.maximum(radii[:, None] + radii[None] - distance, 0)
        if overlap.max() < 1e-3 * radii.max():
            break
        push = (offset / np.maximum(distance, 1e-9)[..., None]) * overlap[..., None] * 0.5
        places += push.sum(axis=1)
    result: NDArray[np.float64] = places - np.average(places, axis=0, weights=radii**2)
    return result
