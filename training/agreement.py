"""Agreement of two readers who labelled the same texts without seeing each other's labels."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.metrics import cohen_kappa_score, f1_score

from nlp.errors import CorpusError, ReadingError
from nlp.records import LabelledText
from nlp.taxonomy import Taxonomy
from training.metrics import gold

Labels = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Agreement:
    """Agreement on one level.

    Attributes:
        texts: how many both readers labelled.
        micro_f1: of one reader against the other, over all decisions; symmetric.
        kappa: Cohen's kappa over all decisions.
        equal: share of texts with the very same labels.
    """

    texts: int
    micro_f1: float
    kappa: float
    equal: float


@dataclass(frozen=True)
class Disagreement:
    """A text on whose labels two readers differ.

    Attributes:
        text: with the first reader's labels.
        second: the second reader's labels.
        levels: names of the levels on which they differ.
    """

    text: LabelledText
    second: Labels
    levels: tuple[str, ...]


def read_second_pass(files: Sequence[Path], taxonomy: Taxonomy) -> dict[str, Labels]:
    """Read labels by id from JSONL files of ``{"id", "<level>": [...], ...}``.

    Raises:
        ReadingError: a file is missing.
        CorpusError: a line is malformed, or holds labels that are not in the taxonomy.
    """
    found: dict[str, Labels] = {}
    faults = []
    for file in files:
        if not file.is_file():
            raise ReadingError(f"{file} does not exist", expected="a JSONL file of labels")
        for number, line in enumerate(file.read_text(encoding="utf-8").split("\n"), 1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
                labels = {level.name: tuple(record[level.name]) for level in taxonomy.levels}
                wrong = taxonomy.faults(labels)
                found[record["id"]] = labels
            except (json.JSONDecodeError, KeyError, TypeError) as error:
                wrong = [f"not a line of labels: {error!r}"]
            faults += [f"{file}:{number}: {fault}" for fault in wrong]
    if faults:
        raise CorpusError(faults)
    return found


def agreement(texts: Sequence[LabelledText], second: Mapping[str, Labels], taxonomy: Taxonomy) -> dict[str, Agreement]:
    """Agreement by level over the texts that both readers labelled."""
    both = [text for text in texts if text.id in second]
    others = [LabelledText(text.id, text.text, second[text.id], text.group) for text in both]
    found = {}
    for level in taxonomy.levels:
        (one, _), (two, _) = gold(both, level), gold(others, level)
        found[level.name] = Agreement(
            texts=len(both),
            micro_f1=float(f1_score(one.ravel(), two.ravel(), zero_division=1.0)),
            kappa=float(cohen_kappa_score(one.ravel(), two.ravel())),
            equal=float(np.mean((one == two).all(axis=1))),
        )
    return found


def disagreements(
    texts: Sequence[LabelledText], second: Mapping[str, Labels], taxonomy: Taxonomy
) -> Iterator[Disagreement]:
    """The texts to settle, in order."""
    for text in texts:
        if text.id not in second:
            continue
        names = [level.name for level in taxonomy.levels]
        levels = tuple(name for name in names if set(text.labels.get(name, ())) != set(second[text.id].get(name, ())))
        if levels:
            yield Disagreement(text, second[text.id], levels)
