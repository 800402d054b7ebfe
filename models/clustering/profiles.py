"""Which labels of the taxonomy the comments of a group carry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.clustering.records import LabelCount, Size
from models.clustering.topics import Numbers
from nlp.records import Classification
from nlp.taxonomy import Taxonomy

_SHOWN = 10
# A theme stands over a title if so many of the comments carry it, and carry it more often than all others do.
_THEME_SHARE, _THEME_LIFT = 0.5, 1.3
_THEME_LEVELS = ("goals", "technologies")


@dataclass(frozen=True)
class Tags:
    """Labels of all comments.

    Attributes:
        titles: by level and label id, by language.
        given: by level and label id: bool, shape ``(comments,)``.
        arguments: int64, shape ``(comments,)``: number of each comment's argument.
    """

    titles: Mapping[str, Mapping[str, Mapping[str, str]]]
    given: Mapping[str, Mapping[str, NDArray[np.bool_]]]
    arguments: Numbers

    def profile(self, members: Numbers) -> dict[str, tuple[LabelCount, ...]]:
        """Labels of a group by level, most frequent first; empty if no comment was tagged.

        Args:
            members: its comments.
        """
        found = {}
        for level, labels in self.given.items():
            counts = []
            for label, given in labels.items():
                carried = members[given[members]]
                if len(carried):
                    share, everywhere = len(carried) / len(members), float(given.mean())
                    size = Size(len(carried), len(np.unique(self.arguments[carried])))
                    counts.append(
                        LabelCount(
                            label, self.titles[level][label], size, round(share, 4), round(share / everywhere, 3)
                        )
                    )
            counts.sort(key=lambda one: (-one.size.voices, one.id))
            found[level] = tuple(counts[:_SHOWN])
        return found

    def having(self, label: str) -> NDArray[np.bool_]:
        """Comments that carry a label, ``level/id``, shape ``(comments,)``."""
        level, _, label_id = label.partition("/")
        return self.given.get(level, {}).get(label_id, np.zeros(len(self.arguments), bool))


def read_tags(classifications: Sequence[Classification | None], taxonomy: Taxonomy | None, arguments: Numbers) -> Tags:
    """Gather the labels of comments.

    Args:
        classifications: of each comment; ``None`` where there is none.
        taxonomy: for the titles of labels; ids stand in for them without it.
        arguments: number of each comment's argument.
    """
    given: dict[str, dict[str, NDArray[np.bool_]]] = {}
    for place, one in enumerate(classifications):
        for level, tags in one.tags.items() if one is not None else ():
            labels = given.setdefault(level, {})
            for tag in tags:
                labels.setdefault(tag.id, np.zeros(len(arguments), bool))[place] = True
    titles: dict[str, dict[str, Mapping[str, str]]] = {level: {} for level in given}
    for level, labels in given.items():
        known = {} if taxonomy is None else {label.id: label.title for label in taxonomy.level(level).labels}
        titles[level] = {label: dict(known.get(label, {"ar": label, "en": label})) for label in labels}
    return Tags(titles, given, arguments)


def theme_of(profile: Mapping[str, tuple[LabelCount, ...]]) -> tuple[str, str] | None:
    """The label that stands for a group, as ``level/id``, and its Arabic title; ``None`` if none does."""
    for level in _THEME_LEVELS:
        for one in profile.get(level, ())[:1]:
            if one.share >= _THEME_SHARE and one.lift >= _THEME_LIFT:
                return f"{level}/{one.id}", one.title.get("ar", one.id)
    return None
