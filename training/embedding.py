"""Embeddings of many texts, kept between runs where a folder is given."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from models.heads import Floats
from models.tagger import Options, Tagger
from nlp.records import Classification, Document

Embed = Callable[[Sequence[str]], Floats]


def read_with(tagger: Tagger, texts: Sequence[str]) -> tuple[Floats, list[Classification]]:
    """Embeddings and tags as a service gets them: both come of one reading.

    Args:
        tagger: reads them.
        texts: of any length; one that cannot be read gets zeros and no tag.

    Returns:
        float32, shape ``(texts, dimension)``, and the tags of each.
    """
    found = np.zeros((len(texts), tagger.encoder.dimension), np.float32)
    tags = [Classification(str(place), {}, needs_review=False) for place in range(len(texts))]

    documents = (Document(str(place), text) for place, text in enumerate(texts))
    for place, answer in enumerate(tagger.stream(documents, Options(embedding=True))):
        if isinstance(answer, Classification):
            found[place] = answer.embedding
            tags[place] = replace(answer, embedding=None)
    return found, tags


@dataclass(frozen=True)
class Kept:
    """Embeds each text once, and keeps what it embedded.

    Attributes:
        name: of the model.
        embed: the model.
        folder: where embeddings are kept between runs; nowhere if ``None``.
    """

    name: str
    embed: Embed
    folder: Path | None = None

    def __call__(self, texts: Sequence[str]) -> Floats:
        """Embeddings, shape ``(texts, dimension)``."""
        distinct = sorted(set(texts))
        row = {text: place for place, text in enumerate(distinct)}
        if self.folder is None:
            return self.embed(distinct)[[row[text] for text in texts]]
        parts = [hashlib.sha256(part.encode()).digest() for part in (self.name, *distinct)]
        file = self.folder / f"{hashlib.sha256(b''.join(parts)).hexdigest()[:16]}.npy"
        if not file.is_file():
            self.folder.mkdir(parents=True, exist_ok=True)
            np.save(file, self.embed(distinct))
        found: Floats = np.load(file)[[row[text] for text in texts]]
        return found
