"""Figures of a tagger on labelled texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.calibration import Thresholds
from models.heads import Floats
from models.tagger import Tagger
from nlp.records import LabelledText
from nlp.taxonomy import Taxonomy
from training.metrics import LevelMetrics, gold, measure


@dataclass(frozen=True)
class Evaluation:
    """Figures of one system on one set of texts.

    Attributes:
        levels: figures by level.
        reviewed: share of texts that need review.
        confident_precision: precision on the review level of the texts that need none.
    """

    levels: Mapping[str, LevelMetrics]
    reviewed: float
    confident_precision: float

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "levels": {name: metrics.to_dict() for name, metrics in self.levels.items()},
            "reviewed": round(self.reviewed, 4),
            "confident_precision": round(self.confident_precision, 4),
        }


def evaluate(tagger: Tagger, texts: Sequence[LabelledText]) -> Evaluation:
    """Measure a tagger on labelled texts."""
    scores = tagger.scores([text.text for text in texts])
    return evaluate_scores(tagger.taxonomy, tagger.thresholds, scores, texts)


def evaluate_scores(
    taxonomy: Taxonomy, thresholds: Thresholds, scores: Mapping[str, Floats], texts: Sequence[LabelledText]
) -> Evaluation:
    """Measure probabilities, shape ``(texts, labels)`` by level, under given thresholds."""
    given = thresholds.decide(taxonomy, scores)
    review = thresholds.confidence(scores) < thresholds.review_confidence
    watched = taxonomy.level(thresholds.review_level)
    truth, known = gold(texts, watched)
    confident = known & ~review
    claims = given[watched.name][confident]
    return Evaluation(
        levels={
            level.name: measure(texts, level, given[level.name], scores[level.name])
            for level in taxonomy.levels
            if any(level.name in text.labels for text in texts)
        },
        reviewed=float(review.mean()),
        confident_precision=float((claims & truth[confident]).sum() / max(1, claims.sum())),
    )
