"""Fits the lexicon: one logistic regression a label over character n-grams, cut down to its largest weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from models.heads import Floats
from models.lexicon import Lexicon, character_grams
from nlp.normalise import Recipe
from nlp.records import LabelledText
from nlp.taxonomy import Taxonomy
from training.config import LexiconConfig
from training.metrics import gold

# Logit of a label that the training texts never carry.
_ABSENT = -8.0


def fit_lexicon(texts: Sequence[LabelledText], taxonomy: Taxonomy, recipe: Recipe, config: LexiconConfig) -> Lexicon:
    """Fit a lexicon on labelled texts.

    Args:
        texts: to learn from.
        taxonomy: the labels.
        recipe: prepares the texts, here and in use.
        config: size and regularisation.
    """
    vectorizer = TfidfVectorizer(
        analyzer=character_grams, min_df=2, max_features=config.grams, sublinear_tf=True, dtype=np.float32
    )
    features = vectorizer.fit_transform([recipe(text.text) for text in texts])
    columns = []
    for level in taxonomy.levels:
        truth, known = gold(texts, level)
        # Of the type and form that the solver wants: what it would change in place, several threads share.
        annotated = features[known].astype(np.float64)
        annotated.sum_duplicates()
        columns += [(annotated, truth[known, label]) for label in range(len(level.labels))]
    fitted = Parallel(n_jobs=-1, prefer="threads")(delayed(_fit_label)(*column, config.strength) for column in columns)
    weights = np.stack([weight for weight, _ in fitted])
    kept = np.sort(np.abs(weights), axis=1)[:, -min(config.entries, weights.shape[1]), None]
    weights[np.abs(weights) < kept] = 0
    scale = np.maximum(np.abs(weights).max(axis=1), 1e-12) / 127
    integers = csr_matrix(np.rint(weights / scale[:, None]).astype(np.int8).T)
    names = vectorizer.get_feature_names_out()
    return Lexicon(
        recipe,
        {name: row for row, name in enumerate(names)},
        vectorizer.idf_.astype(np.float32),
        integers.indptr.astype(np.int64),
        integers.indices.astype(np.min_scalar_type(len(columns) - 1)),
        integers.data,
        scale.astype(np.float32),
        np.array([bias for _, bias in fitted], np.float32),
    )


def _fit_label(features: csr_matrix, truth: NDArray[np.bool_], strength: float) -> tuple[Floats, float]:
    if not truth.any() or truth.all():
        return np.zeros(features.shape[1], np.float32), -_ABSENT if truth.any() else _ABSENT
    model = LogisticRegression(C=strength, class_weight="balanced", solver="liblinear").fit(features, truth)
    return model.coef_[0].astype(np.float32), float(model.intercept_[0])
