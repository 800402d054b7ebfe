"""What clustering reads and what it gives: one frozen tree that crosses rooms, files and versions as plain JSON.

    Clustering
    ├── topics: Topic ── subtopics: Topic        the tree; each with phrases, quotes, counts, stability, profile
    ├── other: Topic                             the honest rest
    ├── minorities: Minority                     small, far, coherent groups
    ├── campaigns: Campaign                      the same words sent by many
    ├── presets: PresetTopic                     topics that were given, beside those that were found
    ├── comments: PlacedComment                  where every comment lies
    ├── method, notes, drift                     how, with which limits
    └── state: Array                             what placing, splitting and describing need later

**Voices** are comments; **arguments** are comments after near-duplicates are counted once.

Ids: ``t1`` a topic, ``t1.2`` its second sub-topic, ``other`` the rest, ``m1`` a minority, ``c1`` a campaign. Ids never
change when comments join or edits are made; a topic made by an edit gets a new id.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.clustering.plain import from_plain, to_plain
from nlp.errors import ClusteringError

FORMAT = 1
OTHER = "other"


@dataclass(frozen=True, slots=True)
class Comment:
    """One voice of a consultation.

    Attributes:
        id: unique in its consultation.
        text: as it may be shown: personal data is masked before.
        attributes: what is known of who speaks (``region``, ``age`` ...), by name.
    """

    id: str
    text: str
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Size:
    """How much stands behind something.

    Attributes:
        voices: comments.
        arguments: comments, near-duplicates counted once.
    """

    voices: int
    arguments: int


@dataclass(frozen=True, slots=True)
class Phrase:
    """A key phrase, in the form in which people wrote it most.

    Attributes:
        text: readable words.
        weight: class-based TF-IDF in ``[0, 1]``, 1 for the strongest of the topic.
        voices: comments of the topic that hold it, in any form.
    """

    text: str
    weight: float
    voices: int


@dataclass(frozen=True, slots=True)
class Quote:
    """A comment that speaks for its group.

    Attributes:
        comment: its id.
        text: its text, whole.
        kind: ``medoid`` (the most central), ``pinned`` (by a person) or ``diverse`` (close, unlike those before it).
        voices: how many comments say the same in nearly the same words, itself included.
    """

    comment: str
    text: str
    kind: str
    voices: int


@dataclass(frozen=True, slots=True)
class Stability:
    """How far a group comes back when the comments are drawn again.

    Attributes:
        score: mean Jaccard overlap with the best match in each bootstrap run, in ``[0, 1]``; ``None`` if not measured.
        runs: bootstrap runs.
        low: the score is below what may be reported without a caution, or the group is too small to say.
    """

    score: float | None
    runs: int
    low: bool


@dataclass(frozen=True, slots=True)
class LabelCount:
    """A label of the taxonomy inside a group.

    Attributes:
        id: of the label, in its level.
        title: by language (``ar``, ``en``).
        size: voices and arguments that carry it.
        share: of the group's voices, in ``[0, 1]``.
        lift: share in the group over share in all comments; 1 where it is as frequent as everywhere.
    """

    id: str
    title: Mapping[str, str]
    size: Size
    share: float
    lift: float


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic, a sub-topic, or the rest.

    Attributes:
        id: ``t1``, ``t1.2`` or ``other``.
        title: one readable line.
        title_from: ``phrases``, ``taxonomy``, ``edit`` or ``fixed`` (of the rest).
        theme: ``level/id`` of the label that most of its comments carry, if there is one.
        phrases: strongest first.
        quotes: medoid first.
        size: of all its comments, sub-topics included.
        share: of all voices, in ``[0, 1]``.
        argument_share: of all arguments, in ``[0, 1]``.
        cohesion: mean cosine of its arguments with its centre, in ``[-1, 1]``.
        stability: by bootstrap.
        profile: labels by level of the taxonomy (``goals``, ``technologies`` ...), most frequent first.
        x: of its centre on the map.
        y: of its centre on the map.
        subtopics: largest first; none if it does not fall apart.
        campaigns: ids of the campaigns in it.
        minorities: ids of the minorities in it.
        made_by: ``found``, or the kind of edit that made it.
    """

    id: str
    title: str
    title_from: str
    theme: str | None
    phrases: tuple[Phrase, ...]
    quotes: tuple[Quote, ...]
    size: Size
    share: float
    argument_share: float
    cohesion: float
    stability: Stability
    profile: Mapping[str, tuple[LabelCount, ...]]
    x: float
    y: float
    subtopics: tuple[Topic, ...] = ()
    campaigns: tuple[str, ...] = ()
    minorities: tuple[str, ...] = ()
    made_by: str = "found"


