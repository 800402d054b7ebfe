"""The report of an evaluation: one record that holds every figure, written as JSON or as a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.bundle import write_json
from nlp.errors import CorpusError, UnknownFormatError
from nlp.records import LabelledText
from nlp.taxonomy import Level, Taxonomy
from training.bootstrap import RESAMPLES, Counts, Intervals, intervals
from training.comparison import Comparison, compare_systems
from training.corpus import data_hash
from training.evaluation import Answers, Evaluation, evaluate_answers
from training.faithfulness import Faithfulness
from training.labels import LabelFigures, label_figures
from training.metrics import Bin, gold, reliability
from training.mistakes import Confusion, Mistake, find_confusion, worst_mistakes
from training.page import draw_page
from training.robustness import Agreement
from training.slices import FEWEST_TEXTS, DialectGap, Slice, dialect_gaps, find_slices

SUFFIXES = (".html", ".json")


@dataclass(frozen=True)
class Provenance:
    """What was measured, on what.

    Attributes:
        file: the texts, as the caller named them.
        bundles: versions by name of each bundle, as its manifest gives them.
        date: as the caller gives it; the report never looks at the clock.
    """

    file: str
    bundles: Mapping[str, Mapping[str, str]]
    date: str | None = None


@dataclass(frozen=True)
class SystemFigures:
    """One system.

    Attributes:
        name: of the system.
        evaluation: its figures.
        intervals: of its F1, by level.
    """

    name: str
    evaluation: Evaluation
    intervals: Mapping[str, Intervals]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        figures = self.evaluation.to_dict()
        for level, found in self.intervals.items():
            figures["levels"][level]["intervals"] = found.to_dict()
        return {"name": self.name, **figures}


@dataclass(frozen=True)
class Report:
    """All that is known of the first system, and how it stands beside the others.

    Attributes:
        provenance: what was measured, on what.
        texts: how many.
        data_sha256: of the texts and their labels, as :func:`training.corpus.data_hash` counts it.
        seed: of the bootstrap.
        review_level: the level whose decisions are watched, in the first system.
        review_confidence: below it a text needs review.
        systems: the first one is the one reported on.
        comparisons: of the first system with each other one.
        levels: of the taxonomy.
        labels: figures of every label, by level.
        reliability: bins by level that some text is annotated on.
        slices: parts of the texts.
        dialect_gaps: the weakest dialect of each level.
        confusion: of the review level.
        mistakes: the worst of them.
        robustness: how far the first system's tags stay when texts are spelled otherwise; empty if not measured.
        faithfulness: whether its evidence carries its tags; empty if not measured.
    """

    provenance: Provenance
    texts: int
    data_sha256: str
    seed: int
    review_level: str
    review_confidence: float
    systems: tuple[SystemFigures, ...]
    comparisons: tuple[Comparison, ...]
    levels: tuple[Level, ...]
    labels: Mapping[str, tuple[LabelFigures, ...]]
    reliability: Mapping[str, tuple[Bin, ...]]
    slices: tuple[Slice, ...]
    dialect_gaps: tuple[DialectGap, ...]
    confusion: Confusion
    mistakes: tuple[Mistake, ...]
    robustness: tuple[Agreement, ...] = ()
    faithfulness: tuple[Faithfulness, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """For JSON, and for the page."""
        return {
            "measured_on": {
                "file": self.provenance.file,
                "texts": self.texts,
                "data_sha256": self.data_sha256,
                "date": self.provenance.date,
                "bundles": {name: dict(versions) for name, versions in self.provenance.bundles.items()},
                "resamples": RESAMPLES,
                "seed": self.seed,
            },
            "review": {"level": self.review_level, "confidence": round(self.review_confidence, 4)},
            "levels": [level.name for level in self.levels],
            "systems": [system.to_dict() for system in self.systems],
            "comparisons": [comparison.to_dict() for comparison in self.comparisons],
            "labels": {level: [label.to_dict() for label in labels] for level, labels in self.labels.items()},
            "reliability": {level: [one.to_dict() for one in bins] for level, bins in self.reliability.items()},
            "fewest_texts": FEWEST_TEXTS,
            "slices": [one.to_dict() for one in self.slices],
            "dialect_gaps": [gap.to_dict() for gap in self.dialect_gaps],
            "confusion": self.confusion.to_dict(),
            "mistakes": [mistake.to_dict() for mistake in self.mistakes],
            "robustness": [agreement.to_dict() for agreement in self.robustness],
            "faithfulness": [found.to_dict() for found in self.faithfulness],
        }


def make_report(
    taxonomy: Taxonomy,
    systems: Sequence[Answers],
    texts: Sequence[LabelledText],
    provenance: Provenance,
    *,
    seed: int,
    robustness: tuple[Agreement, ...] = (),
    faithfulness: tuple[Faithfulness, ...] = (),
) -> Report:
    """Measure systems on labelled texts.

    Args:
        taxonomy: the labels of all systems.
        systems: their answers on the same texts; the report is on the first.
        texts: with gold labels.
        provenance: what was measured, on what.
        seed: of the bootstrap.
        robustness: of the first system, if it was measured.
        faithfulness: of the first system, if it was measured.

    Raises:
        CorpusError: there is no text.
    """
    if not texts:
        raise CorpusError([f"{provenance.file}: no text"], remedy="give a file with labelled texts")
    first, *others = systems
    given, thresholds = first.given(taxonomy), first.thresholds
    slices = find_slices(taxonomy, given, texts)
    return Report(
        provenance=provenance,
        texts=len(texts),
        data_sha256=data_hash(texts),
        seed=seed,
        review_level=thresholds.review_level,
        review_confidence=thresholds.review_confidence,
        systems=tuple(system_figures(taxonomy, answers, texts, seed) for answers in systems),
        comparisons=tuple(compare_systems(taxonomy, first, other, texts, seed=seed) for other in others),
        levels=taxonomy.levels,
        labels={
            level.name: label_figures(level, given[level.name], thresholds.by_level[level.name], texts)
            for level in taxonomy.levels
        },
        reliability=_reliability(taxonomy, first, texts),
        slices=slices,
        dialect_gaps=dialect_gaps(slices),
        confusion=find_confusion(taxonomy.level(thresholds.review_level), given[thresholds.review_level], texts),
        mistakes=worst_mistakes(taxonomy, first, texts),
        robustness=robustness,
        faithfulness=faithfulness,
    )


def check_suffix(path: Path) -> None:
    """Refuse a report that could not be written, before anything is measured.

    Raises:
        UnknownFormatError: the suffix is not one of :data:`SUFFIXES`.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UnknownFormatError(
            f"the report {path} ends in {path.suffix or 'no suffix'}",
            expected="one of " + ", ".join(SUFFIXES),
            remedy="name the file by what it should hold",
        )


def write_report(report: Report, path: Path) -> None:
    """Write a report as a page or as JSON, by the suffix.

    Raises:
        UnknownFormatError: the suffix is not one of :data:`SUFFIXES`.
    """
    check_suffix(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() == ".html":
        path.write_text(draw_page(report.to_dict()), encoding="utf-8")
    else:
        write_json(path, report.to_dict())


def system_figures(taxonomy: Taxonomy, answers: Answers, texts: Sequence[LabelledText], seed: int) -> SystemFigures:
    """Figures of one system with their bootstrap intervals."""
    given = answers.given(taxonomy)
    found = {}
    for level in taxonomy.levels:
        truth, known = gold(texts, level)
        if known.any():
            found[level.name] = intervals(Counts.of(truth[known], given[level.name][known]), seed=seed)
    return SystemFigures(answers.name, evaluate_answers(taxonomy, answers, texts), found)


def _reliability(taxonomy: Taxonomy, answers: Answers, texts: Sequence[LabelledText]) -> dict[str, tuple[Bin, ...]]:
    found = {}
    for level in taxonomy.levels:
        truth, known = gold(texts, level)
        if known.any():
            found[level.name] = reliability(answers.scores[level.name][known], truth[known])
    return found
