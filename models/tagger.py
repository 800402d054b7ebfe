"""The tagger: raw text in, calibrated tags out. It composes the stages; the logic is theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models.calibration import Calibration, Thresholds
from models.encoder import Encoded, Encoder
from models.heads import Bools, Floats, LinearHead, probabilities
from nlp.errors import MusannifError
from nlp.normalise import Recipe
from nlp.reading import MOST_CHARACTERS, check_text
from nlp.records import Classification, Document, Failure, Tag
from nlp.taxonomy import Level, Taxonomy


@dataclass(frozen=True)
class Options:
    """What a caller asks for.

    Attributes:
        axes: ids of the axes to answer; all of them if empty.
        top_k: at most so many tags a level.
        min_score: no tag below this probability, whatever its threshold.
        all_scores: also give the probability of every label.
        most_characters: longer texts are refused.
    """

    axes: tuple[str, ...] = ()
    top_k: int | None = None
    min_score: float = 0.0
    all_scores: bool = False
    most_characters: int = MOST_CHARACTERS


@dataclass(frozen=True)
class Tagger:
    """Tags texts.

    Attributes:
        name: name and version of the model, for every answer.
        taxonomy: the labels.
        recipe: prepares the text as in training.
        encoder: texts to embeddings of windows.
        heads: embeddings to logits, by level.
        calibration: temperatures.
        thresholds: decisions.
    """

    name: str
    taxonomy: Taxonomy
    recipe: Recipe
    encoder: Encoder
    heads: Mapping[str, LinearHead]
    calibration: Calibration
    thresholds: Thresholds

    def classify(self, documents: Sequence[Document], options: Options | None = None) -> list[Classification | Failure]:
        """Tag documents, in order. A document that cannot be tagged gives a failure; the others go on.

        Raises:
            TaxonomyError: ``options.axes`` names an axis that does not exist.
        """
        options = options or Options()
        levels = [level for axis in options.axes for level in self.taxonomy.axis(axis).levels]
        results: list[Classification | Failure] = []
        for document in documents:
            try:
                check_text(document.text, options.most_characters)
                results.append(self._classify(document, levels or list(self.taxonomy.levels), options))
            except MusannifError as error:
                results.append(Failure(document.id, error))
        return results

    def logits(self, texts: Sequence[str]) -> dict[str, Floats]:
        """Uncalibrated logits of raw texts, shape ``(texts, labels)`` by level.

        A text of several windows gets, for each label, the logit of the window that speaks for it most clearly;
        a text without any token gets ``-inf``.
        """
        encoded = self.encoder.encode([self.recipe(text) for text in texts])
        return {
            level.name: np.stack([self._pooled_logits(level, one) for one in encoded])
            if encoded
            else np.zeros((0, len(level.labels)), np.float32)
            for level in self.taxonomy.levels
        }

    def scores(self, texts: Sequence[str]) -> dict[str, Floats]:
        """Calibrated probabilities of raw texts, shape ``(texts, labels)`` by level."""
        return probabilities(self.taxonomy, self.calibration(self.logits(texts)))

    def _pooled_logits(self, level: Level, encoded: Encoded) -> Floats:
        if not len(encoded.embeddings):
            return np.full(len(level.labels), -np.inf, np.float32)
        pooled: Floats = self.heads[level.name](encoded.embeddings).max(axis=0)
        return pooled

    def _classify(self, document: Document, levels: list[Level], options: Options) -> Classification:
        scores = self.scores([document.text])
        given = self.thresholds.decide(self.taxonomy, scores)
        return Classification(
            id=document.id,
            tags={level.name: _tags(level, scores[level.name][0], given[level.name][0], options) for level in levels},
            needs_review=bool(self.thresholds.confidence(scores)[0] < self.thresholds.review_confidence)
            or not np.any(scores[levels[0].name]),
            scores={
                level.name: dict(zip(level.ids, map(float, scores[level.name][0]), strict=True)) for level in levels
            }
            if options.all_scores
            else None,
        )


def _tags(level: Level, scores: Floats, given: Bools, options: Options) -> tuple[Tag, ...]:
    order = np.argsort(-scores, kind="stable")
    tags = [Tag(level.ids[i], float(scores[i])) for i in order if given[i] and scores[i] >= options.min_score]
    return tuple(tags[: options.top_k])
