"""The two baselines that every model must beat, trained on the same corpus and measured in the same way."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from models.encoder import Encoder, OnnxEncoder
from models.heads import Floats
from models.tokenizer import WindowTokenizer
from nlp.normalise import Recipe
from nlp.records import LabelledText
from nlp.taxonomy import Taxonomy
from training.config import load_config
from training.corpus import Splits, read_splits
from training.evaluation import Answers
from training.fitting import fit_thresholds
from training.graph import export_encoder
from training.metrics import gold
from training.network import EMBEDDED, load_base

_TFIDF_STRENGTH = 10.0
FROZEN_STRENGTH = 0.02


def run_baselines(
    taxonomy: Taxonomy, recipe: Recipe, corpus: Path, texts: Sequence[LabelledText]
) -> tuple[Answers, ...]:
    """Train both baselines on a corpus and ask them about other texts.

    Args:
        taxonomy: the labels.
        recipe: the same normalisation as the model's.
        corpus: folder of the split corpus.
        texts: what to ask about.
    """
    splits = read_splits(corpus, taxonomy)
    with tempfile.TemporaryDirectory() as folder:
        encoder = frozen_encoder(Path(folder))
        return (
            tfidf_baseline(taxonomy, recipe, splits, texts),
            frozen_baseline(taxonomy, recipe, encoder, splits, texts),
        )


def frozen_encoder(folder: Path) -> Encoder:
    """The embedded base as it is, exported to a folder and opened there."""
    model, tokenizer = load_base(EMBEDDED)
    export_encoder(model, folder)
    tokenizer.save_pretrained(folder)
    config = load_config()
    cutter = WindowTokenizer.from_file(
        folder / "tokenizer.json", prefix=config.prefix, most_tokens=config.window, overlap=config.overlap
    )
    return OnnxEncoder(folder / "encoder.onnx", cutter)


def mean_embeddings(encoder: Encoder, recipe: Recipe, texts: Sequence[str]) -> Floats:
    """The mean of the window embeddings of each raw text, shape ``(texts, dimension)``; zeros without a token."""
    empty = [np.zeros(encoder.dimension, np.float32)]
    return np.stack(
        [np.mean([window.embedding for window in encoder.encode(recipe(text))] or empty, axis=0) for text in texts]
    )


def character_tfidf() -> TfidfVectorizer:
    """TF-IDF over runs of 2 to 5 characters within words."""
    return TfidfVectorizer(
        analyzer="char_wb", ngram_range=(2, 5), min_df=2, max_features=200_000, sublinear_tf=True, dtype=np.float32
    )


def label_regression(strength: float) -> LogisticRegression:
    """A class-balanced logistic regression for one label; ``strength`` is scikit-learn's inverse regularisation."""
    return LogisticRegression(C=strength, class_weight="balanced", solver="liblinear")


def tfidf_baseline(taxonomy: Taxonomy, recipe: Recipe, splits: Splits, texts: Sequence[LabelledText]) -> Answers:
    """Character TF-IDF (2 to 5 letters within words) with one logistic regression a label."""
    vectorizer = character_tfidf()
    train = vectorizer.fit_transform([recipe(text.text) for text in splits.train])
    features = [vectorizer.transform([recipe(text.text) for text in part]) for part in (splits.validation, texts)]
    return _regression_baseline(
        "character TF-IDF + logistic regression", taxonomy, splits, train, features, strength=_TFIDF_STRENGTH
    )


def frozen_baseline(
    taxonomy: Taxonomy, recipe: Recipe, encoder: Encoder, splits: Splits, texts: Sequence[LabelledText]
) -> Answers:
    """The base encoder as it is, with one logistic regression a label on the mean of its window embeddings.

    Args:
        taxonomy: the labels.
        recipe: normalisation.
        encoder: the base before any training.
        splits: the corpus.
        texts: what to ask about.
    """
    scaler = StandardScaler()
    train, validation, measured = (
        mean_embeddings(encoder, recipe, [text.text for text in part])
        for part in (splits.train, splits.validation, texts)
    )
    train = scaler.fit_transform(train)
    features = [scaler.transform(validation), scaler.transform(measured)]
    return _regression_baseline(
        "frozen base encoder + logistic regression", taxonomy, splits, train, features, strength=FROZEN_STRENGTH
    )


def _regression_baseline(
    name: str,
    taxonomy: Taxonomy,
    splits: Splits,
    train: Any,
    features: list[Any],
    strength: float,
) -> Answers:
    """One class-balanced logistic regression a label; thresholds fitted on the validation part, as for the model."""
    scores: list[dict[str, Floats]] = [{}, {}]
    for level in taxonomy.levels:
        truth, known = gold(splits.train, level)
        columns: list[list[Floats]] = [[], []]
        for label in range(len(level.labels)):
            target = truth[known, label]
            if target.any() and not target.all():
                model = label_regression(strength)
                model.fit(train[known], target)
                predicted = [model.predict_proba(part)[:, 1] for part in features]
            else:
                predicted = [np.zeros(part.shape[0]) for part in features]
            for column, values in zip(columns, predicted, strict=True):
                column.append(values.astype(np.float32))
        for part, column in zip(scores, columns, strict=True):
            part[level.name] = np.stack(column, axis=1)
    thresholds = fit_thresholds(taxonomy, scores[0], splits.validation)
    return Answers(name, scores[1], thresholds)
