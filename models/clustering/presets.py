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
    terms, every = [_terms(words) for words in material.words], [words.spoken for words in material.words]
    for preset in presets:
        inside = np.zeros(len(material.comments), bool)
        for label in preset.labels:
            inside |= material.tags.having(label)
        spoken = np.zeros(len(material.words), bool)
        for phrase in read_words(preset.words):
            # A phrase of stop words alone is looked for among all words.
            said, words = (_terms(phrase), terms) if _terms(phrase) else (phrase.spoken, every)
            spoken |= [_holds(one, said) for one in words]
        inside |= spoken[material.owner]
        for number in np.flatnonzero(inside).tolist():
            found[number].append(preset.id)
    return [tuple(one) for one in found]


def _terms(words: Words) -> tuple[str, ...]:
    """Stems, and as they are the words that are no letters alone, such as numbers; stop words are left out."""
    return tuple(
        key or word for key, word in zip(words.keys, words.folded, strict=True) if word and (key or not word.isalpha())
    )


def _holds(words: tuple[str, ...], phrase: tuple[str, ...]) -> bool:
    """A phrase stands in a comment, word beside word."""
    return bool(phrase) and any(words[start : start + len(phrase)] == phrase for start in range(len(words)))
