"""Groups of people side by side inside one tree: who speaks of what, and where the difference is more than chance."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from math import erfc, sqrt

from models.clustering.records import OTHER, Clustering, Comparison, Group, GroupShare, PlacedComment, Size
from nlp.errors import ClusteringError

_LEVEL = 0.05
_MOST_GROUPS = 50


def attributes_of(tree: Clustering) -> dict[str, dict[str, int]]:
    """How many voices have each value of each attribute, by attribute; values with most voices first."""
    found: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for comment in tree.comments:
        for name, value in comment.attributes.items():
            found[name][value] += 1
    return {name: dict(sorted(values.items(), key=lambda pair: (-pair[1], pair[0]))) for name, values in found.items()}


def compare(tree: Clustering, attribute: str, *, least: int = 30, subtopics: bool = False) -> Comparison:
    """Compare the groups of an attribute.

    Shares are of voices; each comes with its Wilson interval and a two-sided test of two proportions against all other
    voices, Holm-corrected over all topics and groups that are large enough.

    Args:
        tree: with attributes on its comments.
        attribute: name.
        least: voices below which a group is called too small; it is shown, and not tested.
        subtopics: also compare sub-topics.

    Raises:
        ClusteringError: no comment has the attribute, or it has too many values to compare.
    """
    known = attributes_of(tree)
    if attribute not in known:
        raise ClusteringError(
            f"no comment has the attribute {attribute!r}", expected="one of " + (", ".join(known) or "none")
        )
    if len(known[attribute]) > _MOST_GROUPS:
        raise ClusteringError(
            f"{attribute!r} has {len(known[attribute])} values",
            expected=f"at most {_MOST_GROUPS}",
            remedy="put its values into classes first",
        )
    by_group: dict[str, list[PlacedComment]] = defaultdict(list)
    for comment in tree.comments:
        by_group[comment.attributes.get(attribute, "")].append(comment)
    groups = [Group(name, _size(members), len(members) < least) for name, members in by_group.items()]
    groups.sort(key=lambda group: (-group.size.voices, group.group))
    names = [topic.id for topic in tree.walk() if subtopics or topic.id == OTHER or topic in tree.topics]
    shares: dict[str, tuple[GroupShare, ...]] = {}
    chances: list[tuple[float, str, int]] = []
    total = len(tree.comments)
    for name in names:
        row = []
        speaking = sum(name in (one.topic, one.subtopic) for one in tree.comments)
        for number, group in enumerate(groups):
            inside = [one for one in by_group[group.group] if name in (one.topic, one.subtopic)]
            own, others = group.size.voices, total - group.size.voices
            low, high = wilson(len(inside), own)
            share = len(inside) / own
            elsewhere = (speaking - len(inside)) / others if others else share
            row.append(
                GroupShare(group.group, _size(inside), round(share, 4), low, high, round(share - elsewhere, 4), False)
            )
            if others and not group.too_small:
                chances.append((_chance(share, own, elsewhere, others), name, number))
        shares[name] = tuple(row)
    for name, number in _beyond_chance(chances):
        row = list(shares[name])
        row[number] = replace(row[number], differs=True)
        shares[name] = tuple(row)
    return Comparison(attribute, tuple(groups), shares, least)


def wilson(part: int, whole: int) -> tuple[float, float]:
    """The 95% interval of a share (Wilson 1927), rounded to four places."""
    if not whole:
        return 0.0, 1.0
    z = 1.96
    share = part / whole
    middle = (share + z * z / (2 * whole)) / (1 + z * z / whole)
    half = z / (1 + z * z / whole) * sqrt(share * (1 - share) / whole + z * z / (4 * whole * whole))
    return round(max(0.0, middle - half), 4), round(min(1.0, middle + half), 4)


def _size(members: list[PlacedComment]) -> Size:
    return Size(len(members), len({one.argument for one in members}))


def _chance(share: float, own: int, elsewhere: float, others: int) -> float:
    pooled = (share * own + elsewhere * others) / (own + others)
    spread = sqrt(pooled * (1 - pooled) * (1 / own + 1 / others))
    return erfc(abs(share - elsewhere) / spread / sqrt(2)) if spread else 1.0


def _beyond_chance(chances: list[tuple[float, str, int]]) -> list[tuple[str, int]]:
    """Holm's step-down procedure."""
    found = []
    for rank, (chance, name, number) in enumerate(sorted(chances)):
        if chance > _LEVEL / (len(chances) - rank):
            break
        found.append((name, number))
    return found
