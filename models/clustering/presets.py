"""Which comments fall in a topic that the caller gave: by their labels, or by their words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.clustering.describing import Material
from models.clustering.reading import Words, read_words
from models.clustering.records import Preset


def match_presets(material: Material, presets: Sequence[Preset]) -> list[tuple[str, ...]]:
    """Ids of the given topics that each comment falls in."""
    found: list[list[str]] = [[] for _ in material.comments]
    for preset in presets:
        inside = np.zeros(len(material.comments), bool)
        for label in preset.labels:
            inside |= material.tags.having(label)
        said = [words.stems or words.spoken for words in read_words(preset.words)]
        spoken = [any(_holds(words, phrase) for phrase in said) for words in material.words]
        inside |= np.array(spoken, bool)[material.owner]
        for number in np.flatnonzero(inside).tolist():
            found[number].append(preset.id)
    return [tuple(one) for one in found]


def _holds(words: Words, phrase: tuple[str, ...]) -> bool:
    """The stems of a phrase stand side by side in a comment, other words left out."""
    stems = words.stems
    return bool(phrase) and any(stems[start : start + len(phrase)] == phrase for start in range(len(stems)))
