"""A grouping that needs no model: the first word is the topic, the same text three times a campaign."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from models.clustering import clusterer, edits, placing
from models.clustering.options import STEPS, ClusterOptions
from models.clustering.records import (
    OTHER,
    Array,
    Campaign,
    Clustering,
    Comment,
    Comparison,
    Drift,
    Edit,
    Group,
    GroupShare,
    Membership,
    Merge,
    Method,
    Move,
    Note,
    Phrase,
    Pin,
    PlacedComment,
    Quote,
    Rename,
    Size,
    Stability,
    Topic,
)
from nlp.errors import ClusteringError
from service import clusterings, consultation


def _topic(topic_id: str, title: str, members: Sequence[PlacedComment], texts: Mapping[str, str], total: int) -> Topic:
    size = Size(len(members), len({one.argument for one in members}))
    quotes = tuple(Quote(one.id, texts.get(one.id, ""), "medoid", 1) for one in members[:1])
    return Topic(
        id=topic_id,
        title=title,
        title_from="fixed" if topic_id == OTHER else "phrases",
        theme=None,
        phrases=(Phrase(title, 1.0, size.voices),),
        quotes=quotes,
        size=size,
        share=size.voices / total,
        argument_share=size.voices / total,
        cohesion=0.5,
        stability=Stability(0.9, 5, low=False),
        profile={},
        x=0.0,
        y=0.0,
    )


def _tree(
    placed: Sequence[PlacedComment], titles: Mapping[str, str], texts: Mapping[str, str], **more: Any
) -> Clustering:
    same = Counter(texts.get(one.id, "") for one in placed)
    campaigns: list[Campaign] = []
    for text, count in same.items():
        if count > 2 and text:
            who = tuple(one.id for one in placed if texts.get(one.id) == text)
            topic = next(one.topic for one in placed if one.id == who[0])
            number = f"c{len(campaigns) + 1}"
            share = count / len(placed)
            campaigns.append(Campaign(number, "exact", topic, who[0], text, Size(count, 1), share, 1.0, who))
    mine = {one: campaign for campaign in campaigns for one in campaign.comments}
    placed = [
        replace(one, campaign=mine[one.id].id, argument=mine[one.id].comment) if one.id in mine else one
        for one in placed
    ]
    members: dict[str, list[PlacedComment]] = {topic: [] for topic in titles}
    for one in placed:
        members[one.topic].append(one)
    topics = [_topic(key, title, members[key], texts, len(placed)) for key, title in titles.items() if key != OTHER]
    return Clustering(
        size=Size(len(placed), len({one.argument for one in placed})),
        topics=tuple(topics),
        other=_topic(OTHER, "أخرى", members.get(OTHER, []), texts, len(placed)),
        minorities=(),
        campaigns=tuple(campaigns),
        presets=(),
        comments=tuple(placed),
        wordless=sum(one.wordless for one in placed),
        notes=(Note("small_sample", "", "العيّنة صغيرة.", "The sample is small."),),
        **more,
    )


def _place(comment: Comment, topic: str, *, joined: bool) -> PlacedComment:
    wordless = not any(letter.isalpha() for letter in comment.text)
    return PlacedComment(
        id=comment.id,
        topic=OTHER if wordless else topic,
        subtopic=None,
        memberships=() if wordless else (Membership(topic, 1.0),),
        fit=0.0 if topic == OTHER or wordless else 0.9,
        x=0.0,
        y=0.0,
        argument=comment.id,
        attributes=comment.attributes,
        wordless=wordless,
        joined=joined,
    )


def _word(text: str) -> str:
    return text.split()[0] if text.split() else ""


class Clusterer:
    def __init__(self, options: ClusterOptions) -> None:
        self.options = options

    def cluster(
        self, comments: Sequence[Comment], embeddings: Any, found: Any, taxonomy: Any, progress: Any
    ) -> Clustering:
        return _group(self.options, comments, embeddings, found, progress)


def _group(
    options: ClusterOptions, comments: Sequence[Comment], embeddings: Any, found: Any, progress: Any
) -> Clustering:
    assert len(comments) == len(embeddings) == len(found)
    for place, step in enumerate(STEPS):
        progress(step, place / len(STEPS))
    counts = Counter(_word(one.text) for one in comments if any(letter.isalpha() for letter in one.text))
    words = [word for word, count in counts.most_common(options.topics) if count > 1]
    ids = {word: f"t{place}" for place, word in enumerate(words, 1)}
    placed = [_place(one, ids.get(_word(one.text), OTHER), joined=False) for one in comments]
    titles = {topic: word for word, topic in ids.items()} | {OTHER: "أخرى"}
    texts = {one.id: one.text for one in comments}
    method = Method("stub", options.model, options.seed, {}, {})
    return _tree(placed, titles, texts, method=method, drift=None, state={"vectors": Array.of(np.ones(2, np.float32))})


def place(
    tree: Clustering,
    comments: Sequence[Comment],
    joining: Sequence[Comment],
    embeddings: Any,
    found: Any,
    taxonomy: Any,
) -> Clustering:
    assert [one.id for one in comments] == [one.id for one in tree.comments]
    assert len(joining) == len(embeddings)
    assert found.keys() == {one.id for one in (*comments, *joining)}
    assert tree.state
    titles = {topic.id: topic.title for topic in tree.walk()}
    ids = {title: topic for topic, title in titles.items()}
    new = [_place(one, ids.get(_word(one.text), OTHER), joined=True) for one in joining]
    texts = {one.id: one.text for one in (*comments, *joining)}
    unfit = sum(one.topic == OTHER for one in new) / len(new)
    drift = Drift(Size(len(new), len(new)), unfit, 0.1, 0.5, 0.5, unfit > 0.5, ())
    return _tree([*tree.comments, *new], titles, texts, method=tree.method, drift=drift, state=tree.state)


def edited(
    tree: Clustering, changes: Sequence[Edit], comments: Sequence[Comment], found: Any, taxonomy: Any
) -> Clustering:
    texts = {one.id: one.text for one in comments}
    assert found.keys() == texts.keys() == tree.by_id.keys()
    assert tree.state
    for edit in changes:
        titles = {topic.id: topic.title for topic in tree.walk()}
        placed = list(tree.comments)
        if isinstance(edit, Rename):
            tree.topic(edit.topic)
            titles[edit.topic] = edit.title
        elif isinstance(edit, Merge):
            first, *rest = [tree.topic(one).id for one in edit.topics]
            placed = [replace(one, topic=first) if one.topic in rest else one for one in placed]
            titles = {key: title for key, title in titles.items() if key not in rest}
        elif isinstance(edit, Move | Pin):
            missing = set(edit.comments) - tree.by_id.keys()
            if missing:
                raise ClusteringError(f"there are no comments {sorted(missing)}")
            target = tree.topic(edit.topic).id if isinstance(edit, Move) else ""
            pinned = edit.pinned if isinstance(edit, Pin) else True
            placed = [
                replace(one, topic=target or one.topic, pinned=pinned) if one.id in edit.comments else one
                for one in placed
            ]
        else:
            raise ClusteringError("the stub splits nothing")
        tree = _tree(placed, titles, texts, method=tree.method, drift=tree.drift, state=tree.state)
    return tree


def compare(tree: Clustering, attribute: str, *, subtopics: bool = False) -> Comparison:
    if not any(attribute in one.attributes for one in tree.comments):
        raise ClusteringError(f"no comment has the attribute {attribute!r}")
    values = Counter(one.attributes.get(attribute, "") for one in tree.comments)
    groups = tuple(Group(value, Size(count, count), count < 5) for value, count in values.most_common())
    shares = {}
    for topic in (*tree.topics, tree.other):
        row = []
        for one in groups:
            inside = sum(
                placed.topic == topic.id and placed.attributes.get(attribute, "") == one.group
                for placed in tree.comments
            )
            share = inside / one.size.voices
            row.append(GroupShare(one.group, Size(inside, inside), share, 0.0, 1.0, 0.0, differs=False))
        shares[topic.id] = tuple(row)
    return Comparison(attribute, groups, shares, 5)


def install(patch: pytest.MonkeyPatch) -> None:
    """Put this grouping in the place of the true one."""
    for module, name in (
        (clusterer, "Clusterer"),
        (edits, "edited"),
        (placing, "place"),
        (consultation, "compare"),
        (clusterings, "compare"),
    ):
        patch.setattr(module, name, globals()[name])
