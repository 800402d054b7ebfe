"""Where a system goes wrong: what it gives in the place of what, and the texts that it misreads most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.heads import Bools, Floats
from nlp.records import LabelledText
from nlp.taxonomy import Level, Taxonomy
from training.evaluation import Answers
from training.metrics import gold

_LEAST_PROBABILITY = 1e-6


@dataclass(frozen=True)
class Confusion:
    """What was given where something else was due; a text counts once for each pair of a missed and a wrong label.

    Attributes:
        level: name of the level.
        labels: ids, in score order.
        texts: int, shape ``(labels + 1, labels + 1)``: row the missed label, column the wrong one. The last column
            counts the texts in which nothing was wrongly given, the last row those in which nothing was missed.
    """

    level: str
    labels: tuple[str, ...]
    texts: NDArray[np.int64]

    def to_dict(self) -> dict[str, Any]:
        """For JSON: ``rows`` of counts; the last row and column stand for none."""
        return {"level": self.level, "labels": list(self.labels), "rows": self.texts.tolist()}


@dataclass(frozen=True)
class ScoredLabel:
    """A label of one text with its probability."""

    id: str
    score: float

    def to_dict(self) -> dict[str, Any]:
        """Rounded to four digits, for JSON."""
        return {"id": self.id, "score": round(self.score, 4)}


@dataclass(frozen=True)
class Misread:
    """One level of one text: what was due and what was given, likeliest first."""

    due: tuple[ScoredLabel, ...]
    given: tuple[ScoredLabel, ...]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {name: [label.to_dict() for label in labels] for name, labels in vars(self).items()}


@dataclass(frozen=True)
class Mistake:
    """A text with a wrong decision.

    Attributes:
        text: with its gold labels.
        surprise: minus the natural logarithm of the likelihood of the gold labels.
        levels: by level, those that are annotated.
    """

    text: LabelledText
    surprise: float
    levels: Mapping[str, Misread]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "id": self.text.id,
            "text": self.text.text,
            "lang": self.text.meta.get("lang"),
            "surprise": round(self.surprise, 2),
            "levels": {name: one.to_dict() for name, one in self.levels.items()},
        }


def find_confusion(level: Level, given: Bools, texts: Sequence[LabelledText]) -> Confusion:
    """Count, over the texts annotated on a level, which labels stand where others were missed."""
    truth, known = gold(texts, level)
    missed, wrong = (_or_none(part[known]) for part in (truth & ~given, ~truth & given))
    pairs = missed.T.astype(np.int64) @ wrong.astype(np.int64)
    pairs[-1, -1] = 0
    return Confusion(level.name, level.ids, pairs)


def _or_none(rows: Bools) -> Bools:
    """One more column: true where no other is."""
    return np.concatenate([rows, ~rows.any(axis=1, keepdims=True)], axis=1)


def worst_mistakes(
    taxonomy: Taxonomy, answers: Answers, texts: Sequence[LabelledText], most: int = 50
) -> tuple[Mistake, ...]:
    """The texts with a wrong decision whose gold labels are least likely, worst first.

    The likelihood is the product, over all labels of the annotated levels, of the probability of the gold decision.
    """
    given = answers.given(taxonomy)
    surprise = np.zeros(len(texts))
    mistaken = np.zeros(len(texts), bool)
    for level in taxonomy.levels:
        truth, known = gold(texts, level)
        scores = answers.scores[level.name].astype(np.float64)
        likelihood = np.clip(np.where(truth, scores, 1 - scores), _LEAST_PROBABILITY, 1)
        surprise -= np.where(known, np.log(likelihood).sum(axis=1), 0)
        mistaken |= known & (truth != given[level.name]).any(axis=1)
    order = [place for place in np.argsort(-surprise, kind="stable") if mistaken[place]]
    return tuple(
        Mistake(
            texts[place],
            float(surprise[place]),
            {
                level.name: _misread(level, texts[place], answers.scores[level.name][place], given[level.name][place])
                for level in taxonomy.levels
                if level.name in texts[place].labels
            },
        )
        for place in order[:most]
    )


def _misread(level: Level, text: LabelledText, scores: Floats, given: Bools) -> Misread:
    labels = [ScoredLabel(level.ids[place], float(scores[place])) for place in np.argsort(-scores, kind="stable")]
    due = text.labels[level.name]
    return Misread(
        due=tuple(label for label in labels if label.id in due),
        given=tuple(label for label in labels if given[level.index[label.id]]),
    )
