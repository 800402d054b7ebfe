"""What the labels around a label say: a goal is likelier where a target of it is, less so beside a stronger goal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from models.heads import Floats
from nlp.taxonomy import Taxonomy

PARENT, CHILD, SIBLING, PARENT_SIBLING = "parent", "child", "sibling", "parent_sibling"


def relatives(taxonomy: Taxonomy, logits: Mapping[str, Floats]) -> dict[str, dict[str, Floats]]:
    """Logits of the relatives of each label, by level and kind, each of shape ``(rows, labels)``.

    Only labels of a hierarchy have any: the parent; the likeliest child; the likeliest other label with the same
    parent, or of the first level; and the same of the parent. A label that has no such relative gets its own logit in
    its place.

    Args:
        taxonomy: gives the levels and their hierarchy.
        logits: of shape ``(rows, labels)``, by level.
    """
    found: dict[str, dict[str, Floats]] = {}
    for level in taxonomy.levels:
        if level.parent is None:
            continue
        above, values, parents = logits[level.parent], logits[level.name], list(level.parent_index)
        children = _two_highest(values, parents, above.shape[1])
        together = [0] * above.shape[1]
        beside = _highest_other(above, _two_highest(above, together, 1), together)
        highest = children[..., 1]
        found[level.parent] = {CHILD: np.where(np.isneginf(highest), above, highest), SIBLING: beside}
        found[level.name] = {
            PARENT: above[:, parents],
            SIBLING: _highest_other(values, children, parents),
            PARENT_SIBLING: beside[:, parents],
        }
    return found


def _two_highest(values: Floats, groups: Sequence[int], count: int) -> Floats:
    """The second and the highest column of each group, shape ``(rows, count, 2)``; ``-inf`` where there is none."""
    nothing = np.full((len(values), 1), -np.inf, np.float32)
    members = np.concatenate([values, nothing], axis=1)[:, _members(tuple(groups), count)]
    return np.partition(members, -2, axis=-1)[..., -2:]


def _highest_other(values: Floats, tops: Floats, groups: Sequence[int]) -> Floats:
    """For each column the highest of the other columns of its group; its own where it is alone."""
    second, first = tops[:, groups, 0], tops[:, groups, 1]
    other: Floats = np.where(values >= first, second, first)
    return np.where(np.isneginf(other), values, other)


@lru_cache
def _members(groups: tuple[int, ...], count: int) -> NDArray[np.int64]:
    """The columns of each group, one row for each, filled up with the number of columns; two places at the least."""
    columns: list[list[int]] = [[] for _ in range(count)]
    for column, group in enumerate(groups):
        columns[group].append(column)
    most = max(2, *map(len, columns))
    return np.array([row + [len(groups)] * (most - len(row)) for row in columns], np.int64)
