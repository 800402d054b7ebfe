"""Edits of a finished tree: rename, merge, split, move, pin.

An edit is data. A tree with edits is the tree as it was made and the list of edits replayed on it, so the last edit is
undone by replaying one less, and edits are kept when new comments join the tree below them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from models.clustering.describing import (
    UNMEASURED,
    Material,
    Node,
    describe_anew,
)
from models.clustering.neighbours import NEIGHBOURS, find_neighbours, smooth
from models.clustering.notes import notes_of
from models.clustering.placing import gather, nodes_of
from models.clustering.records import (
    OTHER,
    Clustering,
    Comment,
    Edit,
    Merge,
    Move,
    Pin,
    PlacedComment,
    Rename,
    Split,
)
from models.clustering.topics import centres_of, closest, partition
from nlp.errors import ClusteringError
from nlp.records import Classification
from nlp.taxonomy import Taxonomy

_MOST_TITLE, _MOST_PARTS = 200, 20


@dataclass
class _Draft:
    """The tree while edits are replayed on it."""

    material: Material
    nodes: dict[str, Node]
    places: dict[str, PlacedComment]
    seed: int
    chosen: set[str] = field(default_factory=set)

    def node(self, topic: str) -> Node:
        if topic not in self.nodes:
            raise ClusteringError(f"there is no topic {topic!r}", expected="one of " + ", ".join(sorted(self.nodes)))
        return self.nodes[topic]

    def parts(self, topic: str) -> list[str]:
        return [node.id for node in self.nodes.values() if node.parent == topic]

    def members(self, topic: str) -> list[str]:
        return [one.id for one in self.places.values() if topic in (one.topic, one.subtopic)]

    def check_known(self, comments: Sequence[str]) -> None:
        unknown = [one for one in comments if one not in self.places]
        if unknown or not comments:
            raise ClusteringError(
                f"there is no comment {unknown[0]!r}" if unknown else "no comment is named",
                expected="ids of comments of the tree",
            )

    def put(self, comment: str, topic: str, subtopic: str | None, *, pin: bool = False) -> None:
        one = self.places[comment]
        self.places[comment] = replace(one, topic=topic, subtopic=subtopic, pinned=one.pinned or pin)

    def new_id(self, topic: str) -> str:
        number = 2
        while f"{topic}-{number}" in self.nodes:
            number += 1
        return f"{topic}-{number}"


def edited(
    tree: Clustering,
    edits: Sequence[Edit],
    comments: Sequence[Comment],
    classifications: Mapping[str, Classification] | None = None,
    taxonomy: Taxonomy | None = None,
) -> Clustering:
    """Replay edits on a tree, in order.

    Args:
        tree: as it was made, or as comments joined it; not a tree with edits.
        edits: all of them, from the first.
        comments: those of the tree, for phrases and quotes.
        classifications: by comment id, for the profiles.
        taxonomy: for the titles of labels.

    Raises:
        ClusteringError: an edit names what is not there, or asks what cannot be; the message counts the edits.
    """
    if not edits:
        return tree
    material = gather(tree, comments, classifications, taxonomy)
    draft = _Draft(
        material,
        {node.id: node for node in nodes_of(tree)},
        {one.id: one for one in tree.comments},
        tree.method.seed,
    )
    for number, edit in enumerate(edits, start=1):
        try:
            _apply(draft, edit)
        except ClusteringError as error:
            raise ClusteringError(
                f"edit {number} of {len(edits)}, {type(edit).__name__.lower()}: {error.found}",
                expected=error.expected,
                remedy=error.remedy,
            ) from error
    material = replace(material, chosen=draft.chosen)
    found = describe_anew(tree, material, list(draft.nodes.values()), tuple(draft.places.values()))
    return replace(found, notes=notes_of(found, material))


def _apply(draft: _Draft, edit: Edit) -> None:
    match edit:
        case Rename():
            _rename(draft, edit.topic, edit.title)
        case Merge():
            _merge(draft, edit)
        case Split():
            _split(draft, edit)
        case Move():
            _move(draft, edit)
        case Pin():
            draft.check_known(edit.comments)
            for comment in edit.comments:
                draft.places[comment] = replace(draft.places[comment], pinned=edit.pinned)
            draft.chosen = draft.chosen | {*edit.comments} if edit.pinned else draft.chosen - {*edit.comments}


def _rename(draft: _Draft, topic: str, title: str) -> None:
    title = " ".join(title.split())
    if not title or len(title) > _MOST_TITLE:
        raise ClusteringError(f"a title of {len(title)} characters", expected=f"1 to {_MOST_TITLE} characters")
    draft.nodes[topic] = replace(draft.node(topic), title=title)


def _merge(draft: _Draft, edit: Merge) -> None:
    nodes = [draft.node(topic) for topic in edit.topics]
    if len({node.id for node in nodes}) < max(2, len(nodes)):
        raise ClusteringError("too few topics to merge", expected="two or more that differ")
    if len({node.parent for node in nodes}) > 1:
        raise ClusteringError(
            "the topics are not siblings", expected="topics of the first level, or sub-topics of one topic"
        )
    first, *rest = nodes
    inner = first.parent is None and any(draft.parts(node.id) for node in nodes)
    if inner and not draft.parts(first.id):
        _hang(draft, first, draft.new_id(first.id), first.id)
    for node in rest:
        members = draft.members(node.id)
        if inner and not draft.parts(node.id):
            _hang(draft, node, node.id, first.id)
        for comment in members:
            one = draft.places[comment]
            if first.parent is None:
                draft.put(comment, first.id, one.subtopic)
            else:
                draft.put(comment, one.topic, first.id)
        for part in draft.parts(node.id):
            draft.nodes[part] = replace(draft.nodes[part], parent=first.id)
        if not (inner and draft.nodes[node.id].parent == first.id):
            del draft.nodes[node.id]
    draft.nodes[first.id] = replace(first, title="", made_by="merge", stability=UNMEASURED)
    if edit.title:
        _rename(draft, first.id, edit.title)


def _hang(draft: _Draft, node: Node, part: str, parent: str) -> None:
    """Make all of a topic one sub-topic of a merged one."""
    draft.nodes[part] = replace(node, id=part, parent=parent)
    for comment in draft.members(node.id):
        draft.put(comment, draft.places[comment].topic, part)


def _split(draft: _Draft, edit: Split) -> None:
    node = draft.node(edit.topic)
    if edit.comments:
        draft.check_known(edit.comments)
        inside = set(draft.members(node.id))
        chosen = [comment for comment in edit.comments if comment in inside]
        if len(chosen) < len(edit.comments) or len(chosen) == len(inside):
            raise ClusteringError("the comments are not a part of the topic", expected="some, not all, of its comments")
        _part(draft, node, chosen, pin=True)
    elif edit.parts == 0:
        _split_along(draft, node)
    elif 2 <= edit.parts <= _MOST_PARTS:
        _split_anew(draft, node, edit.parts)
    else:
        raise ClusteringError(f"{edit.parts} parts", expected=f"2 to {_MOST_PARTS}, or 0 for its sub-topics")
    draft.nodes[node.id] = replace(draft.nodes[node.id], made_by="split", stability=UNMEASURED)


def _part(draft: _Draft, node: Node, comments: Sequence[str], *, pin: bool = False) -> None:
    name = draft.new_id(node.id)
    draft.nodes[name] = Node(name, node.parent, made_by="split")
    for comment in comments:
        if node.parent is None:
            draft.put(comment, name, None, pin=pin)
        else:
            draft.put(comment, node.parent, name, pin=pin)


def _split_along(draft: _Draft, node: Node) -> None:
    """Sub-topics become topics; the largest takes the topic's place."""
    parts = draft.parts(node.id)
    if len(parts) < 2:
        raise ClusteringError(
            f"topic {node.id!r} has no sub-topics", expected="a number of parts", remedy="say how many parts"
        )
    largest = max(parts, key=lambda part: (len(draft.members(part)), part))
    # Comments that an edit put in the topic and in none of its parts stay with the largest.
    for comment in draft.members(node.id):
        part = draft.places[comment].subtopic
        draft.put(comment, node.id if part in (None, largest) else str(part), None)
    del draft.nodes[largest]
    for part in parts:
        if part != largest:
            draft.nodes[part] = replace(draft.nodes[part], parent=None, made_by="split")


