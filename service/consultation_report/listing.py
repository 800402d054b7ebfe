"""The comments that travel inside the report: all of them, or an even sample with every minority view in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.clustering.records import Clustering, PlacedComment

MOST_COMMENTS = 10_000
# Characters of one text and of all texts: a report is a file that people e-mail.
LONGEST_TEXT = 2_000
MOST_CHARACTERS = 4_000_000
# A column with more values than this, or whose values come less than twice, tells persons apart, not groups.
MOST_VALUES = 60
# The map is drawn on a grid of so many steps a side.
_GRID = 10_000


@dataclass(frozen=True, slots=True)
class Attribute:
    """A column by which comments may be filtered.

    Attributes:
        name: of the column.
        values: most frequent first.
    """

    name: str
    values: tuple[str, ...]


def shown_comments(clustering: Clustering, texts: Mapping[str, str], most: int) -> tuple[PlacedComment, ...]:
    """The comments for the list and the map, in the order given.

    Too many are thinned evenly over topics and sub-topics; quotes, minority views and the texts of campaigns stay.

    Args:
        clustering: the tree.
        texts: by id of comment.
        most: comments at most.
    """
    comments = clustering.comments
    characters = sum(min(len(texts.get(comment.id, "")), LONGEST_TEXT) for comment in comments)
    if characters > MOST_CHARACTERS:
        most = min(most, len(comments) * MOST_CHARACTERS // characters)
    if len(comments) <= most:
        return comments
    kept = _spoken_for(clustering)
    first = [place for place, comment in enumerate(comments) if comment.id in kept][:most]
    taken = set(first)
    rest = [place for place in range(len(comments)) if place not in taken]
    rest.sort(key=lambda place: (comments[place].topic, comments[place].subtopic or "", place))
    room = most - len(first)
    thinned = [rest[step * len(rest) // room] for step in range(room)]
    return tuple(comments[place] for place in sorted([*first, *thinned]))


def filterable(comments: Sequence[PlacedComment]) -> tuple[Attribute, ...]:
    """The attributes that part the comments into groups, in the order in which they come."""
    values: dict[str, Counter[str]] = {}
    for comment in comments:
        for name, value in comment.attributes.items():
            if value:
                values.setdefault(name, Counter())[value] += 1
    return tuple(
        Attribute(name, tuple(value for value, _ in counts.most_common()))
        for name, counts in values.items()
        if len(counts) <= min(MOST_VALUES, counts.total() / 2)
    )


def columns(
    clustering: Clustering,
    shown: Sequence[PlacedComment],
    attributes: Sequence[Attribute],
    texts: Mapping[str, str],
    flags: Mapping[str, Collection[str]],
) -> dict[str, Any]:
    """The comments by column, for the script of the page.

    Places in the lists of topics, minorities, campaigns and attribute values stand for them; -1 for none.
    """
    topics = {topic.id: place for place, topic in enumerate(clustering.walk())}
    minorities = {minority.id: place for place, minority in enumerate(clustering.minorities)}
    campaigns = {campaign.id: place for place, campaign in enumerate(clustering.campaigns)}
    arguments: dict[str, int] = {}
    behind = Counter(comment.argument for comment in clustering.comments)
    values = [{value: place for place, value in enumerate(attribute.values)} for attribute in attributes]
    whole = [texts.get(comment.id, "") for comment in shown]
    return {
        "id": [comment.id for comment in shown],
        "text": [text[:LONGEST_TEXT] for text in whole],
        "cut": [place for place, text in enumerate(whole) if len(text) > LONGEST_TEXT],
        "topic": [topics.get(comment.topic, -1) for comment in shown],
        "subtopic": [topics.get(comment.subtopic or "", -1) for comment in shown],
        "minority": [minorities.get(comment.minority or "", -1) for comment in shown],
        "campaign": [campaigns.get(comment.campaign or "", -1) for comment in shown],
        "argument": [arguments.setdefault(comment.argument, len(arguments)) for comment in shown],
        "behind": [behind[comment.argument] for comment in shown],
        "marks": [_marks(comment, flags.get(comment.id, ())) for comment in shown],
        "attributes": [
            [places.get(comment.attributes.get(attribute.name, ""), -1) for comment in shown]
            for attribute, places in zip(attributes, values, strict=True)
        ],
        **_positions(clustering, shown),
    }


def _spoken_for(clustering: Clustering) -> set[str]:
    kept = {comment for minority in clustering.minorities for comment in minority.comments}
    kept.update(campaign.comment for campaign in clustering.campaigns)
    quotes = [quote for topic in clustering.walk() for quote in topic.quotes]
    quotes += [quote for minority in clustering.minorities for quote in minority.quotes]
    quotes += [quote for preset in clustering.presets for quote in preset.quotes]
    return kept.union(quote.comment for quote in quotes)


def _marks(comment: PlacedComment, flags: Collection[str]) -> str:
    """A letter for each: joined, pinned, wordless, insult, spam."""
    known = {"j": comment.joined, "p": comment.pinned, "w": comment.wordless, "i": "insult" in flags}
    return "".join(letter for letter, holds in {**known, "s": "spam" in flags}.items() if holds)


def _positions(clustering: Clustering, shown: Sequence[PlacedComment]) -> dict[str, Any]:
    """Whole numbers for the places on the map, both axes on one scale, the upper end of y last."""
    drawn = [comment for comment in clustering.comments if not comment.wordless]
    if not drawn:
        return {"x": [], "y": [], "centres": [], "extent": [0, 0]}
    left, low = min(comment.x for comment in drawn), min(comment.y for comment in drawn)
    width = max(comment.x for comment in drawn) - left
    height = max(comment.y for comment in drawn) - low
    scale = _GRID / (max(width, height) or 1.0)

    def place(x: float, y: float) -> tuple[int, int]:
        return round((x - left) * scale), round((y - low) * scale)

    points = [place(comment.x, comment.y) for comment in shown]
    return {
        "x": [x for x, _ in points],
        "y": [y for _, y in points],
        "centres": [place(topic.x, topic.y) for topic in clustering.topics],
        "extent": place(left + width, low + height),
    }
