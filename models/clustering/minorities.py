"""Minorities: small, far, coherent groups, found before the large ones can swallow them.

They are looked for among vectors of their own, of two views that speak for each other: what the encoder makes of a
comment, and its words, the rare ones above all; both are lost in the few dimensions that part the large topics. Groups
grow by average linkage among near neighbours, and each is weighed by how far its members lie among themselves, by the
words that are its own, and by its distance from the topics.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
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
_MEANING, _HASHED = 128, 512
# Groups are looked for once by each weight of the words: some say the same in other words, some in the same ones.
# Of more arguments, once: each look costs seconds for every ten thousand of them.
_WORD_WEIGHTS, _ONE_WEIGHT = (0.15, 0.3, 0.5), (0.3,)
_LOOKED_AT_OFTEN = 6_000
# Words that more arguments share are no sign of a small group.
_COMMON = 0.05
_SAMPLE = 10_000
# Words of its own: so many of its strongest, by the share of members that hold one and of holders that are members.
_OWN_WORDS = 3
# What is listed: the strongest few in any case, and others that stand out among all small groups of the same comments.
# Strengths sink where many comments are near copies: a floor of its own would leave the list of a large set empty.
_FEW, _LEAST_LISTED, _A_DOUBLING, _STANDING_OUT = 10, 3, 5, 1.5
_WEAK = re.compile("[اويىءئؤةه]")
_PREFIXES = "متنيسا"
_LEAST_ROOT = 3


@dataclass(frozen=True)
class SmallGroup:
    """One minority.

    Attributes:
        members: arguments.
        distance: 1 - cosine of its centre with the nearest centre of a topic.
        strength: by which it is listed, in ``[0, 1]``.
    """

    members: Numbers
    distance: float
    strength: float


def find_minorities(
    embeddings: Floats, words: Sequence[Words], vectors: Floats, topic: Numbers, seed: int
) -> list[SmallGroup]:
    """Small groups that stand apart, strongest first.

    A group is as strong as its members lie among themselves, their words are their own, and they are far from the
    topics: the product of the three. The ten strongest are listed, and of the others those that stand out: by one and
    a half robust deviations above the median of the logarithms; in all at most five for every doubling of the
    arguments above sixty (4 of 100, 28 of 3,000, 54 of 100,000).

    Args:
        embeddings: of each argument, shape ``(arguments, d)``.
        words: of each argument.
        vectors: of each argument in the tree, of length 1, shape ``(arguments, dimensions)``.
        topic: of each argument; -1 in the rest.
        seed: of samples.
    """
    if len(words) < _FEWEST:
        return []
    meaning, said, holding = _two_views(embeddings, words, seed)
    most = min(_MOST_EVER, max(_MOST, int(_MOST_SHARE * len(words))))
    centres = centres_of(vectors, topic, int(topic.max(initial=-1)) + 1)
    holders = np.asarray(holding.sum(axis=0)).ravel()
    found = []
    weights = _WORD_WEIGHTS if len(words) <= _LOOKED_AT_OFTEN else _ONE_WEIGHT
    for weight in weights if said.any() else (0.0,):
        telling = unit(np.hstack([(1 - weight) ** 0.5 * meaning, weight**0.5 * said]))
        neighbours = find_neighbours(telling, _NEIGHBOURS, seed)
        for members in _standing_apart(telling, neighbours, most):
            own = _own_words(holding[members], holders)
            if own > 0:
                centre = centres_of(vectors[members], np.zeros(len(members), np.int64), 1)
                distance = 1 - float((centre @ centres.T).max()) if len(centres) else 1.0
                found.append(SmallGroup(members, distance, _among_themselves(members, neighbours) * own * distance / 2))
    return choose_listed(found, len(words))


def choose_listed(found: Sequence[SmallGroup], count: int) -> list[SmallGroup]:
    """Of groups, some of which share members, those that are listed; they share none.

    Args:
        found: in any order.
        count: of all arguments.
    """
    taken = np.zeros(count, bool)
    apart: list[SmallGroup] = []
    for group in sorted(found, key=lambda group: (-group.strength, int(group.members[0]))):
        if group.strength > 0 and not taken[group.members].any():
            taken[group.members] = True
            apart.append(group)
    most = max(_LEAST_LISTED, round(_A_DOUBLING * np.log2(count / _FEWEST)))
    if len(apart) <= min(_FEW, most):
        return apart
    strengths = np.log([group.strength for group in apart])
    middle = np.median(strengths)
    # 1.4826 times the median deviation is the standard deviation of what is spread normally.
    least = middle + _STANDING_OUT * 1.4826 * np.median(np.abs(strengths - middle))
    return apart[: min(most, max(_FEW, int((strengths >= least).sum())))]


def _two_views(embeddings: Floats, words: Sequence[Words], seed: int) -> tuple[Floats, Floats, sparse.csr_array]:
    """Meaning and words of each argument, as vectors of length 1 or 0, and which of the rarer roots it holds."""
    drawn = np.arange(len(words))
    if len(drawn) > _SAMPLE:
        drawn = np.sort(np.random.default_rng(seed).choice(len(words), _SAMPLE, replace=False))
    mean = embeddings[drawn].mean(axis=0)
    meaning = unit(unit(embeddings - mean) @ principal_axes(unit(embeddings[drawn] - mean), _MEANING))
    counter = TfidfVectorizer(
        analyzer=_stems_and_roots,
        min_df=2,
        max_df=max(20, int(_COMMON * len(words))),
        sublinear_tf=True,
        dtype=np.float32,
    )
    try:
        counts = sparse.csr_array(counter.fit_transform(words))
    except ValueError:  # no stem stands in two arguments
        return meaning, np.zeros((len(words), 1), np.float32), sparse.csr_array((len(words), 1), dtype=np.float32)
    names = counter.get_feature_names_out()
    # Each stem gets a random direction of its own, so that the products of sparse counts nearly stay.
    said: NDArray[np.float32] = np.asarray(counts @ np.stack([_direction(name) for name in names]))
    roots = counts[:, np.flatnonzero([name.startswith("~") for name in names])]
    roots.data[:] = 1
    return meaning, unit(said), roots


def _stems_and_roots(words: Words) -> list[str]:
    return [*words.stems, *("~" + _root(stem) for stem in words.stems)]


def _root(stem: str) -> str:
    """What a stem has in common with its kin (bee, beekeepers, apiary): no prefix of derivation, no weak letters."""
    derived = stem[1:] if stem[0] in _PREFIXES else stem
    for shorter in (_WEAK.sub("", derived), _WEAK.sub("", stem)):
        if len(shorter) >= _LEAST_ROOT:
            return shorter
    return stem


def _direction(name: str) -> Floats:
    digest = b"".join(
        hashlib.blake2b(f"{name} {part}".encode(), digest_size=64).digest() for part in range(_HASHED // 512)
    )
    bits = np.unpackbits(np.frombuffer(digest, np.uint8))
    return np.where(bits, 1, -1).astype(np.float32) / np.float32(_HASHED**0.5)


def _own_words(holding: sparse.csr_array, holders: Floats) -> float:
    """How far the strongest words of a group are words of all its members and of nobody else, in ``[0, 1]``."""
    roots, inside = np.unique(holding.indices, return_counts=True)
    shared = inside >= 2
    strengths = inside[shared] ** 2 / (holding.shape[0] * holders[roots[shared]])
    return float(np.sort(strengths)[-_OWN_WORDS:].sum()) / _OWN_WORDS


def _among_themselves(members: Numbers, neighbours: Neighbours) -> float:
    """The share of fellows among the nearest neighbours of a group's members, of each as many as it has fellows."""
    nearest = neighbours.places[members, : min(len(members) - 1, neighbours.places.shape[1])]
    return float(np.isin(nearest, members).mean())


