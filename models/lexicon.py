"""What the words of a text say by themselves: weighted character n-grams, a linear model beside the encoder.

It knows names and rare terms that a small encoder blurs, and spelling variants share most of their n-grams. The
calibration weighs the two (:class:`models.calibration.Calibration`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.heads import Floats, split_columns
from nlp.normalise import Recipe
from nlp.taxonomy import Taxonomy

SHORTEST, LONGEST = 3, 5
_WORD = re.compile(r"\w+")
# Words whose n-grams are kept at hand; texts of one field share most of theirs.
_WORDS_KEPT = 32_768
# A longer run of letters is no word, and is not kept.
_LONGEST_WORD = 40


def character_grams(text: str) -> list[str]:
    """All runs of 3 to 5 characters within words, a space standing for a word's edge; a short word is one run."""
    return [gram for word in _WORD.findall(text.lower()) for gram in _word_grams(word)]


def _word_grams(word: str) -> list[str]:
    framed = f" {word} "
    if len(framed) <= SHORTEST:
        return [framed]
    return [
        framed[start : start + length]
        for length in range(SHORTEST, min(LONGEST, len(framed)) + 1)
        for start in range(len(framed) - length + 1)
    ]


@dataclass(frozen=True)
class Lexicon:
    """A sparse linear model over TF-IDF of character n-grams, all labels of all levels side by side.

    Attributes:
        recipe: prepares the text; it folds spellings that people mix.
        grams: row of each n-gram that is known.
        idf: float32, shape ``(grams,)``.
        starts: int64, shape ``(grams + 1,)``: where the entries of each n-gram start in ``labels`` and ``weights``.
        labels: shape ``(entries,)``: column of each entry; bytes, or wider integers for more than 256 columns.
        weights: int8, shape ``(entries,)``, to be multiplied by the column's scale.
        scale: float32, shape ``(columns,)``.
        bias: float32, shape ``(columns,)``.
    """

    recipe: Recipe
    grams: Mapping[str, int]
    idf: Floats
    starts: NDArray[np.int64]
    labels: NDArray[np.unsignedinteger[Any]]
    weights: NDArray[np.int8]
    scale: Floats
    bias: Floats

    @cached_property
    def _rows_of_word(self) -> Callable[[str], NDArray[np.int32]]:
        """Rows of the n-grams of a word that are known, as often as they occur; recent words are kept."""
        row_of = self.grams.get

        def rows(word: str) -> NDArray[np.int32]:
            return np.array([row for gram in _word_grams(word) if (row := row_of(gram)) is not None], np.int32)

        kept = lru_cache(_WORDS_KEPT)(rows)
        return lambda word: (kept if len(word) <= _LONGEST_WORD else rows)(word)

    def __call__(self, text: str) -> Floats:
        """Logits of one text, shape ``(columns,)``."""
        words = _WORD.findall(self.recipe(text).lower())
        occurring = np.concatenate([*map(self._rows_of_word, words), np.zeros(0, np.int32)])
        if not len(occurring):
            return self.bias
        rows, counts = np.unique(occurring, return_counts=True)
        values = (1 + np.log(counts.astype(np.float32))) * self.idf[rows]
        values /= np.linalg.norm(values)
        logits: Floats = values @ self._table[rows].astype(np.float32) * self.scale + self.bias
        return logits

    @cached_property
    def _table(self) -> NDArray[np.int8]:
        """The weights with their zeros, shape ``(grams, columns)``: whole rows are read faster than entries."""
        table = np.zeros((len(self.idf), len(self.bias)), np.int8)
        table[np.repeat(np.arange(len(self.idf)), np.diff(self.starts)), self.labels] = self.weights
        return table

    def by_level(self, taxonomy: Taxonomy, text: str) -> dict[str, Floats]:
        """Logits of one text, shape ``(labels,)`` by level."""
        return split_columns(taxonomy, self(text))

    def to_tensors(self) -> dict[str, NDArray[np.generic]]:
        """The arrays that a bundle keeps; n-grams as UTF-8, one a line."""
        return {
            "grams": np.frombuffer("\n".join(self.grams).encode(), np.uint8),
            "idf": self.idf,
            "starts": self.starts,
            "labels": self.labels,
            "weights": self.weights,
            "scale": self.scale,
            "bias": self.bias,
        }

    @classmethod
    def from_tensors(cls, recipe: Recipe, tensors: Mapping[str, NDArray[np.generic]]) -> Lexicon:
        """The inverse of :meth:`to_tensors`.

        Raises:
            KeyError: a tensor is missing.
        """
        grams = bytes(np.asarray(tensors["grams"], np.uint8)).decode().split("\n")
        return cls(
            recipe,
            {gram: row for row, gram in enumerate(grams) if gram},
            np.asarray(tensors["idf"], np.float32),
            np.asarray(tensors["starts"], np.int64),
            np.asarray(tensors["labels"]).astype(np.min_scalar_type(len(tensors["bias"]) - 1)),
            np.asarray(tensors["weights"], np.int8),
            np.asarray(tensors["scale"], np.float32),
            np.asarray(tensors["bias"], np.float32),
        )
