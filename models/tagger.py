"""The tagger: raw text in, calibrated tags out. It composes the stages; the logic is theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.calibration import Calibration, Logits, Thresholds
from models.encoder import EncodedWindow, Encoder
from models.evidence import LeftOut, choose_evidence, leave_out, probability_drops
from models.heads import AttentionHead, Bools, Floats, probabilities
from models.lexicon import Lexicon
from nlp.errors import MusannifError
from nlp.normalise import Recipe
from nlp.reading import MOST_CHARACTERS, check_text
from nlp.records import Classification, Document, Failure, Tag
from nlp.sentences import split_sentences
from nlp.taxonomy import Level, Taxonomy


@dataclass(frozen=True)
class Options:
    """What a caller asks for.

    Attributes:
        axes: ids of the axes to answer; all of them if empty.
        top_k: at most so many tags a level.
        min_score: no tag below this probability, whatever its threshold.
        all_scores: also give the probability of every label.
        evidence: also give the sentences that carry each tag.
        most_characters: longer texts are refused.
        embedding: also give the embedding of the text.
    """

    axes: tuple[str, ...] = ()
    top_k: int | None = None
    min_score: float = 0.0
    all_scores: bool = False
    evidence: bool = False
    most_characters: int = MOST_CHARACTERS
    embedding: bool = False


@dataclass(frozen=True)
class Tagger:
    """Tags texts.

    Attributes:
        name: name and version of the model, for every answer.
        taxonomy: the labels.
        recipe: prepares the text as in training.
        encoder: texts to token states, window by window.
        heads: token states to logits, by level.
        lexicon: words to logits.
        calibration: weighs the two.
        thresholds: decisions.
    """

    name: str
    taxonomy: Taxonomy
    recipe: Recipe
    encoder: Encoder
    heads: Mapping[str, AttentionHead]
    lexicon: Lexicon
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

    def logits(self, texts: Sequence[str]) -> Logits:
        """Uncalibrated logits of raw texts.

        A text of several windows gets, for each label, the highest logit of any; a text without any token gets
        ``-inf``.
        """
        found = [
            [self._read(window, normalised) for window in self.encoder.encode(normalised)]
            for normalised in map(self.recipe, texts)
        ]
        return Logits(
            self._pool([[window.encoder for window in windows] for windows in found]),
            self._pool([[window.lexicon for window in windows] for windows in found]),
        )

    def scores(self, texts: Sequence[str]) -> dict[str, Floats]:
        """Calibrated probabilities of raw texts, shape ``(texts, labels)`` by level."""
        found = []
        for normalised in map(self.recipe, texts):
            found.append([self._calibrated(window, normalised) for window in self.encoder.encode(normalised)])
        return probabilities(self.taxonomy, self._pool(found))

    def _read(self, window: EncodedWindow, normalised: str) -> Logits:
        """What the two models say of one window, one row."""
        return Logits(
            {level.name: self.heads[level.name](window.states)[None] for level in self.taxonomy.levels},
            {
                name: logits[None]
                for name, logits in self.lexicon.by_level(
                    self.taxonomy, normalised[window.span.start : window.span.end]
                ).items()
            },
        )

    def _calibrated(self, window: EncodedWindow, normalised: str) -> dict[str, Floats]:
        return self.calibration(self._read(window, normalised))

    def _pool(self, texts: Sequence[Sequence[Mapping[str, Floats]]]) -> dict[str, Floats]:
        """For each text the label-wise maximum over its windows, shape ``(texts, labels)`` by level."""
        found = {}
        for level in self.taxonomy.levels:
            rows = np.full((len(texts), len(level.labels)), -np.inf, np.float32)
            for row, windows in enumerate(texts):
                if windows:
                    rows[row] = np.concatenate([window[level.name] for window in windows]).max(axis=0)
            found[level.name] = rows
        return found

    def _classify(self, document: Document, levels: list[Level], options: Options) -> Classification:
        windows, left, embeddings = [], [], []
        if options.evidence:
            normalised = self.recipe.align(document.text)
            sentences = split_sentences(document.text)
            for window in self.encoder.encode(normalised.text):
                windows.append(self._calibrated(window, normalised.text))
                embeddings.append(window.embedding)
                left.append(leave_out(self.taxonomy, self.heads, self.lexicon, window, normalised, sentences))
        else:
            text = self.recipe(document.text)
            for window in self.encoder.encode(text):
                windows.append(self._calibrated(window, text))
                embeddings.append(window.embedding)
        scores = probabilities(self.taxonomy, self._pool([windows]))
        given = self.thresholds.decide(self.taxonomy, scores)
        tags = {level.name: _tags(level, scores[level.name][0], given[level.name][0], options) for level in levels}
        return Classification(
            id=document.id,
            tags=self._with_evidence(tags, windows, left) if options.evidence else tags,
            needs_review=bool(self.thresholds.confidence(scores)[0] < self.thresholds.review_confidence)
            or not np.any(scores[levels[0].name]),
            scores={
                level.name: dict(zip(level.ids, map(float, scores[level.name][0]), strict=True)) for level in levels
            }
            if options.all_scores
            else None,
            embedding=self._embedding(embeddings) if options.embedding else None,
        )

    def _embedding(self, windows: Sequence[Floats]) -> tuple[float, ...]:
        """The mean of the windows' embeddings, of length 1; zeros for a text without any token."""
        mean = np.mean(windows, axis=0) if windows else np.zeros(self.encoder.dimension, np.float32)
        return tuple(map(float, mean / max(float(np.linalg.norm(mean)), 1e-12)))

    def _with_evidence(
        self, tags: Mapping[str, tuple[Tag, ...]], windows: Sequence[Mapping[str, Floats]], left: Sequence[LeftOut]
    ) -> dict[str, tuple[Tag, ...]]:
        """The same tags with the sentences that carry them, each from the window that speaks for it most clearly."""
        without = [self.calibration(one.logits) for one in left]

        def carried(level: Level, tag: Tag) -> Tag:
            place = level.index[tag.id]
            best = int(np.argmax([window[level.name][0, place] for window in windows]))
            drops = probability_drops(level, place, best, windows, without)
            return replace(tag, evidence=choose_evidence(left[best].sentences, drops))

        return {name: tuple(carried(self.taxonomy.level(name), tag) for tag in found) for name, found in tags.items()}


def _tags(level: Level, scores: Floats, given: Bools, options: Options) -> tuple[Tag, ...]:
    order = np.argsort(-scores, kind="stable")
    tags = [Tag(level.ids[i], float(scores[i])) for i in order if given[i] and scores[i] >= options.min_score]
    return tuple(tags[: options.top_k])
