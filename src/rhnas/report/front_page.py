"""Fronts as one drawing, and as one page with the figures beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import ceil, floor, log10
from pathlib import Path
from typing import Any

from rhnas.files import write_atomically
from rhnas.report.browser import screenshot
from rhnas.report.card import light_style
from rhnas.report.fronts import Point, title_of
from rhnas.report.outcomes import EDP, ENERGY, LATENCY
from rhnas.report.plots import SYMBOLS, label, log_axis
from rhnas.report.render import document
from rhnas.report.words import badge, cell, integer, percent, significant, table

WIDTH, HEIGHT, TOP, BOTTOM, LEFT, RIGHT, GAP = 1080, 400, 52, 344, 64, 1064, 26
PANEL = (RIGHT - LEFT - 2 * GAP) / 3
SHAPES = {
    "square": "M{x0} {y0}h14v14h-14z",
    "diamond": "M{x} {y1}l9 9l-9 9l-9 -9z",
    "star": "M{x} {y1}l8.5 15h-17z",
    "circle": "M{x2} {y}a7.5 7.5 0 1 0 15 0a7.5 7.5 0 1 0 -15 0z",
    "hexagon": "M{x} {y1}l8 4.5v9l-8 4.5l-8 -4.5v-9z",
    "cross": "M{x} {y0}m-2.5 0h5v4.5h4.5v5h-4.5v4.5h-5v-4.5h-4.5v-5h4.5z",
}
"""Paths of markers around a point, by the report's names of symbols."""
STEPS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
"""Percent between two labels of accuracy."""


def write_front(path: Path, points: Sequence[Point], found: Mapping[str, Any]) -> None:
    """Write the fronts as ``.svg``, ``.html`` or ``.png``, by the suffix.

    Args:
        path: What is written.
        points: Of all schemes.
        found: What ``compare`` says of them.

    Raises:
        MissingToolError: A ``.png`` is asked for and there is no Chromium.
    """
    if path.suffix == ".html":
        write_atomically(path, page(points, found))
    elif path.suffix == ".svg":
        write_atomically(path, drawing(points, found, style=light_style()))
    else:
        svg = path.with_suffix(".svg")
        write_atomically(svg, drawing(points, found, style=light_style()))
        screenshot(svg, path, width=WIDTH, height=HEIGHT, scale=2)


def page(points: Sequence[Point], found: Mapping[str, Any]) -> str:
    """The drawing, the points and the ratios as one self-contained page."""
    body = f"""<h1>Accuracy against cost</h1>
{drawing(points, found)}
<section><h2>Points</h2>{_points(points)}</section>
<section><h2>At equal accuracy</h2>{_ratios(found, _schemes(points))}</section>
</main>"""
    return document("Accuracy against cost", body)


def drawing(points: Sequence[Point], found: Mapping[str, Any], style: str = "") -> str:
    """Accuracy against latency, energy and energy-delay product, the last two by the first technology.

    A filled marker is of cycles counted by the simulator or, with a ring, on the generated Verilog; a hollow
    one is modelled throughout.

    Args:
        points: Of all schemes.
        found: What ``compare`` says of them.
        style: A style sheet where the drawing stands alone.
    """
    names = [next(name for name in found if name.startswith(key)) for key in (LATENCY, ENERGY, EDP)]
    low, high, ticks = _accuracies(points)
    panels = [
        _panel(index, name, points, found[name]["fronts"], (low, high)) for index, name in enumerate(names)
    ]
    scale = "".join(
        f'<path class="axis" d="M{LEFT} {height:.1f}H{RIGHT}" stroke-opacity=".5"/>'
        f'<text class="muted" x="{LEFT - 8}" y="{height + 4:.1f}" text-anchor="end">{tick:g}%</text>'
        for tick, height in ((tick, _y(tick, low, high)) for tick in ticks)
    )
    size = f'width="{WIDTH}" height="{HEIGHT}" ' if style else 'class="drawing" '
    background = f'<rect width="{WIDTH}" height="{HEIGHT}" style="fill:var(--paper)"/>' if style else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" {size}role="img" '
        f'aria-label="Test accuracy of integer networks against latency, energy and energy-delay product">'
        f"<style>{style}</style>{background}{_legend(points)}{scale}{''.join(panels)}</svg>\n"
    )


def _legend(points: Sequence[Point]) -> str:
    parts = [
        f'<path d="{_marker(scheme, LEFT + 8 + 150 * index, 18)}" style="fill:var({_colour(scheme)})"/>'
        f'<text x="{LEFT + 24 + 150 * index}" y="22">{label(scheme)}</text>'
        for index, scheme in enumerate(_schemes(points))
    ]
    note = "int8 test accuracy; filled: simulated, ring: on the Verilog, hollow: modelled"
    return "".join(parts) + f'<text class="muted" x="{RIGHT}" y="42" text-anchor="end">{note}</text>'


