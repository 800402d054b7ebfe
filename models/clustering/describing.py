"""From places to a readable tree: counts, phrases, titles, quotes and profiles of every group.

Making a tree, placing new comments in it and editing it all end here, so that they never disagree on a count.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from models.clustering.phrases import PhraseCounts, count_phrases, key_phrases, title_of
from models.clustering.profiles import Tags, theme_of
from models.clustering.quotes import choose_quotes
from models.clustering.reading import Words
from models.clustering.records import (
    OTHER,
    Campaign,
    Clustering,
    Comment,
    Minority,
    Phrase,
    PlacedComment,
    Preset,
    PresetTopic,
    Quote,
    Size,
    Stability,
    Topic,
)
from models.clustering.topics import Numbers, centres_of
from models.heads import Floats

# So many voices make copies of one text a campaign.
LEAST_CAMPAIGN = 3
UNMEASURED = Stability(None, 0, False)
_OTHER_TITLE = "آراء أخرى"


@dataclass(frozen=True)
class Node:
    """A topic or sub-topic before it is described.

    Attributes:
        id: of the topic.
        parent: id of the topic above a sub-topic.
        title: given by an edit; chosen if empty.
        made_by: ``found``, or the kind of edit.
        stability: by bootstrap.
    """

    id: str
    parent: str | None = None
    title: str = ""
    made_by: str = "found"
    stability: Stability = UNMEASURED


@dataclass(frozen=True)
class Material:
    """All that descriptions are drawn from; comments and arguments are numbered from 0.

    Attributes:
        comments: texts and attributes.
        owner: argument of each comment.
        speaker: comment that stands for each argument.
        words: of each argument.
        vectors: of each argument, of length 1, shape ``(arguments, dimensions)``; zeros where it has no words.
        similarity: words that each comment has in common with its argument's speaker.
        exact: the comment is its speaker word for word.
        tags: of the comments.
        quotes: wanted a group.
        phrases: wanted a group.
        chosen: ids of the comments that a person wants as quotes.
    """

    comments: Sequence[Comment]
    owner: Numbers
    speaker: Numbers
    words: Sequence[Words]
    vectors: Floats
    similarity: np.ndarray[tuple[int], np.dtype[np.float64]]
    exact: np.ndarray[tuple[int], np.dtype[np.bool_]]
    tags: Tags
    quotes: int
    phrases: int
    chosen: Collection[str] = ()

    @cached_property
    def voices(self) -> Numbers:
        """Comments of each argument."""
        found: Numbers = np.bincount(self.owner, minlength=len(self.speaker))
        return found

    @cached_property
    def counts(self) -> PhraseCounts:
        """Phrases of the arguments."""
        return count_phrases(self.words)

    @cached_property
    def lengths(self) -> Numbers:
        """Words of each argument."""
        return np.array([len(one.spoken) for one in self.words], np.int64)

    @cached_property
    def spoken(self) -> Numbers:
        """Arguments that have words."""
        return np.flatnonzero(self.lengths > 0)

    def arguments_of(self, members: Numbers) -> Numbers:
        """The arguments of some comments."""
        return np.unique(self.owner[members])

    def size(self, members: Numbers) -> Size:
        """Voices and arguments of some comments."""
        return Size(len(members), len(self.arguments_of(members)))

    def quote(self, comment: int, kind: str) -> Quote:
        """One comment as a quote."""
        said = self.comments[comment]
        return Quote(said.id, said.text, kind, int(self.voices[self.owner[comment]]))

    def quotes_of(self, members: Numbers, pinned: Sequence[int] = ()) -> tuple[Quote, ...]:
        """Quotes of some comments, one an argument: the medoid, then those that a person chose, then diverse ones."""
        arguments = np.intersect1d(self.arguments_of(members), self.spoken)
        inside = set(members.tolist())
        speakers = []
        for argument in choose_quotes(self.vectors, arguments, self.lengths, self.quotes):
            own = int(self.speaker[argument])
            # A voice that an edit moved away does not speak for those who stayed.
            speakers.append(own if own in inside else int(members[self.owner[members] == argument][0]))
        found: dict[int, Quote] = {}
        kinds = (("medoid", speakers[:1]), ("pinned", pinned), ("diverse", speakers[1:]))
        for kind, comments in kinds:
            for comment in comments:
                if len(found) < self.quotes:
                    found.setdefault(int(self.owner[comment]), self.quote(comment, kind))
        return tuple(found.values())


def describe_anew(
    tree: Clustering, material: Material, nodes: Sequence[Node], places: Sequence[PlacedComment]
) -> Clustering:
    """A tree whose comments have moved, or become more; its drift and notes stay as they were.

    Args:
        tree: gives the distances of minorities, the presets, and all else that does not follow from places.
        material: what the tree is drawn from now.
        nodes: its topics and sub-topics now.
        places: where each comment lies now.
    """
    topics, other = describe_topics(material, nodes, places)
    known = {one.id: (one.distance, one.strength) for one in tree.minorities}
    return replace(
        tree,
        size=Size(len(places), len(material.speaker)),
        topics=topics,
        other=other,
        minorities=describe_minorities(material, known, places),
        campaigns=describe_campaigns(material, places),
        presets=describe_presets(material, [one.preset for one in tree.presets], places),
        comments=tuple(places),
        wordless=sum(one.wordless for one in places),
    )


def describe_topics(
    material: Material, nodes: Sequence[Node], places: Sequence[PlacedComment]
) -> tuple[tuple[Topic, ...], Topic]:
    """Describe topics with their sub-topics, largest first, and the rest.

    Args:
        material: what they are drawn from.
        nodes: topics and sub-topics, in any order; those without comments are left out.
        places: where each comment lies, in the order of the material.
    """
    members = _members(places)
    top = [node for node in nodes if node.parent is None and node.id in members]
    inner = {node.id: [one for one in nodes if one.parent == node.id and one.id in members] for node in top}
    rest = members.get(OTHER, np.zeros(0, np.int64))
    groups = [np.intersect1d(material.arguments_of(members[node.id]), material.spoken) for node in top]
    left = np.intersect1d(material.arguments_of(rest), material.spoken)
    phrases = key_phrases(material.counts, [*groups, left], material.voices, material.phrases)
    topics = []
    for node, said in zip(top, phrases, strict=False):
        parts = inner[node.id]
        part_groups = [np.intersect1d(material.arguments_of(members[one.id]), material.spoken) for one in parts]
        part_phrases = key_phrases(material.counts, part_groups, material.voices, material.phrases)
        subtopics = [
            _describe(material, one, members[one.id], words, places, said)
            for one, words in zip(parts, part_phrases, strict=True)
        ]
        topics.append(
            replace(_describe(material, node, members[node.id], said, places), subtopics=_largest_first(subtopics))
        )
    other = _describe(material, Node(OTHER, title=_OTHER_TITLE), rest, phrases[-1], places)
    return _largest_first(_told_apart(topics)), replace(other, title_from="fixed", theme=None)


def _members(places: Sequence[PlacedComment]) -> dict[str, Numbers]:
    found: dict[str, list[int]] = defaultdict(list)
    for number, place in enumerate(places):
        found[place.topic].append(number)
        if place.subtopic is not None:
            found[place.subtopic].append(number)
    return {topic: np.array(numbers, np.int64) for topic, numbers in found.items()}


def _largest_first(topics: Sequence[Topic]) -> tuple[Topic, ...]:
    return tuple(sorted(topics, key=lambda topic: (-topic.size.arguments, -topic.size.voices, topic.id)))


def _told_apart(topics: Sequence[Topic]) -> list[Topic]:
    """A theme that several topics share tells nothing apart: it leaves their titles."""
    themes = [topic.theme for topic in topics]
    return [
        replace(
            topic, title=title_of(topic.phrases, topic.quotes[0].text if topic.quotes else ""), title_from="phrases"
        )
        if topic.title_from == "taxonomy" and themes.count(topic.theme) > 1
        else topic
        for topic in topics
    ]


def _describe(
    material: Material,
    node: Node,
    members: Numbers,
    phrases: tuple[Phrase, ...],
    places: Sequence[PlacedComment],
    above: Sequence[Phrase] = (),
) -> Topic:
    arguments = np.intersect1d(material.arguments_of(members), material.spoken)
    vectors = material.vectors[arguments]
    centre = centres_of(vectors, np.zeros(len(arguments), np.int64), 1)[0]
    profile = material.tags.profile(members)
    theme = theme_of(profile)
    pinned = [number for number in members.tolist() if material.comments[number].id in material.chosen]
    quotes = material.quotes_of(members, pinned)
    head = theme[1] if theme is not None and node.parent is None else ""
    size = material.size(members)
    on_map = np.array([(places[number].x, places[number].y) for number in members.tolist()]).reshape(-1, 2)
    x, y = np.median(on_map, axis=0).round(4).tolist() if len(on_map) else (0.0, 0.0)
    return Topic(
        id=node.id,
        title=node.title or title_of(phrases, quotes[0].text if quotes else "", head, above),
        title_from="edit" if node.title else "taxonomy" if head else "phrases",
        theme=None if theme is None else theme[0],
        phrases=phrases,
        quotes=quotes,
        size=size,
        share=_share(size.voices, len(places)),
        argument_share=_share(size.arguments, len(material.speaker)),
        cohesion=round(float((vectors @ centre).mean()), 4) if len(arguments) else 0.0,
        stability=node.stability,
        profile=profile,
        x=x,
        y=y,
        campaigns=_named(places, members, "campaign"),
        minorities=_named(places, members, "minority"),
        made_by=node.made_by,
    )


def _named(places: Sequence[PlacedComment], members: Numbers, name: str) -> tuple[str, ...]:
    found = {getattr(places[number], name) for number in members.tolist()} - {None}
    return tuple(sorted(found, key=lambda one: (len(one), one)))


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0


def name_campaigns(material: Material) -> dict[int, str]:
    """Ids of the campaigns by argument, largest first."""
    large = [int(one) for one in material.spoken if material.voices[one] >= LEAST_CAMPAIGN]
    large.sort(key=lambda one: (-material.voices[one], material.comments[int(material.speaker[one])].id))
    return {argument: f"c{number}" for number, argument in enumerate(large, start=1)}


def describe_campaigns(material: Material, places: Sequence[PlacedComment]) -> tuple[Campaign, ...]:
    """Describe the campaigns that comments name, largest first."""
    members: dict[str, list[int]] = defaultdict(list)
    for number, place in enumerate(places):
        if place.campaign is not None:
            members[place.campaign].append(number)
    found = []
    for campaign, numbers in members.items():
        speaker = int(material.speaker[material.owner[numbers[0]]])
        topics = [places[number].topic for number in numbers]
        found.append(
            Campaign(
                id=campaign,
                kind="exact" if bool(material.exact[numbers].all()) else "edited",
                topic=max(sorted(set(topics)), key=topics.count),
                comment=material.comments[speaker].id,
                text=material.comments[speaker].text,
                size=Size(len(numbers), 1),
                share=_share(len(numbers), len(places)),
                similarity=round(float(material.similarity[numbers].mean()), 4),
                comments=tuple(material.comments[number].id for number in numbers),
            )
        )
    return tuple(sorted(found, key=lambda one: (-one.size.voices, len(one.id), one.id)))


def describe_minorities(
    material: Material, known: Mapping[str, tuple[float, float]], places: Sequence[PlacedComment]
) -> tuple[Minority, ...]:
    """Describe the minorities that comments name, in the order of ``known``.

    Args:
        material: what they are drawn from.
        known: distance and strength by id.
        places: where each comment lies.
    """
    members = {
        one: np.array([number for number, place in enumerate(places) if place.minority == one], np.int64)
        for one in known
    }
    alive = [one for one in known if len(members[one])]
    groups = [np.intersect1d(material.arguments_of(members[one]), material.spoken) for one in alive]
    everyone = np.setdiff1d(material.spoken, np.concatenate(groups)) if groups else material.spoken
    phrases = key_phrases(material.counts, [*groups, everyone], material.voices, material.phrases)
    found = []
    for one, said in zip(alive, phrases, strict=False):
        topics = [places[number].topic for number in members[one].tolist()]
        quotes = material.quotes_of(members[one])
        on_map = np.array([(places[number].x, places[number].y) for number in members[one].tolist()])
        x, y = np.median(on_map, axis=0).round(4).tolist()
        vectors = material.vectors[np.intersect1d(material.arguments_of(members[one]), material.spoken)]
        centre = centres_of(vectors, np.zeros(len(vectors), np.int64), 1)[0]
        found.append(
            Minority(
                id=one,
                topic=max(sorted(set(topics)), key=topics.count),
                title=title_of(said, quotes[0].text if quotes else ""),
                phrases=said,
                quotes=quotes,
                size=material.size(members[one]),
                share=_share(len(members[one]), len(places)),
                distance=known[one][0],
                cohesion=round(float((vectors @ centre).mean()), 4),
                comments=tuple(material.comments[number].id for number in members[one].tolist()),
                x=x,
                y=y,
                strength=known[one][1],
            )
        )
    return tuple(found)


def describe_presets(
    material: Material, presets: Sequence[Preset], places: Sequence[PlacedComment]
) -> tuple[PresetTopic, ...]:
    """Describe the given topics, in their order."""
    found = []
    for preset in presets:
        members = np.array([number for number, place in enumerate(places) if preset.id in place.presets], np.int64)
        topics = [places[number].topic for number in members.tolist()]
        found.append(
            PresetTopic(
                preset,
                material.size(members),
                _share(len(members), len(places)),
                material.quotes_of(members),
                {topic: topics.count(topic) for topic in sorted(set(topics))},
            )
        )
    return tuple(found)
