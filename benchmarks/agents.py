"""All hardware agents at equal budgets, measured against the exact optimum.

Run ``python benchmarks/agents.py`` (``--help`` for fewer seeds or problems); ``--agents all`` adds those that
rest on other libraries. The cost of every feasible design is computed once per problem and kept in the cache
folder; agents then look costs up. An evaluation is one distinct design; seeds are paired across agents.
Proposals that cannot be built are withheld, are no evaluations, and stand in a column of their own.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rhnas.agents.evaluator import Evaluator
from rhnas.agents.optimum import exhaustive_scores
from rhnas.agents.registry import AGENTS
from rhnas.files import write_json
from rhnas.networks.zoo import load_network
from rhnas.optimize import Question, Task, search
from rhnas.platform import load_platform
from rhnas.provenance import provenance

CHIP = {"macs": 256, "bus_bits": 64, "sram_kib": 448}
"""The default accelerator's own resources: what the fixed-budget problem may spend."""


@dataclass(frozen=True)
class Problem:
    """A network, a space and limits; EDP, one picture."""

    network: str
    space: str = "vta-intel"
    limits: dict[str, int] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """As the table prints it."""
        return f"{self.network} / {self.space}" + (" / fixed chip" if self.limits else "")


PROBLEMS = {
    "resnet18": Problem("resnet18"),
    "resnet50": Problem("resnet50"),
    "mobilenet_v2": Problem("mobilenet_v2"),
    "resnet18-chip": Problem("resnet18", "vta", CHIP),
}
HELD_OUT = {
    "resnet34": Problem("resnet34"),
    "resnet20": Problem("resnet20"),
    "resnet34-chip": Problem("resnet34", "vta", CHIP),
    "resnet20-chip": Problem("resnet20", "vta", CHIP),
}
"""What hyperparameters may be chosen on."""


OURS = ("ppo", "ppo_only", "local_search", "hill_climbing", "annealing", "random")
"""Agents that are quick enough to run by default; exhaustive search is the yardstick itself."""

EXACT = 1e-9
"""Difference of logs up to which two costs are the same number."""

RANKED_BY = ("p90", "median", "evaluations_to_optimum")


def table_of(task: Task) -> np.ndarray:
    """The log objective of every point of the space, nan where infeasible; kept in the cache folder."""
    started = time.perf_counter()

    def report(done: int, total: int) -> None:
        print(f"  {done:,} of {total:,} designs, {time.perf_counter() - started:.0f} s", file=sys.stderr)

    scores = exhaustive_scores(task.designs, task.costs, task.question.options, report)
    table = np.full(task.space.points, np.nan)
    table[task.designs.flat] = scores
    return table


@dataclass(frozen=True, kw_only=True)
class Run:
    """One agent's search with one seed.

    Attributes:
        gap: Above the exact optimum at the end, as a fraction.
        to_optimum: Evaluations until the exact optimum; None if it was not found.
        unrealizable: Proposals that could not be built.
        seconds: Of wall clock.
    """

    gap: float
    to_optimum: int | None
    unrealizable: int
    seconds: float


def run_once(
    task: Task, table: np.ndarray, agent: str, seed: int, *, budget: int, options: Mapping[str, Any]
) -> Run:
    """An agent with options of its own on one problem, whose costs it looks up."""
    started, optimum = time.perf_counter(), np.nanmin(table)
    evaluator = Evaluator(task.space, lambda designs: table[task.space.ravel(designs)])
    player = task.agent(agent, seed, **options)
    search(player, task.context(budget), evaluator)
    assert evaluator.evaluations == min(budget, task.designs.count)
    reached = np.flatnonzero(evaluator.trace <= optimum + EXACT)
    return Run(
        gap=float(np.exp(evaluator.trace[-1] - optimum) - 1),
        to_optimum=int(reached[0]) + 1 if len(reached) else None,
        unrealizable=player.unrealizable,
        seconds=time.perf_counter() - started,
    )


def summary(runs: Sequence[Run]) -> dict[str, Any]:
    """What a table says of runs that differ in their seed."""
    gaps, to_optimum = [run.gap for run in runs], [run.to_optimum for run in runs]
    middle = np.median([math.inf if count is None else count for count in to_optimum])
    return {
        "exact": float(np.mean([count is not None for count in to_optimum])),
        "median": float(np.median(gaps)),
        "p90": float(np.quantile(gaps, 0.9)),
        "evaluations_to_optimum": float(middle) if np.isfinite(middle) else None,
        "unrealizable": float(np.mean([run.unrealizable for run in runs])),
        "seconds": float(np.mean([run.seconds for run in runs])),
        "gaps": gaps,
        "evaluations_to_optimum_by_seed": to_optimum,
    }


def compare(problem: Problem, agents: list[str], budget: int, seeds: int) -> dict[str, Any]:
    """All agents on one problem; prints a row for each."""
    question = Question(network=load_network(problem.network), space=problem.space, limits=problem.limits)
    task = Task(load_platform("vta"), question)
    table = table_of(task)
    print(f"\n{problem.title}: {task.designs.count:,} feasible designs")
    print(f"  {'agent':<17}{'exact':>7}{'median':>9}{'p90':>9}{'evals':>7}{'unreal':>8}{'s/run':>8}")
    rows = {}
    for agent in agents:
        runs = [run_once(task, table, agent, seed, budget=budget, options={}) for seed in range(seeds)]
        row = rows[agent] = summary(runs)
        evaluations = row["evaluations_to_optimum"]
        print(
            f"  {agent:<17}{row['exact']:>7.0%}{row['median']:>9.2%}{row['p90']:>9.2%}"
            f"{'-' if evaluations is None else f'{evaluations:.0f}':>7}"
            f"{row['unrealizable']:>8.0f}{row['seconds']:>8.2f}",
            flush=True,
        )
    best = min(
        rows,
        key=lambda agent: [math.inf if rows[agent][key] is None else rows[agent][key] for key in RANKED_BY],
    )
    print(f"  best by p90 gap, then median, then evaluations to the optimum: {best}")
    return rows


def main() -> None:
    """Print the table; write it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--budget", type=int, default=300)
    parser.add_argument("--held-out", action="store_true", help="the problems hyperparameters are chosen on")
    parser.add_argument("--problems", nargs="*", choices=[*PROBLEMS, *HELD_OUT])
    parser.add_argument("--agents", nargs="*", default=list(OURS), choices=[*AGENTS, "all"])
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    given = parser.parse_args()
    known = PROBLEMS | HELD_OUT
    chosen = given.problems or list(HELD_OUT if given.held_out else PROBLEMS)
    agents = [name for name in AGENTS if name != "exhaustive"] if "all" in given.agents else given.agents
    print(f"EDP, one picture, {given.budget} evaluations, {given.seeds} seeds; gap above the exact optimum;")
    print("evals: median over seeds of the evaluations until the exact optimum, - where most never find it;")
    print("unreal: mean number of proposals that could not be built, withheld and not counted")
    figures = {name: compare(known[name], agents, given.budget, given.seeds) for name in chosen}
    if given.json:
        setting = {"budget": given.budget, "seeds": given.seeds, "objective": "edp"}
        write_json(given.json, {"schema": 3, **setting, "problems": figures, "provenance": provenance()})


if __name__ == "__main__":
    main()
