"""Topics and sub-topics over distinct arguments: k-means, its number of groups by silhouette, and an honest rest."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score
from sklearn.metrics.pairwise import euclidean_distances

from models.clustering.threads import one_thread
from models.clustering.views import unit
from models.heads import Floats

Numbers = NDArray[np.int64]

_MOST_TOPICS = 16
# Groups are found on at most so many arguments, drawn by seed, and their number is judged on fewer.
_SAMPLE, _JUDGED = 3000, 1000
# The smallest number of groups whose silhouette comes so near to the best is taken.
_NEAR_BEST = 0.93
# Below this silhouette nothing falls apart.
_LEAST_SILHOUETTE = 0.05
# The rest: what fits its topic worse than nearly all comments fit topics that are not theirs, or lies outside of
# Tukey's lower fence of all fits. It is never more than this share of the arguments.
_FOREIGN_QUANTILE = 0.9
_MOST_OTHER = 0.12


@dataclass(frozen=True)
class Partition:
    """Groups of one level.

    Attributes:
        labels: int64, shape ``(vectors,)``, numbered from the largest group.
        silhouette: of the number of groups that was taken; 0 for one group, and for a number that was given.
    """

    labels: Numbers
    silhouette: float

    @property
    def count(self) -> int:
        """Number of groups."""
        return int(self.labels.max(initial=-1)) + 1


@dataclass(frozen=True)
class Grouping:
    """The tree, as numbers.

    Attributes:
        topic: int64, shape ``(arguments,)``; -1 in the rest.
        subtopic: int64, same shape: number within its topic; -1 where the topic has none, and in the rest.
        fit: float32, same shape: cosine with the centre of the nearest topic or sub-topic.
        least_fit: below it lies the rest.
        silhouette: of the first level.
    """

    topic: Numbers
    subtopic: Numbers
    fit: Floats
    least_fit: float
    silhouette: float


def find_topics(
    vectors: Floats, smoothed: Floats, *, topics: int | None, subtopics: int, least: int, seed: int
) -> Grouping:
    """Find two levels of groups.

    Args:
        vectors: of length 1, shape ``(arguments, dimensions)``.
        smoothed: the same, drawn to their neighbours.
        topics: number of topics; found if ``None``.
        subtopics: most sub-topics of a topic.
        least: arguments that a group holds at least.
        seed: of samples and starts.
    """
    top = partition(smoothed, wanted=topics, fewest=2, most=_MOST_TOPICS, least=least, seed=seed)
    subtopic = np.full(len(vectors), -1, np.int64)
    for number in range(top.count):
        members = np.flatnonzero(top.labels == number)
        found = split(smoothed[members], most=subtopics, least=least, seed=seed)
        if found.count > 1:
            subtopic[members] = found.labels
    fit, least_fit = _fit(vectors, top.labels, subtopic)
    rest = fit < least_fit
    return Grouping(
        np.where(rest, -1, top.labels), np.where(rest, -1, subtopic), fit, least_fit, round(top.silhouette, 4)
    )


def split(smoothed: Floats, *, most: int, least: int, seed: int, wanted: int | None = None) -> Partition:
    """Take one topic apart; one group if it does not fall apart.

    Args:
        smoothed: vectors of its arguments.
        most: groups at most.
        least: arguments that a group holds at least.
        seed: of samples and starts.
        wanted: number of groups; found if ``None``.
    """
    count = len(smoothed)
    if wanted is None and (most < 2 or count < 4 * least):
        return Partition(np.zeros(count, np.int64), 0.0)
    # A silhouette of short texts says little about their finest parts: a large topic always gets several.
    fewest = min(most, max(2, round(count**0.5 / 3)))
    return partition(smoothed, wanted=wanted, fewest=fewest, most=most, least=least, seed=seed)


def partition(vectors: Floats, *, wanted: int | None, fewest: int, most: int, least: int, seed: int) -> Partition:
    """Group vectors.

    Args:
        vectors: shape ``(vectors, dimensions)``.
        wanted: number of groups; found between ``fewest`` and ``most`` if ``None``.
        fewest: groups tried at least.
        most: groups tried at most.
        least: vectors that a group holds at least; smaller ones are given to their neighbours.
        seed: of samples and starts.
    """
    distinct = len(np.unique(vectors, axis=0)) if len(vectors) <= _SAMPLE else _SAMPLE
    most = min(most, len(vectors) // (2 * least), distinct)
    alone = Partition(np.zeros(len(vectors), np.int64), 0.0)
    random = np.random.default_rng(seed)
    drawn = _draw(np.arange(len(vectors)), _SAMPLE, random)
    if wanted is not None:
        return _cut(vectors, drawn, min(wanted, distinct), 1, seed) if distinct > 1 and wanted > 1 else alone
    if most < 2:
        return alone
    judged = _draw(drawn, _JUDGED, random)
    distances = euclidean_distances(vectors[judged].astype(np.float64))
    np.fill_diagonal(distances, 0)
    tried = []
    for count in range(max(2, min(fewest, most)), most + 1):
        found = _cut(vectors, drawn, count, least, seed)
        labels = found.labels[judged]
        if 1 < len(np.unique(labels)) < len(judged):
            tried.append(replace(found, silhouette=float(silhouette_score(distances, labels, metric="precomputed"))))
    best = max((one.silhouette for one in tried), default=0.0)
    if best < _LEAST_SILHOUETTE:
        return alone
    return next(one for one in tried if one.silhouette >= _NEAR_BEST * best)


def _draw(places: Numbers, most: int, random: np.random.Generator) -> Numbers:
    return places if len(places) <= most else np.sort(random.choice(places, most, replace=False))


def _cut(vectors: Floats, drawn: Numbers, count: int, least: int, seed: int) -> Partition:
    with one_thread():
        centres = KMeans(count, n_init=2, random_state=seed).fit(vectors[drawn]).cluster_centers_
    centres = centres.astype(np.float32)
    labels = closest(vectors, centres)
    sizes = np.bincount(labels, minlength=len(centres))
    if (sizes < least).any() and (sizes >= least).any():
        labels = closest(vectors, centres[sizes >= least])
    return Partition(by_size(labels), 0.0)


def closest(vectors: Floats, centres: Floats) -> Numbers:
    """The nearest centre of each vector by Euclidean distance, shape ``(vectors,)``."""
    found: Numbers = (vectors @ centres.T - (centres**2).sum(axis=1) / 2).argmax(axis=1)
    return found


def by_size(labels: Numbers) -> Numbers:
    """Labels numbered anew, largest group first; among equals the one that comes first."""
    found, first, inverse, sizes = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    rank = np.empty(len(found), np.int64)
    rank[np.lexsort((first, -sizes))] = np.arange(len(found))
    return rank[inverse]


def centres_of(vectors: Floats, labels: Numbers, count: int) -> Floats:
    """Mean direction of each group, of length 1; zeros for an empty group."""
    sums = np.zeros((count, vectors.shape[1]), np.float64)
    inside = labels >= 0
    np.add.at(sums, labels[inside], vectors[inside])
    return unit(sums)


def _fit(vectors: Floats, topic: Numbers, subtopic: Numbers) -> tuple[Floats, float]:
    """Cosine of each argument with the nearer of its two centres, and the cosine below which it fits nothing."""
    count = int(topic.max()) + 1
    cosines = vectors @ centres_of(vectors, topic, count).T
    rows = np.arange(len(vectors))
    own = cosines[rows, topic]
    for number in range(count):
        members = np.flatnonzero((topic == number) & (subtopic >= 0))
        if len(members):
            parts = subtopic[members]
            inner = centres_of(vectors[members], parts, int(parts.max()) + 1)
            own[members] = np.maximum(own[members], (vectors[members] * inner[parts]).sum(axis=1))
    low, high = np.quantile(own, [0.25, 0.75])
    least = float(low - 1.5 * (high - low))
    if count > 1:
        cosines[rows, topic] = np.nan
        least = max(least, float(np.nanquantile(cosines, _FOREIGN_QUANTILE)))
    return own, round(min(least, float(np.quantile(own, _MOST_OTHER))), 4)
