"""How far a figure would move with other texts: bootstrap intervals, and the paired bootstrap of two systems.

Texts are drawn with replacement, as many as there are, and the figure is computed anew on each draw: the percentile
bootstrap (Efron, 1979). Two systems are compared on the same draws (Berg-Kirkpatrick et al., 2012). Both work on
counts by text and label, so that a thousand draws are three matrix products.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.heads import Bools, Floats

RESAMPLES = 1000
COVERAGE = 0.95
_Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Counts:
    """Decisions of one system on one level, float32 zeros and ones of shape ``(texts, labels)``.

    Attributes:
        right: given and due.
        wrong: given, not due.
        missed: due, not given.
    """

    right: Floats
    wrong: Floats
    missed: Floats

    @classmethod
    def of(cls, truth: Bools, given: Bools) -> Counts:
        """Count gold and given decisions, both of shape ``(texts, labels)``."""
        return cls(*(part.astype(np.float32) for part in (truth & given, ~truth & given, truth & ~given)))


@dataclass(frozen=True)
class Interval:
    """A figure and where it would lie on other texts of the same kind, in 95 of 100 cases."""

    value: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float]:
        """Rounded to four digits, for JSON."""
        return {name: round(value, 4) for name, value in vars(self).items()}


@dataclass(frozen=True)
class Intervals:
    """The F1 of one level, each in ``[0, 1]``."""

    micro_f1: Interval
    macro_f1: Interval

    def to_dict(self) -> dict[str, dict[str, float]]:
        """For JSON."""
        return {name: interval.to_dict() for name, interval in vars(self).items()}


@dataclass(frozen=True)
class Difference:
    """One figure of two systems on the same texts.

    Attributes:
        first, second: the figure of each.
        gap: first minus second, with its interval.
        better: share of draws in which the first is better; a draw in which both are equal counts half.
    """

    first: float
    second: float
    gap: Interval
    better: float

    @property
    def verdict(self) -> str:
        """``better`` or ``worse`` where the interval leaves out zero, else ``tie``; said of the first."""
        if self.gap.low > 0:
            return "better"
        return "worse" if self.gap.high < 0 else "tie"

    def to_dict(self) -> dict[str, Any]:
        """Rounded to four digits, for JSON."""
        return {
            "first": round(self.first, 4),
            "second": round(self.second, 4),
            "gap": self.gap.to_dict(),
            "better": round(self.better, 4),
            "verdict": self.verdict,
        }


@dataclass(frozen=True)
class Differences:
    """Two systems on one level."""

    micro_f1: Difference
    macro_f1: Difference

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {name: difference.to_dict() for name, difference in vars(self).items()}


def intervals(counts: Counts, *, seed: int, resamples: int = RESAMPLES) -> Intervals:
    """Micro and macro F1 with their intervals.

    Args:
        counts: of the texts that are annotated on the level.
        seed: of the draws.
        resamples: how many draws.
    """
    weights = _draws(len(counts.right), seed, resamples)
    return Intervals(*map(_interval, _whole(counts), _figures(counts, weights)))


def compare(first: Counts, second: Counts, *, seed: int, resamples: int = RESAMPLES) -> Differences:
    """The paired bootstrap: both systems on the same draws of the same texts.

    Args:
        first: counts of one system.
        second: counts of the other, over the same texts in the same order.
        seed: of the draws.
        resamples: how many draws.
    """
    weights = _draws(len(first.right), seed, resamples)
    ones, others = _figures(first, weights), _figures(second, weights)
    return Differences(*map(_difference, _whole(first), _whole(second), ones, others))


def _draws(texts: int, seed: int, resamples: int) -> Floats:
    """How often each draw takes each text, shape ``(resamples, texts)``; every row sums to ``texts``."""
    drawn = np.random.default_rng(seed).integers(0, max(1, texts), (resamples, texts))
    places = (drawn + np.arange(resamples)[:, None] * texts).ravel()
    return np.bincount(places, minlength=resamples * texts).reshape(resamples, texts).astype(np.float32)


def _whole(counts: Counts) -> tuple[float, float]:
    micro, macro = _figures(counts, np.ones((1, len(counts.right)), np.float32))
    return float(micro[0]), float(macro[0])


def _figures(counts: Counts, weights: Floats) -> tuple[_Doubles, _Doubles]:
    """Micro F1, and macro F1 over the labels that are due somewhere in the draw, both of shape ``(resamples,)``."""
    right, wrong, missed = ((weights @ part).astype(np.float64) for part in (counts.right, counts.wrong, counts.missed))
    due = right + missed > 0
    by_label = np.where(due, f1(right, wrong, missed), 0)
    macro = by_label.sum(axis=1) / np.maximum(1, due.sum(axis=1))
    return f1(right.sum(axis=1), wrong.sum(axis=1), missed.sum(axis=1)), macro


def f1(right: _Doubles, wrong: _Doubles, missed: _Doubles) -> _Doubles:
    """F1 of counts of any shape; 0 where nothing is due and nothing given."""
    values: _Doubles = 2 * right / np.maximum(1, 2 * right + wrong + missed)
    return values


def _interval(value: float, drawn: _Doubles) -> Interval:
    low, high = np.quantile(drawn, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return Interval(value, float(low), float(high))


def _difference(first: float, second: float, ones: _Doubles, others: _Doubles) -> Difference:
    better = float((ones > others).mean() + (ones == others).mean() / 2)
    return Difference(first, second, _interval(first - second, ones - others), better)