def _standing_apart(vectors: Floats, neighbours: Neighbours, most: int) -> list[Numbers]:
    """Groups of at most ``most``, some inside others, nearer to one another than to what they would join next.

    Average linkage along the edges between neighbours; what grows larger grows no more, and what it would take in next
    ends there too.
    """
    count = len(vectors)
    sums = vectors.copy()
    members: list[list[int]] = [[place] for place in range(count)]
    near: list[set[int]] = [set() for _ in range(count)]
    version, open_ = [0] * count, [True] * count
    edges: list[tuple[float, int, int, int, int]] = []
    for one, (others, cosines) in enumerate(zip(neighbours.places.tolist(), neighbours.cosines.tolist(), strict=True)):
        for other, cosine in zip(others, cosines, strict=True):
            if cosine > 0 and other not in near[one]:
                near[one].add(other)
                near[other].add(one)
                edges.append((-cosine, min(one, other), max(one, other), 0, 0))
    heapify(edges)
    found: list[Numbers] = []

    while edges:
        negative, one, other, one_version, other_version = heappop(edges)
        if (version[one], version[other]) != (one_version, other_version) or not (open_[one] or open_[other]):
            continue
        for side in (one, other):
            size = len(members[side])
            if open_[side] and size >= LEAST:
                total = sums[side].astype(np.float64)
                inner = (float(total @ total) - size) / (size * (size - 1))
                if inner > -negative:
                    found.append(np.sort(np.array(members[side], np.int64)))
        if not (open_[one] and open_[other]):
            open_[one] = open_[other] = False
            continue
        if len(members[one]) + len(members[other]) > most:
            open_[one] = open_[other] = False
            continue
        sums[one] += sums[other]
        members[one] += members[other]
        version[one] += 1
        version[other] = -1
        near[one] = (near[one] | near[other]) - {one, other}
        own = sorted(near[one])
        if not own:
            continue
        sizes = np.array([len(members[place]) for place in own])
        cosines = (sums[own] @ sums[one]) / (sizes * len(members[one]))
        for place, cosine in zip(own, cosines.tolist(), strict=True):
            near[place].discard(other)
            near[place].add(one)
            heappush(edges, (-cosine, min(one, place), max(one, place), *_versions(version, one, place)))
    return found


def _versions(version: list[int], one: int, other: int) -> tuple[int, int]:
    return version[min(one, other)], version[max(one, other)]