@dataclass(frozen=True, slots=True)
class Minority:
    """A small group that says something of its own, far from what most say.

    Attributes:
        id: ``m1`` ...
        topic: where its comments are counted: id of a topic, or ``other``.
        title: one readable line.
        phrases: strongest first.
        quotes: medoid first.
        size: voices and arguments.
        share: of all voices.
        distance: from the nearest topic's centre, 1 - cosine.
        cohesion: mean cosine of its arguments with its centre.
        comments: ids.
        x: of its centre on the map.
        y: of its centre on the map.
        strength: by which it is listed, in ``[0, 1]``: how far its members lie among themselves, how far its words are
            its own, and half its distance, multiplied. It compares groups of one tree; 0 in trees made without it.
    """

    id: str
    topic: str
    title: str
    phrases: tuple[Phrase, ...]
    quotes: tuple[Quote, ...]
    size: Size
    share: float
    distance: float
    cohesion: float
    comments: tuple[str, ...]
    x: float
    y: float
    strength: float = 0.0


@dataclass(frozen=True, slots=True)
class Campaign:
    """The same text sent by several, word for word or lightly edited; one argument.

    Attributes:
        id: ``c1`` ...
        kind: ``exact`` if all are equal but for spelling and punctuation, else ``edited``.
        topic: of most of its comments.
        comment: id of the one that stands for all.
        text: of that one.
        size: its voices; one argument.
        share: of all voices.
        similarity: the mean share of words that its comments have in common with the one that stands for all.
        comments: ids.
    """

    id: str
    kind: str
    topic: str
    comment: str
    text: str
    size: Size
    share: float
    similarity: float
    comments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Preset:
    """A topic that the caller names.

    Attributes:
        id: chosen by the caller.
        title: one line.
        labels: labels that bring a comment in, ``level/id`` (``goals/6``); any of them is enough.
        words: words or phrases that bring a comment in, compared folded and stemmed, numbers as they are; any of them
            is enough.
    """

    id: str
    title: str
    labels: tuple[str, ...] = ()
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PresetTopic:
    """A given topic with the comments that fall in it; comments may fall in several, or in none.

    Attributes:
        preset: as given.
        size: voices and arguments.
        share: of all voices.
        quotes: medoid first.
        topics: how many of its voices lie in each topic that was found (and in ``other``), by topic id.
    """

    preset: Preset
    size: Size
    share: float
    quotes: tuple[Quote, ...]
    topics: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Membership:
    """How far a comment belongs to a topic.

    Attributes:
        topic: id of a topic of the first level.
        weight: in ``[0, 1]``; those of one comment sum to at most 1.
    """

    topic: str
    weight: float


@dataclass(frozen=True, slots=True)
class PlacedComment:
    """Where one comment lies.

    Attributes:
        id: of the comment.
        topic: id of its topic, or ``other``.
        subtopic: id of its sub-topic, if its topic has any.
        memberships: its strongest topics, strongest first; empty for a comment without words.
        fit: cosine with the centre of its topic, in ``[-1, 1]``; 0 for a comment without words.
        x: on the map.
        y: on the map.
        argument: id of the comment that stands for its argument; its own if nobody else says the same.
        campaign: id of its campaign.
        minority: id of its minority.
        presets: ids of the given topics that it falls in.
        attributes: as given.
        wordless: there is nothing in it to group by: it is empty, or signs and emoji alone.
        joined: it came after the tree was made.
        pinned: an edit holds it where it is.
    """

    id: str
    topic: str
    subtopic: str | None
    memberships: tuple[Membership, ...]
    fit: float
    x: float
    y: float
    argument: str
    campaign: str | None = None
    minority: str | None = None
    presets: tuple[str, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)
    wordless: bool = False
    joined: bool = False
    pinned: bool = False


