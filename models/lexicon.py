"""What the words of a text say by themselves: weighted character n-grams, a linear model beside the encoder.

It knows names and rare terms that a small encoder blurs, and spelling variants share most of their n-grams. The
calibration weighs the two (:class:`models.calibration.Calibration`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.heads import Floats
from nlp.normalise import Recipe
from nlp.taxonomy import Taxonomy

SHORTEST, LONGEST = 3, 5
_WORD = re.compile(r"\w+")


def character_grams(text: str) -> list[str]:
    """All runs of 3 to 5 characters within words, a space standing for a word's edge; a short word is one run."""
    found = []
    for word in _WORD.findall(text.lower()):
        framed = f" {word} "
        if len(framed) <= SHORTEST:
            found.append(framed)
            continue
        for length in range(SHORTEST, min(LONGEST, len(framed)) + 1):
            found.extend(framed[start : start + length] for start in range(len(framed) - length + 1))
    return found


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

    def __call__(self, text: str) -> Floats:
        """Logits of one text, shape ``(columns,)``."""
        counts = Counter(gram for gram in character_grams(self.recipe(text)) if gram in self.grams)
        if not counts:
            return self.bias
        rows = np.fromiter((self.grams[gram] for gram in counts), np.int64, len(counts))
        values = (1 + np.log(np.fromiter(counts.values(), np.float32, len(counts)))) * self.idf[rows]
        values /= np.linalg.norm(values)
        sizes = self.starts[rows + 1] - self.starts[rows]
        entries = np.arange(sizes.sum()) + np.repeat(self.starts[rows] - np.cumsum(sizes) + sizes, sizes)
        products = self.weights[entries] * np.repeat(values, sizes)
        sums = np.bincount(self.labels[entries], products, minlength=len(self.bias))
        logits: Floats = (sums * self.scale + self.bias).astype(np.float32)
        return logits

    def by_level(self, taxonomy: Taxonomy, text: str) -> dict[str, Floats]:
        """Logits of one text, shape ``(labels,)`` by level."""
        edges = np.cumsum([len(level.labels) for level in taxonomy.levels])[:-1]
        return dict(zip((level.name for level in taxonomy.levels), np.split(self(text), edges), strict=True))

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
