"""Figures of a clustering: against known topics, of pairs of copies, of small groups, and of labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb, log
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score, normalized_mutual_info_score

from models.clustering.topics import centres_of
from models.clustering.views import unit
from models.heads import Floats
from nlp.stopwords import stop_words
from training.metrics import rounded

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Match:
    """How groups match known topics.

    Attributes:
        mutual_information: normalised by the arithmetic mean of the entropies, in ``[0, 1]``. Many groups raise it.
        adjusted_information: the same less what as many groups of such sizes have by chance.
        adjusted_rand: index, 0 by chance, 1 where they are the same.
        groups: how many, comments outside all groups left out.
        outside: share of the comments that lie in no group.
    """

    mutual_information: float
    adjusted_information: float
    adjusted_rand: float
    groups: int
    outside: float


@dataclass(frozen=True)
class Pairs:
    """Pairs of comments that are said to be copies of one text, against those that are.

    Attributes:
        precision: share of the found pairs that are copies; 1 if none was found.
        recall: share of the copies that were found; 1 if there are none.
        true: pairs that are copies.
        found: pairs that were found.
    """

    precision: float
    recall: float
    true: int
    found: int

    def to_dict(self) -> dict[str, Any]:
        """Rounded to four digits, for JSON."""
        return rounded(self)


@dataclass(frozen=True)
class Wording:
    """How the labels of groups read.

    Attributes:
        coherence: mean normalised pointwise mutual information of the words of a label, in ``[-1, 1]``.
        diversity: share of distinct words among those of all labels.
        stop_words: share of words that carry no subject.
        labels: how many.
        words: in a label, on average.
    """

    coherence: float
    diversity: float
    stop_words: float
    labels: int
    words: float

    def to_dict(self) -> dict[str, Any]:
        """Rounded to four digits, for JSON."""
        return rounded(self)


def match(truth: Sequence[Hashable], labels: Numbers) -> Match:
    """Compare groups with known topics; comments in no group (-1) count as one group more."""
    known = [str(one) for one in truth]
    return Match(
        float(normalized_mutual_info_score(known, labels)),
        float(adjusted_mutual_info_score(known, labels)),
        float(adjusted_rand_score(known, labels)),
        len(set(labels[labels >= 0].tolist())),
        float((labels < 0).mean()),
    )


def taken_in(labels: Numbers, vectors: Floats) -> Numbers:
    """The same groups with every comment that lies in none (-1) given to the nearest centre by cosine.

    Args:
        labels: shape ``(comments,)``.
        vectors: shape ``(comments, dimensions)``.
    """
    if not (labels >= 0).any() or (labels >= 0).all():
        return labels
    centred = unit(vectors - vectors.mean(axis=0))
    names, numbers = np.unique(labels[labels >= 0], return_inverse=True)
    inside = np.full(len(labels), -1, np.int64)
    inside[labels >= 0] = numbers
    near = (centred @ centres_of(centred, inside, len(names)).T).argmax(axis=1)
    return np.where(labels >= 0, labels, names[near])


def count_pairs(truth: Sequence[Hashable | None], found: Sequence[Hashable]) -> Pairs:
    """Compare pairs of copies with those of one group.

    Args:
        truth: campaign of each comment; ``None`` for one that is nobody's copy.
        found: group of each comment.
    """
    true = _pairs(Counter(one for one in truth if one is not None))
    given = _pairs(Counter(found))
    right = _pairs(Counter((one, other) for one, other in zip(truth, found, strict=True) if one is not None))
    return Pairs(right / given if given else 1.0, right / true if true else 1.0, true, given)


def _pairs(sizes: Counter[Any]) -> int:
    return sum(comb(size, 2) for size in sizes.values())


def surfaced(planted: Sequence[Hashable | None], groups: Sequence[Collection[int]], share: float = 0.6) -> set[Any]:
    """Planted groups that come out.

    A planted group comes out in a listed one that holds at least that share of it, and consists of it to at least
    that share.

    Args:
        planted: group of each comment; ``None`` for the many.
        groups: places of the comments of each listed group.
        share: least share, both ways.
    """
    sizes = Counter(one for one in planted if one is not None)
    found = set()
    for group in groups:
        inside = Counter(planted[place] for place in group)
        found |= {
            name
            for name, size in sizes.items()
            if inside[name] >= share * size and group and inside[name] >= share * len(group)
        }
    return found


def read_labels(labels: Sequence[Sequence[str]], documents: Sequence[Collection[str]]) -> Wording:
    """Coherence and diversity of labels.

    The coherence of a label is the mean of its pairs of words, by how many documents hold both and either (Bouma 2009;
    Lau et al. 2014); a pair that stands together in no document counts -1. A label of one word has none, and is left
    out of the mean.

    Args:
        labels: words of each, distinct.
        documents: words of each comment.
    """
    wanted = {word for label in labels for word in label}
    holding: dict[str, set[int]] = {word: set() for word in wanted}
    for place, document in enumerate(documents):
        for word in wanted.intersection(document):
            holding[word].add(place)
    scores = []
    for label in labels:
        pairs = [_npmi(holding[one], holding[other], len(documents)) for one, other in combinations(label, 2)]
        if pairs:
            scores.append(float(np.mean(pairs)))
    every = [word for label in labels for word in label]
    return Wording(
        float(np.mean(scores)) if scores else 0.0,
        len(set(every)) / len(every) if every else 0.0,
        sum(word in stop_words() for word in every) / len(every) if every else 0.0,
        len(labels),
        len(every) / len(labels) if labels else 0.0,
    )


def _npmi(one: set[int], other: set[int], count: int) -> float:
    both = len(one & other)
    if not both:
        return -1.0
    if both == count:
        return 1.0
    return log(both * count / (len(one) * len(other))) / -log(both / count)
