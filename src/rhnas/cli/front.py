"""``rhnas front``: accuracy against cost over finished runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from rhnas.cli.output import Json, emit
from rhnas.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rhnas.report.fronts import Point

SUFFIXES = (".html", ".svg", ".png")


def front(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Finished runs, over cost weights and seeds.")
    ],
    *,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw them: .html, .svg or .png (needs Chromium).")
    ] = None,
    json_output: Json = False,
) -> None:
    """Fronts of int8 accuracy against latency, energy and EDP, and ratios at equal accuracy.

    Example: rhnas front results/digits-seed0 results/digits-seed1 results/digits-seed2 --out front.html
    """
    from dataclasses import asdict

    from rhnas.provenance import SCHEMA, provenance
    from rhnas.report.front_page import write_front
    from rhnas.report.fronts import MARGIN, compare, points_of
    from rhnas.report.outcomes import COMMON, load_runs, outcomes

    if out is not None and out.suffix not in SUFFIXES:
        raise SettingsError(f"--out must end in {', '.join(SUFFIXES)}", got=out)
    loaded = load_runs(runs)
    points = points_of(outcomes(loaded))
    found = compare(points)
    if out is not None:
        write_front(out, points, found)
    result = {
        "schema": SCHEMA,
        "provenance": provenance(),
        "runs": [str(run.directory) for run in loaded],
        **{key: loaded[0].result.get(key) for key in COMMON},
        "margin": MARGIN,
        "points": [asdict(point) for point in points],
        "costs": found,
        "out": None if out is None else str(out),
    }
    emit(result, json_output, lambda console: _print(console, points, found, out))


def _print(console: Console, points: list[Point], found: dict[str, Any], out: Path | None) -> None:
    from rhnas.report.fronts import title_of

    shown = list(found)[:3]
    rows = [
        [
            point.scheme,
            f"{point.weight:g}",
            str(len(point.seeds)),
            f"{point.accuracy:.2%}",
            *(f"{point.costs[name]:.4g}" for name in shown),
            point.how,
        ]
        for point in points
    ]
    _table(console, ("scheme", "λ", "seeds", "int8", *map(title_of, shown), "cycles"), rows)
    for key, title in (("no_worse", "no less accurate beyond 0.3 points"), ("interpolated", "interpolated")):
        pairs = list(found[shown[0]]["ratios"])
        rows = [
            [title_of(name), *(_times(entry["ratios"][pair][key]) for pair in pairs)]
            for name, entry in found.items()
        ]
        console.print(f"\ncost of one over that of the other, {title}")
        _table(console, ("", *pairs), rows)
    rows = [
        [title_of(name), *(f"{share:.0%}" for share in entry["hypervolume"].values())]
        for name, entry in found.items()
    ]
    console.print("\nhypervolume, as a share of what all dominate together")
    _table(console, ("", *found[shown[0]]["hypervolume"]), rows)
    reasons = {
        f"{pair}: {one['why']}"
        for entry in found.values()
        for pair, one in entry["ratios"].items()
        if one["why"]
    }
    for text in (*sorted(reasons), *([] if out is None else [str(out)])):
        console.print(text, markup=False, soft_wrap=True)


def _times(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.2f}x"


def _table(console: Console, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, justify="right" if table.columns else "left")
    for row in rows:
        table.add_row(*row)
    console.print(table)
