"""A report on the terminal: tables that fit 80 columns with every name in full."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from training.bootstrap import Difference, Interval
from training.comparison import Comparison, LabelChange, LevelComparison
from training.report import Report, SystemFigures

_FEW_LABELS = 5


def print_report(report: Report, console: Console | None = None) -> None:
    """Print the figures of each system, the comparisons, and the weakest dialects."""
    console = console or Console(highlight=False)
    console.print(
        f"{report.provenance.file} ({report.texts} texts), 95% intervals below F1", markup=False, soft_wrap=True
    )
    for system in report.systems:
        console.print(f"\n{system.name}", markup=False, style="bold", soft_wrap=True)
        console.print(_figures(system))
        console.print(
            f"{system.evaluation.reviewed:.0%} need review; precision of {report.review_level} on the others "
            f"{system.evaluation.confident_precision:.3f}"
        )
    for comparison in report.comparisons:
        console.print(f"\n{comparison.first} beside {comparison.second}", markup=False, style="bold", soft_wrap=True)
        console.print(_differences(comparison))
        for name, level in comparison.levels.items():
            _print_changes(console, name, level)
    if report.robustness:
        console.print("\nTags that stay when texts are spelled otherwise (micro F1 between the two)", style="bold")
        console.print(_robustness(report))
    if report.faithfulness:
        console.print("\nEvidence: mean fall of a tag's probability without it", style="bold")
        console.print(_faithfulness(report))
    if report.dialect_gaps:
        console.print()
    for gap in report.dialect_gaps:
        console.print(
            f"{gap.level}: weakest dialect {gap.dialect}, micro F1 {gap.micro_f1:.3f}; msa {gap.standard:.3f}, "
            f"distance {gap.distance:.3f}"
        )


def _table(*columns: str, names: int) -> Table:
    """Columns of numbers after so many columns of names."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for place, column in enumerate(columns):
        table.add_column(column, justify="left" if place < names else "right", overflow="fold")
    return table


def _figures(system: SystemFigures) -> Table:
    table = _table("level", "precision", "recall", "micro F1", "macro F1", "labels", "accuracy", "ECE", names=1)
    for name, found in system.evaluation.levels.items():
        error = "" if found.calibration_error is None else f"{found.calibration_error:.3f}"
        table.add_row(
            name,
            f"{found.precision:.3f}",
            f"{found.recall:.3f}",
            _with_interval(system.intervals[name].micro_f1),
            _with_interval(system.intervals[name].macro_f1),
            str(found.labels),
            f"{found.accuracy:.3f}",
            error,
        )
    return table


def _with_interval(found: Interval) -> str:
    return f"{found.value:.3f}\n" + f"{found.low:.3f}–{found.high:.3f}".replace("0.", ".")


def _robustness(report: Report) -> Table:
    levels = list(dict.fromkeys(one.level for one in report.robustness))
    table = _table("perturbation", *levels, names=1)
    for name in dict.fromkeys(one.perturbation for one in report.robustness):
        table.add_row(name, *(f"{one.micro_f1:.3f}" for one in report.robustness if one.perturbation == name))
    return table


def _faithfulness(report: Report) -> Table:
    table = _table("level", "tags", "evidence", "other sentences", "ratio", "interval", names=1)
    for one in report.faithfulness:
        table.add_row(
            one.level,
            str(one.tags),
            *("–" if fall is None else f"{fall:.3f}" for fall in (one.by_evidence, one.by_others)),
            "–" if one.ratio is None else f"{one.ratio:.1f}",
            "–" if one.interval is None else f"{one.interval[0]:.1f} to {one.interval[1]:.1f}",
        )
    return table


def _differences(comparison: Comparison) -> Table:
    table = _table("level", "figure", "first", "second", "gap", "interval", "better", "verdict", names=2)
    for name, level in comparison.levels.items():
        for figure, found in (("micro F1", level.differences.micro_f1), ("macro F1", level.differences.macro_f1)):
            table.add_row(name, figure, *_difference(found))
    return table


def _difference(found: Difference) -> tuple[str, ...]:
    return (
        f"{found.first:.3f}",
        f"{found.second:.3f}",
        f"{found.gap.value:+.3f}",
        f"{found.gap.low:+.3f} to {found.gap.high:+.3f}".replace("0.", "."),
        f"{found.better:.0%}",
        found.verdict,
    )


def _print_changes(console: Console, name: str, level: LevelComparison) -> None:
    for word, changes in (("gained", level.risen), ("lost", level.fallen)):
        if changes:
            console.print(f"{name} that {word} most: " + ", ".join(map(_change, changes[:_FEW_LABELS])), markup=False)


def _change(change: LabelChange) -> str:
    return f"{change.first.label.id} {change.change:+.2f} (due in {change.first.support})"
