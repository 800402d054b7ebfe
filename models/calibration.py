"""What was fitted on held-out data: calibration, thresholds, and the confidence below which a person should look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from models.heads import Bools, Floats
from models.relatives import relatives
from nlp.errors import BundleError
from nlp.taxonomy import Taxonomy

SUPPORTED, LOWEST = REVIEW_MEASURES = ("supported", "lowest")


@dataclass(frozen=True)
class Logits:
    """What the two models say of some rows, each by level, float32 of shape ``(rows, labels)``."""

    encoder: Mapping[str, Floats]
    lexicon: Mapping[str, Floats]


@dataclass(frozen=True)
class Weights:
    """One level's part of the calibration: ``encoder * logit + lexicon * logit + bias``."""

    encoder: float
    lexicon: float
    bias: float


@dataclass(frozen=True)
class Kinship:
    """What a label's own logit and those of its relatives (:mod:`models.relatives`) count on one level."""

    own: float = 1.0
    parent: float = 0.0
    child: float = 0.0
    sibling: float = 0.0
    parent_sibling: float = 0.0
    bias: float = 0.0


@dataclass(frozen=True)
class Calibration:
    """From the logits of the two models to calibrated logits of a text.

    Platt scaling of the two models together (Platt, 1999), one set of weights a level; then the same of each label and
    its relatives, stacked upon it (Wolpert, 1992); then the windows of a text become one row.

    Attributes:
        weights: of the two models, by level.
        window_temperature: of the log-sum-exp over the windows of a text; 0 is their maximum.
        kinship: by level of a hierarchy; labels stand alone where there is none.
    """

    weights: Mapping[str, Weights]
    window_temperature: float = 0.0
    kinship: Mapping[str, Kinship] = field(default_factory=dict)

    def __call__(self, taxonomy: Taxonomy, logits: Logits) -> dict[str, Floats]:
        """Calibrated logits, by level.

        Args:
            taxonomy: gives the levels and their hierarchy.
            logits: uncalibrated.
        """
        found = self.weigh(logits)
        return self._with_relatives(taxonomy, found) if self.kinship else found

    def weigh(self, logits: Logits) -> dict[str, Floats]:
        """The logits of the two models as one, each label by itself, by level."""
        found = {}
        for level, weight in self.weights.items():
            encoder, lexicon = logits.encoder[level], logits.lexicon[level]
            found[level] = (weight.encoder * encoder + weight.lexicon * lexicon + weight.bias).astype(np.float32)
        return found

    def _with_relatives(self, taxonomy: Taxonomy, alone: Mapping[str, Floats]) -> dict[str, Floats]:
        found = dict(alone)
        for level, around in relatives(taxonomy, alone).items():
            kin = self.kinship[level]
            total = kin.own * alone[level] + kin.bias
            for name, logits in around.items():
                total = total + getattr(kin, name) * logits
            found[level] = total.astype(np.float32)
        return found

    def pool(self, windows: Sequence[Floats]) -> Floats:
        """One row for a text out of one level's calibrated logits of its windows.

        ``T * log(sum(exp(logit / T)))``: a little more than the highest logit where several windows agree, and that of
        the window itself where there is one.

        Args:
            windows: at least one, each of shape ``(rows, labels)``.

        Returns:
            Shape ``(labels,)``.
        """
        logits = np.concatenate(windows)
        highest: Floats = logits.max(axis=0)
        if not self.window_temperature:
            return highest
        shares = np.exp((logits - highest) / self.window_temperature).sum(axis=0)
        pooled: Floats = (highest + self.window_temperature * np.log(shares)).astype(np.float32)
        return pooled

    def to_dict(self) -> dict[str, Any]:
        """The plain data form that a bundle keeps."""
        return {
            "levels": {level: asdict(weight) for level, weight in self.weights.items()},
            "window_temperature": self.window_temperature,
            "kinship": {level: asdict(kin) for level, kin in self.kinship.items()},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Calibration:
        """The inverse of :meth:`to_dict`; older bundles have no kinship, or the levels alone, and took the maximum."""
        return cls(
            {level: Weights(**weight) for level, weight in data.get("levels", data).items()},
            float(data.get("window_temperature", 0.0)),
            {level: Kinship(**kin) for level, kin in data.get("kinship", {}).items()},
        )


@dataclass(frozen=True)
class Thresholds:
    """From which probability a label is given, and when the model should not be left alone.

    Attributes:
        by_level: float32, shape ``(labels,)``, by level.
        review_level: the level whose decisions are watched.
        review_confidence: a text needs review if its confidence on that level is lower.
        review_measure: how that confidence is counted, one of :data:`REVIEW_MEASURES`.
    """

    by_level: Mapping[str, Floats]
    review_level: str
    review_confidence: float
    review_measure: str = LOWEST

    def __post_init__(self) -> None:
        if self.review_measure not in REVIEW_MEASURES:
            raise BundleError(
                f"the review confidence is counted by {self.review_measure!r}",
                expected="one of " + ", ".join(REVIEW_MEASURES),
                remedy="use the Musannif version that wrote the bundle, or a newer one",
            )

    def decide(self, taxonomy: Taxonomy, scores: Mapping[str, Floats]) -> dict[str, Bools]:
        """Which labels are given: bool, shape ``(rows, labels)``, by level; a child only with its parent."""
        given: dict[str, Bools] = {}
        for level in taxonomy.levels:
            passed = scores[level.name] >= self.by_level[level.name]
            if level.parent is not None:
                passed &= given[level.parent][:, list(level.parent_index)]
            given[level.name] = passed
        return given

    def confidence(self, taxonomy: Taxonomy, scores: Mapping[str, Floats]) -> Floats:
        """How sure the model is of each text on the review level, in ``[0, 1]``, shape ``(rows,)``.

        ``supported``: the product of the probabilities of the labels that are given, times the square root of what the
        least supported of them has in its likeliest child. ``lowest``, of older bundles: the lowest probability among
        the labels that are given. Where none is given, the probability that none applies to the likeliest label.
        """
        values = scores[self.review_level]
        given = values >= self.by_level[self.review_level]
        if self.review_measure == LOWEST:
            sure = np.where(given, values, 1.0).min(axis=1)
        else:
            sure = np.where(given, values, 1.0).prod(axis=1)
            for level in taxonomy.levels:
                if level.parent == self.review_level:
                    support = np.zeros_like(values)
                    np.maximum.at(support.T, np.array(level.parent_index), scores[level.name].T)
                    sure = sure * np.sqrt(np.where(given, support, 1.0).min(axis=1))
        confidence: Floats = np.where(given.any(axis=1), sure, 1 - values.max(axis=1)).astype(np.float32)
        return confidence

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
            "review": {
                "level": self.review_level,
                "confidence": round(self.review_confidence, 4),
                "measure": self.review_measure,
            },
        }

    @classmethod
    def from_dict(cls, taxonomy: Taxonomy, data: Mapping[str, Any]) -> Thresholds:
        """The inverse of :meth:`to_dict`; older bundles count the review confidence by the lowest probability.

        Raises:
            BundleError: a label of the taxonomy has no threshold, or the measure is not known.
        """
        try:
            by_level = {
                level.name: np.array([data["labels"][level.name][label] for label in level.ids], np.float32)
                for level in taxonomy.levels
            }
            review = data["review"]
            return cls(by_level, str(review["level"]), float(review["confidence"]), str(review.get("measure", LOWEST)))
        except KeyError as error:
            raise BundleError(f"thresholds lack {error}", expected="a threshold for every label") from error
