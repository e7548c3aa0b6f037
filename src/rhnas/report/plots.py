"""Interactive plots as plain plotly figures; colours are names that the page's style sheet resolves."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from rhnas.report.run import ORDER, TITLES, Run, Scheme, number
from rhnas.report.words import integer, significant

Figure = dict[str, Any]

SYMBOLS = {
    "baseline": "square",
    "hardware_only": "diamond",
    "two_stage": "star",
    "found": "circle",
    "alternation": "hexagon",
    "exact": "cross",
}
SIZES = {name: 19 if name == "baseline" else 15 for name in ORDER}
"""Of markers; the baseline, drawn first, shows also where another stands on it."""

DASHES = {
    "baseline": "dot",
    "hardware_only": "dash",
    "two_stage": "dashdot",
    "found": "solid",
    "alternation": "longdash",
    "exact": "longdashdot",
}


def colour(scheme: str) -> str:
    """The style sheet's name for a scheme's colour."""
    return f"--{scheme.replace('_', '-')}"


def embed(name: str, figure: Figure, spoken: str) -> str:
    """A figure as HTML; the page's script draws it."""
    data = json.dumps(figure, allow_nan=False).replace("</", "<\\/")
    height = figure["layout"]["height"]
    return (
        f'<div class="plot" id="{name}" role="img" aria-label="{spoken}" style="min-height:{height}px"></div>'
        f'<script type="application/json" data-plot="{name}">{data}</script>'
    )


def layout(height: int, **more: Any) -> Figure:
    """What all plots share."""
    base: Figure = {
        "height": height,
        "margin": {"l": 64, "r": 16, "t": 34, "b": 52},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "--font", "size": 13, "color": "--ink"},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        "hoverlabel": {"bgcolor": "--paper", "bordercolor": "--rule", "font": {"color": "--ink"}},
    }
    return base | more


def axis(title: str, **more: Any) -> Figure:
    """An axis in the page's colours."""
    base: Figure = {
        "title": {"text": title, "font": {"size": 12, "color": "--muted"}, "standoff": 8},
        "gridcolor": "--grid",
        "linecolor": "--rule",
        "tickcolor": "--rule",
        "tickfont": {"size": 11, "color": "--muted"},
        "zeroline": False,
        "automargin": True,
        "exponentformat": "none",
    }
    return base | more


TICKS = (
    (1, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8, 1.9, 2, 2.2, 2.4, 2.6, 2.8, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9),
    (1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 4, 5, 6, 8),
    (1, 1.5, 2, 3, 5, 7),
    (1, 2, 5),
    (1,),
)
"""Round values within a decade, densest first."""

MOST_TICKS = 8


def log_axis(title: str, values: Sequence[float], **more: Any) -> Figure:
    """A logarithmic axis over positive values, with round labels also where it spans less than a decade."""
    lows, highs = math.log10(min(values)), math.log10(max(values))
    margin = 0.06 * max(highs - lows, 0.1)
    low, high = lows - margin, highs + margin
    decades = range(math.floor(low), math.ceil(high) + 1)
    kept: list[float] = []
    for within in TICKS:
        kept = [m * 10.0**e for e in decades for m in within if low <= math.log10(m) + e <= high]
        if len(kept) <= MOST_TICKS:
            break
    texts = [f"{tick:g}" for tick in kept]
    return axis(title, type="log", range=[low, high], tickvals=kept, ticktext=texts, **more)


PARETO_AXES = (("latency_ms", "latency, ms"), ("edp_uj_ms", "EDP, µJ·ms"))


def pareto(run: Run) -> Figure | None:
    """Validation accuracy against latency and EDP: schemes large, visited candidates small."""
    data: list[Figure] = []
    seen: dict[str, list[float]] = {}
    for panel, (key, _) in enumerate(PARETO_AXES, 1):
        groups = [("candidates", run.candidates)] if run.candidates else []
        groups += [(name, [scheme.values]) for name, scheme in run.schemes.items()]
        for name, rows in groups:
            pairs = [(number(row, key), number(row, "accuracy_validation")) for row in rows]
            kept = [(x, 100 * y) for x, y in pairs if x is not None and x > 0 and y is not None]
            if kept:
                seen.setdefault(key, []).extend(x for x, _ in kept)
                data.append(_pareto_trace(name, kept, panel))
    if len(seen) < len(PARETO_AXES):
        return None
    axes = {
        f"xaxis{panel if panel > 1 else ''}": log_axis(
            title,
            seen[key],
            anchor=f"y{panel if panel > 1 else ''}",
            domain=[0, 0.47] if panel == 1 else [0.53, 1],
        )
        for panel, (key, title) in enumerate(PARETO_AXES, 1)
    }
    upright = axis("validation accuracy, %")
    second = axis("", anchor="x2", matches="y", showticklabels=False, ticks="")
    return {"data": data, "layout": layout(400, **axes, yaxis=upright, yaxis2=second)}


