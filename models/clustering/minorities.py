"""Minorities: small, far, coherent groups, found before the large ones can swallow them.

They are looked for among vectors of their own: what few comments share, rare words above all, is lost in the few
dimensions that part the large topics. Neighbours are joined from the nearest on (single linkage, as in HDBSCAN); a
group that grows to a few arguments long before anything else reaches it stands apart.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer

from models.clustering.neighbours import Neighbours, find_neighbours
from models.clustering.reading import Words
from models.clustering.topics import Numbers, centres_of
from models.clustering.views import principal_axes, unit
from models.heads import Floats

LEAST = 4
_MOST, _MOST_SHARE, _MOST_EVER = 12, 0.01, 100
# Of fewer arguments, every small group is a minority, or none is.
_FEWEST = 60
_NEIGHBOURS = 10
_MEANING, _HASHED = 128, 256
_WORD_WEIGHT = 0.3
# Words that more arguments share are no sign of a small group.
_COMMON = 0.05
_SAMPLE = 10_000
# How much nearer its members lie to one another than to the next that joins them, by cosine.
_APART = 0.03
# Its members lie as far from the nearest topic as so many of all arguments do.
_FAR = 0.25
_SHOWN = 20


@dataclass(frozen=True)
class SmallGroup:
    """One minority.

    Attributes:
        members: arguments.
        distance: 1 - cosine of its centre with the nearest centre of a topic.
    """

    members: Numbers
    distance: float


def find_minorities(embeddings: Floats, words: Sequence[Words], topic: Numbers, seed: int) -> list[SmallGroup]:
    """Small groups that stand apart, far and clear ones first.

    Args:
        embeddings: of each argument, shape ``(arguments, d)``.
        words: of each argument.
        topic: of each argument; -1 in the rest.
        seed: of samples.
    """
    if len(words) < _FEWEST:
        return []
    vectors = _telling(embeddings, words, seed)
    neighbours = find_neighbours(vectors, _NEIGHBOURS, seed)
    centres = centres_of(vectors, topic, int(topic.max(initial=-1)) + 1)
    nearest = (vectors @ centres.T).max(axis=1) if len(centres) else np.zeros(len(vectors), np.float32)
    far = float(np.quantile(nearest, _FAR))
    most = min(_MOST_EVER, max(_MOST, int(_MOST_SHARE * len(vectors))))
    found = []
    for members, apart in _standing_apart(neighbours, most):
        if apart >= _APART and float(nearest[members].mean()) <= far:
            centre = centres_of(vectors[members], np.zeros(len(members), np.int64), 1)
            distance = 1 - float((centre @ centres.T).max()) if len(centres) else 1.0
            found.append((apart * distance**2, SmallGroup(members, distance)))
    found.sort(key=lambda pair: (-pair[0], int(pair[1].members[0])))
    return [group for _, group in found[:_SHOWN]]


def _telling(embeddings: Floats, words: Sequence[Words], seed: int) -> Floats:
    """Vectors of length 1 in which few that share something lie near one another."""
    drawn = np.arange(len(words))
    if len(drawn) > _SAMPLE:
        drawn = np.sort(np.random.default_rng(seed).choice(len(words), _SAMPLE, replace=False))
    mean = embeddings[drawn].mean(axis=0)
    meaning = unit(unit(embeddings - mean) @ principal_axes(unit(embeddings[drawn] - mean), _MEANING))
    counter = TfidfVectorizer(
        analyzer=_stems, min_df=2, max_df=max(20, int(_COMMON * len(words))), sublinear_tf=True, dtype=np.float32
    )
    try:
        counts = counter.fit_transform(words)
    except ValueError:  # no stem stands in two arguments
        return meaning
    # Each stem gets a random direction of its own, so that the products of sparse counts nearly stay.
    signs = np.stack([_direction(name) for name in counter.get_feature_names_out()])
    said: NDArray[np.float32] = np.asarray(counts @ signs)
    return unit(np.hstack([(1 - _WORD_WEIGHT) ** 0.5 * meaning, _WORD_WEIGHT**0.5 * said]))


def _stems(words: Words) -> tuple[str, ...]:
    return words.stems


def _direction(name: str) -> Floats:
    bits = np.unpackbits(np.frombuffer(hashlib.blake2b(name.encode(), digest_size=_HASHED // 8).digest(), np.uint8))
    return np.where(bits, 1, -1).astype(np.float32) / np.float32(_HASHED**0.5)


def _standing_apart(neighbours: Neighbours, most: int) -> list[tuple[Numbers, float]]:
    """Groups of at most ``most`` that do not overlap, with how far they stand apart."""
    count, k = neighbours.places.shape
    one = np.repeat(np.arange(count), k)
    other = neighbours.places.ravel()
    cosines = neighbours.cosines.ravel()
    order = np.lexsort((other, one, -cosines))
    group = list(range(count))
    members = [[place] for place in range(count)]
    joined: list[list[float]] = [[] for _ in range(count)]
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
        cosine = float(cosines[edge])
        for side in (first, second):
            if LEAST <= len(members[side]) <= most:
                candidates.append((float(np.mean(joined[side])) - cosine, list(members[side])))
        if len(members[first]) < len(members[second]):
            first, second = second, first
        group[second] = first
        # What is too large to be a minority needs no list of its members any more.
        if len(members[first]) <= most:
            members[first] += members[second]
            joined[first] += [*joined[second], cosine]
    candidates.sort(key=lambda candidate: (-candidate[0], candidate[1][0]))
    taken = np.zeros(count, bool)
    found = []
    for apart, places in candidates:
        if not taken[places].any():
            taken[places] = True
            found.append((np.sort(np.array(places, np.int64)), apart))
    return found
