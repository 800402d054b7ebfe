"""Token states to logits and logits to probabilities, level by level of the taxonomy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nlp.taxonomy import Taxonomy

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class AttentionHead:
    """One level's labels: each attends to the tokens by its query and reads what it finds by its weight.

    Attributes:
        weight: float32, shape ``(labels, dimension)``.
        bias: float32, shape ``(labels,)``.
        query: float32, shape ``(labels, dimension)``; zeros look at all tokens alike.
    """

    weight: Floats
    bias: Floats
    query: Floats

    def __call__(self, states: Floats) -> Floats:
        """Logits, shape ``(labels,)``, of the token states of one window, shape ``(tokens, dimension)``."""
        weights, values = self.read(states)
        logits: Floats = (weights * values).sum(axis=0) + self.bias
        return logits

    def read(self, states: Floats) -> tuple[Floats, Floats]:
        """How much each label attends to each token, and what it reads there, both of shape ``(tokens, labels)``."""
        scores = states @ self.query.T / np.float32(np.sqrt(states.shape[-1]))
        weights = np.exp(scores - scores.max(axis=0))
        return weights / weights.sum(axis=0), states @ self.weight.T


def sigmoid(logits: Floats) -> Floats:
    """Element-wise logistic function, safe against overflow."""
    values: Floats = (0.5 * (1 + np.tanh(0.5 * logits))).astype(np.float32)
    return values


def probabilities(taxonomy: Taxonomy, logits: Mapping[str, Floats]) -> dict[str, Floats]:
    """Probability of every label, shape ``(rows, labels)`` by level.

    A logit answers "does the text address this label?". A child never outscores its parent.

    Args:
        taxonomy: gives the levels and their hierarchy.
        logits: calibrated logits by level.
    """
    found: dict[str, Floats] = {}
    for level in taxonomy.levels:
        values = sigmoid(logits[level.name])
        if level.parent is not None:
            values = np.minimum(values, found[level.parent][:, list(level.parent_index)])
        found[level.name] = values
    return found
