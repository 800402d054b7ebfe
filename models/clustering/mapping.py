"""A map: two coordinates for every comment, near for near comments.

Landmarks are laid out by t-SNE (van der Maaten & Hinton 2008); every comment lies between its nearest landmarks. So the
map of 100,000 comments costs what the map of its landmarks costs, and comments that join do not move the others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.cluster import MiniBatchKMeans
from sklearn.manifold import TSNE

from models.clustering.neighbours import nearest
from models.clustering.threads import one_thread
from models.clustering.views import unit
from models.heads import Floats

_LANDMARKS = 400
_BETWEEN = 4
_SHARPNESS = 12.0
_FEWEST = 8


@dataclass(frozen=True)
class Map:
    """Where comments lie.

    Attributes:
        landmarks: of length 1, shape ``(landmarks, dimensions)``.
        places: shape ``(landmarks, 2)``, in ``[-1, 1]``.
    """

    landmarks: Floats
    places: Floats

    def __call__(self, vectors: Floats) -> Floats:
        """Coordinates, shape ``(vectors, 2)``, rounded to four places."""
        near, cosines = nearest(vectors, self.landmarks, min(_BETWEEN, len(self.landmarks)))
        weights = np.exp(_SHARPNESS * (cosines - cosines[:, :1]))
        weights /= weights.sum(axis=1, keepdims=True)
        found: Floats = (weights[..., None] * self.places[near]).sum(axis=1).astype(np.float32).round(4)
        return found


def lay_out(smoothed: Floats, seed: int) -> Map:
    """Make the map of arguments.

    Args:
        smoothed: vectors of length 1, shape ``(arguments, dimensions)``.
        seed: of landmarks and layout.
    """
    landmarks = smoothed
    with one_thread():
        if len(smoothed) > _LANDMARKS:
            cells = MiniBatchKMeans(_LANDMARKS, random_state=seed, n_init=1, batch_size=4096, max_iter=20)
            landmarks = unit(cells.fit(smoothed).cluster_centers_)
        if len(landmarks) < _FEWEST:
            places = _around(len(landmarks))
        else:
            perplexity = min(30.0, (len(landmarks) - 1) / 3)
            start = landmarks - landmarks.mean(axis=0)
            axes = np.linalg.svd(start, full_matrices=False)[2][:2].T
            axes = axes * np.where(axes[np.abs(axes).argmax(axis=0), [0, 1]] < 0, -1, 1)
            first = start @ axes
            first = first / max(float(first[:, 0].std()), 1e-9) * 1e-4
            places = TSNE(
                2,
                perplexity=perplexity,
                init=first,
                random_state=seed,
                method="exact" if len(landmarks) < 100 else "barnes_hut",
            ).fit_transform(landmarks)
    places = places - (places.max(axis=0) + places.min(axis=0)) / 2
    places = places / max(float(np.abs(places).max(initial=0.0)), 1e-9)
    return Map(landmarks.astype(np.float16).astype(np.float32), places.astype(np.float32).round(4))


def _around(count: int) -> Floats:
    """So few lie on a circle; one lies in the middle."""
    if count < 2:
        return np.zeros((count, 2), np.float32)
    angles = 2 * np.pi * np.arange(count) / count
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
