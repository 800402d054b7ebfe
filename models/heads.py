"""Embeddings to logits and logits to probabilities, level by level of the taxonomy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nlp.taxonomy import Taxonomy

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class LinearHead:
    """One level's linear layer.

    Attributes:
        weight: float32, shape ``(labels, dimension)``.
        bias: float32, shape ``(labels,)``.
    """

    weight: Floats
    bias: Floats

    def __call__(self, embeddings: Floats) -> Floats:
        """Logits, shape ``(rows, labels)``, of embeddings, shape ``(rows, dimension)``."""
        logits: Floats = embeddings @ self.weight.T + self.bias
        return logits


def sigmoid(logits: Floats) -> Floats:
    """Element-wise logistic function, safe against overflow."""
    values: Floats = (0.5 * (1 + np.tanh(0.5 * logits))).astype(np.float32)
    return values


def probabilities(taxonomy: Taxonomy, logits: Mapping[str, Floats]) -> dict[str, Floats]:
    """Probability of every label, shape ``(rows, labels)`` by level.

    A logit of a top level answers "does the text address this label?". A logit of a level below answers the same
    of a text that is known to address the parent: the two are multiplied, so a child never outscores its parent.

    Args:
        taxonomy: gives the levels and their hierarchy.
        logits: calibrated logits by level.
    """
    found: dict[str, Floats] = {}
    for level in taxonomy.levels:
        values = sigmoid(logits[level.name])
        if level.parent is not None:
            values = values * found[level.parent][:, list(level.parent_index)]
        found[level.name] = values
    return found
