"""The report as one page: no script, no network, every text escaped by the template."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

_TEMPLATE = Path(__file__).with_name("report.html.jinja")
_ABSENT = "–"


def draw_page(report: Mapping[str, Any]) -> str:
    """Draw a report.

    Args:
        report: as :meth:`training.report.Report.to_dict` gives it.

    Returns:
        HTML with its styles and diagrams in it.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"figure": _figure, "signed": _signed, "percent": _percent, "log_share": _log_share}
    titles = {level: {label["id"]: label for label in labels} for level, labels in report["labels"].items()}
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(report=report, titles=titles)


def _figure(value: float | None, digits: int = 3) -> str:
    return _ABSENT if value is None else f"{value:.{digits}f}"


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")


def _percent(value: float) -> str:
    return f"{value:.0%}"


def _log_share(count: int, most: int) -> float:
    """A count beside the highest, on a logarithmic scale, in ``[0, 1]``."""
    return math.log1p(count) / math.log1p(most) if most else 0.0
