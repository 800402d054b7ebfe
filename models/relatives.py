"""What the labels around a label say: a goal is likelier where a target of it is, less so beside a stronger goal."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from models.heads import Floats
from nlp.taxonomy import Level, Taxonomy

PARENT, CHILD, SIBLING, PARENT_SIBLING = RELATIVES = ("parent", "child", "sibling", "parent_sibling")


def relatives(taxonomy: Taxonomy, logits: Mapping[str, Floats]) -> dict[str, dict[str, Floats]]:
    """Logits of the relatives of each label, by level and :data:`RELATIVES`, each of shape ``(rows, labels)``.

    The parent; the likeliest child; the likeliest other label with the same parent, or of the level where labels have
    none; and the same of the parent. A label that has no such relative gets its own logit in its place; relatives that
    no label of a level has are left out.

    Args:
        taxonomy: gives the levels and their hierarchy.
        logits: of shape ``(rows, labels)``, by level.
    """
    found: dict[str, dict[str, Floats]] = {level.name: {} for level in taxonomy.levels}
    for level in taxonomy.levels:
        values, parents = logits[level.name], _parents(level)
        found[level.name][SIBLING] = _likeliest_other(values, parents)
        if level.parent is not None:
            above = logits[level.parent]
            found[level.name][PARENT] = above[:, parents]
            found[level.name][PARENT_SIBLING] = found[level.parent][SIBLING][:, parents]
            children = _highest(values, parents, above.shape[1])
            found[level.parent][CHILD] = np.where(np.isneginf(children), above, children)
    return found


def _parents(level: Level) -> NDArray[np.int64]:
    """The position of each label's parent; labels without one share a parent that is not there."""
    return np.array(level.parent_index if level.parent is not None else [0] * len(level.labels), np.int64)


def _likeliest_other(values: Floats, groups: NDArray[np.int64]) -> Floats:
    """For each column the highest of the other columns of its group; its own where it is alone."""
    count = int(groups.max(initial=0)) + 1
    first = _highest(values, groups, count)[:, groups]
    second = _highest(np.where(values >= first, -np.inf, values), groups, count)[:, groups]
    other: Floats = np.where(values >= first, second, first).astype(np.float32)
    return np.where(np.isneginf(other), values, other)


def _highest(values: Floats, groups: NDArray[np.int64], count: int) -> Floats:
    """The highest column of each group, shape ``(rows, count)``; ``-inf`` for a group without columns."""
    found = np.full((len(values), count), -np.inf, np.float32)
    np.maximum.at(found.T, groups, values.T)
    return found
