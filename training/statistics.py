"""What a corpus holds: counts by label, kind, dialect, country and length; variety of its wording."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nlp.records import LabelledText
from nlp.taxonomy import Taxonomy

_ARABIC = range(0x600, 0x700)


@dataclass(frozen=True)
class Statistics:
    """Counts over a corpus.

    Attributes:
        texts: how many.
        labels: by level, how often each label is given, labels that never occur included.
        unlabelled: by level, share of texts without any label of it.
        fields: by field (kind, lang, dialect, country), how often each value occurs.
        words: words of a text at the 0, 10, 25, 50, 75, 90 and 100% points.
        arabic: share of texts whose letters are mostly Arabic.
        labels_per_text: by level, share of texts with 0, 1, 2, ... labels.
        distinct_4grams: share of all runs of four words that occur once.
        openings: the most frequent first three words, with their counts.
    """

    texts: int
    labels: dict[str, dict[str, int]]
    unlabelled: dict[str, float]
    fields: dict[str, dict[str, int]]
    words: tuple[int, ...]
    arabic: float
    labels_per_text: dict[str, dict[int, int]]
    distinct_4grams: float
    openings: tuple[tuple[str, int], ...]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dict(vars(self))


def corpus_statistics(texts: Sequence[LabelledText], taxonomy: Taxonomy) -> Statistics:
    """Count a corpus."""
    count = max(1, len(texts))
    labels = {level.name: Counter(dict.fromkeys(level.ids, 0)) for level in taxonomy.levels}
    for text in texts:
        for level, given in text.labels.items():
            labels[level].update(given)
    lengths = sorted(len(text.text.split()) for text in texts) or [0]
    openings = Counter(" ".join(text.text.split()[:3]) for text in texts)
    runs = Counter(
        tuple(words[i : i + 4]) for words in (text.text.split() for text in texts) for i in range(len(words) - 3)
    )
    return Statistics(
        texts=len(texts),
        labels={level: dict(counts) for level, counts in labels.items()},
        unlabelled={
            level.name: round(sum(not text.labels.get(level.name) for text in texts) / count, 4)
            for level in taxonomy.levels
        },
        fields={
            field: dict(Counter(str(text.meta.get(field)) for text in texts).most_common())
            for field in ("kind", "lang", "dialect", "country")
        },
        words=tuple(lengths[int(share * (len(lengths) - 1))] for share in (0, 0.1, 0.25, 0.5, 0.75, 0.9, 1)),
        arabic=round(sum(_is_arabic(text.text) for text in texts) / count, 4),
        labels_per_text={
            level.name: dict(sorted(Counter(len(text.labels.get(level.name, ())) for text in texts).items()))
            for level in taxonomy.levels
        },
        distinct_4grams=round(sum(n == 1 for n in runs.values()) / max(1, sum(runs.values())), 4),
        openings=tuple(openings.most_common(10)),
    )


def _is_arabic(text: str) -> bool:
    letters = [character for character in text if character.isalpha()]
    return 2 * sum(ord(character) in _ARABIC for character in letters) >= len(letters)
