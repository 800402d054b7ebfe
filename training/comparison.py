"""Two systems on the same texts: the paired bootstrap by level, and the labels that gained and lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nlp.records import LabelledText
from nlp.taxonomy import Taxonomy
from training.bootstrap import Counts, Differences, compare
from training.evaluation import Answers
from training.labels import LabelFigures, label_figures
from training.metrics import gold

_MOST_LABELS = 10
_LEAST_CHANGE = 0.005  # what two digits show


@dataclass(frozen=True)
class LabelChange:
    """One label under both systems."""

    first: LabelFigures
    second: LabelFigures

    @property
    def change(self) -> float:
        """F1 of the first minus F1 of the second."""
        return (self.first.f1 or 0.0) - (self.second.f1 or 0.0)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "id": self.first.label.id,
            "change": round(self.change, 4),
            "support": self.first.support,
            "first": self.first.to_dict(),
            "second": self.second.to_dict(),
        }


@dataclass(frozen=True)
class LevelComparison:
    """Two systems on one level.

    Attributes:
        differences: of micro and macro F1.
        risen: labels whose F1 is most higher under the first, most first; only labels that are due in some text.
        fallen: those whose F1 is most lower.
    """

    differences: Differences
    risen: tuple[LabelChange, ...]
    fallen: tuple[LabelChange, ...]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            **self.differences.to_dict(),
            "risen": [change.to_dict() for change in self.risen],
            "fallen": [change.to_dict() for change in self.fallen],
        }


@dataclass(frozen=True)
class Comparison:
    """Two systems: by level that some text is annotated on."""

    first: str
    second: str
    levels: Mapping[str, LevelComparison]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "first": self.first,
            "second": self.second,
            "levels": {name: level.to_dict() for name, level in self.levels.items()},
        }


def compare_systems(
    taxonomy: Taxonomy, first: Answers, second: Answers, texts: Sequence[LabelledText], *, seed: int
) -> Comparison:
    """Compare what two systems said of the same texts.

    Args:
        taxonomy: the labels of both.
        first: answers of one system.
        second: answers of the other.
        texts: with gold labels.
        seed: of the bootstrap.
    """
    ones, others = first.given(taxonomy), second.given(taxonomy)
    levels = {}
    for level in taxonomy.levels:
        truth, known = gold(texts, level)
        if not known.any():
            continue
        counts = [Counts.of(truth[known], given[level.name][known]) for given in (ones, others)]
        pairs = zip(
            label_figures(level, ones[level.name], first.thresholds.by_level[level.name], texts),
            label_figures(level, others[level.name], second.thresholds.by_level[level.name], texts),
            strict=True,
        )
        changes = [LabelChange(one, other) for one, other in pairs if one.support]
        levels[level.name] = LevelComparison(compare(*counts, seed=seed), *_most_changed(changes))
    return Comparison(first.name, second.name, levels)


def _most_changed(changes: Sequence[LabelChange]) -> tuple[tuple[LabelChange, ...], tuple[LabelChange, ...]]:
    """Gains and losses, the largest first; of equal ones first that with more texts."""
    order = sorted(changes, key=lambda one: (-abs(one.change), -one.first.support))
    risen, fallen = (
        tuple(one for one in order if one.change * sign >= _LEAST_CHANGE)[:_MOST_LABELS] for sign in (1, -1)
    )
    return risen, fallen