def _panel(
    index: int,
    name: str,
    points: Sequence[Point],
    fronts: Mapping[str, Sequence[tuple[float, float]]],
    span: tuple[float, float],
) -> str:
    left = LEFT + index * (PANEL + GAP)
    axis = log_axis("", [point.costs[name] for point in points])

    def x(value: float) -> float:
        low, high = axis["range"]
        return float(left + PANEL * (log10(value) - low) / (high - low))

    parts = [
        f'<path class="axis" d="M{left:.1f} {TOP}V{BOTTOM}h{PANEL:.1f}" fill="none"/>',
        f'<text x="{left + PANEL / 2:.1f}" y="{HEIGHT - 12}" text-anchor="middle">{title_of(name)}</text>',
    ]
    for tick, text in zip(axis["tickvals"], axis["ticktext"], strict=True):
        parts.append(
            f'<path class="axis" d="M{x(tick):.1f} {BOTTOM}v5"/>'
            f'<text class="muted" x="{x(tick):.1f}" y="{BOTTOM + 20}" text-anchor="middle">{text}</text>'
        )
    for scheme, front in fronts.items():
        line = "L".join(f"{x(cost):.1f} {_y(100 * accuracy, *span):.1f}" for accuracy, cost in front)
        parts.append(f'<path d="M{line}" style="fill:none;stroke:var({_colour(scheme)});stroke-width:1.6"/>')
    parts += [_point(point, name, x(point.costs[name]), _y(100 * point.accuracy, *span)) for point in points]
    return "".join(parts)


def _point(point: Point, name: str, x: float, y: float) -> str:
    colour = f"var({_colour(point.scheme)})"
    inside = "var(--paper)" if point.how == "modelled" else colour
    ring = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="12" style="fill:none;stroke:{colour}"/>' * (
        point.how == "rtl"
    )
    said = (
        f"{label(point.scheme)}, λ {point.weight:g}, seeds {', '.join(map(str, point.seeds))}: "
        f"{100 * point.accuracy:.2f}%, {title_of(name)} {significant(point.costs[name])}, cycles {point.how}"
    )
    shape = (
        f'<path d="{_marker(point.scheme, x, y)}" style="fill:{inside};stroke:{colour};fill-opacity:.85"/>'
    )
    return f"<g><title>{escape(said)}</title>{shape}{ring}</g>"


def _marker(scheme: str, x: float, y: float) -> str:
    """A path around a point."""
    places = {"x": x, "y": y, "x0": x - 7, "y0": y - 7, "y1": y - 9, "x2": x - 7.5}
    return SHAPES[SYMBOLS[scheme]].format(**{key: f"{value:.1f}" for key, value in places.items()})


def _schemes(points: Sequence[Point]) -> list[str]:
    return list(dict.fromkeys(point.scheme for point in points))


def _colour(scheme: str) -> str:
    return f"--{scheme.replace('_', '-')}"


def _accuracies(points: Sequence[Point]) -> tuple[float, float, list[float]]:
    """Least and greatest percentage drawn, and the labels between them."""
    values = [100 * point.accuracy for point in points]
    step = next((s for s in STEPS if (max(values) - min(values)) / s <= 6), STEPS[-1])
    first, last = floor(min(values) / step), ceil(max(values) / step)
    if first == last:
        first, last = first - 1, last + 1
    margin = 0.3 * step
    return first * step - margin, last * step + margin, [round(n * step, 4) for n in range(first, last + 1)]


def _y(percentage: float, low: float, high: float) -> float:
    return BOTTOM - (BOTTOM - TOP) * (percentage - low) / (high - low)


def _points(points: Sequence[Point]) -> str:
    names = list(points[0].costs)
    rows = [
        f'<tr class="{point.scheme}"><th scope="row">{label(point.scheme)}</th><td>{point.weight:g}</td>'
        f"<td>{integer(len(point.seeds))}</td>{cell(point.accuracy, percent(point.accuracy))}"
        f"{''.join(cell(point.costs[name]) for name in names)}<td>{badge(point.how)}</td></tr>"
        for point in points
    ]
    headings = ["", "λ", "seeds", "int8 accuracy", *map(title_of, names), "cycles"]
    note = (
        "A point is a configuration: the mean accuracy and the geometric mean cost of its seeds. Energy is "
        f"{badge('modelled')}; a delay in an energy-delay product is that of the cycles."
    )
    return table(headings, rows, caption=note)


def _ratios(found: Mapping[str, Any], schemes: Sequence[str]) -> str:
    rows = [
        f'<tr><th scope="row">{title_of(name)}</th><td>{pair.replace("/", " / ").replace("_", " ")}</td>'
        f"{cell(one['no_worse'])}{cell(one['interpolated'])}<td>{escape(one['why'])}</td></tr>"
        for name, entry in found.items()
        for pair, one in entry["ratios"].items()
    ]
    areas = [
        f'<tr><th scope="row">{title_of(name)}</th>'
        + "".join(
            cell(entry["hypervolume"][scheme], percent(entry["hypervolume"][scheme])) for scheme in schemes
        )
        + "</tr>"
        for name, entry in found.items()
    ]
    headings = ["", "cost of / cost of", "no less accurate", "interpolated", "what is missing"]
    shares = table(
        ["hypervolume", *(label(scheme) for scheme in schemes)],
        areas,
        caption="Share of the area that all schemes dominate together, in points of accuracy times log cost.",
    )
    return table(headings, rows, caption="") + shares
