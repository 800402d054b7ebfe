"""A deterministic tagger without weights: it drives the whole product in tests and demonstrations of the API."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from models.calibration import Calibration, Thresholds, Weights
from models.encoder import Encoder
from models.heads import AttentionHead, Floats
from models.lexicon import Lexicon
from models.tagger import Tagger
from models.tokenizer import Window
from nlp.normalise import find_recipe
from nlp.records import Span
from nlp.taxonomy import Taxonomy

_DIMENSION = 64


class StubEncoder(Encoder):
    """Counts hashed character trigrams: equal texts get equal embeddings, similar texts similar ones."""

    dimension = _DIMENSION
    streams = 2

    def windows(self, text: str) -> Sequence[Window]:
        """One window, of which the characters are the tokens."""
        ids = np.array([ord(character) for character in text], np.int64)
        return [Window(ids, np.array([[0, len(text)]]), Span(0, len(text)))]

    def states(self, windows: Sequence[Window], *, alone: bool = True) -> Sequence[Floats]:
        """One state for each whole window."""
        return [_embed("".join(map(chr, window.token_ids)))[None] for window in windows]


def _embed(text: str) -> Floats:
    counts = np.zeros(_DIMENSION, np.float32)
    for start in range(max(1, len(text) - 2)):
        digest = hashlib.blake2b(text[start : start + 3].encode(), digest_size=2).digest()
        counts[int.from_bytes(digest) % _DIMENSION] += 1
    embedding: Floats = counts / max(float(np.linalg.norm(counts)), 1.0)
    return embedding


def empty_lexicon(taxonomy: Taxonomy) -> Lexicon:
    """A lexicon that knows no word."""
    columns = np.zeros(sum(len(level.labels) for level in taxonomy.levels), np.float32)
    nothing = np.zeros(0)
    return Lexicon(
        find_recipe("folded"),
        {},
        nothing.astype(np.float32),
        np.zeros(1, np.int64),
        nothing.astype(np.uint8),
        nothing.astype(np.int8),
        columns,
        columns,
    )


def stub_tagger(taxonomy: Taxonomy) -> Tagger:
    """A tagger whose tags depend on the text alone, and mean nothing."""
    heads = {}
    for level in taxonomy.levels:
        rows = [_embed(f"{level.name} {label.id} {label.title['ar']}") for label in level.labels]
        heads[level.name] = AttentionHead(
            8 * np.stack(rows), np.full(len(rows), -2, np.float32), np.zeros((len(rows), _DIMENSION), np.float32)
        )
    return Tagger(
        name="stub",
        taxonomy=taxonomy,
        recipe=find_recipe("light"),
        encoder=StubEncoder(),
        heads=heads,
        lexicon=empty_lexicon(taxonomy),
        calibration=Calibration({level.name: Weights(encoder=1, lexicon=0, bias=0) for level in taxonomy.levels}),
        thresholds=Thresholds(
            by_level={level.name: np.full(len(level.labels), 0.5, np.float32) for level in taxonomy.levels},
            review_level=taxonomy.levels[0].name,
            review_confidence=0.6,
        ),
    )
