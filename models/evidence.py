"""Which sentences carry a tag: how far its probability falls without a sentence.

The heads pool token states with weights that sum to one (:class:`models.heads.AttentionHead`), so a logit without the
tokens of one sentence follows from sums that are at hand, and the encoder runs once. The lexicon reads the text again
without the sentence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.calibration import Logits
from models.encoder import EncodedWindow
from models.heads import AttentionHead, Floats, sigmoid, split_columns
from models.lexicon import Lexicon
from nlp.normalise import NormalisedText
from nlp.records import Evidence, Span
from nlp.taxonomy import Level, Taxonomy

_MOST_SENTENCES = 3
# A sentence is listed if it carries at least this share of what the strongest one carries.
_LEAST_SHARE = 0.25


@dataclass(frozen=True)
class LeftOut:
    """Logits of one window without each of its sentences.

    Attributes:
        sentences: in the raw text.
        logits: a row for each sentence that is left out.
    """

    sentences: tuple[Span, ...]
    logits: Logits


def leave_out(
    taxonomy: Taxonomy,
    head: AttentionHead,
    lexicon: Lexicon,
    window: EncodedWindow,
    text: NormalisedText,
    sentences: Sequence[Span],
) -> LeftOut:
    """Logits of a window without each sentence that it touches.

    Args:
        taxonomy: the labels.
        head: of all levels, see :func:`models.heads.join_heads`.
        lexicon: reads the window's text.
        window: of the normalised text.
        text: leads from normalised to raw characters.
        sentences: of the raw text, in order.
    """
    owners = token_owners(window, text, sentences)
    present = np.unique(owners[owners >= 0])
    others = (owners[None] != present[:, None]).astype(np.float32)
    weights, values = head.read(window.states)
    # Summed over the other tokens: taken from the whole, a sentence with nearly all weight leaves rounding errors.
    left_weight = np.maximum(others @ weights, np.finfo(np.float32).tiny)
    encoder = others @ (weights * values) / left_weight + head.bias
    words = [lexicon(_without(window, text.text, owners == place)) for place in present]
    logits = Logits(split_columns(taxonomy, encoder), split_columns(taxonomy, np.stack(words)))
    return LeftOut(tuple(sentences[place] for place in present), logits)


def _without(window: EncodedWindow, text: str, tokens: NDArray[np.bool_]) -> str:
    """The window's text without the stretch that some neighbouring tokens cover."""
    starts, ends = window.token_spans[tokens].T
    return text[window.span.start : starts.min()] + " " + text[ends.max() : window.span.end]


def token_owners(window: EncodedWindow, text: NormalisedText, spans: Sequence[Span]) -> NDArray[np.int64]:
    """Index of the span of each token, shape ``(tokens,)``; -1 for tokens that are not of the text.

    Args:
        window: of the normalised text.
        text: leads from normalised to raw characters.
        spans: of the raw text, in order; what lies between two belongs to the first of them.
    """
    starts, ends = window.token_spans.T
    real = ends > starts
    # By its last character: a token may start with the space before its word, which the span does not hold.
    raw = text.starts[np.maximum(ends - 1, 0)]
    owners = np.searchsorted([span.start for span in spans], raw, side="right") - 1
    return np.where(real, np.maximum(owners, 0), -1)


def probability_drops(
    level: Level,
    place: int,
    best: int,
    windows: Sequence[Mapping[str, Floats]],
    without: Sequence[Mapping[str, Floats]],
) -> Floats:
    """How far a label's probability falls without each sentence of one window, shape ``(sentences,)``.

    A parent that another window speaks for stands whatever is left out of this one. Without its only sentence a window
    says nothing, and all of the probability falls.

    Args:
        level: of the label.
        place: of the label in its level.
        best: the window, by its place in the text.
        windows: calibrated logits of each window, one row.
        without: calibrated logits of each window without each of its sentences.
    """
    logits = np.concatenate([windows[best][level.name][:, place], without[best][level.name][:, place]])
    if level.parent is not None:
        above = level.parent_index[place]
        elsewhere = [window[level.parent][0, above] for number, window in enumerate(windows) if number != best]
        parents = np.concatenate([windows[best][level.parent][:, above], without[best][level.parent][:, above]])
        logits = np.minimum(logits, np.maximum(parents, max(elsewhere, default=-np.inf)))
    whole, *rest = sigmoid(logits)
    drops: Floats = whole - np.array(rest if len(rest) > 1 else [0.0], np.float32)
    return drops


def choose_evidence(sentences: Sequence[Span], drops: Floats) -> tuple[Evidence, ...]:
    """The sentences that carry a tag, strongest first.

    Args:
        sentences: of the window that gave the tag.
        drops: how far the tag's probability falls without each, shape ``(sentences,)``.
    """
    order = np.argsort(-drops, kind="stable")[:_MOST_SENTENCES]
    least = max(_LEAST_SHARE * float(drops.max(initial=0.0)), 1e-4)
    return tuple(Evidence(sentences[place], float(drops[place])) for place in order if drops[place] >= least)
