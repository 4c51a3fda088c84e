"""The map so far and later documents in, their places on it out; nothing that is on the map moves."""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from topicgen.embed import Vectors

Places = NDArray[np.float32]

CELLS = 24  # of the map along one side, when an empty spot is sought for a new theme
SPREAD = 0.02  # of a theme without a spread of its own


def places_beside(ids: Sequence[str], homes: Places) -> Places:
    """Places, shape (documents, 2), around the home of each document, shape (documents, 4): mean x, y, spread x, y.

    Which direction and distance a document takes is drawn from its id, so that it is the same in every run.
    """
    if not ids:
        return np.zeros((0, 2), np.float32)
    drawn = np.array([_drawn(identifier) for identifier in ids])
    angle, distance = 2 * np.pi * drawn[:, 0], np.sqrt(-2 * np.log1p(-0.9 * drawn[:, 1]))
    offsets = distance[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    places: Places = (homes[:, :2] + offsets * homes[:, 2:]).clip(0, 1).astype(np.float32)
    return places


def homes_of(places: Places, groups: Sequence[str]) -> dict[str, Places]:
    """Mean and spread of each group of places: id to (x, y, spread x, spread y)."""
    rows: dict[str, list[int]] = {}
    for row, group in enumerate(groups):
        rows.setdefault(group, []).append(row)
    homes = {}
    for group, members in rows.items():
        spread = np.maximum(places[members].std(axis=0), 0.2 * SPREAD)
        homes[group] = np.concatenate([places[members].mean(axis=0), spread]).astype(np.float32)
    return homes


def home_of_new(centroid: Vectors, known: Vectors, centres: Places, places: Places) -> Places:
    """The home of a new theme: the emptiest spot near the themes that are most like it.

    Args:
        centroid: Of the new theme, shape (size,).
        known: Centroids of the themes on the map, shape (themes, size).
        centres: Where these are, shape (themes, 2).
        places: Of all documents on the map, shape (documents, 2).

    Returns:
        Mean x, y and spread x, y.
    """
    counts, _, _ = np.histogram2d(places[:, 0], places[:, 1], bins=CELLS, range=[[0, 1], [0, 1]])
    around = np.sum([np.roll(counts, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1)], axis=0)
    middle = (np.arange(CELLS) + 0.5) / CELLS
    spots = np.stack(np.meshgrid(middle, middle, indexing="ij"), axis=2)
    wanted = np.full(2, 0.5, np.float32)
    if len(known):
        likest = np.argsort(-(known @ centroid), kind="stable")[:3]
        weights = np.maximum(known[likest] @ centroid, 1e-3)
        wanted = np.average(centres[likest], axis=0, weights=weights).astype(np.float32)
    far = ((spots - wanted) ** 2).sum(axis=2)
    crowded = around / max(1.0, float(around.max()))
    spot = spots[np.unravel_index(int((far + crowded).argmin()), far.shape)]
    return np.array([*spot, SPREAD, SPREAD], np.float32)


def _drawn(identifier: str) -> tuple[float, float]:
    """Two numbers from 0 to below 1 that depend on the id alone."""
    digest = hashlib.blake2b(identifier.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest[:4]) / 2**32, int.from_bytes(digest[4:]) / 2**32
