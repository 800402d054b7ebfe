"""What is fitted on held-out data: calibration, thresholds and the confidence that needs no review."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from models.calibration import SUPPORTED, Calibration, Kinship, Logits, Thresholds, Weights
from models.heads import Bools, Floats
from models.relatives import relatives
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
    """Weights of the two models, and of each label and its relatives, that make the held-out labels most likely.

    Of a held-out text of several windows, the highest logit of each model counts. No model counts less than nothing.

    Args:
        taxonomy: gives the levels.
        logits: of the held-out texts, a row for each window.
        texts: the held-out texts; each has a token.
    """
    whole = Logits(
        *(
            {level.name: np.stack([part[level.name].max(axis=0) for part in parts]) for level in taxonomy.levels}
            for parts in ([text.encoder for text in logits], [text.lexicon for text in logits])
        )
    )
    weights = {}
    for level in taxonomy.levels:
        models = [whole.encoder[level.name], whole.lexicon[level.name]]
        weights[level.name] = Weights(*_most_likely(models, *gold(texts, level), [0.5, 0.5], lowest=0.0))
    alone = Calibration(weights, _WINDOW_TEMPERATURE)
    logits_alone = alone.weigh(whole)
    kinship = {}
    for name, around in relatives(taxonomy, logits_alone).items():
        start = [1.0, *([0.0] * len(around))]
        known = gold(texts, taxonomy.level(name))
        own, *others, bias = _most_likely([logits_alone[name], *around.values()], *known, start)
        kinship[name] = Kinship(own=own, bias=bias, **dict(zip(around, others, strict=True)))
    return replace(alone, kinship=kinship)


def _most_likely(
    parts: Sequence[Floats], truth: Bools, known: NDArray[np.bool_], start: Sequence[float], lowest: float | None = None
) -> list[float]:
    """Weights of some logits, each of shape ``(texts, labels)``, and a bias: a logistic regression over all labels.

    Args:
        parts: the logits.
        truth: shape ``(texts, labels)``.
        known: texts whose labels are known.
        start: of the weights.
        lowest: that a weight may be.
    """
    columns = np.stack([part[known].ravel() for part in parts], axis=1).astype(np.float64)
    labels = truth[known].ravel()

    def loss(values: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        logits = columns @ values[:-1] + values[-1]
        errors = (expit(logits) - labels) / len(labels)
        return float(np.mean(np.logaddexp(0, logits) - labels * logits)), np.append(columns.T @ errors, errors.sum())

    bounds = [*([(lowest, None)] * len(parts)), (None, None)]
    best = minimize(loss, [*start, 0.0], jac=True, method="L-BFGS-B", bounds=bounds)
    return [round(float(value), 4) for value in best.x]


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
