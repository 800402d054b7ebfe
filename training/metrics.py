"""Figures: precision, recall and F1 by level, micro and macro; calibration error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_fscore_support

from models.heads import Bools
from nlp.records import LabelledText
from nlp.taxonomy import Level


@dataclass(frozen=True)
class LevelMetrics:
    """Figures of one level on one set of texts, all in ``[0, 1]``.

    Attributes:
        texts: how many texts were annotated on this level.
        precision, recall, micro_f1: over all decisions.
        macro_f1: mean F1 over the labels that occur in the gold data.
        labels: how many labels those are.
        accuracy: mean over labels of the share of right decisions.
        calibration_error: expected calibration error over 15 equal bins; ``None`` without probabilities.
    """

    texts: int
    precision: float
    recall: float
    micro_f1: float
    macro_f1: float
    labels: int
    accuracy: float
    calibration_error: float | None

    def to_dict(self) -> dict[str, Any]:
        """Rounded to four digits, for JSON."""
        return rounded(self)


def rounded(record: object) -> dict[str, Any]:
    """The fields of a record of figures, those that are floats rounded to four digits, for JSON."""
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in vars(record).items()}


def gold(texts: Sequence[LabelledText], level: Level) -> tuple[Bools, Bools]:
    """Gold decisions, shape ``(texts, labels)``, and which texts are annotated on this level, shape ``(texts,)``."""
    decisions = np.array([[label in text.labels.get(level.name, ()) for label in level.ids] for text in texts], bool)
    known = np.array([level.name in text.labels for text in texts], bool)
    return decisions.reshape(len(texts), len(level.labels)), known


def measure(
    texts: Sequence[LabelledText],
    level: Level,
    given: Bools,
    scores: NDArray[np.float32] | None = None,
) -> LevelMetrics:
    """Compare decisions with gold labels.

    Args:
        texts: with gold labels; texts not annotated on this level do not count.
        level: which labels.
        given: decisions, shape ``(texts, labels)``.
        scores: probabilities of the same shape, for the calibration error.
    """
    truth, known = gold(texts, level)
    truth, given = truth[known], given[known]
    present = truth.any(axis=0)
    precision, recall, micro, _ = precision_recall_fscore_support(
        truth.ravel(), given.ravel(), average="binary", zero_division=0.0
    )
    _, _, by_label, _ = precision_recall_fscore_support(truth, given, average=None, zero_division=0.0)
    return LevelMetrics(
        texts=int(known.sum()),
        precision=float(precision),
        recall=float(recall),
        micro_f1=float(micro),
        macro_f1=float(np.asarray(by_label)[present].mean()) if present.any() else 0.0,
        labels=int(present.sum()),
        accuracy=float((truth == given).mean()),
        calibration_error=None if scores is None else calibration_error(scores[known], truth),
    )


@dataclass(frozen=True)
class Bin:
    """Decisions whose probability lies in one stretch.

    Attributes:
        low, high: the stretch, ``[low, high)``; the last one is closed.
        decisions: how many there are.
        mean: their mean probability; 0 if there is none.
        right: share of them whose label is due; 0 if there is none.
    """

    low: float
    high: float
    decisions: int
    mean: float
    right: float

    def to_dict(self) -> dict[str, Any]:
        """Rounded to four digits, for JSON."""
        return rounded(self)


def reliability(scores: NDArray[np.float32], truth: Bools, bins: int = 15) -> tuple[Bin, ...]:
    """The reliability diagram: probabilities and gold decisions of the same shape, in equal bins."""
    values, right = scores.ravel(), truth.ravel()
    places = np.minimum((values * bins).astype(int), bins - 1)
    sizes = np.bincount(places, minlength=bins)
    means, shares = (
        np.bincount(places, weights=weights, minlength=bins) / np.maximum(1, sizes) for weights in (values, right)
    )
    return tuple(
        Bin(place / bins, (place + 1) / bins, int(sizes[place]), float(means[place]), float(shares[place]))
        for place in range(bins)
    )


def calibration_error(scores: NDArray[np.float32], truth: Bools, bins: int = 15) -> float:
    """Expected calibration error: |share of right labels - mean probability| over equal bins, weighted by size."""
    found = reliability(scores, truth, bins)
    return sum(abs(one.right - one.mean) * one.decisions for one in found) / max(1, scores.size)