def _pareto_trace(name: str, kept: Sequence[tuple[float, float]], panel: int) -> Figure:
    scheme = name in SYMBOLS
    marker: Figure = (
        {"size": SIZES[name], "symbol": SYMBOLS[name], "color": colour(name)}
        if scheme
        else {"size": 5, "color": "--muted", "opacity": 0.55}
    )
    if scheme:
        marker["line"] = {"width": 1.5, "color": "--paper"}
    return {
        "type": "scatter",
        "mode": "markers",
        "name": label(name),
        "legendgroup": name,
        "showlegend": panel == 1,
        "x": [x for x, _ in kept],
        "y": [y for _, y in kept],
        "xaxis": "x" if panel == 1 else "x2",
        "yaxis": "y" if panel == 1 else "y2",
        "marker": marker,
        "hovertemplate": "%{x:.4g}, %{y:.2f} %<extra>" + label(name) + "</extra>",
    }


def label(name: str) -> str:
    """A scheme's name in a legend."""
    return TITLES[name].lower() if name in TITLES else "visited candidates"


def agent(run: Run) -> Figure | None:
    """Best design so far against distinct designs asked about, as a fraction of the baseline's objective."""
    data: list[Figure] = []
    search, hardware = run.series("search"), run.series("hardware")
    tried = [(number(r, "evaluations"), p) for r in search.get("found", ()) for p in r.get("proposed") or ()]
    if tried:
        data.append(_proposals([(x, math.exp(p)) for x, p in tried if x is not None]))
    for name in ORDER:
        records = [*(search.get(name, ()) if name == "found" else ()), *hardware.get(name, ())]
        pairs = [(number(r, "evaluations"), number(r, "best")) for r in records]
        kept = [(x, math.exp(y)) for x, y in pairs if x is not None and y is not None]
        if kept:
            data.append(_line(name, kept, "%{x} designs: %{y:.3f}"))
    if not data:
        return None
    values = [y for trace in data for y in trace["y"] if y > 0]
    low, high = min(values) / 1.1, min(max(values), 10.0) * 1.1
    upright = log_axis("objective ÷ baseline’s", [low, high])
    below = axis("distinct designs asked of the cost model", rangemode="tozero")
    return {"data": data, "layout": layout(360, xaxis=below, yaxis=upright)}


def _proposals(pairs: Sequence[tuple[float, float]]) -> Figure:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "proposed (found together)",
        "x": [x for x, _ in pairs],
        "y": [y for _, y in pairs],
        "marker": {"size": 4, "color": "--muted", "opacity": 0.4},
        "hovertemplate": "%{x} designs: %{y:.3f}<extra>proposed</extra>",
    }


def _line(name: str, pairs: Sequence[tuple[float, float]], hover: str, panel: int = 1) -> Figure:
    suffix = "" if panel == 1 else str(panel)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": label(name),
        "legendgroup": name,
        "showlegend": panel == 1,
        "x": [x for x, _ in pairs],
        "y": [y for _, y in pairs],
        "xaxis": f"x{suffix}",
        "yaxis": f"y{suffix}",
        "line": {"color": colour(name), "width": 2.2, "dash": DASHES[name]},
        "hovertemplate": hover + "<extra>" + label(name) + "</extra>",
    }


ALPHA = (("entropy", "entropy of alpha"), ("edp", "expected EDP, µJ·ms"), ("loss", "loss of drawn networks"))


