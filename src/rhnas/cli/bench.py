"""``rhnas bench``: schemes at equal budgets on problems whose joint optimum is known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from rhnas.cli.output import Json, emit, stderr

if TYPE_CHECKING:
    from collections.abc import Mapping


LEGEND = """closed: share of the headroom between the two stages' and the joint optimum, median; regret:
EDP above the joint optimum; front: hypervolume as a share of the exact front's; asked: accuracies looked up;
designs: asked of the cost model; unreal: proposals that could not be built; w/t/l: seeds won, tied and lost
by rhnas-tabular, p: Wilcoxon's. All costs are modelled."""


def bench(
    *,
    name: Annotated[str | None, typer.Argument(help="A benchmark; all of them if none is named.")] = None,
    schemes: Annotated[
        str, typer.Option(help="Comma-separated; all of docs/bench.md if none is named.")
    ] = "",
    seeds: Annotated[int, typer.Option(help="Paired across schemes.")] = 20,
    lookups: Annotated[int, typer.Option(help="Accuracies a run may look up: its evaluations.")] = 200,
    designs: Annotated[int, typer.Option(help="Designs a run may ask the cost model about.")] = 200,
    workers: Annotated[int, typer.Option(min=1, help="Processes; results do not depend on it.")] = 1,
    out: Annotated[Path, typer.Option(help="Folder of NAME.json, NAME.jsonl and NAME.svg.")] = Path(
        "results/bench"
    ),
    resume: Annotated[bool, typer.Option("--resume", help="Keep finished seeds, play the others.")] = False,
    json_output: Json = False,
) -> None:
    """Compare schemes on tables whose exact joint optimum is known.

    Example: rhnas bench digits-sizes --seeds 5 --schemes rhnas-tabular,two_stage --out runs/bench
    """
    from rhnas.bench.curves import draw
    from rhnas.bench.ledger import Budget
    from rhnas.bench.play import Plan
    from rhnas.bench.play import bench as run
    from rhnas.bench.problem import BENCHMARKS
    from rhnas.bench.schemes.registry import TABULAR
    from rhnas.files import write_atomically

    chosen = tuple(part.strip() for part in schemes.split(",") if part.strip()) or tuple(TABULAR)
    budget = Budget(lookups=lookups, designs=designs)
    plans = [
        Plan(benchmark=benchmark, schemes=chosen, seeds=seeds, budget=budget)
        for benchmark in ([name] if name else BENCHMARKS)
    ]
    results: dict[str, Any] = {}
    for plan in plans:
        with stderr.status(plan.benchmark) as status:

            def progress(done: int, total: int, plan: Plan = plan) -> None:
                status.update(f"{plan.benchmark}: {done} of {total} units")

            found = run(plan, out, workers=workers, resume=resume, progress=progress)
        write_atomically(out / f"{plan.benchmark}.svg", draw(found))
        results[plan.benchmark] = {key: value for key, value in found.items() if key != "runs"}
    emit({"benchmarks": results}, json_output, lambda console: _print(console, results))


def _print(console: Console, results: Mapping[str, Any]) -> None:
    for name, found in results.items():
        ratios = [row["headroom"] for row in found["headroom"]]
        console.print(
            f"[bold]{name}[/]: {found['networks']:,} networks x {found['designs']:,} designs; headroom "
            f"{min(ratios):.2f} to {max(ratios):.2f}, at least 1.2 at {sum(r >= 1.2 for r in ratios)} of "
            f"{len(ratios)} accuracies",
            soft_wrap=True,
        )
        console.print(table_of(found))
    console.print(LEGEND, style="dim")


def table_of(found: Mapping[str, Any]) -> Table:
    """One row per scheme."""
    columns = ("scheme", "closed", "95%", "regret", "front", "asked", "designs", "unreal", "s", "w/t/l", "p")
    table = Table(*columns, box=None, pad_edge=False)
    for scheme, row in found["schemes"].items():
        bounds = row["closed_interval"]
        table.add_row(
            scheme,
            "-" if row["closed"] is None else f"{row['closed']:.1%}",
            "-" if bounds is None else f"{bounds[0]:.0%}..{bounds[1]:.0%}",
            "no answer" if row["regret"] is None else f"{row['regret']:.2%}",
            f"{row['hypervolume']:.3f}",
            f"{row['lookups']:.0f}",
            f"{row['designs']:,.0f}",
            f"{row['unrealizable']:,.0f}",
            f"{row['seconds']:.2f}",
            "-" if not row["wins"] else "/".join(map(str, row["wins"])),
            "-" if row["p"] is None else f"{row['p']:.2g}",
        )
    return table
