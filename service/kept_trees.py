"""Clusterings as the store keeps them, and back."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from typing import Any

from models.clustering.plain import to_plain
from models.clustering.records import Clustering, Comment, PlacedComment
from nlp.records import Classification, Tag
from service.consultation import Told, Understood, Voices
from service.store.records import StoredClustering, StoredComment


def packed(clustering: Clustering) -> bytes:
    """A tree with all that placing and editing need."""
    return gzip.compress(json.dumps(clustering.to_dict(), ensure_ascii=False).encode(), 1)


def unpacked(data: bytes) -> Clustering:
    """The inverse of :func:`packed`.

    Raises:
        ClusteringError: the tree is of another format.
    """
    return Clustering.from_dict(json.loads(gzip.decompress(data)))


def shown(clustering: Clustering) -> dict[str, Any]:
    """A tree as plain data, without its comments and without what only placing needs."""
    data = clustering.to_dict(state=False)
    del data["comments"]
    return data


def place_of(comment: PlacedComment) -> dict[str, Any]:
    """Where a comment lies, as plain data without its id and attributes."""
    data: dict[str, Any] = to_plain(comment)
    del data["id"], data["attributes"]
    return data


def new_comments(
    voices: Voices, understood: Understood, clustering: Clustering, *, first: int = 0
) -> tuple[StoredComment, ...]:
    """Comments that were grouped.

    Args:
        voices: the comments.
        understood: what the model made of them.
        clustering: has their places.
        first: position of the first.
    """
    return tuple(
        StoredComment(
            position,
            comment.id,
            comment.text,
            dict(comment.attributes),
            tuple(voices.flags.get(comment.id, ())),
            {level: [[tag.id, round(tag.score, 4)] for tag in tags] for level, tags in found.tags.items() if tags},
            place_of(clustering.by_id[comment.id]),
        )
        for position, (comment, found) in enumerate(
            zip(voices.comments, understood.classifications, strict=True), start=first
        )
    )


def comments_of(stored: Sequence[StoredComment]) -> list[Comment]:
    """The comments themselves."""
    return [Comment(one.id, one.text, one.attributes) for one in stored]


def classifications_of(stored: Sequence[StoredComment]) -> dict[str, Classification]:
    """What the model made of them, by id."""
    return {
        one.id: Classification(
            one.id,
            {level: tuple(Tag(label, score) for label, score in tags) for level, tags in one.tags.items()},
            needs_review=False,
        )
        for one in stored
    }


def told(kept: StoredClustering, tree: Mapping[str, Any], stored: Sequence[StoredComment]) -> Told:
    """A clustering to look at, with what its report and its files tell besides."""
    comments = [{"id": one.id, "attributes": one.attributes, **(one.place or {})} for one in stored]
    return Told(
        Clustering.from_dict({**tree, "comments": comments}),
        {one.id: one.text for one in stored},
        kept.title,
        kept.masked,
        {one.id: one.flags for one in stored if one.flags},
    )
