"""In which sections of a long text a tag was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.encoder import EncodedWindow
from models.evidence import token_owners
from models.heads import AttentionHead, Floats, sigmoid, split_columns
from nlp.normalise import NormalisedText
from nlp.records import Place, Section
from nlp.taxonomy import Taxonomy

_MOST_PLACES = 20


@dataclass(frozen=True)
class Reading:
    """Where one window was read.

    Attributes:
        sections: of the raw text.
        places: index of the section in which each label found most, int64, shape ``(labels,)`` by level.
    """

    sections: tuple[Section, ...]
    places: Mapping[str, NDArray[np.int64]]


def read_sections(
    taxonomy: Taxonomy,
    head: AttentionHead,
    window: EncodedWindow,
    text: NormalisedText,
    sections: tuple[Section, ...],
) -> Reading:
    """Where each label finds most in a window: the section of the token that adds most to its logit.

    Args:
        taxonomy: the labels.
        head: of all levels, see :func:`models.heads.join_heads`.
        window: of the normalised text.
        text: leads from normalised to raw characters.
        sections: of the raw text, in order.
    """
    owners = token_owners(window, text, [section.span for section in sections])
    real = owners >= 0
    weights, values = head.read(window.states)
    strongest = np.where(real[:, None], weights * values, -np.inf).argmax(axis=0)
    return Reading(sections, split_columns(taxonomy, np.maximum(owners[strongest], 0)))


def choose_places(
    sections: Sequence[Section], places: NDArray[np.int64], logits: Floats, threshold: float, most: float
) -> tuple[Place, ...]:
    """The sections in which a label was found, the strongest first.

    Args:
        sections: of the text.
        places: index of the section that speaks for the label in each window, shape ``(windows,)``.
        logits: calibrated, of the label in each window, of the same shape.
        threshold: of the label; the best window counts even below it.
        most: the probability of the label in the whole text, which no section exceeds.
    """
    scores = np.minimum(sigmoid(logits), most)
    best: dict[int, float] = {}
    for window in np.argsort(-logits, kind="stable"):
        if not best or scores[window] >= threshold:
            best.setdefault(int(places[window]), float(scores[window]))
    return tuple(Place(sections[place], score) for place, score in list(best.items())[:_MOST_PLACES])
