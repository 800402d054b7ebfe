"""What is fitted on held-out data: calibration, thresholds and the confidence that needs no review."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from models.calibration import SUPPORTED, Calibration, Logits, Thresholds, Weights
from models.heads import Bools, Floats
from nlp.records import LabelledText
from nlp.taxonomy import Taxonomy
from training.metrics import gold

_GRID = np.arange(0.10, 0.91, 0.01)
# A label's own best threshold counts as much as the level's once it has this many positive examples. With fewer it
# follows the chance of the examples at hand: EXPERIMENTS.md.
_PRIOR_EXAMPLES = 160
_REVIEW_PRECISION = 0.95
# The best of those tried on documents of several texts that costs nothing on texts about one thing: EXPERIMENTS.md.
_WINDOW_TEMPERATURE = 0.5


def fit_calibration(taxonomy: Taxonomy, logits: Sequence[Logits], texts: Sequence[LabelledText]) -> Calibration:
    """Weights of the two models that make the held-out labels most likely; none is negative.

    Of a held-out text of several windows, the highest logit of each model counts.

    Args:
        taxonomy: gives the levels.
        logits: of the held-out texts, a row for each window.
        texts: the held-out texts; each has a token.
    """
    weights = {}
    for level in taxonomy.levels:
        truth, known = gold(texts, level)
        encoder, lexicon = (
            np.stack([part[level.name].max(axis=0) for part in parts])[known].ravel()
            for parts in ([text.encoder for text in logits], [text.lexicon for text in logits])
        )
        labels = truth[known].ravel()

        def loss(
            values: Floats, encoder: Floats = encoder, lexicon: Floats = lexicon, labels: NDArray[np.bool_] = labels
        ) -> float:
            calibrated = values[0] * encoder + values[1] * lexicon + values[2]
            return float(np.mean(np.logaddexp(0, calibrated) - labels * calibrated))

        best = minimize(loss, [0.5, 0.5, 0.0], bounds=[(0, None), (0, None), (None, None)])
        weights[level.name] = Weights(*(round(float(value), 4) for value in best.x))
    return Calibration(weights, _WINDOW_TEMPERATURE)


def fit_thresholds(taxonomy: Taxonomy, scores: Mapping[str, Floats], texts: Sequence[LabelledText]) -> Thresholds:
    """Thresholds that give the best F1 on held-out data.

    Each level gets the threshold of its best micro F1. Each label's own best is shrunk towards it, the more the fewer
    positive examples it has. The review confidence is the lowest above which texts reach a precision of 0.95 on the
    first level.

    Args:
        taxonomy: gives levels and hierarchy.
        scores: calibrated probabilities of the held-out texts, by level.
        texts: the held-out texts.
    """
    by_level = {}
    for level in taxonomy.levels:
        truth, known = gold(texts, level)
        truth, values = truth[known], scores[level.name][known]
        shared = _best_threshold(truth, values)
        own = np.array([_best_threshold(truth[:, [i]], values[:, [i]], shared) for i in range(len(level.labels))])
        share = truth.sum(axis=0) / (truth.sum(axis=0) + _PRIOR_EXAMPLES)
        by_level[level.name] = (share * own + (1 - share) * shared).astype(np.float32)
    first = taxonomy.levels[0]
    thresholds = Thresholds(by_level, first.name, 0.0, SUPPORTED)
    given = thresholds.decide(taxonomy, scores)[first.name]
    confidence = _review_confidence(*gold(texts, first), given, thresholds.confidence(taxonomy, scores))
    return replace(thresholds, review_confidence=confidence)


def _best_threshold(truth: Bools, scores: Floats, fallback: float = 0.5) -> float:
    """The middle of the grid points with the best micro F1; the fallback where there is nothing to find."""
    if not truth.any():
        return fallback
    given = scores[..., None] >= _GRID
    hits = (given & truth[..., None]).sum(axis=(0, 1))
    f1 = 2 * hits / np.maximum(given.sum(axis=(0, 1)) + truth.sum(), 1)
    return float(np.median(_GRID[f1 >= f1.max() - 1e-9]))


def _review_confidence(truth: Bools, known: NDArray[np.bool_], given: Bools, confidence: Floats) -> float:
    """The lowest confidence above which the precision is reached; 1 where it is never reached."""
    truth, given, confidence = truth[known], given[known], confidence[known]
    order = np.argsort(-confidence, kind="stable")
    hits = np.cumsum((truth & given).sum(axis=1)[order])
    claims = np.cumsum(given.sum(axis=1)[order])
    enough = np.flatnonzero((hits >= _REVIEW_PRECISION * claims) & (claims > 0))
    return round(float(confidence[order][enough[-1]]), 4) if len(enough) else 1.0
