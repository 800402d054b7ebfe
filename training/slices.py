"""Figures of parts of the texts: by kind, dialect, language and length."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from models.heads import Bools
from nlp.records import LabelledText
from nlp.taxonomy import Taxonomy
from training.metrics import gold, measure, rounded

FEWEST_TEXTS = 20
NOT_GIVEN = "not given"
_STANDARD = "msa"
_NO_DIALECT = (_STANDARD, "mixed", NOT_GIVEN)
_LENGTHS = (0, 20, 60, 120)


@dataclass(frozen=True)
class SliceFigures:
    """One level on one slice.

    Attributes:
        texts: how many texts of the slice are annotated on the level.
        micro_f1: in ``[0, 1]``; ``None`` where nothing is due and nothing given.
        macro_f1: over the labels that are due in the slice; ``None`` where none is.
    """

    texts: int
    micro_f1: float | None
    macro_f1: float | None

    def to_dict(self) -> dict[str, Any]:
        """Rounded to four digits, for JSON."""
        return rounded(self)


@dataclass(frozen=True)
class Slice:
    """The texts that share one value of one field.

    Attributes:
        field: ``kind``, ``dialect``, ``lang`` or ``length``.
        value: e.g. ``gulf``; :data:`NOT_GIVEN` where the record has none.
        texts: how many there are.
        levels: figures by level.
    """

    field: str
    value: str
    texts: int
    levels: Mapping[str, SliceFigures]

    @property
    def small(self) -> bool:
        """Too few texts for its figures to say much."""
        return self.texts < FEWEST_TEXTS

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "field": self.field,
            "value": self.value,
            "texts": self.texts,
            "small": self.small,
            "levels": {name: figures.to_dict() for name, figures in self.levels.items()},
        }


@dataclass(frozen=True)
class DialectGap:
    """The dialect with the lowest micro F1 on a level, beside the standard language.

    Attributes:
        level: name of the level.
        dialect: of those with texts enough.
        micro_f1: there.
        standard: micro F1 of the texts in the standard language.
    """

    level: str
    dialect: str
    micro_f1: float
    standard: float

    @property
    def distance(self) -> float:
        """How much lower the dialect is; negative if it is higher."""
        return self.standard - self.micro_f1

    def to_dict(self) -> dict[str, Any]:
        """Rounded to four digits, for JSON."""
        return {
            "level": self.level,
            "dialect": self.dialect,
            "micro_f1": round(self.micro_f1, 4),
            "standard": round(self.standard, 4),
            "distance": round(self.distance, 4),
        }


def find_slices(taxonomy: Taxonomy, given: Mapping[str, Bools], texts: Sequence[LabelledText]) -> tuple[Slice, ...]:
    """Every slice of every field; the slices of one field together hold each text once.

    Args:
        taxonomy: the labels.
        given: decisions, shape ``(texts, labels)`` by level.
        texts: with gold labels.
    """
    found = []
    for field, (read, order) in _FIELDS.items():
        values = [read(text) for text in texts]
        for value in sorted(set(values), key=order):
            places = np.array([place for place, one in enumerate(values) if one == value])
            part = [texts[place] for place in places]
            rows = {name: decisions[places] for name, decisions in given.items()}
            found.append(Slice(field, value, len(part), _figures(taxonomy, rows, part)))
    return tuple(found)


def dialect_gaps(slices: Sequence[Slice]) -> tuple[DialectGap, ...]:
    """The weakest dialect of each level and its distance to the standard language.

    Dialects with fewer than :data:`FEWEST_TEXTS` annotated texts are left out; so are levels without any other.
    """
    dialects = {one.value: one.levels for one in slices if one.field == "dialect"}
    found = []
    for level, standard in dialects.get(_STANDARD, {}).items():
        scores = {
            dialect: levels[level].micro_f1
            for dialect, levels in dialects.items()
            if dialect not in _NO_DIALECT and level in levels and levels[level].texts >= FEWEST_TEXTS
        }
        known = {dialect: score for dialect, score in scores.items() if score is not None}
        if known and standard.micro_f1 is not None:
            weakest = min(known, key=lambda dialect: known[dialect])
            found.append(DialectGap(level, weakest, known[weakest], standard.micro_f1))
    return tuple(found)


def _figures(taxonomy: Taxonomy, given: Mapping[str, Bools], texts: Sequence[LabelledText]) -> dict[str, SliceFigures]:
    found = {}
    for level in taxonomy.levels:
        truth, known = gold(texts, level)
        if not known.any():
            continue
        metrics = measure(texts, level, given[level.name])
        anything = truth[known].any() or given[level.name][known].any()
        found[level.name] = SliceFigures(
            texts=metrics.texts,
            micro_f1=metrics.micro_f1 if anything else None,
            macro_f1=metrics.macro_f1 if metrics.labels else None,
        )
    return found


def _length(text: LabelledText) -> str:
    words = len(text.text.split())
    for low, high in pairwise(_LENGTHS):
        if words < high:
            return f"{low}-{high - 1} words"
    return f"{_LENGTHS[-1]} words and more"


def _meta(field: str) -> Callable[[LabelledText], str]:
    return lambda text: str(text.meta.get(field) or NOT_GIVEN)


def _by_name(value: str) -> tuple[bool, bool, str]:
    """The standard language first, what is not given last."""
    return value == NOT_GIVEN, value != _STANDARD, value


def _by_length(value: str) -> int:
    return int(value.split("-")[0].split()[0])


_FIELDS: dict[str, tuple[Callable[[LabelledText], str], Callable[[str], Any]]] = {
    "kind": (_meta("kind"), _by_name),
    "dialect": (_meta("dialect"), _by_name),
    "lang": (_meta("lang"), _by_name),
    "length": (_length, _by_length),
}
