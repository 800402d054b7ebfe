"""From the windows of a text to the text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from models.calibration import Calibration, Logits
from models.heads import Floats, probabilities
from nlp.taxonomy import Taxonomy


def pooled_scores(taxonomy: Taxonomy, calibration: Calibration, texts: Sequence[Logits]) -> dict[str, Floats]:
    """Calibrated probabilities of texts, shape ``(texts, labels)`` by level.

    Args:
        taxonomy: the labels.
        calibration: weighs the two models, and makes one row of the windows of a text.
        texts: uncalibrated logits of each, a row for each window.
    """
    return probabilities(
        taxonomy, pool_windows(taxonomy, calibration, [[calibration(taxonomy, text)] for text in texts])
    )


def pool_windows(
    taxonomy: Taxonomy, calibration: Calibration, texts: Sequence[Sequence[Mapping[str, Floats]]]
) -> dict[str, Floats]:
    """Calibrated logits of texts out of those of their windows, shape ``(texts, labels)`` by level.

    A text without any token gets ``-inf``.
    """
    found = {}
    for level in taxonomy.levels:
        rows = np.full((len(texts), len(level.labels)), -np.inf, np.float32)
        for row, windows in enumerate(texts):
            logits = [window[level.name] for window in windows if len(window[level.name])]
            if logits:
                rows[row] = calibration.pool(logits)
        found[level.name] = rows
    return found


def stack_windows(taxonomy: Taxonomy, windows: Sequence[Logits]) -> Logits:
    """The logits of some windows as the rows of one record."""

    def rows(parts: Sequence[Mapping[str, Floats]]) -> dict[str, Floats]:
        return {
            level.name: np.concatenate(
                [np.zeros((0, len(level.labels)), np.float32), *(part[level.name] for part in parts)]
            )
            for level in taxonomy.levels
        }

    return Logits(rows([window.encoder for window in windows]), rows([window.lexicon for window in windows]))
