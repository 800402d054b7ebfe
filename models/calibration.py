"""What was fitted on held-out data: temperatures, thresholds, and the margin below which a person should look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.heads import Bools, Floats
from nlp.errors import BundleError
from nlp.taxonomy import Taxonomy


@dataclass(frozen=True)
class Calibration:
    """Temperature scaling, one temperature a level (Guo et al., 2017, https://arxiv.org/abs/1706.04599).

    Attributes:
        temperature: by level; logits are divided by it.
    """

    temperature: Mapping[str, float]

    def __call__(self, logits: Mapping[str, Floats]) -> dict[str, Floats]:
        """Logits over their temperatures."""
        return {level: (values / self.temperature[level]).astype(np.float32) for level, values in logits.items()}


@dataclass(frozen=True)
class Thresholds:
    """From which probability a label is given, and when the model should not be left alone.

    Attributes:
        by_level: float32, shape ``(labels,)``, by level.
        review_level: the level whose decisions are watched.
        review_margin: a text needs review if the probability of any label of that level lies nearer to its
            threshold than this, in logits.
    """

    by_level: Mapping[str, Floats]
    review_level: str
    review_margin: float

    def decide(self, taxonomy: Taxonomy, scores: Mapping[str, Floats]) -> dict[str, Bools]:
        """Which labels are given: bool, shape ``(rows, labels)``, by level; a child only with its parent."""
        given: dict[str, Bools] = {}
        for level in taxonomy.levels:
            passed = scores[level.name] >= self.by_level[level.name]
            if level.parent is not None:
                passed &= given[level.parent][:, list(level.parent_index)]
            given[level.name] = passed
        return given

    def margins(self, scores: Mapping[str, Floats]) -> Floats:
        """How far each text is from the nearest decision that could turn, in logits, shape ``(rows,)``."""
        distance = np.abs(_logit(scores[self.review_level]) - _logit(self.by_level[self.review_level]))
        nearest: Floats = distance.min(axis=1)
        return nearest

    def to_dict(self, taxonomy: Taxonomy) -> dict[str, Any]:
        """The plain data form that a bundle keeps."""
        labels = {
            level.name: {
                label: round(float(value), 4) for label, value in zip(level.ids, self.by_level[level.name], strict=True)
            }
            for level in taxonomy.levels
        }
        return {
            "labels": labels,
            "review": {"level": self.review_level, "margin": round(self.review_margin, 4)},
        }

    @classmethod
    def from_dict(cls, taxonomy: Taxonomy, data: Mapping[str, Any]) -> Thresholds:
        """The inverse of :meth:`to_dict`.

        Raises:
            BundleError: a label of the taxonomy has no threshold.
        """
        try:
            by_level = {
                level.name: np.array([data["labels"][level.name][label] for label in level.ids], np.float32)
                for level in taxonomy.levels
            }
            return cls(by_level, str(data["review"]["level"]), float(data["review"]["margin"]))
        except KeyError as error:
            raise BundleError(f"thresholds lack {error}", expected="a threshold for every label") from error


def _logit(probability: Floats) -> Floats:
    clipped = np.clip(probability, 1e-6, 1 - 1e-6)
    values: Floats = np.log(clipped / (1 - clipped)).astype(np.float32)
    return values
