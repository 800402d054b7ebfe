"""Figures of a tagger on labelled texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.calibration import Thresholds
from models.heads import Bools, Floats
from models.tagger import Tagger
from nlp.records import LabelledText
from nlp.taxonomy import Taxonomy
from training.metrics import LevelMetrics, gold, measure


@dataclass(frozen=True)
class Answers:
    """What one system says of some texts.

    Attributes:
        name: of the system.
        scores: probabilities, shape ``(texts, labels)`` by level.
        thresholds: from which of them a label is given.
    """

    name: str
    scores: Mapping[str, Floats]
    thresholds: Thresholds

    def given(self, taxonomy: Taxonomy) -> dict[str, Bools]:
        """The decisions, of the same shape as the scores."""
        return self.thresholds.decide(taxonomy, self.scores)


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


def answer(tagger: Tagger, texts: Sequence[LabelledText], name: str | None = None) -> Answers:
    """What a tagger says of labelled texts; under its own name if no other is given."""
    return Answers(name or tagger.name, tagger.scores([text.text for text in texts]), tagger.thresholds)


def evaluate(tagger: Tagger, texts: Sequence[LabelledText]) -> Evaluation:
    """Measure a tagger on labelled texts."""
    return evaluate_answers(tagger.taxonomy, answer(tagger, texts), texts)


def evaluate_answers(taxonomy: Taxonomy, answers: Answers, texts: Sequence[LabelledText]) -> Evaluation:
    """Measure what a system said of the same texts."""
    scores, thresholds = answers.scores, answers.thresholds
    given = answers.given(taxonomy)
    review = thresholds.confidence(taxonomy, scores) < thresholds.review_confidence
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
