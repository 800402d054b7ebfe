"""Quotes: the medoid, then comments that are close to the centre and unlike those already chosen."""

from __future__ import annotations

import numpy as np

from models.clustering.topics import Numbers
from models.clustering.views import unit
from models.heads import Floats

# Weight of closeness against difference (maximal marginal relevance, Carbonell & Goldstein 1998).
_CLOSENESS = 0.6
_CONSIDERED = 2000
# A quote should be a sentence, and one that fits on a screen.
_SHORT, _LONG = 4, 60


def choose_quotes(vectors: Floats, members: Numbers, lengths: Numbers, count: int) -> list[int]:
    """Arguments that speak for a group, medoid first.

    Args:
        vectors: of length 1, shape ``(arguments, dimensions)``.
        members: arguments of the group.
        lengths: words of each argument, shape ``(arguments,)``.
        count: quotes wanted.
    """
    if not len(members):
        return []
    readable = members[(lengths[members] >= _SHORT) & (lengths[members] <= _LONG)]
    pool = readable if len(readable) >= count else members
    centre = unit(vectors[members].sum(axis=0, dtype=np.float64)[None])[0]
    closeness = vectors[pool] @ centre
    pool = pool[np.lexsort((pool, -closeness))[:_CONSIDERED]]
    closeness = vectors[pool] @ centre
    chosen = [0]
    likeness = vectors[pool] @ vectors[pool[0]]
    while len(chosen) < min(count, len(pool)):
        scores = _CLOSENESS * closeness - (1 - _CLOSENESS) * likeness
        scores[chosen] = -np.inf
        best = int(scores.argmax())
        chosen.append(best)
        likeness = np.maximum(likeness, vectors[pool] @ vectors[pool[best]])
    found: list[int] = pool[chosen].tolist()
    return found
