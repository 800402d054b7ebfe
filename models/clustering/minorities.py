"""Minorities: small, far, coherent groups, found before the large ones can swallow them.

Neighbours are joined from the nearest on, by mutual reachability (Campello et al. 2013, HDBSCAN). A group that grows to
a few arguments long before anything else reaches it stands apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.clustering.neighbours import Neighbours
from models.clustering.topics import Numbers, centres_of
from models.heads import Floats

LEAST = 4
_MOST, _MOST_SHARE, _MOST_EVER = 12, 0.01, 100
_CORE = 3
# How much nearer its members lie to one another than to all others, by cosine.
_APART = 0.12
# How far its centre may lie from the centre of a topic or sub-topic.
_NEAR = 0.75
_SHOWN = 20


@dataclass(frozen=True)
class SmallGroup:
    """One minority.

    Attributes:
        members: arguments.
        apart: cosine at which it held together, less the cosine at which the next joined it.
        distance: 1 - cosine of its centre with the nearest centre of a topic or sub-topic.
        cohesion: mean cosine of its members with its centre.
    """

    members: Numbers
    apart: float
    distance: float
    cohesion: float


def find_minorities(vectors: Floats, neighbours: Neighbours, centres: Floats) -> list[SmallGroup]:
    """Small groups that stand apart, clearest first.

    Args:
        vectors: of length 1, shape ``(arguments, dimensions)``.
        neighbours: of each.
        centres: of topics and sub-topics that are not small themselves.
    """
    if neighbours.places.shape[1] < _CORE:
        return []
    most = min(_MOST_EVER, max(_MOST, int(_MOST_SHARE * len(vectors))))
    found = []
    for members, apart in _standing_apart(neighbours, most):
        centre = centres_of(vectors[members], np.zeros(len(members), np.int64), 1)
        nearest = float((centre @ centres.T).max()) if len(centres) else 0.0
        cohesion = float((vectors[members] @ centre[0]).mean())
        if apart >= _APART and nearest <= _NEAR:
            found.append(SmallGroup(members, apart, 1 - nearest, cohesion))
    found.sort(key=lambda one: (-one.apart * one.distance, int(one.members[0])))
    return found[:_SHOWN]


def _standing_apart(neighbours: Neighbours, most: int) -> list[tuple[Numbers, float]]:
    """Groups of at most ``most`` that do not overlap, with how far they stand apart."""
    core = neighbours.cosines[:, _CORE - 1]
    count, k = neighbours.places.shape
    one = np.repeat(np.arange(count), k)
    other = neighbours.places.ravel()
    reach = np.minimum(neighbours.cosines.ravel(), np.minimum(core[one], core[other]))
    order = np.lexsort((other, one, -reach))
    group = list(range(count))
    members = [[place] for place in range(count)]
    joined = [[] for _ in range(count)]  # type: list[list[float]]
    candidates: list[tuple[float, list[int]]] = []

    def root(place: int) -> int:
        while group[place] != place:
            group[place] = group[group[place]]
            place = group[place]
        return place

    for edge in order.tolist():
        first, second = root(int(one[edge])), root(int(other[edge]))
        if first == second:
            continue
        cosine = float(reach[edge])
        for side in (first, second):
            if LEAST <= len(members[side]) <= most:
                candidates.append((float(np.mean(joined[side])) - cosine, list(members[side])))
        if len(members[first]) < len(members[second]):
            first, second = second, first
        group[second] = first
        # What is too large to be a minority needs no list of its members any more.
        if len(members[first]) <= most:
            members[first] += members[second]
            joined[first] += joined[second] + [cosine]
    candidates.sort(key=lambda candidate: (-candidate[0], candidate[1][0]))
    taken = np.zeros(count, bool)
    found = []
    for apart, places in candidates:
        if not taken[places].any():
            taken[places] = True
            found.append((np.sort(np.array(places, np.int64)), apart))
    return found
