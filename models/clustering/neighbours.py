"""Nearest neighbours of every vector, exact for few, by cells for many; and vectors smoothed by them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import MiniBatchKMeans

from models.clustering.threads import one_thread
from models.clustering.views import unit
from models.heads import Floats

# So many neighbours smooth a vector.
NEIGHBOURS = 12
# Above this, a vector is compared with those of its nearest cells alone.
_EXACT = 12_000
_CELLS = 12
_BLOCK = 1024


@dataclass(frozen=True)
class Neighbours:
    """The nearest of each vector, itself left out.

    Attributes:
        places: int64, shape ``(vectors, k)``, nearest first.
        cosines: float32, same shape; -1 where there were not enough vectors.
    """

    places: NDArray[np.int64]
    cosines: Floats


def find_neighbours(vectors: Floats, k: int, seed: int) -> Neighbours:
    """The ``k`` nearest of each vector by cosine.

    Args:
        vectors: of length 1, shape ``(vectors, dimensions)``.
        k: neighbours wanted; fewer if there are fewer vectors.
        seed: of the cells.
    """
    count = len(vectors)
    k = min(k, count - 1)
    places = np.zeros((count, max(k, 0)), np.int64)
    cosines = np.full((count, max(k, 0)), -1, np.float32)
    if k < 1:
        return Neighbours(places, cosines)
    if count <= _EXACT:
        return Neighbours(*nearest(vectors, vectors, k, without=np.arange(count)))
    wanted = round(count**0.5)
    with one_thread():
        cells = MiniBatchKMeans(wanted, random_state=seed, n_init=1, max_iter=10, batch_size=4096).fit(vectors)
    cell_of = cells.labels_
    centres = cells.cluster_centers_.astype(np.float32)
    members = np.split(np.argsort(cell_of, kind="stable"), np.cumsum(np.bincount(cell_of, minlength=wanted))[:-1])
    near_cells = np.argsort(-(unit(centres) @ unit(centres).T), axis=1, kind="stable")[:, :_CELLS]
    for cell, rows in enumerate(members):
        if not len(rows):
            continue
        pool = np.sort(np.concatenate([members[near] for near in {cell, *near_cells[cell].tolist()}]))
        found = min(k, len(pool) - 1)
        if found < 1:
            continue
        in_pool, near_cosines = nearest(vectors[rows], vectors[pool], found, without=np.searchsorted(pool, rows))
        places[rows, :found], cosines[rows, :found] = pool[in_pool], near_cosines
    return Neighbours(places, cosines)


def nearest(
    rows: Floats, vectors: Floats, k: int, without: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.int64], Floats]:
    """The ``k`` nearest vectors of each row and their cosines, nearest first; rows are compared block by block.

    Args:
        rows: shape ``(rows, dimensions)``.
        vectors: shape ``(vectors, dimensions)``.
        k: at most the number of vectors, less one if ``without`` is given.
        without: for each row the vector that does not count, itself.
    """
    places, found = np.zeros((len(rows), k), np.int64), np.zeros((len(rows), k), np.float32)
    for start in range(0, len(rows), _BLOCK):
        block = slice(start, start + _BLOCK)
        cosines = rows[block] @ vectors.T
        if without is not None:
            cosines[np.arange(len(cosines)), without[block]] = -2
        some = np.argpartition(-cosines, k - 1, axis=1)[:, :k] if k < len(vectors) else np.argsort(-cosines, axis=1)
        best = np.take_along_axis(cosines, some, axis=1)
        order = np.lexsort((some, -best), axis=1)
        places[block], found[block] = np.take_along_axis(some, order, axis=1), np.take_along_axis(best, order, axis=1)
    return places, found


def smooth(vectors: Floats, neighbours: Neighbours, steps: int = 2) -> Floats:
    """Vectors drawn to their neighbours: what single words blur, the neighbourhood tells.

    Each step takes the mean of a vector and the weighted mean of its neighbours (as in simplified graph convolution,
    Wu et al. 2019).
    """
    weights = np.maximum(neighbours.cosines, 0)
    weights = weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-9)
    found = vectors
    for _ in range(steps):
        drawn = np.zeros_like(found)
        for column in range(weights.shape[1]):
            drawn += weights[:, column, None] * found[neighbours.places[:, column]]
        found = unit(found + unit(drawn))
    return found
