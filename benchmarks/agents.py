"""All hardware agents at equal budgets, measured against the exact optimum.

Run ``python benchmarks/agents.py`` (``--help`` for fewer seeds or problems). The cost of every feasible
design is computed once per problem and kept in the cache folder; agents then look costs up. An evaluation
is one distinct design; seeds are paired across agents.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rhnas.agents.evaluator import Evaluator
from rhnas.agents.optimum import exhaustive_scores, identity
from rhnas.agents.registry import AGENTS
from rhnas.files import cache_folder
from rhnas.networks.zoo import load_network
from rhnas.optimize import Question, Task, search
from rhnas.platform import load_platform

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


RANKED_BY = ("p90", "median", "evaluations_to_best")


def table_of(task: Task) -> np.ndarray:
    """The log objective of every point of the space, nan where infeasible; kept in the cache folder."""
    path = cache_folder() / "scores" / f"{identity(task.designs, task.costs, task.question.options)}.npy"
    if path.exists():
        scores = np.load(path)
    else:
        started = time.perf_counter()

        def report(done: int, total: int) -> None:
            print(f"  {done:,} of {total:,} designs, {time.perf_counter() - started:.0f} s", file=sys.stderr)

        scores = exhaustive_scores(task.designs, task.costs, report)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, scores)
    table = np.full(task.space.points, np.nan)
    table[task.designs.flat] = scores
    return table


def play(task: Task, table: np.ndarray, agent: str, budget: int, seeds: int) -> dict[str, Any]:
    """One agent on one problem: gaps over seeds."""
    optimum = np.nanmin(table)
    context, gaps, to_best = task.context(budget), [], []
    started = time.perf_counter()
    for seed in range(seeds):
        evaluator = Evaluator(task.space, lambda designs: table[task.space.ravel(designs)])
        search(task.agent(agent, seed), context, evaluator)
        assert evaluator.evaluations == min(budget, task.designs.count)
        gaps.append(float(np.exp(evaluator.trace[-1] - optimum) - 1))
        to_best.append(int((evaluator.trace <= evaluator.trace[-1]).argmax()) + 1)
    return {
        "exact": float(np.mean(np.array(gaps) < 1e-9)),
        "median": float(np.median(gaps)),
        "p90": float(np.quantile(gaps, 0.9)),
        "evaluations_to_best": float(np.median(to_best)),
        "seconds": (time.perf_counter() - started) / seeds,
        "gaps": gaps,
    }


def main() -> None:
    """Print the table; write it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--budget", type=int, default=300)
    parser.add_argument("--held-out", action="store_true", help="the problems hyperparameters are chosen on")
    parser.add_argument("--problems", nargs="*", choices=[*PROBLEMS, *HELD_OUT])
    parser.add_argument("--agents", nargs="*", default=[a for a in AGENTS if a != "exhaustive"])
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    given = parser.parse_args()
    known = PROBLEMS | HELD_OUT
    chosen = given.problems or list(HELD_OUT if given.held_out else PROBLEMS)

    platform, figures = load_platform("vta"), {}
    print(f"EDP, one picture, {given.budget} evaluations, {given.seeds} seeds; gap above the exact optimum")
    for name in chosen:
        problem = known[name]
        question = Question(network=load_network(problem.network), space=problem.space, limits=problem.limits)
        task = Task(platform, question)
        table = table_of(task)
        print(f"\n{problem.title}: {task.designs.count:,} feasible designs")
        print(f"  {'agent':<14}{'exact':>7}{'median':>9}{'p90':>9}{'found at':>10}{'s/run':>7}")
        figures[name] = {}
        for agent in given.agents:
            row = figures[name][agent] = play(task, table, agent, given.budget, given.seeds)
            print(
                f"  {agent:<14}{row['exact']:>7.0%}{row['median']:>9.2%}{row['p90']:>9.2%}"
                f"{row['evaluations_to_best']:>10.0f}{row['seconds']:>7.2f}",
                flush=True,
            )
        best = min(figures[name], key=lambda agent: [figures[name][agent][key] for key in RANKED_BY])
        print(f"  best by p90 gap, then median, then evaluations: {best}")
    if given.json:
        given.json.write_text(json.dumps({"schema": 1, "problems": figures}, indent=2) + "\n")


if __name__ == "__main__":
    main()
