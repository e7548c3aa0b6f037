"""How near a pretrained agent answers for networks and chips it never saw, beside agents that start anew.

``python benchmarks/pretrained.py --space vta-intel`` asks the policy that comes with the package, ``--policy
FILE`` what ``rhnas pretrain --space vta-intel --out FILE`` wrote; the same for ``vta``. The networks are none
of those it was taught, the chip budgets are drawn at random. Gaps are above the exact optimum: of all designs
in ``vta-intel``, by branch and bound in ``vta``. An evaluation is one distinct design; seeds are paired
across agents.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from rhnas.agents.evaluator import Evaluator
from rhnas.agents.optimum import cached_optimum, exhaustive_scores
from rhnas.agents.policy import Ensemble
from rhnas.agents.policy_file import load_policy, read_policy, save_policy, shipped
from rhnas.errors import InfeasibleDesignError
from rhnas.files import read_json, write_json
from rhnas.networks.zoo import load_network
from rhnas.optimize import Question, Task, search
from rhnas.platform import Objective, load_platform
from rhnas.provenance import provenance
from rhnas.seeds import Seeds
from rhnas.workload import FloatArray, IntArray

NETWORKS = ("resnet18", "resnet50", "mobilenet_v2")
"""Held out: the problems that agents are reported on."""

CHIP = {"macs": 256, "bus_bits": 64, "sram_kib": 448}
"""The default accelerator's own resources."""

POLICY = ("pretrained", "ppo_warm")
"""Agents that are given the policy; ``ppo_warm`` is ``ppo`` that starts from it."""

AGENTS = (*POLICY, "local_search", "ppo", "random")

SPENT = (1, 5, 20)
"""Evaluations after which gaps are reported; the last is the budget."""

SMALL = 1 << 13
"""Designs of a space up to which a network's costs of all of them are looked up."""


class Problem:
    """A task with the costs asked of the cost model so far, for all agents and seeds, and its optimum.

    Args:
        task: What is searched.
        whole: The same without limits, where all its designs are priced.
    """

    def __init__(self, task: Task, whole: Task | None) -> None:
        self.task = task
        self._known: dict[int, float] = {}
        if whole is None:
            self.optimum = cached_optimum(task.designs, task.costs, {}).log_objective
        else:
            scores = exhaustive_scores(whole.designs, whole.costs, {})
            self._known.update(zip(whole.designs.flat.tolist(), scores.tolist(), strict=True))
            self.optimum = float(np.nanmin(self.scores(task.designs.all())))

    @property
    def title(self) -> str:
        """As figures are named."""
        question = self.task.question
        limits = ",".join(f"{name}={bound}" for name, bound in question.limits.items()) or "no limit"
        return f"{question.network.name} {question.objective} {limits}"

    def scores(self, designs: IntArray) -> FloatArray:
        """Log objectives of designs int64 (B, D)."""
        flat = self.task.space.ravel(designs).tolist()
        new = [position for position in dict.fromkeys(flat) if position not in self._known]
        if new:
            found = self.task.costs(self.task.space.unravel(np.array(new)))
            self._known.update(zip(new, found.tolist(), strict=True))
        return np.array([self._known[position] for position in flat])

    def gaps(self, agent: str, policy: Path, seeds: int) -> list[list[float]]:
        """An agent's gaps after each of ``SPENT``, one row per seed."""
        options = {"pretrained": str(policy)} if agent in POLICY else {}
        context, rows = self.task.context(SPENT[-1]), []
        for seed in range(seeds):
            evaluator = Evaluator(self.task.space, self.scores)
            search(self.task.agent(agent.removesuffix("_warm"), seed, **options), context, evaluator)
            trace = np.exp(evaluator.trace - self.optimum) - 1
            rows.append([round(float(trace[min(spent, len(trace)) - 1]), 6) for spent in SPENT])
        return rows


def budgets(seed: int) -> Iterator[dict[str, int]]:
    """The default chip, no limit, then random ones without end; each limit log-uniform."""
    platform, rng = load_platform("vta"), Seeds(root=seed).child("budgets").numpy()
    yield CHIP
    yield {}
    while True:
        yield {
            name: round(float(np.exp(rng.uniform(*np.log(ends))))) for name, ends in platform.limits.items()
        }


