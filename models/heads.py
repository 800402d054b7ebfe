"""Token states to logits and logits to probabilities, level by level of the taxonomy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from nlp.taxonomy import Taxonomy

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
S = TypeVar("S", bound=np.generic)


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

    @cached_property
    def _both(self) -> Floats:
        """Scaled queries and weights side by side, shape ``(dimension, 2 * labels)``: one product serves both."""
        scaled = self.query / np.float32(np.sqrt(self.query.shape[1]))
        return np.ascontiguousarray(np.concatenate([scaled, self.weight]).T)

    def __call__(self, states: Floats) -> Floats:
        """Logits, shape ``(labels,)``, of the token states of one window, shape ``(tokens, dimension)``."""
        weights, values = self._attend(states)
        logits: Floats = np.einsum("tl,tl->l", weights, values) / weights.sum(axis=0) + self.bias
        return logits

    def read(self, states: Floats) -> tuple[Floats, Floats]:
        """How much each label attends to each token, and what it reads there, both of shape ``(tokens, labels)``."""
        weights, values = self._attend(states)
        return weights / weights.sum(axis=0), values

    def _attend(self, states: Floats) -> tuple[Floats, Floats]:
        """As :meth:`read`, but the weights of a label do not yet sum to one."""
        product = states @ self._both
        weights, values = product[:, : len(self.bias)], product[:, len(self.bias) :]
        weights -= weights.max(axis=0)
        return np.exp(weights, out=weights), values


def join_heads(taxonomy: Taxonomy, heads: Mapping[str, AttentionHead]) -> AttentionHead:
    """One head for the labels of all levels side by side, in the order of the taxonomy."""
    parts = [heads[level.name] for level in taxonomy.levels]
    return AttentionHead(
        np.concatenate([part.weight for part in parts]),
        np.concatenate([part.bias for part in parts]),
        np.concatenate([part.query for part in parts]),
    )


def split_columns(taxonomy: Taxonomy, columns: NDArray[S]) -> dict[str, NDArray[S]]:
    """By level, what lies side by side for all labels along the last axis."""
    found, start = {}, 0
    for level in taxonomy.levels:
        found[level.name] = columns[..., start : start + len(level.labels)]
        start += len(level.labels)
    return found


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
