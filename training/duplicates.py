"""Near-duplicates: pairs of texts that share most of their character 5-grams, or almost their embedding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import CountVectorizer

from nlp.normalise import find_recipe

MOST_JACCARD = 0.6
MOST_COSINE = 0.97
_BLOCK = 256


@dataclass(frozen=True)
class Pair:
    """Two texts that are too much alike.

    Attributes:
        first, second: their positions.
        likeness: Jaccard index of their 5-grams, or cosine of their embeddings.
    """

    first: int
    second: int
    likeness: float


def grams(texts: Sequence[str]) -> csr_matrix:
    """Which character 5-grams each folded text has: 0 and 1, shape ``(texts, grams)``."""
    recipe = find_recipe("folded")
    counter = CountVectorizer(analyzer="char", ngram_range=(5, 5), binary=True, lowercase=False, dtype=np.int32)
    # A text shorter than a gram is padded, so that it has one.
    return counter.fit_transform([recipe(text).ljust(5) for text in texts]).tocsr()


def near_duplicates(texts: Sequence[str], *, start: int = 0, most: float = MOST_JACCARD) -> Iterator[Pair]:
    """Pairs whose 5-gram Jaccard index is at least ``most``.

    Args:
        texts: all texts.
        start: only pairs whose second text stands at this position or later (new texts after old ones).
        most: from which likeness a pair is too much alike.
    """
    matrix = grams(texts)
    sizes = np.asarray(matrix.sum(axis=1)).ravel()
    for block in range(start, len(texts), _BLOCK):
        shared = (matrix[block : block + _BLOCK] @ matrix.T).tocoo()
        union = sizes[block + shared.row] + sizes[shared.col] - shared.data
        likeness = shared.data / union
        for row, column, value in zip(shared.row, shared.col, likeness, strict=True):
            if value >= most and column < block + row:
                yield Pair(int(column), int(block + row), float(value))


def embedding_neighbours(embeddings: NDArray[np.float32], *, most: float = MOST_COSINE) -> tuple[Pair, ...]:
    """For each text that has one, its nearest neighbour above a cosine.

    Args:
        embeddings: shape ``(texts, dimension)``.
        most: from which cosine a pair is too much alike.
    """
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    found = []
    for block in range(0, len(unit), _BLOCK):
        cosines = unit[block : block + _BLOCK] @ unit.T
        cosines[np.arange(len(cosines)), block + np.arange(len(cosines))] = -1
        nearest = cosines.argmax(axis=1)
        for row, column in enumerate(nearest):
            if cosines[row, column] >= most:
                found.append(Pair(int(column), block + row, float(cosines[row, column])))
    return tuple(found)
