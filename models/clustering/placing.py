"""Places of comments in a tree, and new comments that join it without moving the old ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.clustering.checking import check_comments
from models.clustering.describing import (
    LEAST_CAMPAIGN,
    Material,
    Node,
    describe_anew,
)
from models.clustering.duplicates import common_words, find_arguments
from models.clustering.mapping import Map
from models.clustering.neighbours import NEIGHBOURS, Neighbours, nearest, smooth
from models.clustering.notes import notes_of
from models.clustering.presets import match_presets
from models.clustering.profiles import read_tags
from models.clustering.reading import read_words
from models.clustering.records import (
    OTHER,
    Array,
    Clustering,
    Comment,
    Drift,
    Membership,
    PlacedComment,
)
from models.clustering.topics import Numbers, centres_of, closest
from models.clustering.views import Views, unit
from models.heads import Floats
from nlp.errors import ClusteringError
from nlp.records import Classification
from nlp.taxonomy import Taxonomy

_SHOWN, _LEAST_WEIGHT, _SHARPNESS = 3, 0.05, 10.0
_WORST = 20
# A comment joins a minority if it lies nearly as near to its centre as its members do.
_NEAR_MINORITY = 0.1
# The tree no longer fits if so many more of the joined arguments fit nothing than of those it was made from.
_MORE_UNFIT, _FEWEST = 0.15, 20


@dataclass(frozen=True)
class Places:
    """Centres that place comments.

    Attributes:
        topics: ids of the topics.
        leaves: ids of the sub-topics, and of the topics that have none.
        topic_centres: of length 1, shape ``(topics, dimensions)``.
        leaf_centres: of length 1, shape ``(leaves, dimensions)``.
        smoothed: mean smoothed vector of each leaf, same shape.
        least_fit: cosine below which a comment fits nothing.
    """

    topics: tuple[str, ...]
    leaves: tuple[str, ...]
    topic_centres: Floats
    leaf_centres: Floats
    smoothed: Floats
    least_fit: float

    @classmethod
    def of(cls, vectors: Floats, smoothed: Floats, topic: Numbers, subtopic: Numbers, least_fit: float) -> Places:
        """Centres of the groups that were found; ids by number."""
        names = np.array([leaf_id(one, other) for one, other in zip(topic.tolist(), subtopic.tolist(), strict=True)])
        leaves = sorted({str(name) for name in names} - {OTHER}, key=_in_order)
        numbers = {name: number for number, name in enumerate(leaves)}
        leaf = np.array([numbers.get(str(name), -1) for name in names], np.int64)
        sums = np.zeros((len(leaves), vectors.shape[1]))
        np.add.at(sums, leaf[leaf >= 0], smoothed[leaf >= 0])
        counts = np.bincount(leaf[leaf >= 0], minlength=len(leaves))
        count = int(topic.max(initial=-1)) + 1
        return cls(
            tuple(f"t{number + 1}" for number in range(count)),
            tuple(leaves),
            centres_of(vectors, topic, count),
            centres_of(vectors, leaf, len(leaves)),
            (sums / np.maximum(counts, 1)[:, None]).astype(np.float32),
            least_fit,
        )

    def leaf_of(self, smoothed: Floats) -> list[str]:
        """Id of the nearest leaf of each smoothed vector."""
        return [self.leaves[number] for number in closest(smoothed, self.smoothed).tolist()]

    def fit(self, vectors: Floats, leaves: Sequence[str]) -> Floats:
        """Cosine of each vector with the nearer of its leaf's and its topic's centre."""
        inner = {name: number for number, name in enumerate(self.leaves)}
        outer = {name: number for number, name in enumerate(self.topics)}
        own = self.leaf_centres[[inner[name] for name in leaves]]
        above = self.topic_centres[[outer[topic_id(name)] for name in leaves]]
        found: Floats = np.maximum((vectors * own).sum(axis=1), (vectors * above).sum(axis=1))
        return found

    def memberships(self, vectors: Floats) -> list[tuple[Membership, ...]]:
        """How far each comment belongs to its strongest topics: a softmax over cosines."""
        cosines = vectors @ self.topic_centres.T
        weights = np.exp(_SHARPNESS * (cosines - cosines.max(axis=1, keepdims=True)))
        weights /= weights.sum(axis=1, keepdims=True)
        order = np.argsort(-weights, axis=1, kind="stable")[:, :_SHOWN]
        return [
            tuple(
                Membership(self.topics[number], round(float(row[number]), 4))
                for number in best
                if row[number] >= _LEAST_WEIGHT
            )
            for row, best in zip(weights, order.tolist(), strict=True)
        ]

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays that a tree keeps."""
        return {
            "places.topics": _letters(self.topics),
            "places.leaves": _letters(self.leaves),
            "places.topic_centres": self.topic_centres,
            "places.leaf_centres": self.leaf_centres,
            "places.smoothed": self.smoothed,
            "places.least_fit": np.array([self.least_fit]),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Places:
        """The inverse of :meth:`to_arrays`.

        Raises:
            KeyError: an array is missing.
        """
        return cls(
            tuple(arrays["places.topics"].tobytes().decode().split()),
            tuple(arrays["places.leaves"].tobytes().decode().split()),
            arrays["places.topic_centres"],
            arrays["places.leaf_centres"],
            arrays["places.smoothed"],
            float(arrays["places.least_fit"][0]),
        )


def leaf_id(topic: int, subtopic: int) -> str:
    """Id of the sub-topic, or of the topic that has none, or of the rest."""
    if topic < 0:
        return OTHER
    return f"t{topic + 1}" if subtopic < 0 else f"t{topic + 1}.{subtopic + 1}"


def topic_id(leaf: str) -> str:
    """Id of a leaf's topic."""
    return leaf.partition(".")[0]


def _in_order(name: str) -> tuple[int, ...]:
    return tuple(int(part) for part in name[1:].split("."))


def _letters(names: Sequence[str]) -> NDArray[np.uint8]:
    return np.frombuffer(" ".join(names).encode(), np.uint8)


def load_state(tree: Clustering) -> dict[str, NDArray[Any]]:
    """The arrays of a tree.

    Raises:
        ClusteringError: it was written without them.
    """
    if "vectors" not in tree.state:
        raise ClusteringError(
            "the tree was written without what placing and splitting need",
            expected="a tree with its state",
            remedy="load the whole tree, or make it again",
        )
    return {name: array.load() for name, array in tree.state.items()}


def gather(
    tree: Clustering,
    comments: Sequence[Comment],
    classifications: Mapping[str, Classification] | None,
    taxonomy: Taxonomy | None,
) -> Material:
    """What the descriptions of a finished tree are drawn from.

    Args:
        tree: as it is.
        comments: at least those of the tree, in any order.
        classifications: by comment id.
        taxonomy: for the titles of labels.

    Raises:
        ClusteringError: a comment of the tree is missing.
    """
    by_id = {comment.id: comment for comment in comments}
    missing = [place.id for place in tree.comments if place.id not in by_id]
    if missing:
        raise ClusteringError(
            f"{len(missing)} comments of the tree are missing, {missing[0]!r} among them",
            expected="the comments that the tree was made from",
        )
    ordered = [by_id[place.id] for place in tree.comments]
    speakers = [number for number, place in enumerate(tree.comments) if place.argument == place.id]
    row = {tree.comments[number].id: argument for argument, number in enumerate(speakers)}
    owner = np.array([row[place.argument] for place in tree.comments], np.int64)
    speaker = np.array(speakers, np.int64)
    words = read_words([ordered[number].text for number in speakers])
    similarity, exact = np.ones(len(ordered)), np.ones(len(ordered), bool)
    for number, place in enumerate(tree.comments):
        if place.campaign is not None and place.argument != place.id:
            own = read_words([ordered[number].text])[0].spoken
            similarity[number] = common_words(words[owner[number]].spoken, own)
            exact[number] = own == words[owner[number]].spoken
    tags = read_tags([(classifications or {}).get(place.id) for place in tree.comments], taxonomy, owner)
    return Material(
        ordered,
        owner,
        speaker,
        words,
        load_state(tree)["vectors"].astype(np.float32),
        similarity,
        exact,
        tags,
        int(tree.method.options.get("quotes", 5)),
        int(tree.method.options.get("phrases", 8)),
    )


def place(
    tree: Clustering,
    comments: Sequence[Comment],
    joining: Sequence[Comment],
    embeddings: NDArray[Any],
    classifications: Mapping[str, Classification] | None = None,
    taxonomy: Taxonomy | None = None,
) -> Clustering:
    """New comments join a tree; no comment that is in it moves.

    The tree must be as it was made, or as comments joined it: edits are replayed on what this gives.

    Args:
        tree: to join.
        comments: those of the tree.
        joining: new comments, with ids that the tree does not know.
        embeddings: of the new comments, shape ``(joining, d)``, by the model that the tree was made with.
        classifications: of old and new comments by id, for the profiles.
        taxonomy: for the titles of labels.

    Raises:
        ClusteringError: ids repeat, comments of the tree are missing, or shapes do not agree.
    """
    found = check_comments([*joining], embeddings, None)
    repeated = [comment.id for comment in joining if comment.id in tree.by_id]
    if repeated:
        raise ClusteringError(f"comment {repeated[0]!r} is in the tree already", expected="new comments")
    state = load_state(tree)
    places, views = Places.from_arrays(state), Views.from_arrays(state)
    layout = Map(state["map.landmarks"].astype(np.float32), state["map.places"])
    _check_unedited(tree, places)
    old = gather(tree, comments, classifications, taxonomy)
    words = read_words([comment.text for comment in joining])
    vectors = views(found, words).astype(np.float16).astype(np.float32)
    spoken = [bool(one.spoken) for one in words]

    arguments = _join_arguments(old, joining)
    smoothed = vectors
    known = old.vectors[old.spoken]
    if len(known):
        near = nearest(vectors, known, min(NEIGHBOURS, len(known)))
        smoothed = smooth(np.vstack([known, vectors]), _only_new(near, len(known)), steps=1)[len(known) :]
    leaves = places.leaf_of(smoothed)
    fits = places.fit(vectors, leaves)
    weights = places.memberships(vectors)
    on_map = layout(smoothed)
    minorities = _join_minorities(tree, old, vectors, places)
    placed = {one.id: one for one in tree.comments}
    for number, comment in enumerate(joining):
        argument = arguments[number]
        fit = round(float(fits[number]), 4)
        leaf = leaves[number] if spoken[number] and fit >= places.least_fit else OTHER
        one = PlacedComment(
            id=comment.id,
            topic=topic_id(leaf),
            subtopic=leaf if leaf != OTHER and "." in leaf else None,
            memberships=weights[number] if spoken[number] else (),
            fit=fit if spoken[number] else 0.0,
            x=float(on_map[number, 0]),
            y=float(on_map[number, 1]),
            argument=argument,
            minority=minorities[number] if spoken[number] else None,
            attributes=dict(comment.attributes),
            wordless=not spoken[number],
            joined=True,
        )
        if argument in placed:
            speaker = placed[argument]
            one = replace(
                one,
                topic=speaker.topic,
                subtopic=speaker.subtopic,
                campaign=speaker.campaign,
                minority=speaker.minority,
            )
        placed[comment.id] = one
    everyone = _with_campaigns(list(placed.values()))
    added = [number for number, comment in enumerate(joining) if arguments[number] == comment.id]
    joined_state = {**state, "vectors": np.vstack([state["vectors"], vectors[added].astype(np.float16)])}
    grown = replace(
        tree,
        comments=tuple(everyone),
        state={**tree.state, "vectors": Array.of(joined_state["vectors"])},
    )
    material = gather(grown, [*comments, *joining], classifications, taxonomy)
    matched = match_presets(material, [one.preset for one in tree.presets])
    described = tuple(replace(one, presets=given) for one, given in zip(grown.comments, matched, strict=True))
    joined = replace(
        describe_anew(grown, material, nodes_of(tree), described),
        drift=_drift(tree, material, described, places.least_fit),
    )
    return replace(joined, notes=notes_of(joined, material))


def _check_unedited(tree: Clustering, places: Places) -> None:
    known = {*places.topics, *places.leaves, OTHER}
    edited = [topic.id for topic in tree.walk() if topic.id not in known or topic.made_by != "found"]
    if edited:
        raise ClusteringError(
            f"topic {edited[0]!r} was made by an edit",
            expected="the tree as it was made",
            remedy="place the comments in the tree before its edits, and replay the edits",
        )


def _only_new(near: tuple[Numbers, Floats], before: int) -> Neighbours:
    """Neighbours of the old vectors and the new ones, where only the new have any."""
    places, cosines = near
    return Neighbours(
        np.vstack([np.zeros((before, places.shape[1]), np.int64), places]),
        np.vstack([np.full((before, places.shape[1]), -1, np.float32), cosines]),
    )


def _join_arguments(old: Material, joining: Sequence[Comment]) -> list[str]:
    """Id of the comment that stands for each new comment's argument: an old one where one says the same."""
    texts = [old.comments[number].text for number in old.speaker] + [comment.text for comment in joining]
    words = [*old.words, *read_words([comment.text for comment in joining])]
    found = find_arguments(words, texts)
    count = len(old.speaker)
    speakers: dict[int, str] = {}
    for number, group in enumerate(found.owner[:count].tolist()):
        speakers.setdefault(group, old.comments[old.speaker[number]].id)
    answers = []
    for number, group in enumerate(found.owner[count:].tolist()):
        answers.append(speakers.setdefault(group, joining[number].id))
    return answers


def _join_minorities(tree: Clustering, old: Material, vectors: Floats, places: Places) -> list[str | None]:
    """The minority that each new comment is nearer to than to any topic, and as near as its members are."""
    answers: list[str | None] = [None] * len(vectors)
    if not tree.minorities:
        return answers
    row = {comment.id: number for number, comment in enumerate(old.comments)}
    centres = np.stack(
        [
            unit(old.vectors[np.unique(old.owner[[row[one] for one in minority.comments]])].sum(axis=0)[None])[0]
            for minority in tree.minorities
        ]
    )
    cosines = vectors @ centres.T
    best = cosines.argmax(axis=1)
    nearest_topic = (vectors @ np.vstack([places.topic_centres, places.leaf_centres]).T).max(axis=1)
    for number, place_ in enumerate(best.tolist()):
        cosine = float(cosines[number, place_])
        if cosine > nearest_topic[number] and cosine >= tree.minorities[place_].cohesion - _NEAR_MINORITY:
            answers[number] = tree.minorities[place_].id
    return answers


def _with_campaigns(placed: list[PlacedComment]) -> list[PlacedComment]:
    """Arguments that grew to a campaign get an id after the last one."""
    voices: dict[str, int] = {}
    for one in placed:
        if not one.wordless:
            voices[one.argument] = voices.get(one.argument, 0) + 1
    names = {one.argument: one.campaign for one in placed if one.campaign is not None}
    last = max((int(name[1:]) for name in names.values()), default=0)
    for argument, count in voices.items():
        if count >= LEAST_CAMPAIGN and argument not in names:
            last += 1
            names[argument] = f"c{last}"
    return [replace(one, campaign=names.get(one.argument)) for one in placed]


def _drift(tree: Clustering, material: Material, placed: Sequence[PlacedComment], least_fit: float) -> Drift:
    """How all that ever joined fits the tree."""
    joined = np.array([number for number, one in enumerate(placed) if one.joined], np.int64)
    new = [one for one in placed if one.joined and one.argument == one.id and not one.wordless]
    unfit = float(np.mean([one.fit < least_fit for one in new])) if new else 0.0
    before = float(tree.method.measures.get("unfit", 0.0))
    return Drift(
        material.size(joined),
        round(unfit, 4),
        before,
        round(float(np.mean([one.fit for one in new])), 4) if new else 0.0,
        float(tree.method.measures.get("fit", 0.0)),
        len(new) >= _FEWEST and unfit - before > _MORE_UNFIT,
        tuple(one.id for one in sorted(new, key=lambda one: (one.fit, one.id))[:_WORST]),
    )


def nodes_of(tree: Clustering) -> list[Node]:
    """The topics of a tree before they are described."""
    found = []
    for topic in tree.topics:
        for one, parent in [(topic, None), *((inner, topic.id) for inner in topic.subtopics)]:
            found.append(
                Node(one.id, parent, one.title if one.title_from == "edit" else "", one.made_by, one.stability)
            )
    return found
