"""Ways to group comments, to be compared: this project's clustering, BERTopic, and TF-IDF with k-means."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import silhouette_score

from models.clustering.clusterer import Clusterer
from models.clustering.options import ClusterOptions
from models.clustering.records import Clustering, Comment, Topic
from models.clustering.threads import one_thread
from models.clustering.views import unit
from models.heads import Floats
from nlp.normalise import find_recipe
from nlp.words import fold_word
from training.baselines import character_tfidf

Numbers = NDArray[np.int64]

LEVELS = ("topic", "subtopic")
# So many words of a label are read.
LABEL_WORDS = 8
# Numbers of groups that k-means tries where it is not told.
_FEWEST, _MOST = 2, 60
_REDUCED = 100


@dataclass(frozen=True)
class Grouping:
    """What a method makes of comments.

    Attributes:
        labels: by level, int64, shape ``(comments,)``: group of each comment, -1 for none.
        words: by level: the words that name each group, folded, strongest first; empty if the method names none.
    """

    labels: Mapping[str, Numbers]
    words: Mapping[str, Sequence[Sequence[str]]]


Method = Callable[[Sequence[str], int], Grouping]
"""From comments and a seed to groups."""
Vectorise = Callable[[Sequence[str], int], Floats]
"""From comments and a seed to vectors, shape ``(comments, dimensions)``."""


def installed(*packages: str) -> bool:
    """Whether all these packages can be imported."""
    return all(importlib.util.find_spec(package) is not None for package in packages)


def tree_of(texts: Sequence[str], embeddings: Floats, seed: int) -> Clustering:
    """This project's tree, with no number of topics given; ids are places."""
    comments = [Comment(str(place), text) for place, text in enumerate(texts)]
    return Clusterer(ClusterOptions(bootstrap=0, seed=seed)).cluster(comments, embeddings)


def ours(embeddings: Floats) -> Method:
    """This project's clustering; the level of sub-topics has the topics that do not fall apart too."""

    def group(texts: Sequence[str], seed: int) -> Grouping:
        tree = tree_of(texts, embeddings, seed)
        leaves = [leaf for topic in tree.topics for leaf in topic.subtopics or (topic,)]
        return Grouping(
            {
                "topic": _numbered([place.topic for place in tree.comments], tree.topics),
                "subtopic": _numbered([place.subtopic or place.topic for place in tree.comments], leaves),
            },
            {"topic": _label_words(tree.topics), "subtopic": _label_words(leaves)},
        )

    return group


def _numbered(ids: Sequence[str], topics: Sequence[Topic]) -> Numbers:
    number = {topic.id: place for place, topic in enumerate(topics)}
    return np.array([number.get(one, -1) for one in ids], np.int64)


def _label_words(topics: Sequence[Topic]) -> list[list[str]]:
    return [label_words([phrase.text for phrase in topic.phrases]) for topic in topics]


def label_words(phrases: Sequence[str]) -> list[str]:
    """The first eight distinct words of phrases, folded."""
    words = [fold_word(find_recipe("light")(word)) for phrase in phrases for word in phrase.split()]
    return list(dict.fromkeys(filter(None, words)))[:LABEL_WORDS]


def bertopic(embeddings: Floats) -> Method:
    """BERTopic with its default steps and settings on given embeddings; a seed is all that is set.

    (UMAP to 5 dimensions with 15 neighbours by cosine, HDBSCAN with groups of at least 10, class-based TF-IDF over
    scikit-learn's words.)
    """

    def group(texts: Sequence[str], seed: int) -> Grouping:
        from bertopic import BERTopic
        from umap import UMAP

        # Without a seed, BERTopic builds UMAP with these values.
        reduce = UMAP(
            n_neighbors=15, n_components=5, min_dist=0.0, metric="cosine", low_memory=False, random_state=seed, n_jobs=1
        )
        model = BERTopic(language="multilingual", umap_model=reduce)
        found, _ = model.fit_transform(list(texts), embeddings)
        labels = np.array(found, np.int64)
        names = [label_words([word for word, _ in model.get_topic(one)]) for one in sorted(set(found)) if one >= 0]
        return Grouping(dict.fromkeys(LEVELS, labels), dict.fromkeys(LEVELS, names))

    return group


def word_vectors(texts: Sequence[str], seed: int) -> Floats:
    """TF-IDF of the words that stand in two comments at least, shape ``(comments, words)``; no chance in it."""
    folded = find_recipe("folded")
    counter = TfidfVectorizer(min_df=2, max_df=0.5, sublinear_tf=True, dtype=np.float32)
    found: Floats = counter.fit_transform([folded(text) for text in texts]).toarray()
    return found


def character_vectors(texts: Sequence[str], seed: int) -> Floats:
    """TF-IDF of 2 to 5 letters within words, reduced to 100 dimensions (latent semantic analysis), of length 1."""
    folded = find_recipe("folded")
    counts = character_tfidf().fit_transform([folded(text) for text in texts])
    most = min(_REDUCED, min(counts.shape) - 1)
    return unit(TruncatedSVD(most, random_state=seed).fit_transform(counts))


def kmeans(vectorise: Vectorise, counts: Mapping[str, int]) -> Method:
    """TF-IDF and k-means, told the number of groups of each level."""

    def group(texts: Sequence[str], seed: int) -> Grouping:
        vectors = vectorise(texts, seed)
        labels = {level: _cut(vectors, counts[level], seed) for level in LEVELS}
        return Grouping(labels, {})

    return group


def kmeans_by_silhouette(vectorise: Vectorise, most: int = _MOST) -> Method:
    """TF-IDF and k-means, with the number of groups from 2 to ``most`` that has the best silhouette."""

    def group(texts: Sequence[str], seed: int) -> Grouping:
        vectors = vectorise(texts, seed)
        tried = [_cut(vectors, count, seed) for count in range(_FEWEST, min(most, len(texts) - 1) + 1)]
        best = max(tried, key=lambda labels: silhouette_score(vectors, labels, metric="cosine"))
        return Grouping(dict.fromkeys(LEVELS, best), {})

    return group


def _cut(vectors: Floats, count: int, seed: int) -> Numbers:
    with one_thread():
        found: Numbers = KMeans(count, n_init=3, random_state=seed).fit_predict(vectors).astype(np.int64)
    return found