def tasks(question: Question, count: int, seed: int) -> Iterator[Task]:
    """The question under the first ``count`` budgets that leave a design."""
    for limits in budgets(seed):
        if count == 0:
            return
        with suppress(InfeasibleDesignError):
            yield Task(load_platform("vta"), replace(question, limits=limits))
            count -= 1


def problems(space: str, objectives: list[Objective], count: int, seed: int) -> Iterator[Problem]:
    """Every held-out network under every objective and ``count`` budgets."""
    platform = load_platform("vta")
    for name, objective in product(NETWORKS, objectives):
        question = Question(network=load_network(name), space=space, objective=objective)
        whole = Task(platform, question) if platform.space(space).feasible().count <= SMALL else None
        for task in tasks(question, count, seed):
            yield Problem(task, whole)


def fewer(policy: Path, space: str, members: int, folder: Path) -> Path:
    """A file of the policy's first members alone, in a folder."""
    choices = load_platform("vta").space(space)
    path = folder / "fewer.policy"
    kept = Ensemble(load_policy(policy, choices).networks[:members])
    save_policy(path, kept, choices, read_policy(policy)["trained_on"])
    return path


def table(content: dict[str, Any]) -> None:
    """Median and 90th percentile of the gaps, by agent and evaluations spent."""
    problems, spent = content["problems"], content["spent"]
    title = f"{len(problems)} problems of {content['space']}, {content['seeds']} seeds"
    print(f"{title}; gap above the exact optimum")
    print(f"{'agent':<14}" + "".join(f"{f'median at {n}':>14}{f'p90 at {n}':>12}" for n in spent))
    for agent in next(iter(problems.values()))["gaps"]:
        rows = [row for problem in problems.values() for row in problem["gaps"][agent]]
        middle, high = np.median(rows, axis=0), np.quantile(rows, 0.9, axis=0)
        print(f"{agent:<14}" + "".join(f"{m:>14.2%}{h:>12.2%}" for m, h in zip(middle, high, strict=True)))


def main() -> None:
    """Play, print the table, write it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--space", choices=["vta-intel", "vta"], default="vta-intel")
    parser.add_argument("--policy", type=Path, help="what rhnas pretrain wrote; the package's if left out")
    parser.add_argument("--members", type=int, help="ask only so many of the networks that answer together")
    parser.add_argument("--objectives", nargs="*", type=Objective, default=[Objective.EDP])
    parser.add_argument("--budgets", type=int, default=12, help="chip budgets per network and objective")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0, help="of the budgets")
    parser.add_argument("--agents", nargs="*", default=list(AGENTS), choices=AGENTS)
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    parser.add_argument("--table", type=Path, metavar="FILE", help="print what --json wrote; play nothing")
    given = parser.parse_args()
    if given.table:
        table(read_json(given.table))
        return
    with TemporaryDirectory() as folder:
        policy = given.policy or shipped(given.space)
        if given.members:
            policy = fewer(policy, given.space, given.members, Path(folder))
        measure(given, policy)


def measure(given: argparse.Namespace, policy: Path) -> None:
    """Play what was asked for; print it and write it where asked."""
    started = time.perf_counter()
    figures: dict[str, Any] = {}
    for problem in problems(given.space, given.objectives, given.budgets, given.seed):
        found = {agent: problem.gaps(agent, policy, given.seeds) for agent in given.agents}
        figures[problem.title] = {"feasible": problem.task.designs.count, "gaps": found}
        medians = [f"{agent} {np.median(rows, axis=0)[[0, -1]].round(4)}" for agent, rows in found.items()]
        print(f"{problem.title} ({problem.task.designs.count:,}): {', '.join(medians)}", flush=True)
    setting = {"space": given.space, "seeds": given.seeds, "budgets_seed": given.seed, "spent": SPENT}
    content = {"schema": 1, **setting, "problems": figures, "trained_on": read_policy(policy)["trained_on"]}
    table(content)
    print(f"{time.perf_counter() - started:.0f} s")
    if given.json:
        write_json(given.json, {**content, "provenance": provenance(seed=given.seed)})


if __name__ == "__main__":
    main()
