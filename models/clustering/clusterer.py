"""The entry: comments with their embeddings in, the tree out. It composes the stages; the logic is theirs."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.clustering.checking import check_comments, check_presets
from models.clustering.describing import (
    Material,
    Node,
    describe_campaigns,
    describe_minorities,
    describe_presets,
    describe_topics,
    name_campaigns,
)
from models.clustering.duplicates import find_arguments
from models.clustering.mapping import lay_out
from models.clustering.minorities import SmallGroup, find_minorities
from models.clustering.neighbours import NEIGHBOURS, find_neighbours, smooth
from models.clustering.notes import notes_of
from models.clustering.options import STEPS, ClusterOptions, Progress
from models.clustering.placing import Places, leaf_id, topic_id
from models.clustering.plain import to_plain
from models.clustering.presets import match_presets
from models.clustering.profiles import read_tags
from models.clustering.reading import read_words
from models.clustering.records import (
    OTHER,
    Array,
    Clustering,
    Comment,
    Method,
    PlacedComment,
    Size,
    Stability,
)
from models.clustering.stability import LEAST_STABLE, SMALL_SAMPLE, bootstrap
from models.clustering.topics import Grouping, Numbers, find_topics
from models.clustering.views import fit_views
from models.heads import Floats
from nlp.errors import ClusteringError
from nlp.records import Classification
from nlp.taxonomy import Taxonomy

METHOD = "musannif-clusters/1"
# Share of the work that lies behind when each step begins.
_BEHIND = dict(zip(STEPS, (0.0, 0.1, 0.15, 0.35, 0.45, 0.65, 0.8), strict=True))


@dataclass(frozen=True)
class Clusterer:
    """Groups the comments of a consultation.

    Attributes:
        options: what the caller asks for.
    """

    options: ClusterOptions = field(default_factory=ClusterOptions)

    def cluster(
        self,
        comments: Sequence[Comment],
        embeddings: NDArray[Any],
        classifications: Sequence[Classification | None] | None = None,
        taxonomy: Taxonomy | None = None,
        progress: Progress | None = None,
    ) -> Clustering:
        """Make the tree. The order of the comments changes nothing but the order of the places in it.

        Args:
            comments: what people said; personal data masked.
            embeddings: of each comment, shape ``(comments, d)``; zeros for a comment that has none.
            classifications: of each comment, for profiles and given topics; ``None`` where there is none.
            taxonomy: for the titles of labels.
            progress: told each step as it begins; what it raises ends the work.

        Raises:
            ClusteringError: there is no comment with words, ids repeat, shapes do not agree, or a given topic names a
                label that the taxonomy does not have.
        """
        tell = progress or (lambda step, behind: None)
        found = check_comments(comments, embeddings, classifications)
        if taxonomy is not None:
            check_presets(self.options.presets, taxonomy)
        tagged = [None] * len(comments) if classifications is None else list(classifications)
        # One order for all: ties and sums come out the same however the file was sorted.
        order = sorted(range(len(comments)), key=lambda place: (comments[place].text, comments[place].id))
        ordered = [comments[place] for place in order]
        texts = [comment.text for comment in ordered]

        tell("read", _BEHIND["read"])
        words = read_words(texts)
        if not any(one.spoken for one in words):
            raise ClusteringError(
                f"none of the {len(comments)} comments has words",
                expected="at least one comment with words",
                remedy="check which column holds the text",
            )
        tell("campaigns", _BEHIND["campaigns"])
        arguments = find_arguments(words, texts)
        spoken = np.array([bool(words[place].spoken) for place in arguments.speaker], bool)
        tell("reduce", _BEHIND["reduce"])
        said = [words[place] for place in arguments.speaker]
        some = np.flatnonzero(spoken)
        rows = found[order][arguments.speaker[some]]
        heard = [said[place] for place in some.tolist()]
        views, vectors = fit_views(rows, heard, self.options.seed)
        # The tree keeps half precision; working on it from here on, whoever works on the tree later sees the same.
        vectors = vectors.astype(np.float16).astype(np.float32)
        near = find_neighbours(vectors, NEIGHBOURS, self.options.seed)
        smoothed = smooth(vectors, near)
        tell("group", _BEHIND["group"])
        grouping = find_topics(
            vectors,
            smoothed,
            topics=self.options.topics,
            subtopics=self.options.subtopics,
            least=self.options.least_comments,
            seed=self.options.seed,
        )
        places = Places.of(vectors, smoothed, grouping.topic, grouping.subtopic, grouping.least_fit)
        # Three steps that need nothing of one another: the longest goes on beside the two others.
        with ThreadPoolExecutor(1) as beside:
            minorities = beside.submit(find_minorities, rows, heard, vectors, grouping.topic, self.options.seed)
            tell("stability", _BEHIND["stability"])
            nodes = self._nodes(vectors, grouping)
            tell("map", _BEHIND["map"])
            layout = lay_out(smoothed, self.options.seed)
        small = minorities.result()
        tell("describe", _BEHIND["describe"])
        everything = np.zeros((len(arguments.speaker), vectors.shape[1]), np.float32)
        everything[some] = vectors
        material = Material(
            ordered,
            arguments.owner,
            arguments.speaker,
            said,
            everything,
            arguments.similarity,
            arguments.exact,
            read_tags([tagged[place] for place in order], taxonomy, arguments.owner),
            self.options.quotes,
            self.options.phrases,
        )
        placed = self._place(material, places, grouping, small, layout(smoothed), some)
        topics, other = describe_topics(material, nodes, placed)
        known = {
            f"m{number}": (round(one.distance, 4), round(one.strength, 4)) for number, one in enumerate(small, start=1)
        }
        back = np.argsort(order)
        wordless = sum(place.wordless for place in placed)
        tree = Clustering(
            size=Size(len(comments), len(arguments.speaker)),
            topics=topics,
            other=other,
            minorities=describe_minorities(material, known, placed),
            campaigns=describe_campaigns(material, placed),
            presets=describe_presets(material, self.options.presets, placed),
            comments=tuple(placed[place] for place in back),
            wordless=wordless,
            method=Method(
                METHOD,
                self.options.model,
                self.options.seed,
                _plain_options(self.options),
                {
                    "dimensions": float(vectors.shape[1]),
                    "neighbours": float(NEIGHBOURS),
                    "silhouette": grouping.silhouette,
                    "least_fit": grouping.least_fit,
                    "unfit": round(float((grouping.topic < 0).mean()), 4),
                    "fit": round(float(grouping.fit.mean()), 4),
                },
            ),
            notes=(),
            drift=None,
            state={},
        )
        # Rows in the order of the tree's comments that stand for an argument.
        row = {place: number for number, place in enumerate(arguments.speaker.tolist())}
        kept = [row[place] for place in back.tolist() if place in row]
        state = {
            **views.to_arrays(),
            **places.to_arrays(),
            "map.landmarks": layout.landmarks.astype(np.float16),
            "map.places": layout.places,
            "vectors": everything[kept].astype(np.float16),
        }
        return replace(
            tree,
            notes=notes_of(tree, material),
            state={name: Array.of(array) for name, array in sorted(state.items())},
        )

    def _nodes(self, vectors: Floats, grouping: Grouping) -> list[Node]:
        """Topics and sub-topics with their stability."""
        runs, seed = self.options.bootstrap, self.options.seed
        small = len(vectors) < SMALL_SAMPLE
        scores = bootstrap(vectors, grouping.topic, runs=runs, neighbours=NEIGHBOURS, seed=seed)
        nodes = []
        for topic, score in enumerate(scores):
            nodes.append(Node(f"t{topic + 1}", stability=_stability(score, runs, small)))
            members = np.flatnonzero(grouping.topic == topic)
            inner = grouping.subtopic[members]
            parts = bootstrap(vectors[members], inner, runs=runs, neighbours=NEIGHBOURS, seed=seed)
            for part, part_score in enumerate(parts):
                stability = _stability(part_score, runs, small)
                nodes.append(Node(f"t{topic + 1}.{part + 1}", f"t{topic + 1}", stability=stability))
        return nodes

    def _place(
        self,
        material: Material,
        places: Places,
        grouping: Grouping,
        small: Sequence[SmallGroup],
        coordinates: Floats,
        some: Numbers,
    ) -> list[PlacedComment]:
        """Where each comment lies; comments without words lie in the rest, in the middle of the map."""
        row = np.full(len(material.speaker), -1, np.int64)
        row[some] = np.arange(len(some))
        weights = places.memberships(material.vectors[some])
        minority = {int(one): f"m{number}" for number, group in enumerate(small, start=1) for one in group.members}
        campaigns = name_campaigns(material)
        presets = match_presets(material, self.options.presets)
        placed = []
        for number, comment in enumerate(material.comments):
            argument = int(material.owner[number])
            at = int(row[argument])
            speaker = material.comments[material.speaker[argument]].id
            if at < 0:
                placed.append(
                    PlacedComment(
                        comment.id, OTHER, None, (), 0.0, 0.0, 0.0, speaker,
                        presets=presets[number], attributes=dict(comment.attributes), wordless=True,
                    )
                )  # fmt: skip
                continue
            leaf = leaf_id(int(grouping.topic[at]), int(grouping.subtopic[at]))
            x, y = coordinates[at].tolist()
            placed.append(
                PlacedComment(
                    id=comment.id,
                    topic=topic_id(leaf),
                    subtopic=leaf if "." in leaf else None,
                    memberships=weights[at],
                    fit=round(float(grouping.fit[at]), 4),
                    x=round(x, 4),
                    y=round(y, 4),
                    argument=speaker,
                    campaign=campaigns.get(argument),
                    minority=minority.get(at),
                    presets=presets[number],
                    attributes=dict(comment.attributes),
                )
            )
        return placed


def _stability(score: float | None, runs: int, small: bool) -> Stability:
    return Stability(score, 0 if score is None else runs, small or (score is not None and score < LEAST_STABLE))


def _plain_options(options: ClusterOptions) -> dict[str, Any]:
    """The options as JSON has them."""
    plain = asdict(options)
    plain["presets"] = [to_plain(preset) for preset in options.presets]
    del plain["seed"], plain["model"]
    return plain
