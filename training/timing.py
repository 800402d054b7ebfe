"""Times of several systems, taken in turns, so that what disturbs the machine disturbs them all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Times:
    """Seconds of the same work, round by round."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Of the rounds."""
        return float(np.median(self.seconds))

    def percentile(self, share: float) -> float:
        """Seconds that so many per cent of the rounds stay within."""
        return float(np.percentile(self.seconds, share))

    def rates(self, count: int) -> dict[str, Any]:
        """How many a second: median, slowest and fastest round."""
        return {
            "median": round(count / self.median, 2),
            "slowest": round(count / max(self.seconds), 2),
            "fastest": round(count / min(self.seconds), 2),
            "rounds": len(self.seconds),
        }


def in_turns(systems: Mapping[str, Callable[[], object]], rounds: int) -> Iterator[tuple[str, float]]:
    """Run every system once a round, after a first round that does not count; gives name and seconds."""
    for run in systems.values():
        run()
    for _ in range(rounds):
        for name, run in systems.items():
            yield name, seconds_of(run)


def seconds_of(run: Callable[[], object]) -> float:
    """Seconds of the wall clock."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


@dataclass(frozen=True)
class Line:
    """A straight line through points, by least squares.

    Attributes:
        slope: seconds for one more.
        start: seconds for none.
        fit: share of the variance that it explains (R squared).
    """

    slope: float
    start: float
    fit: float


def fit_line(sizes: Sequence[float], seconds: Sequence[float]) -> Line:
    """The line of seconds over sizes."""
    slope, start = np.polyfit(sizes, seconds, 1)
    rest = np.asarray(seconds) - (slope * np.asarray(sizes) + start)
    return Line(float(slope), float(start), float(1 - rest.var() / np.var(seconds)))
