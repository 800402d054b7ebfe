"""Figures of single labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from models.heads import Bools, Floats
from nlp.records import LabelledText
from nlp.taxonomy import Label, Level
from training.metrics import gold


@dataclass(frozen=True)
class LabelFigures:
    """One label over the texts annotated on its level.

    Attributes:
        label: of the taxonomy.
        threshold: from which probability it is given.
        right: texts in which it is given and due.
        wrong: given, not due.
        missed: due, not given.
    """

    label: Label
    threshold: float
    right: int
    wrong: int
    missed: int

    @property
    def support(self) -> int:
        """Texts in which it is due."""
        return self.right + self.missed

    @property
    def precision(self) -> float | None:
        """Share of the texts that were given it in which it is due; ``None`` if it is never given."""
        return self.right / (self.right + self.wrong) if self.right + self.wrong else None

    @property
    def recall(self) -> float | None:
        """Share of the texts in which it is due that were given it; ``None`` if it is never due."""
        return self.right / self.support if self.support else None

    @property
    def f1(self) -> float | None:
        """Harmonic mean of both; ``None`` if it is neither due nor given."""
        everything = 2 * self.right + self.wrong + self.missed
        return 2 * self.right / everything if everything else None

    def to_dict(self) -> dict[str, Any]:
        """Rounded to four digits, for JSON."""
        figures = {"precision": self.precision, "recall": self.recall, "f1": self.f1, "threshold": self.threshold}
        return {
            "id": self.label.id,
            **self.label.title,
            "support": self.support,
            "right": self.right,
            "wrong": self.wrong,
            "missed": self.missed,
            **{name: None if value is None else round(value, 4) for name, value in figures.items()},
        }


def label_figures(
    level: Level, given: Bools, thresholds: Floats, texts: Sequence[LabelledText]
) -> tuple[LabelFigures, ...]:
    """Figures of every label of a level, in score order.

    Args:
        level: the labels.
        given: decisions, shape ``(texts, labels)``.
        thresholds: shape ``(labels,)``.
        texts: with gold labels.
    """
    truth, known = gold(texts, level)
    truth, given = truth[known], given[known]
    right, wrong, missed = (part.sum(axis=0) for part in (truth & given, ~truth & given, truth & ~given))
    return tuple(
        LabelFigures(label, float(thresholds[place]), int(right[place]), int(wrong[place]), int(missed[place]))
        for place, label in enumerate(level.labels)
    )
