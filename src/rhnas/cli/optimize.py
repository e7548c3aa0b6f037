"""``rhnas optimize``: the best accelerator for a fixed network, and how far it is from the optimum."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from rhnas.cli.output import Json, PlatformName, emit, stderr
from rhnas.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rhnas.agents.base import HardwareAgent
    from rhnas.agents.optimum import Progress as Report
    from rhnas.optimize import Answer, PricedDesign, Task


AgentName = Annotated[
    str | None,
    typer.Option(
        help="ppo (usual), local_search, ...; docs/agents.md lists all, a wrong name too.  [default: ppo]"
    ),
]
Pretrained = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="A policy of rhnas pretrain for ppo or pretrained (usual then; has its own)."
    ),
]
Budget = Annotated[int | None, typer.Option(help="Distinct designs to evaluate; 300, or all for exhaustive.")]
Effort = Annotated[
    int | None, typer.Option(min=1, help="Most boxes the proof may price; all it takes if not given.")
]
Optimum = Annotated[
    bool | None,
    typer.Option(help="Whether to find the exact optimum as well; usual where costs are cheap."),
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Questions at once to a command; the results stay the same.")
]


def optimize(
    *,
    network: Annotated[str, typer.Option(help="A zoo name such as resnet18, or FILE.onnx.")],
    agent: AgentName = None,
    pretrained: Pretrained = None,
    platform: PlatformName = "vta",
    space: Annotated[str | None, typer.Option(help="vta-intel (usual), vta, systolic.")] = None,
    objective: Annotated[str, typer.Option(help="latency, energy or edp.")] = "edp",
    fpga: Annotated[str | None, typer.Option(help="A part it must fit: xc7z020, xczu3eg, LFE5U-85F.")] = None,
    limit: Annotated[str, typer.Option(help="Upper bounds: macs=256,bus_bits=64,sram_kib=448.")] = "",
    budget: Budget = None,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    effort: Effort = None,
    optimum: Optimum = None,
    workers: Workers = None,
    json_output: Json = False,
) -> None:
    """Search the accelerator alone, for a fixed network; print the gap to the exact optimum.

    Example: rhnas optimize --network resnet18 --agent hill_climbing --space vta-intel --objective edp

    Example: rhnas optimize --network resnet18 --space vta --agent pretrained --budget 20

    Example: rhnas optimize --network resnet18 --platform systolic --agent local_search

    Example: rhnas optimize --network resnet20 --platform command:chip.toml --workers 8
    """
    task = _task(network, platform, space, objective, fpga=fpga, limit=limit, workers=workers)
    agent = agent or ("pretrained" if pretrained else "ppo")
    searcher = task.agent(agent, seed, **({"pretrained": str(pretrained)} if pretrained else {}))
    answer = _answer(task, searcher, agent, budget=budget, optimum=optimum, effort=effort)
    names = {
        "agent": agent,
        "network": network,
        "platform": platform,
        "space": task.question.space,
        "seed": seed,
    }
    emit({**answer.to_json(), **names}, json_output, lambda console: _print(console, task, answer))


def _task(
    network: str,
    platform: str,
    space: str | None,
    objective: str,
    *,
    fpga: str | None,
    limit: str,
    workers: int | None,
) -> Task:
    from rhnas.networks.zoo import load_network
    from rhnas.optimize import Question, Task
    from rhnas.platform import Objective, load_platform
    from rhnas.pricing import cost_options

    if objective not in list(Objective):
        raise SettingsError(f"objective must be one of {[str(o) for o in Objective]}", got=objective)
    family = load_platform(platform)
    question = Question(
        network=load_network(network),
        space=space or family.spaces[0],
        objective=Objective(objective),
        fpga=fpga,
        limits=parse_limits(limit),
        options=cost_options(family, {"workers": workers}),
    )
    return Task(family, question)


def _answer(
    task: Task,
    searcher: HardwareAgent,
    title: str,
    *,
    budget: int | None,
    optimum: bool | None,
    effort: int | None,
) -> Answer:
    from rhnas.optimize import BUDGET
    from rhnas.optimize import optimize as run

    if budget is None:
        budget = task.designs.count if title == "exhaustive" else BUDGET
    with bar(title) as searched, bar("exact optimum") as swept:
        return run(
            task,
            searcher,
            budget=budget,
            yardstick=not task.platform.expensive if optimum is None else optimum,
            effort=effort,
            progress=searched,
            sweep_progress=swept,
        )


def parse_limits(text: str) -> dict[str, int]:
    """``macs=256,bus_bits=64`` as a dictionary.

    Raises:
        SettingsError: A part is not NAME=INTEGER.

    Example:
        >>> parse_limits("macs=256,sram_kib=448")
        {'macs': 256, 'sram_kib': 448}
    """
    limits: dict[str, int] = {}
    for part in filter(None, text.split(",")):
        name, _, value = part.partition("=")
        if not name or not value.strip().isdigit():
            raise SettingsError(
                "a limit must be NAME=INTEGER", got=repr(part), fix="write --limit macs=256,bus_bits=64"
            )
        limits[name.strip()] = int(value)
    return limits


@contextmanager
def bar(title: str) -> Iterator[Report]:
    """A progress bar on stderr that appears with the first report."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    bar = Progress(*columns, console=stderr, transient=True)

    def report(done: int, total: int) -> None:
        if not bar.task_ids:
            bar.start()
            bar.add_task(title)
        bar.update(bar.task_ids[0], completed=done, total=total)
        if done >= total:
            bar.stop()

    try:
        yield report
    finally:
        bar.stop()


def _print(console: Console, task: Task, answer: Answer) -> None:
    table = Table("", "accelerator", "cycles", "ms", "uJ", "uJ ms", box=None, pad_edge=False)
    _row(table, task, "default", answer.default)
    _row(table, task, "found", answer.best)
    if answer.optimum is not None:
        _row(table, task, "optimum", answer.optimum)
    console.print(table)
    if answer.default is not None:
        latency = answer.default.latency_ms / answer.best.latency_ms
        energy = answer.default.energy_uj / answer.best.energy_uj
        console.print(
            f"against the default: latency {latency:.2f}x, energy {energy:.2f}x, EDP {latency * energy:.2f}x"
        )
    gap = "not computed" if answer.gap is None else f"{answer.gap:.2%} above the optimum"
    if answer.gap is None and answer.certified_gap is not None:
        gap = f"at most {answer.certified_gap:.2%} above the optimum, as proved so far,"
    console.print(
        f"{answer.objective}: {gap} of {answer.feasible:,} feasible designs, "
        f"after {answer.evaluations:,} evaluations"
    )
    if answer.unrealizable:
        console.print(f"proposals that could not be built, withheld and not counted: {answer.unrealizable:,}")
    console.print(f"All costs are {task.platform.how}.", style="dim")


def _row(table: Table, task: Task, name: str, priced: PricedDesign | None) -> None:
    if priced is None:
        table.add_row(name, "-", "cannot run this network", "", "", "")
        return
    table.add_row(
        name,
        task.platform.label(priced.accelerator),
        f"{priced.cycles:,.0f}",
        f"{priced.latency_ms:.3f}",
        f"{priced.energy_uj:,.1f}",
        f"{priced.edp_uj_ms:,.1f}",
    )