def _split_anew(draft: _Draft, node: Node, parts: int) -> None:
    """Group the topic's arguments; those that joined later go to the nearest part, so that they move no others."""
    material = draft.material
    row = {comment.id: number for number, comment in enumerate(material.comments)}
    members = draft.members(node.id)
    early = [row[comment] for comment in members if not draft.places[comment].joined]
    arguments = np.intersect1d(material.arguments_of(np.array(early, np.int64)), material.spoken)
    if len(arguments) < parts:
        raise ClusteringError(
            f"topic {node.id!r} has {len(arguments)} distinct arguments", expected=f"at least {parts} to split"
        )
    vectors = material.vectors[arguments]
    smoothed = smooth(vectors, find_neighbours(vectors, NEIGHBOURS, draft.seed))
    found = partition(smoothed, wanted=parts, fewest=2, most=parts, least=1, seed=draft.seed)
    centres = centres_of(vectors, found.labels, found.count)
    label: dict[int, int] = dict(zip(arguments.tolist(), found.labels.tolist(), strict=True))
    groups: dict[int, list[str]] = {number: [] for number in range(found.count)}
    for comment in members:
        argument = int(material.owner[row[comment]])
        if argument not in label:
            label[argument] = int(closest(material.vectors[argument][None], centres)[0])
        groups[label[argument]].append(comment)
    if node.parent is None:
        for part in draft.parts(node.id):
            del draft.nodes[part]
        for comment in groups[0]:
            draft.put(comment, node.id, None)
    for number in range(1, found.count):
        if groups[number]:
            _part(draft, node, groups[number])


def _move(draft: _Draft, edit: Move) -> None:
    draft.check_known(edit.comments)
    if edit.topic == OTHER:
        topic, subtopic = OTHER, None
    else:
        node = draft.node(edit.topic)
        topic, subtopic = (node.id, None) if node.parent is None else (node.parent, node.id)
    for comment in edit.comments:
        draft.put(comment, topic, subtopic, pin=True)