@dataclass(frozen=True, slots=True)
class Note:
    """Something that the reader of a result must know.

    Attributes:
        code: stable, e.g. ``small_sample``.
        about: id of the topic it is about, or empty for the whole.
        ar: one Arabic sentence.
        en: the same in English.
    """

    code: str
    about: str
    ar: str
    en: str


@dataclass(frozen=True, slots=True)
class Drift:
    """How well the comments that joined fit the tree.

    Attributes:
        size: of what joined.
        unfit: share of the joined arguments that fit no topic.
        unfit_before: the same share when the tree was made.
        fit: mean cosine of the joined arguments with the centre of their topic.
        fit_before: the same when the tree was made.
        drifted: the tree should be made again.
        comments: ids of the joined comments that fit worst, at most 20.
    """

    size: Size
    unfit: float
    unfit_before: float
    fit: float
    fit_before: float
    drifted: bool
    comments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Method:
    """How the tree was made.

    Attributes:
        name: of the recipe, with its version.
        model: name and version of the model that made the embeddings; empty if not told.
        seed: of everything random.
        options: as the caller gave them, defaults filled in.
        measures: what was found on the way: dimensions kept, neighbours, number of topics tried ...
    """

    name: str
    model: str
    seed: int
    options: Mapping[str, Any]
    measures: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Array:
    """An array as text.

    Attributes:
        dtype: as numpy names it, little-endian.
        shape: of the array.
        data: its bytes in base64.
    """

    dtype: str
    shape: tuple[int, ...]
    data: str

    @classmethod
    def of(cls, array: NDArray[Any]) -> Array:
        """The record of an array."""
        plain = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        return cls(plain.dtype.str, plain.shape, base64.b64encode(plain.tobytes()).decode())

    def load(self) -> NDArray[Any]:
        """The array.

        Raises:
            ClusteringError: data, type and shape do not agree.
        """
        try:
            return np.frombuffer(base64.b64decode(self.data, validate=True), self.dtype).reshape(self.shape)
        except (ValueError, TypeError) as error:
            raise ClusteringError(
                f"an array of the tree cannot be read: {error}", remedy="make the tree again, or restore its file"
            ) from error


@dataclass(frozen=True)
class Clustering:
    """What people said: the result, whole.

    Attributes:
        size: of all comments.
        topics: of the first level, largest first by arguments.
        other: comments that fit no topic, and those without words.
        minorities: strongest first.
        campaigns: largest first.
        presets: in the order given.
        comments: in the order given, those that joined at the end.
        wordless: comments without words.
        method: how.
        notes: limits and warnings.
        drift: of all comments that joined; ``None`` while none has.
        state: arrays by name that placing, splitting and describing need later.
    """

    size: Size
    topics: tuple[Topic, ...]
    other: Topic
    minorities: tuple[Minority, ...]
    campaigns: tuple[Campaign, ...]
    presets: tuple[PresetTopic, ...]
    comments: tuple[PlacedComment, ...]
    wordless: int
    method: Method
    notes: tuple[Note, ...]
    drift: Drift | None
    state: Mapping[str, Array]

    @cached_property
    def by_id(self) -> Mapping[str, PlacedComment]:
        """Comments by id."""
        return {comment.id: comment for comment in self.comments}

    def walk(self) -> Iterator[Topic]:
        """Every topic with its sub-topics after it, then the rest."""
        for topic in self.topics:
            yield topic
            yield from topic.subtopics
        yield self.other

    def topic(self, topic_id: str) -> Topic:
        """The topic, sub-topic or rest with this id.

        Raises:
            ClusteringError: there is none.
        """
        for topic in self.walk():
            if topic.id == topic_id:
                return topic
        raise ClusteringError(
            f"there is no topic {topic_id!r}",
            expected="one of " + ", ".join(topic.id for topic in self.walk()),
        )

    def to_dict(self, *, state: bool = True) -> dict[str, Any]:
        """Plain data, ready for JSON.

        Args:
            state: also what only placing and splitting need; without it :meth:`from_dict` gives a tree to look at,
                not to work on.
        """
        data: dict[str, Any] = {"format": FORMAT, **to_plain(self)}
        if not state:
            data["state"] = {}
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Clustering:
        """The inverse of :meth:`to_dict`.

        Raises:
            ClusteringError: the data is not a tree, or of another format.
        """
        found = data.get("format") if isinstance(data, Mapping) else None
        if found != FORMAT:
            raise ClusteringError(
                f"a tree of format {found!r}", expected=f"format {FORMAT}", remedy="make the tree again"
            )
        return from_plain(cls, {key: value for key, value in data.items() if key != "format"})


