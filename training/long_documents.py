"""Long documents with known labels: several texts of a set one behind the other."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from nlp.records import LabelledText
from nlp.taxonomy import Taxonomy


def joined_texts(taxonomy: Taxonomy, texts: Sequence[LabelledText], count: int, seed: int) -> tuple[LabelledText, ...]:
    """Documents of ``count`` texts each, drawn without replacement; what is left over at the end is left out.

    A document has the labels of all its texts, on the levels on which all of them are annotated.

    Args:
        taxonomy: gives the levels and the order of labels.
        texts: to join; they may differ in everything.
        count: texts of one document.
        seed: of the draw.
    """
    shuffled = list(texts)
    Random(f"joined:{seed}").shuffle(shuffled)
    documents = []
    for start in range(0, len(shuffled) - count + 1, count):
        parts = shuffled[start : start + count]
        labels = {}
        for level in taxonomy.levels:
            if all(level.name in part.labels for part in parts):
                found = {label for part in parts for label in part.labels[level.name]}
                labels[level.name] = tuple(label for label in level.ids if label in found)
        identity = "+".join(part.id for part in parts)
        documents.append(LabelledText(identity, "\n".join(part.text for part in parts), labels, identity))
    return tuple(documents)
