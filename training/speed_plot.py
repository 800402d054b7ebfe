"""Bars of speed as an SVG, without a plotting library."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

_WIDTH, _BAR, _GAP, _LEFT, _RIGHT = 760, 22, 10, 250, 130


def draw_bars(title: str, unit: str, values: Mapping[str, tuple[float, float, float]]) -> str:
    """One bar for each system, with a line from the slowest to the fastest round.

    Args:
        title: above the bars.
        unit: of the values.
        values: median, lowest and highest by system.
    """
    height = 40 + len(values) * (_BAR + _GAP)
    scale = (_WIDTH - _LEFT - _RIGHT) / max(high for _, _, high in values.values())
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" '
        'font-size="13">',
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
        f'<text x="{_LEFT}" y="22" font-weight="bold">{escape(title)}</text>',
    ]
    for place, (name, (median, low, high)) in enumerate(values.items()):
        top = 36 + place * (_BAR + _GAP)
        middle = top + _BAR / 2
        colour = "#1d6f5c" if place == 0 else "#8a94a0"
        parts += [
            f'<text x="{_LEFT - 10}" y="{middle + 5:.0f}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{_LEFT}" y="{top}" width="{median * scale:.1f}" height="{_BAR}" fill="{colour}"/>',
            f'<line x1="{_LEFT + low * scale:.1f}" x2="{_LEFT + high * scale:.1f}" y1="{middle:.0f}" '
            f'y2="{middle:.0f}" stroke="black"/>',
            f'<text x="{_LEFT + high * scale + 8:.1f}" y="{middle + 5:.0f}">{median:,.1f} {escape(unit)}</text>',
        ]
    return "\n".join([*parts, "</svg>", ""])
