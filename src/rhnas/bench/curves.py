"""The anytime curves of a benchmark as one SVG: distance to the optimum as look-ups are spent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 760, 420, 64, 24, 180, 44
FLOOR = 1e-3
"""Regrets below this are drawn on the axis."""
COLOURS = (
    "#0b6e4f",
    "#c1440e",
    "#3b5ba5",
    "#8a5a00",
    "#7b3f99",
    "#c2185b",
    "#00838f",
    "#5d4037",
    "#555",
    "#999",
)


def draw(result: Mapping[str, Any]) -> str:
    """Median regret of every scheme over look-ups, logarithmic, as a self-contained SVG.

    Args:
        result: As ``rhnas.bench.play.bench`` gives it.
    """
    schemes: Mapping[str, Any] = result["schemes"]
    most = int(result["budget"]["lookups"])
    values = [regret for row in schemes.values() for _, regret in row["curve"]]
    top = max([10 * FLOOR, *values])
    parts = [_frame(str(result["benchmark"]), most, top)]
    for index, (name, row) in enumerate(schemes.items()):
        colour = COLOURS[index % len(COLOURS)]
        path = _path(row["curve"], most, top)
        if path:
            parts.append(f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.8"/>')
        y = TOP + 14 + 18 * index
        parts.append(
            f'<path d="M{WIDTH - RIGHT + 12} {y - 4}h18" stroke="{colour}" stroke-width="2.4"/>'
            f'<text x="{WIDTH - RIGHT + 36}" y="{y}">{escape(name)}</text>'
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="sans-serif" font-size="12">{"".join(parts)}</svg>\n'
    )


def _frame(name: str, most: int, top: float) -> str:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    lines = [f'<path d="M{LEFT} {TOP}V{bottom}H{right}" fill="none" stroke="#333"/>']
    for exponent in range(round(np.log10(FLOOR)), int(np.ceil(np.log10(top))) + 1):
        y = _y(10.0**exponent, top)
        text = f"{100 * 10.0**exponent:g}%" if exponent > np.log10(FLOOR) else "optimum"
        if y >= TOP - 1:
            lines.append(f'<path d="M{LEFT} {y:.1f}H{right}" stroke="#ddd"/>')
            lines.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>')
    for share in (0, 0.25, 0.5, 0.75, 1):
        x = _x(share * most, most)
        lines.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{share * most:g}</text>')
    middle = (LEFT + right) / 2
    lines.append(f'<text x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">accuracies looked up</text>')
    lines.append(f'<text x="{LEFT}" y="16">{escape(name)}: median EDP above the joint optimum</text>')
    return "".join(lines)


def _path(curve: Sequence[Sequence[float]], most: int, top: float) -> str:
    """Steps down, the last one drawn to the end."""
    steps = [
        f"{'H' if at else 'M'}{_x(x, most):.1f}{'V' if at else ' '}{_y(y, top):.1f}"
        for at, (x, y) in enumerate(curve)
    ]
    return "".join([*steps, f"H{_x(most, most):.1f}"]) if steps else ""


def _x(lookups: float, most: int) -> float:
    return LEFT + (WIDTH - RIGHT - LEFT) * lookups / most


def _y(regret: float, top: float) -> float:
    share = np.log(max(regret, FLOOR) / FLOOR) / np.log(top / FLOOR)
    return float(HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * share)
