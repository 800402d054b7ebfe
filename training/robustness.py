"""How far a tagger's tags stay the same when a text is spelled, scanned or framed otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from models.heads import Bools
from models.tagger import Tagger
from training.metrics import rounded
from training.perturbations import PERTURBATIONS, Perturbation


@dataclass(frozen=True)
class Agreement:
    """How far the tags of perturbed texts are those of the texts as they were, on one level.

    Attributes:
        perturbation: its name in :data:`training.perturbations.PERTURBATIONS`.
        level: of the taxonomy.
        texts: how many.
        changed: share of the texts that the perturbation changed.
        micro_f1: between the two sets of (text, label) decisions; 1 where neither holds any.
        identical: share of the texts with the same tags.
    """

    perturbation: str
    level: str
    texts: int
    changed: float
    micro_f1: float
    identical: float

    def to_dict(self) -> dict[str, Any]:
        """Rounded to four digits, for JSON."""
        return rounded(self)


def tag_agreement(
    tagger: Tagger,
    texts: Sequence[str],
    seed: int,
    perturbations: Mapping[str, Perturbation] = PERTURBATIONS,
) -> tuple[Agreement, ...]:
    """Compare the tags of texts with those of the same texts perturbed.

    Args:
        tagger: to be measured.
        texts: raw.
        seed: of the perturbations; each text has its own, whatever other texts there are.
        perturbations: by name.

    Returns:
        An agreement for each perturbation and level, perturbation by perturbation.

    Raises:
        ValueError: there are no texts.
    """
    if not texts:
        raise ValueError("no texts to compare tags on")
    before = _tags(tagger, texts)
    found = []
    for name, perturb in perturbations.items():
        perturbed = [perturb(text, Random(f"{seed} {name} {text}")) for text in texts]
        changed = sum(new != old for new, old in zip(perturbed, texts, strict=True)) / len(texts)
        after = _tags(tagger, perturbed)
        for level in (level.name for level in tagger.taxonomy.levels):
            old, new = before[level], after[level]
            found.append(
                Agreement(
                    perturbation=name,
                    level=level,
                    texts=len(texts),
                    changed=changed,
                    micro_f1=_shared(old, new),
                    identical=float((old == new).all(axis=1).mean()),
                )
            )
    return tuple(found)


def _tags(tagger: Tagger, texts: Sequence[str]) -> dict[str, Bools]:
    return tagger.thresholds.decide(tagger.taxonomy, tagger.scores(texts))


def _shared(old: Bools, new: Bools) -> float:
    """F1 of the one set of decisions against the other; the same both ways."""
    total = int(old.sum() + new.sum())
    return 2 * int((old & new).sum()) / total if total else 1.0
