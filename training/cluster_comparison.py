"""What a comparison of clusterings measures, part by part; each gives plain figures for JSON."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from models.clustering.duplicates import find_arguments
from models.clustering.reading import key_of, read_words
from models.heads import Floats
from training.cluster_metrics import Match, Numbers, Wording, count_pairs, match, read_labels, surfaced, taken_in
from training.consultation import KnownComment, texts_of
from training.planting import Planted
from training.topic_methods import LEVELS, Grouping, Method, tree_of

# How comments that a method puts in no group are counted.
OUTSIDE = ("one group", "nearest group")
_STEMS = 4


def spread(values: Sequence[float]) -> dict[str, float]:
    """Mean, lowest and highest over seeds."""
    return {
        "mean": round(float(np.mean(values)), 4),
        "low": round(float(min(values)), 4),
        "high": round(float(max(values)), 4),
    }


def compare_topics(
    comments: Sequence[KnownComment], methods: Mapping[str, Method], vectors: Mapping[str, Floats], seeds: Sequence[int]
) -> dict[str, list[dict[str, Any]]]:
    """Groups of each method against the known topics, and how their labels read.

    Args:
        comments: with known topics and sub-topics.
        methods: by name.
        vectors: by name of method, shape ``(comments, dimensions)``: by which comments in no group find the nearest;
            a method without any puts every comment in a group.
        seeds: each method runs once for each.

    Returns:
        ``matches`` and ``labels``, a row for each method and level.
    """
    texts = texts_of(comments)
    truth = {level: [getattr(comment, level) for comment in comments] for level in LEVELS}
    words = read_words(texts)
    documents, subjects = [set(one.spoken) for one in words], [set(one.stems) for one in words]
    matches, labels = [], []
    for name, method in methods.items():
        found = [method(texts, seed) for seed in seeds]
        for level in LEVELS:
            for way in OUTSIDE if any((one.labels[level] < 0).any() for one in found) else ("none",):
                matched = [match(truth[level], _counted(one, level, way, vectors.get(name))) for one in found]
                outside = [float((one.labels[level] < 0).mean()) for one in found]
                matches.append({"method": name, "level": level, "outside": way, **_matches(matched, outside)})
            if all(one.words for one in found):
                read = [read_labels(one.words[level], documents) for one in found]
                stems = [read_labels([_stems(label) for label in one.words[level]], subjects) for one in found]
                labels.append(
                    {
                        "method": name,
                        "level": level,
                        **_wordings(read),
                        "coherence_of_stems": spread([one.coherence for one in stems]),
                    }
                )
    return {"matches": matches, "labels": labels}


def _stems(label: Sequence[str]) -> list[str]:
    """The first four stems that carry a subject: as many of every method, whatever dialect and stop words do."""
    return list(dict.fromkeys(filter(None, map(key_of, label))))[:_STEMS]


def _counted(grouping: Grouping, level: str, way: str, vectors: Floats | None) -> Numbers:
    labels = grouping.labels[level]
    return taken_in(labels, vectors) if way == OUTSIDE[1] and vectors is not None else labels


def _matches(found: Sequence[Match], outside: Sequence[float]) -> dict[str, Any]:
    return {
        "mutual_information": spread([one.mutual_information for one in found]),
        "adjusted_information": spread([one.adjusted_information for one in found]),
        "adjusted_rand": spread([one.adjusted_rand for one in found]),
        "groups": spread([one.groups for one in found]),
        "share_outside": spread(outside),
    }


def _wordings(found: Sequence[Wording]) -> dict[str, Any]:
    return {name: spread([one.to_dict()[name] for one in found]) for name in found[0].to_dict()}


def margins(matches: Sequence[Mapping[str, Any]], name: str, measure: str) -> dict[str, float]:
    """How far a measure of a method lies above each other method's, by sub-topics.

    The method counts by its lower way of counting comments in no group, the others by their higher one.
    """
    scores: dict[str, list[float]] = defaultdict(list)
    for row in matches:
        if row["level"] == "subtopic":
            scores[row["method"]].append(row[measure]["mean"])
    return {other: round(min(scores[name]) - max(ways), 4) for other, ways in scores.items() if other != name}


def find_copies(texts: Sequence[str]) -> Numbers:
    """Argument of each comment: near-duplicates are one."""
    return find_arguments(read_words(texts), texts).owner


def compare_written_copies(campaigns: Sequence[KnownComment], others: Sequence[KnownComment]) -> dict[str, Any]:
    """Pairs of copies in written campaigns, among comments of other people on the same demands and on all topics."""
    every = [*campaigns, *others]
    found = find_copies(texts_of(every)).tolist()
    return count_pairs([comment.campaign for comment in every], found).to_dict()


def compare_planted_copies(planted: Planted) -> dict[str, Any]:
    """Pairs of copies that were planted: all, those of equal texts, and those in which a changed text stands."""
    found = find_copies(planted.texts).tolist()
    exact = [place for place, edited in enumerate(planted.edited) if not edited]
    every = count_pairs(planted.campaign, found)
    alike = count_pairs([planted.campaign[place] for place in exact], [found[place] for place in exact])
    changed = every.true - alike.true
    right = every.recall * every.true - alike.recall * alike.true
    return {
        **every.to_dict(),
        "recall_exact": round(alike.recall, 4),
        "recall_edited": round(right / changed, 4) if changed else 1.0,
    }


def compare_minorities(comments: Sequence[KnownComment], embeddings: Floats, seed: int) -> dict[str, Any]:
    """Which planted small groups are listed among many comments.

    Args:
        comments: with the planted groups among them.
        embeddings: of each.
        seed: of the clustering.
    """
    tree = tree_of(texts_of(comments), embeddings, seed)
    planted = [comment.minority for comment in comments]
    listed = [[int(one) for one in group.comments] for group in tree.minorities]
    found = surfaced(planted, listed)
    names = sorted({name for name in planted if name is not None})
    return {
        "seed": seed,
        "planted": len(names),
        "surfaced": len(found),
        "missed": [name for name in names if name not in found],
        "listed": len(listed),
        "comments": len(comments),
        "topics": len(tree.topics),
        "share_outside": tree.other.share,
    }


def minorities_as_topics(comments: Sequence[KnownComment], method: Method, seed: int) -> dict[str, Any]:
    """Which planted small groups have a topic of another method to themselves."""
    labels = method(texts_of(comments), seed).labels["subtopic"]
    planted = [comment.minority for comment in comments]
    found = surfaced(planted, [np.flatnonzero(labels == one).tolist() for one in np.unique(labels[labels >= 0])])
    return {"seed": seed, "surfaced": len(found), "groups": len(np.unique(labels[labels >= 0]))}


def compare_known(comments: Sequence[KnownComment], methods: Mapping[str, Method], seeds: Sequence[int]) -> list[Any]:
    """Top-level groups of each method against known topics, comments in no group counted as one group more."""
    texts, truth = texts_of(comments), [comment.topic for comment in comments]
    rows = []
    for name, method in methods.items():
        found = [method(texts, seed).labels["topic"] for seed in seeds]
        matched = [match(truth, labels) for labels in found]
        rows.append({"method": name, **_matches(matched, [one.outside for one in matched])})
    return rows