@dataclass(frozen=True, slots=True)
class Rename:
    """Give a topic or sub-topic another title.

    Attributes:
        topic: its id.
        title: one line.
    """

    topic: str
    title: str


@dataclass(frozen=True, slots=True)
class Merge:
    """Make one topic of several; they must be siblings. The first keeps its id.

    Attributes:
        topics: ids, two or more; topics of the first level, or sub-topics of one topic.
        title: of the whole; chosen anew if empty.
    """

    topics: tuple[str, ...]
    title: str = ""


@dataclass(frozen=True, slots=True)
class Split:
    """Take a topic apart.

    Attributes:
        topic: id of a topic or sub-topic; its parts become its siblings. The largest part keeps the id.
        parts: how many; 0 to split along the sub-topics that it has.
        comments: ids to take out as the second part, instead of a number of parts.
    """

    topic: str
    parts: int = 0
    comments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Move:
    """Put comments into another topic; they are pinned there.

    Attributes:
        comments: ids.
        topic: id of a topic or sub-topic, or ``other``.
    """

    comments: tuple[str, ...]
    topic: str


@dataclass(frozen=True, slots=True)
class Pin:
    """Hold comments where they are, and show them as quotes of their topic, after its medoid.

    Attributes:
        comments: ids.
        pinned: ``False`` lets them go.
    """

    comments: tuple[str, ...]
    pinned: bool = True


Edit = Rename | Merge | Split | Move | Pin
_EDITS: Mapping[str, type[Any]] = {kind.__name__.lower(): kind for kind in (Rename, Merge, Split, Move, Pin)}


def edit_to_dict(edit: Edit) -> dict[str, Any]:
    """Plain data of an edit: ``{"edit": "rename", "topic": "t1", "title": "..."}``."""
    return {"edit": type(edit).__name__.lower(), **to_plain(edit)}


def edit_from_dict(data: Mapping[str, Any]) -> Edit:
    """The inverse of :func:`edit_to_dict`; what has a default may be left out.

    Raises:
        ClusteringError: the data is no edit.
    """
    kind = data.get("edit") if isinstance(data, Mapping) else None
    if not isinstance(kind, str) or kind not in _EDITS:
        raise ClusteringError(f"an edit of kind {kind!r}", expected="one of " + ", ".join(_EDITS))
    edit: Edit = from_plain(_EDITS[kind], {key: value for key, value in data.items() if key != "edit"})
    return edit


@dataclass(frozen=True, slots=True)
class GroupShare:
    """One group's part in one topic.

    Attributes:
        group: value of the attribute; empty for comments without it.
        size: of the group in the topic.
        share: of the group's voices that speak of the topic.
        low: lower end of the share's 95% interval (Wilson).
        high: its upper end.
        difference: share minus the share of all others.
        differs: the difference is more than chance explains (5%, Holm-corrected over the whole comparison).
    """

    group: str
    size: Size
    share: float
    low: float
    high: float
    difference: float
    differs: bool


@dataclass(frozen=True, slots=True)
class Group:
    """One value of an attribute.

    Attributes:
        group: the value; empty for comments without it.
        size: in all.
        too_small: shares of so few voices say little.
    """

    group: str
    size: Size
    too_small: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """Groups of people side by side inside one tree.

    Attributes:
        attribute: that parts them.
        groups: largest first.
        topics: shares by topic id, in the order of ``groups``; ``other`` included.
        least: voices below which a group is called too small.
    """

    attribute: str
    groups: tuple[Group, ...]
    topics: Mapping[str, tuple[GroupShare, ...]]
    least: int
