"""What comes after the tree is made: new comments, edits, and groups compared."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from clustering_comments import authored, embedding

from models.clustering.clusterer import Clusterer
from models.clustering.comparison import attributes_of, compare, wilson
from models.clustering.edits import edited
from models.clustering.options import ClusterOptions
from models.clustering.placing import place
from models.clustering.records import (
    OTHER,
    Clustering,
    Comment,
    Edit,
    Merge,
    Move,
    Note,
    Pin,
    Rename,
    Split,
    Stability,
    edit_from_dict,
    edit_to_dict,
)
from nlp.errors import ClusteringError

_COMMENTS, _ROWS, _SUBJECTS, _PARTS = authored()


@pytest.fixture(scope="module")
def tree() -> Clustering:
    return Clusterer(ClusterOptions(bootstrap=0)).cluster(_COMMENTS, _ROWS)


def _topic_of(tree: Clustering, subject: str) -> str:
    topics = [one.topic for one, own in zip(tree.comments, _SUBJECTS, strict=False) if own == subject]
    return max(set(topics), key=topics.count)


def _joining() -> tuple[list[Comment], np.ndarray]:
    random = np.random.default_rng(9)
    return (
        [Comment("n1", "مياه الحنفية مقطوعة من أسبوع كامل"), Comment("n2", _COMMENTS[0].text), Comment("n3", "🙏")],
        np.stack([embedding(random, 0, 3), _ROWS[0], np.zeros_like(_ROWS[0])]),
    )


def test_new_comments_join_and_no_old_one_moves(tree: Clustering) -> None:
    joining, rows = _joining()
    grown = place(tree, _COMMENTS, joining, rows)
    for before, after in zip(tree.comments, grown.comments, strict=False):
        assert (before.topic, before.subtopic, before.x, before.y) == (after.topic, after.subtopic, after.x, after.y)
    assert grown.by_id["n1"].topic == _topic_of(tree, "water")
    assert grown.by_id["n2"].argument == "k0"
    assert grown.by_id["n3"].topic == OTHER
    assert (grown.size.voices, grown.size.arguments) == (303, tree.size.arguments + 2)
    assert [topic.id for topic in grown.topics] == [topic.id for topic in tree.topics]
    assert grown.drift is not None
    assert not grown.drift.drifted
    again = place(grown, [*_COMMENTS, *joining], [Comment("n4", joining[0].text)], rows[:1])
    assert again.by_id["n4"].argument == "n1"


def test_comments_on_something_else_are_called_drift(tree: Clustering) -> None:
    random = np.random.default_rng(2)
    sea = "صيد سمك ميناء قارب شباك موج ريح بحر مرسى رصيف ملح جزيرة سفينة غواص لؤلؤ شاطئ مد جزر عاصفة منارة"
    texts = [" ".join(random.choice(sea.split(), 6, replace=False)) for _ in range(40)]
    grown = place(
        tree,
        _COMMENTS,
        [Comment(f"f{number}", text) for number, text in enumerate(texts)],
        np.stack([embedding(random, 20, 21) for _ in texts]),
    )
    assert grown.drift is not None
    assert grown.drift.drifted
    assert "drift" in {note.code for note in grown.notes}


def test_small_batches_of_strangers_add_up_to_drift(tree: Clustering) -> None:
    random = np.random.default_rng(2)
    sea = "صيد سمك ميناء قارب شباك موج ريح بحر مرسى رصيف ملح جزيرة سفينة غواص لؤلؤ شاطئ مد جزر عاصفة منارة"
    comments, grown, drifted = list(_COMMENTS), tree, []
    for batch in range(3):
        joining = [
            Comment(f"f{batch}.{number}", " ".join(random.choice(sea.split(), 6, replace=False)))
            for number in range((12, 12, 1)[batch])
        ]
        grown = place(grown, comments, joining, np.stack([embedding(random, 20, 21) for _ in joining]))
        comments += joining
        assert grown.drift is not None
        assert grown.drift.size.voices == len(comments) - 300
        drifted.append((grown.drift.drifted, "drift" in {note.code for note in grown.notes}))
    assert drifted == [(False, False), (True, True), (True, True)]


def test_notes_tell_of_the_tree_as_it_is() -> None:
    small = Clusterer(ClusterOptions(bootstrap=2)).cluster(_COMMENTS[::4], _ROWS[::4])
    small = replace(
        small,
        topics=tuple(replace(one, stability=Stability(0.1, 2, low=True)) for one in small.topics),
        notes=(*small.notes, Note("not_read", "", "…", "…")),
    )
    copies = [Comment(f"c{number}", "مياه الحنفية مقطوعة من أسبوع كامل") for number in range(5)]
    fresh = [comment for place_, comment in enumerate(_COMMENTS) if place_ % 4 == 1]
    rows = np.vstack([np.repeat(_ROWS[:1], 5, axis=0), _ROWS[1::4]])
    grown = place(small, _COMMENTS[::4], [*copies, *fresh], rows)
    before, after = ({note.code: note for note in one.notes} for one in (small, grown))
    assert {"small_sample"} <= before.keys() - after.keys()
    assert "campaigns" in after.keys() - before.keys()
    assert after["campaigns"].en.startswith("5 comments")
    assert "not_read" in after
    first, *others = [topic.id for topic in grown.topics]
    merged = edited(grown, [Merge((first, *others))], [*_COMMENTS[::4], *copies, *fresh])
    assert {note.about for note in grown.notes if note.code == "unstable"} == {first, *others}
    assert not [note for note in merged.notes if note.code == "unstable"]
    assert "one_topic" in {note.code for note in merged.notes}


def test_joining_needs_the_comments_and_new_ids(tree: Clustering) -> None:
    joining, rows = _joining()
    with pytest.raises(ClusteringError, match="missing"):
        place(tree, _COMMENTS[1:], joining, rows)
    with pytest.raises(ClusteringError, match="already"):
        place(tree, _COMMENTS, [Comment("k1", "نص")], rows[:1])
    with pytest.raises(ClusteringError, match="dimensions"):
        place(tree, _COMMENTS, joining, rows[:, :-1])
    with pytest.raises(ClusteringError, match="without what placing"):
        place(replace(tree, state={}), _COMMENTS, joining, rows)


def test_rename_merge_and_counts(tree: Clustering) -> None:
    water, bus = _topic_of(tree, "water"), _topic_of(tree, "bus")
    found = edited(tree, [Rename(water, " مياه  الشرب "), Merge((water, bus), "خدمات")], _COMMENTS)
    assert len(found.topics) == len(tree.topics) - 1
    merged = found.topic(water)
    assert merged.title == "خدمات"
    assert merged.made_by == "merge"
    assert merged.size.voices == tree.topic(water).size.voices + tree.topic(bus).size.voices
    assert sum(inner.size.voices for inner in merged.subtopics) == merged.size.voices


def test_undo_is_one_edit_less(tree: Clustering) -> None:
    water, bus = _topic_of(tree, "water"), _topic_of(tree, "bus")
    edits: list[Edit] = [Rename(water, "الماء"), Merge((water, bus))]
    assert edited(tree, [], _COMMENTS) == tree
    assert edited(tree, edits[:1], _COMMENTS).topic(bus) == tree.topic(bus)


@pytest.mark.parametrize("parts", [0, 2])
def test_split(tree: Clustering, parts: int) -> None:
    water = _topic_of(tree, "water")
    found = edited(tree, [Split(water, parts=parts)], _COMMENTS)
    expected = len(tree.topic(water).subtopics) if parts == 0 else 2
    assert len(found.topics) == len(tree.topics) + expected - 1
    split = [topic for topic in found.topics if topic.made_by == "split"]
    assert sum(topic.size.voices for topic in split) == tree.topic(water).size.voices
    assert all(topic.title for topic in split)


def test_split_by_comments_move_and_pin(tree: Clustering) -> None:
    water, bus = _topic_of(tree, "water"), _topic_of(tree, "bus")
    inside = [one.id for one in tree.comments if one.topic == water]
    found = edited(
        tree,
        [
            Split(water, comments=tuple(inside[:3])),
            Move((inside[5],), bus),
            Move((inside[6],), OTHER),
            Pin((inside[9],)),
        ],
        _COMMENTS,
    )
    part = found.topic(f"{water}-2")
    assert part.size.voices == 3
    assert (found.by_id[inside[5]].topic, found.by_id[inside[5]].pinned) == (bus, True)
    assert found.by_id[inside[6]].topic == OTHER
    medoid, chosen, *others = found.topic(water).quotes
    assert (medoid.kind, chosen.kind, chosen.comment) == ("medoid", "pinned", inside[9])
    assert {quote.kind for quote in others} == {"diverse"}


def test_moved_comments_are_no_quotes_and_quotes_stay_few(tree: Clustering) -> None:
    water, bus = _topic_of(tree, "water"), _topic_of(tree, "bus")
    inside = [one.id for one in tree.comments if one.topic == water]
    moved = edited(tree, [Move(tuple(inside[:40]), bus)], _COMMENTS).topic(bus)
    assert [quote.kind for quote in moved.quotes] == ["medoid", *["diverse"] * 4]
    own = [one.id for one in tree.comments if one.topic == bus]
    edits: list[Edit] = [Pin(tuple(own)), Pin(tuple(own[3:]), False)]
    assert [quote.kind for quote in edited(tree, edits[:1], _COMMENTS).topic(bus).quotes] == [
        "medoid",
        *["pinned"] * 4,
    ]
    few = edited(tree, edits, _COMMENTS).topic(bus).quotes
    assert {quote.comment for quote in few if quote.kind == "pinned"} <= set(own[:3])
    assert len(few) == 5


def test_edits_are_kept_when_comments_join(tree: Clustering) -> None:
    water, bus = _topic_of(tree, "water"), _topic_of(tree, "bus")
    edits: list[Edit] = [Merge((bus, water)), Move(("k9",), OTHER), Split(_topic_of(tree, "school"), parts=2)]
    before = edited(tree, edits, _COMMENTS)
    joining, rows = _joining()
    after = edited(place(tree, _COMMENTS, joining, rows), edits, [*_COMMENTS, *joining])
    assert after.by_id["n1"].topic == bus
    assert {one.id: one.topic for one in before.comments}.items() <= {
        one.id: one.topic for one in after.comments
    }.items()
    with pytest.raises(ClusteringError, match="made by an edit"):
        place(before, _COMMENTS, joining, rows)


@pytest.mark.parametrize(
    "edit",
    [
        Rename("t99", "x"),
        Rename("t1", "  "),
        Merge(("t1",)),
        Merge(("t1", "t1")),
        Merge(("t1", "t2.1")),
        Split("t1", parts=1),
        Split("t1", parts=500),
        Split("t1", comments=("nobody",)),
        Move(("nobody",), "t1"),
        Move((), "t1"),
        Pin(("nobody",)),
    ],
)
def test_edits_that_cannot_be_say_which_and_why(tree: Clustering, edit: Edit) -> None:
    with pytest.raises(ClusteringError, match="edit 1 of 1"):
        edited(tree, [edit], _COMMENTS)


def test_edits_are_plain_data() -> None:
    for edit in (Rename("t1", "س"), Merge(("t1", "t2")), Split("t1", 2), Move(("a",), "t1"), Pin(("a",), False)):
        assert edit_from_dict(edit_to_dict(edit)) == edit
    assert edit_from_dict({"edit": "split", "topic": "t1"}) == Split("t1")
    for fault in ({"edit": "explode"}, {"edit": "rename", "topic": "t1"}, {}):
        with pytest.raises(ClusteringError):
            edit_from_dict(fault)


def test_groups_differ_where_they_do_and_small_ones_are_called_small() -> None:
    comments = [
        replace(comment, attributes={"region": "coast" if subject == "water" and number % 2 else "hills"})
        for number, (comment, subject) in enumerate(zip(_COMMENTS, _SUBJECTS, strict=True))
    ]
    comments[0] = replace(comments[0], attributes={"region": "island"})
    comments[1] = replace(comments[1], attributes={})
    tree = Clusterer(ClusterOptions(bootstrap=0, subtopics=0)).cluster(comments, _ROWS)
    found = compare(tree, "region")
    assert [group.group for group in found.groups] == ["hills", "coast", "", "island"]
    assert [group.too_small for group in found.groups] == [False, False, True, True]
    water = found.topics[_topic_of(tree, "water")]
    assert water[1].share > 0.9
    assert water[1].differs
    assert not water[3].differs
    for row in found.topics.values():
        assert all(one.low <= one.share <= one.high for one in row)
    assert sum(one.size.voices for row in found.topics.values() for one in row) == len(comments)
    assert attributes_of(tree)["region"]["island"] == 1


def test_comparison_by_chance_finds_nothing(tree: Clustering) -> None:
    assert not any(one.differs for row in compare(tree, "region").topics.values() for one in row)
    with pytest.raises(ClusteringError, match="age"):
        compare(tree, "age")


def test_wilson_interval() -> None:
    assert wilson(5, 10) == (0.2366, 0.7634)
    assert wilson(0, 0) == (0.0, 1.0)
