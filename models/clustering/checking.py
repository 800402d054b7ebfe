"""What must hold of comments, embeddings and given topics before any work begins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.clustering.records import Comment, Preset
from models.heads import Floats
from nlp.errors import ClusteringError
from nlp.taxonomy import Taxonomy


def check_comments(
    comments: Sequence[Comment], embeddings: NDArray[Any], classifications: Sequence[object] | None
) -> Floats:
    """The embeddings as float32, if all is as it should be.

    Args:
        comments: with ids that differ.
        embeddings: shape ``(comments, d)``, finite.
        classifications: as many as comments, if given.

    Raises:
        ClusteringError: it is not.
    """
    found = np.asarray(embeddings, np.float32)
    if not comments:
        raise ClusteringError("there are no comments", expected="at least one")
    if found.ndim != 2 or len(found) != len(comments) or not found.shape[1]:
        raise ClusteringError(
            f"embeddings of shape {found.shape} for {len(comments)} comments",
            expected="one row for each comment",
        )
    if not np.isfinite(found).all():
        rows = np.flatnonzero(~np.isfinite(found).all(axis=1))
        raise ClusteringError(
            f"the embedding of comment {comments[rows[0]].id!r} is not finite", expected="finite numbers"
        )
    if classifications is not None and len(classifications) != len(comments):
        raise ClusteringError(
            f"{len(classifications)} classifications for {len(comments)} comments",
            expected="one for each comment, None where there is none",
        )
    repeated = [name for name, count in Counter(comment.id for comment in comments).items() if count > 1]
    if repeated:
        raise ClusteringError(
            f"{len(repeated)} ids of comments repeat, {repeated[0]!r} among them",
            expected="ids that differ",
            remedy="number the comments anew",
        )
    return found


def check_presets(presets: Sequence[Preset], taxonomy: Taxonomy) -> None:
    """Every label that a given topic names is in the taxonomy.

    Raises:
        ClusteringError: one is not.
    """
    known = {level.name: level for level in taxonomy.levels}
    for preset in presets:
        for label in preset.labels:
            level, _, label_id = label.partition("/")
            if level not in known or label_id not in known[level].index:
                expected = (
                    "one of " + ", ".join(f"{level}/{one}" for one in known[level].ids)
                    if level in known
                    else "level/id with a level of " + ", ".join(known)
                )
                raise ClusteringError(f"given topic {preset.id!r} names the label {label!r}", expected=expected)
