"""How far topics come back when the arguments are drawn again: bootstrap by Jaccard overlap (Hennig 2007)."""

from __future__ import annotations

import numpy as np
from sklearn.cluster import KMeans

from models.clustering.neighbours import find_neighbours, smooth
from models.clustering.threads import one_thread
from models.clustering.topics import Numbers, closest
from models.heads import Floats

# Hennig's reading: below 0.6 a cluster should not be trusted.
LEAST_STABLE = 0.6
SMALL_SAMPLE = 100
_SAMPLE = 2000


def bootstrap(vectors: Floats, labels: Numbers, *, runs: int, neighbours: int, seed: int) -> list[float | None]:
    """Mean overlap of each group with its best match in groupings of arguments drawn with replacement.

    Neighbours are found anew among what was drawn, so that no run knows the others.

    Args:
        vectors: of length 1, not smoothed, shape ``(arguments, dimensions)``.
        labels: group of each, from 0; -1 for what is in none.
        runs: how often.
        neighbours: that smooth a vector.
        seed: of the draws.

    Returns:
        A number in ``[0, 1]`` for each group; ``None`` for a group that never was among what was drawn.
    """
    count = int(labels.max(initial=-1)) + 1
    inside = np.flatnonzero(labels >= 0)
    if count < 2 or runs < 1:
        return [None] * count
    found: list[list[float]] = [[] for _ in range(count)]
    for run in range(runs):
        random = np.random.default_rng([seed, run])
        drawn = np.unique(random.choice(inside, min(len(inside), _SAMPLE), replace=True))
        if len(drawn) <= count:
            continue
        near = find_neighbours(vectors[drawn], neighbours, seed)
        smoothed = smooth(vectors[drawn], near)
        with one_thread():
            centres = KMeans(count, n_init=1, random_state=seed + run).fit(smoothed).cluster_centers_
        again = closest(smoothed, centres.astype(np.float32))
        before = labels[drawn]
        table = np.zeros((count, count))
        np.add.at(table, (before, again), 1)
        union = table.sum(axis=1)[:, None] + table.sum(axis=0)[None] - table
        best = (table / np.maximum(union, 1)).max(axis=1)
        for group in np.unique(before).tolist():
            found[group].append(float(best[group]))
    return [round(float(np.mean(one)), 4) if one else None for one in found]
