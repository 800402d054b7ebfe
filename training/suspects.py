"""Labels that look wrong: confident learning on out-of-fold predictions (cleanlab).

Northcutt et al., 2021, https://arxiv.org/abs/1911.00068.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from cleanlab.multilabel_classification import get_label_quality_scores
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import StandardScaler

from nlp.records import LabelledText
from nlp.taxonomy import Level, Taxonomy
from training.baselines import FROZEN_STRENGTH, label_regression
from training.metrics import gold

_FOLDS = 4
_FEWEST = 8


@dataclass(frozen=True)
class Suspect:
    """A text whose labels should be read again.

    Attributes:
        text: with its labels.
        rank: place among all texts by cleanlab's label quality, from 0 (worst) to 1; the lowest over the levels.
        level: where it is lowest.
        doubts: labels of that level that the model would add (``+``) or take away (``-``), most certain first.
    """

    text: LabelledText
    rank: float
    level: str
    doubts: tuple[str, ...]


def find_suspects(
    texts: Sequence[LabelledText], embeddings: NDArray[np.float32], taxonomy: Taxonomy, share: float = 0.05
) -> tuple[Suspect, ...]:
    """The most suspicious texts of a corpus, worst first.

    Args:
        texts: the corpus.
        embeddings: of the texts by the frozen base encoder, shape ``(texts, dimension)``.
        taxonomy: the labels.
        share: how much of the corpus to name.
    """
    worst: dict[int, Suspect] = {}
    for level in taxonomy.levels:
        truth, _ = gold(texts, level)
        common = np.flatnonzero(truth.sum(axis=0) >= _FEWEST)
        if not len(common):
            continue
        scores = out_of_fold(embeddings, truth[:, common], [text.group for text in texts])
        given = [np.flatnonzero(row).tolist() for row in truth[:, common]]
        quality = np.asarray(get_label_quality_scores(given, scores))
        # Levels differ in how sure a model can be: compare ranks, not scores.
        rank = quality.argsort().argsort() / len(quality)
        for place in range(len(texts)):
            if place not in worst or rank[place] < worst[place].rank:
                doubts = _doubts(level, common, truth[place, common], scores[place])
                worst[place] = Suspect(texts[place], float(rank[place]), level.name, doubts)
    found = sorted(worst.values(), key=lambda one: (one.rank, one.text.id))
    return tuple(found[: round(share * len(texts))])


def out_of_fold(
    embeddings: NDArray[np.float32], truth: NDArray[np.bool_], groups: Sequence[str]
) -> NDArray[np.float64]:
    """Probabilities of labels by a model that never saw the text nor its group, shape of ``truth``.

    One logistic regression a label on standardised embeddings.
    """
    scores = np.zeros(truth.shape)
    for seen, held in GroupKFold(_FOLDS).split(embeddings, groups=groups):
        scaler = StandardScaler().fit(embeddings[seen])
        known, unseen = scaler.transform(embeddings[seen]), scaler.transform(embeddings[held])
        for label in range(truth.shape[1]):
            target = truth[seen, label]
            if target.any():
                model = label_regression(FROZEN_STRENGTH).fit(known, target)
                scores[held, label] = model.predict_proba(unseen)[:, 1]
    return scores


def _doubts(
    level: Level, common: NDArray[np.intp], truth: NDArray[np.bool_], scores: NDArray[np.float64]
) -> tuple[str, ...]:
    gaps = np.where(truth, 1 - scores, scores)
    order = [place for place in np.argsort(-gaps)[:3] if gaps[place] > 0.5]
    return tuple(("-" if truth[place] else "+") + level.ids[common[place]] for place in order)