def alpha(run: Run) -> Figure | None:
    """Entropy of alpha, expected cost on the best design and loss, step by step."""
    data = [
        _line(name, kept, "step %{x}: %{y:.4g}", panel)
        for panel, (key, _) in enumerate(ALPHA, 1)
        for name, records in run.series("search").items()
        if (kept := _curve(records, key, run.clock_mhz))
    ]
    if not data:
        return None
    shared: Figure = {}
    for panel, (_, title) in enumerate(ALPHA, 1):
        suffix = "" if panel == 1 else str(panel)
        left = (panel - 1) * 0.355
        shared[f"xaxis{suffix}"] = axis("step", domain=[left, left + 0.29], anchor=f"y{suffix}")
        shared[f"yaxis{suffix}"] = axis(title, anchor=f"x{suffix}", rangemode="tozero")
    return {"data": data, "layout": layout(320, **shared)}


def _curve(
    records: Sequence[Mapping[str, Any]], key: str, clock_mhz: float | None
) -> list[tuple[float, float]]:
    """(step, value) of one quantity; EDP needs the clock."""
    found = []
    for record in records:
        step, value = number(record, "step"), number(record, key)
        if key == "edp":
            cycles, energy = number(record, "cycles"), number(record, "energy_pj")
            known = cycles is not None and energy is not None and clock_mhz
            value = cycles / clock_mhz / 1e3 * energy / 1e6 if known else None  # type: ignore[operator]
        if step is not None and value is not None:
            found.append((step, value))
    return found


def layers(schemes: Sequence[Scheme]) -> Figure | None:
    """Cycles per layer: what physics asks for, and what stands above it, one panel per scheme."""
    shown = [scheme for scheme in schemes if scheme.layers]
    if not shown:
        return None
    data, shared, notes = [], {}, []
    high = max(number(row, "cycles") or 0 for scheme in shown for row in scheme.layers)
    slot = 1 / len(shown)
    for panel, scheme in enumerate(shown, 1):
        suffix = "" if panel == 1 else str(panel)
        data += _layer_bars(scheme, panel)
        top = 1 - (panel - 1) * slot
        shared[f"xaxis{suffix}"] = axis(
            "", anchor=f"y{suffix}", tickangle=-50, type="category", showgrid=False, automargin=False
        )
        shared[f"xaxis{suffix}"]["tickfont"]["size"] = 9
        shared[f"yaxis{suffix}"] = axis(
            "cycles",
            anchor=f"x{suffix}",
            domain=[top - slot * 0.56, top - slot * 0.07],
            range=[0, high * 1.05],
        )
        notes.append(_panel_title(_layer_title(scheme), top))
    figure = layout(60 + 215 * len(shown), barmode="stack", bargap=0.25, annotations=notes, **shared)
    figure["margin"] = {"l": 72, "r": 16, "t": 40, "b": 8}
    return {"data": data, "layout": figure}


def _panel_title(text: str, top: float) -> Figure:
    return {
        "text": text,
        "xref": "paper",
        "yref": "paper",
        "x": 0,
        "y": top,
        "xanchor": "left",
        "yanchor": "top",
        "showarrow": False,
        "font": {"size": 13, "color": "--ink"},
    }


def _layer_title(scheme: Scheme) -> str:
    cycles = scheme.number("cycles")
    bound = sum(number(row, "bound_cycles") or 0.0 for row in scheme.layers)
    if cycles is None or not bound:
        return f"<b>{scheme.title}</b>"
    told = f"{integer(cycles)} cycles, {significant(cycles / bound)} × its layers’ bounds"
    return f"<b>{scheme.title}</b>  {told}"


def _layer_bars(scheme: Scheme, panel: int) -> list[Figure]:
    suffix = "" if panel == 1 else str(panel)
    names = [str(row.get("name", index)) for index, row in enumerate(scheme.layers)]
    cycles = [number(row, "cycles") or 0.0 for row in scheme.layers]
    bounds = [number(row, "bound_cycles") or 0.0 for row in scheme.layers]
    shares = {
        "physical bound": (bounds, "--bound"),
        "above the bound": ([c - b for c, b in zip(cycles, bounds, strict=True)], "--above"),
    }
    return [
        {
            "type": "bar",
            "name": title,
            "legendgroup": title,
            "showlegend": panel == 1,
            "x": names,
            "y": values,
            "xaxis": f"x{suffix}",
            "yaxis": f"y{suffix}",
            "marker": {"color": shade},
            "hovertemplate": "%{x}: %{y:,} cycles<extra>" + title + "</extra>",
        }
        for title, (values, shade) in shares.items()
    ]
