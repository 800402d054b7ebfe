"""What a caller may ask of clustering, and the steps that it goes through."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from models.clustering.records import Preset
from nlp.errors import ClusteringError

# In this order; a caller's progress names them.
STEPS = ("read", "campaigns", "reduce", "group", "stability", "map", "describe")

# Told the name of each step as it begins, and the share of all work that lies behind, in [0, 1].
# What it raises ends the work: so is a run cancelled.
Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class ClusterOptions:
    """What a caller asks for.

    Attributes:
        topics: number of topics of the first level; found if ``None``.
        subtopics: most sub-topics in a topic; 0 for none.
        least_comments: arguments that a group holds at least when it is found, before those that fit none go to the
            rest; topics of a given number may hold fewer.
        quotes: quotes a topic.
        phrases: key phrases a topic.
        bootstrap: runs that measure stability; 0 leaves it out.
        presets: given topics, shown beside those that are found.
        seed: of everything random.
        model: name and version of the model that made the embeddings, for the record.
    """

    topics: int | None = None
    subtopics: int = 12
    least_comments: int = 5
    quotes: int = 5
    phrases: int = 8
    bootstrap: int = 20
    presets: tuple[Preset, ...] = ()
    seed: int = 0
    model: str = ""

    def __post_init__(self) -> None:
        limits = {
            "topics": (self.topics, 1, 200),
            "subtopics": (self.subtopics, 0, 50),
            "least_comments": (self.least_comments, 2, 1000),
            "quotes": (self.quotes, 1, 50),
            "phrases": (self.phrases, 1, 50),
            "bootstrap": (self.bootstrap, 0, 200),
        }
        for name, (value, least, most) in limits.items():
            if value is not None and not least <= value <= most:
                raise ClusteringError(f"{name} is {value}", expected=f"a number from {least} to {most}")
        ids = [preset.id for preset in self.presets]
        if len(set(ids)) != len(ids):
            raise ClusteringError("two given topics have the same id", expected="ids that differ")
