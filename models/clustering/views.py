"""Two views of a comment in one vector: what the encoder makes of it, and its words.

The encoder's embeddings point nearly one way (random pairs have a cosine of 0.8): their mean is taken off, and they are
reduced to their principal components. The words, as TF-IDF of character n-grams of the folded text, reduced by a
truncated singular value decomposition, know names and rare terms that a small encoder blurs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.utils.extmath import randomized_svd

from models.clustering.reading import Words
from models.heads import Floats
from nlp.errors import ClusteringError

_EMBEDDING_DIMENSIONS = 50
_WORD_DIMENSIONS = 60
_WORD_WEIGHT = 0.7
_GRAMS = 8192
# Components are found on at most so many arguments, drawn by seed; all of them are then projected.
_SAMPLE = 10_000
_BLOCK = 10_000
_MOST_WORDS = 400


def unit(rows: NDArray[Any]) -> Floats:
    """Rows of length 1; rows of zeros stay."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, 1e-9), np.float32)


@dataclass(frozen=True)
class Views:
    """How comments become vectors.

    Attributes:
        mean: of the embeddings, shape ``(d,)``.
        axes: principal axes of the centred embeddings, shape ``(d, kept)``.
        grams: known n-grams of characters, in column order.
        idf: of each, shape ``(grams,)``.
        word_axes: shape ``(grams, kept)``; no columns if the words say nothing.
        word_mean: of the projected words, shape ``(kept,)``.
    """

    mean: Floats
    axes: Floats
    grams: tuple[str, ...]
    idf: Floats
    word_axes: Floats
    word_mean: Floats

    def __call__(self, embeddings: Floats, words: Sequence[Words]) -> Floats:
        """Vectors of length 1, shape ``(comments, dimensions)``; zeros where there is neither embedding nor word.

        Args:
            embeddings: shape ``(comments, d)``.
            words: of each comment.
        """
        if embeddings.shape[1] != len(self.mean):
            raise ClusteringError(
                f"embeddings of {embeddings.shape[1]} dimensions",
                expected=f"{len(self.mean)}, as in the tree",
                remedy="use the model that the tree was made with",
            )
        lexical = np.empty((len(words), self.word_axes.shape[1]), np.float32)
        if self.word_axes.shape[1]:
            counter = self._counter()
            for start in range(0, len(words), _BLOCK):
                counts = counter.transform(_texts(words[start : start + _BLOCK]))
                lexical[start : start + _BLOCK] = counts @ self.word_axes
        return self._joined(embeddings, lexical)

    def _joined(self, embeddings: Floats, lexical: Floats) -> Floats:
        """The vectors of comments whose projected words are known, shape ``(comments, kept)``."""
        present = np.linalg.norm(embeddings, axis=1, keepdims=True) > 0
        meaning = unit(unit(embeddings - self.mean) @ self.axes) * present
        if not lexical.shape[1]:
            return unit(meaning)
        said = np.linalg.norm(lexical, axis=1, keepdims=True) > 0
        lexical = unit(unit(lexical) - self.word_mean) * said
        return unit(np.hstack([meaning, _WORD_WEIGHT * lexical]))

    def _counter(self) -> TfidfVectorizer:
        counter = _vectorizer(vocabulary={gram: column for column, gram in enumerate(self.grams)})
        counter.idf_ = self.idf
        return counter

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays that a tree keeps."""
        return {
            "views.mean": self.mean,
            "views.axes": self.axes,
            "views.grams": np.frombuffer("\n".join(self.grams).encode(), np.uint8),
            "views.idf": self.idf,
            "views.word_axes": self.word_axes.astype(np.float16),
            "views.word_mean": self.word_mean,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Views:
        """The inverse of :meth:`to_arrays`.

        Raises:
            KeyError: an array is missing.
        """
        grams = arrays["views.grams"].tobytes().decode()
        return cls(
            arrays["views.mean"],
            arrays["views.axes"],
            tuple(grams.split("\n")) if grams else (),
            arrays["views.idf"],
            arrays["views.word_axes"].astype(np.float32),
            arrays["views.word_mean"],
        )


def fit_views(embeddings: Floats, words: Sequence[Words], seed: int) -> tuple[Views, Floats]:
    """Find what parts the arguments, and see them so.

    Args:
        embeddings: shape ``(arguments, d)``.
        words: of each argument.
        seed: of the sample and of the decompositions.

    Returns:
        The views, and the vectors that they give of the arguments.
    """
    drawn = np.arange(len(words))
    if len(drawn) > _SAMPLE:
        drawn = np.sort(np.random.default_rng(seed).choice(len(words), _SAMPLE, replace=False))
    sample = embeddings[drawn]
    mean = sample.mean(axis=0)
    centred = unit(sample - mean)
    axes = principal_axes(centred - centred.mean(axis=0), _EMBEDDING_DIMENSIONS)
    grams, idf, word_axes, lexical = _fit_words([words[place] for place in drawn.tolist()], seed)
    views = Views(mean.astype(np.float32), axes, grams, idf, word_axes, unit(lexical).mean(axis=0))
    return views, views._joined(embeddings, lexical) if len(drawn) == len(words) else views(embeddings, words)


def principal_axes(rows: Floats, most: int) -> Floats:
    """The directions along which centred rows differ most, shape ``(d, kept)``; no more than there are."""
    strengths, axes = np.linalg.eigh(rows.T.astype(np.float64) @ rows)
    strengths, axes = strengths[::-1], axes[:, ::-1]
    kept = min(most, int((strengths > 1e-8 * max(float(strengths.max(initial=0.0)), 1e-12)).sum()))
    return _signed(axes[:, :kept])


def _fit_words(words: Sequence[Words], seed: int) -> tuple[tuple[str, ...], Floats, Floats, Floats]:
    nothing = (), np.zeros(0, np.float32), np.zeros((0, 0), np.float32), np.zeros((len(words), 0), np.float32)
    counter = _vectorizer(min_df=2, max_df=0.5, max_features=_GRAMS)
    try:
        counts = counter.fit_transform(_texts(words))
    except ValueError:  # no n-gram stands in two comments, and in no more than half of them
        return nothing
    kept = min(_WORD_DIMENSIONS, min(counts.shape) - 1)
    if kept < 2:
        return nothing
    _, _, rows = randomized_svd(counts, kept, n_iter=4, random_state=seed)
    word_axes = _signed(rows.T).astype(np.float16).astype(np.float32)
    return (
        tuple(counter.get_feature_names_out().tolist()),
        counter.idf_.astype(np.float32),
        word_axes,
        counts @ word_axes,
    )


def _vectorizer(**options: Any) -> TfidfVectorizer:
    return TfidfVectorizer(
        analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True, lowercase=False, dtype=np.float32, **options
    )


def _texts(words: Sequence[Words]) -> list[str]:
    return [" ".join(one.spoken[:_MOST_WORDS]) for one in words]


def _signed(axes: NDArray[Any]) -> Floats:
    """Axes whose largest entry is positive: a decomposition leaves their signs open."""
    if not axes.size:
        return axes.astype(np.float32)
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=0)[None], axis=0)
    return np.asarray(axes * np.where(largest < 0, -1, 1), np.float32)
