"""A plot of time against size as SVG, both axes logarithmic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, floor, log10

_WIDTH, _HEIGHT = 640, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 40, 50
_COLOURS = ("#0b6e4f", "#b3541e", "#334e8a")


def plot(sizes: Sequence[int], seconds: Mapping[str, Sequence[float]], title: str) -> str:
    """Draw one line for each name.

    Args:
        sizes: along the bottom.
        seconds: by name, as many as there are sizes; all above 0.
        title: one line.
    """
    values = [value for line in seconds.values() for value in line]
    low, high = _decades(sizes), _decades(values)

    def x(size: float) -> float:
        return round(_LEFT + (_WIDTH - _LEFT - _RIGHT) * (log10(size) - low[0]) / (low[1] - low[0]), 1)

    def y(value: float) -> float:
        return round(_HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * (log10(value) - high[0]) / (high[1] - high[0]), 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{title}" '
        f'font-family="sans-serif" font-size="12" fill="#333">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        f'<text x="{_LEFT}" y="22" font-size="14">{title}</text>',
    ]
    for decade in range(high[0], high[1] + 1):
        at = y(10.0**decade)
        parts.append(f'<path d="M{_LEFT} {at}H{_WIDTH - _RIGHT}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{at + 4}" text-anchor="end">{10.0**decade:g} s</text>')
    for size in sizes:
        at = x(size)
        parts.append(f'<path d="M{at} {_TOP}V{_HEIGHT - _BOTTOM}" stroke="#eee"/>')
        parts.append(f'<text x="{at}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{size:,}</text>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{_HEIGHT - 10}" text-anchor="middle">comments</text>')
    for place, (name, line) in enumerate(seconds.items()):
        colour = _COLOURS[place % len(_COLOURS)]
        points = " ".join(f"{x(size)},{y(value)}" for size, value in zip(sizes, line, strict=True))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for size, value in zip(sizes, line, strict=True):
            said = f"<title>{name}: {size:,} comments, {value:g} s</title>"
            parts.append(f'<circle cx="{x(size)}" cy="{y(value)}" r="4" fill="{colour}">{said}</circle>')
        parts.append(f'<text x="{_LEFT + 12}" y="{_TOP + 18 + 17 * place}" fill="{colour}">{name}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _decades(values: Sequence[float]) -> tuple[int, int]:
    """Powers of ten around values, never the same."""
    first, last = floor(log10(min(values))), ceil(log10(max(values)))
    return first, max(last, first + 1)
