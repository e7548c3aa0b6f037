"""Agents where an evaluation is expensive: a network is compiled and simulated on every design asked for.

Run ``python benchmarks/expensive.py``. The score is EDP: simulated cycles
of the whole program times the energy of the mappings that it was compiled with. Networks are drawn from
spaces that no policy was taught, on chips with budgets; every design can run whole networks. The optimum is
unknown: gaps are above the best design that any agent found with any seed.

Finished runs are kept in ``--runs``; a benchmark that is killed goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rhnas.agents.base import SearchContext
from rhnas.agents.evaluator import Evaluator
from rhnas.agents.features import search_context
from rhnas.agents.policy_file import shipped
from rhnas.agents.registry import make_agent
from rhnas.networks.spaces.registry import network_space
from rhnas.optimize import search
from rhnas.platform import Objective, feasible_designs, load_platform
from rhnas.provenance import commit
from rhnas.seeds import Seeds
from rhnas.space import DesignBatch
from rhnas.vta.config import AcceleratorConfig
from rhnas.vta.cost import VtaCostModel
from rhnas.vta.retime import compile_numberless, cycles_by_layer, stored_shapes
from rhnas.workload import FloatArray, IntArray, Workload

CHIPS = {
    "digits-sizes": {"macs": 16, "bus_bits": 64, "sram_kib": 16},
    "cifar": {"macs": 256, "bus_bits": 64, "sram_kib": 448},
}
"""Spaces that networks are drawn from, each with a chip."""

POLICY = {"pretrained": "pretrained", "ppo_warm": "ppo"}
"""Agents that are given the policy; ``ppo_warm`` is ``ppo`` that starts from it."""

AGENTS = (*POLICY, "local_search", "ppo", "optuna_tpe", "optuna_gp", "random")

SPENT = (1, 10, 20, 50, 100)
"""Evaluations after which gaps are reported; the last is the budget."""

MODEL = VtaCostModel()

RUNS = Path(__file__).parents[1] / "results" / "agents" / "expensive.jsonl"


def simulated_edp(network: Workload, row: dict[str, int]) -> float:
    """Log of cycles times pJ: cycles of the whole program, energy of its mappings; nan without a mapping."""
    config, batch = AcceleratorConfig.from_row(row), DesignBatch.of(row)
    layers = stored_shapes(network, config)
    cost = MODEL.evaluate(batch, layers)
    if not cost.mapped.all():
        return float("nan")
    mu, known = float(cost.totals(Objective.EDP).mu[0]), {}
    for layer in layers:
        if layer.shape not in known:
            known[layer.shape] = MODEL.best_mapping(batch, layer, mu)
    best = [found for layer in layers if (found := known[layer.shape]) is not None]
    cycles = cycles_by_layer(compile_numberless(network, [mapping for mapping, _ in best], config)).sum()
    energy_pj = sum(breakdown.energy_pj for _, breakdown in best) + cost.launch_energy_pj[0]
    return float(np.log(float(cycles) * energy_pj))


@dataclass
class Problem:
    """A network on a chip, with what was simulated for any agent and how long that took.

    Attributes:
        name: Of the space that the network is drawn from.
        seed: Of the draw.
    """

    name: str
    seed: int

    def __post_init__(self) -> None:
        space = network_space(self.name)
        self.network = space.workload(space.sample(Seeds(root=self.seed).child(self.name).numpy()))
        self.platform = load_platform("vta")
        self.space = self.platform.space("vta")
        self.designs = feasible_designs(
            self.platform, self.space, layers=self.network.layers, chainable=True, limits=CHIPS[self.name]
        )
        self._known: dict[int, float] = {}
        self.seconds = 0.0

    @property
    def simulated(self) -> int:
        """Distinct designs simulated so far."""
        return len(self._known)

    def context(self) -> SearchContext:
        """What an agent may know."""
        layers = self.network.layers
        default = self.platform.default()
        return search_context(self.designs, Objective.EDP, default, layers, budget=SPENT[-1])

    def scores(self, designs: IntArray) -> FloatArray:
        """Log objectives of designs int64 (B, D)."""
        flat, started = self.space.ravel(designs).tolist(), time.process_time()
        for position, design in zip(flat, designs, strict=True):
            if position not in self._known:
                row = {**self.platform.default(), **self.space.decode(design[None]).row(0)}
                self._known[position] = simulated_edp(self.network, row)
        self.seconds += time.process_time() - started
        return np.array([self._known[position] for position in flat])

    def play(self, agent: str, seed: int, policy: Path) -> dict[str, Any]:
        """One run: the least log objective after each evaluation, and processor seconds."""
        options = {"pretrained": str(policy)} if agent in POLICY else {}
        evaluator = Evaluator(self.space, self.scores)
        started, before, known = time.process_time(), self.seconds, self.simulated
        player = make_agent(
            POLICY.get(agent, agent), self.designs, Seeds(root=seed).child("agent"), **options
        )
        search(player, self.context(), evaluator)
        spent = self.seconds - before
        return {
            "problem": self.name,
            "agent": agent,
            "seed": seed,
            "trace": [round(value, 9) for value in evaluator.trace.tolist()],
            "simulated": self.simulated - known,
            "simulating_seconds": round(spent, 3),
            "agent_seconds": round(time.process_time() - started - spent, 3),
            "commit": commit(),
        }


def finished(path: Path) -> list[dict[str, Any]]:
    """Runs in a file of JSON lines; none if it is absent."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def gaps(runs: list[dict[str, Any]]) -> dict[str, FloatArray]:
    """By agent, above the best of all runs after each of ``SPENT``, (seeds, len(SPENT))."""
    best = min(run["trace"][-1] for run in runs)
    found: dict[str, list[list[float]]] = {}
    for run in runs:
        trace = run["trace"]
        row = [float(np.exp(trace[min(spent, len(trace)) - 1] - best) - 1) for spent in SPENT]
        found.setdefault(run["agent"], []).append(row)
    return {agent: np.array(rows) for agent, rows in found.items()}


def report(name: str, runs: list[dict[str, Any]]) -> None:
    """Print a problem's table."""
    simulated = sum(run["simulated"] for run in runs)
    each = sum(run["simulating_seconds"] for run in runs) / max(simulated, 1)
    print(f"\n{name}: {each:.2f} s of a processor per evaluation; median gap above the best found (worst)")
    print(f"{'agent':<14}{'seeds':>6}" + "".join(f"{f'at {spent}':>20}" for spent in SPENT) + f"{'s/run':>8}")
    for agent, rows in gaps(runs).items():
        cells = "".join(
            f"{f'{middle:.2%} ({worst:.1%})':>20}"
            for middle, worst in zip(np.median(rows, axis=0), rows.max(axis=0), strict=True)
        )
        own = np.mean([run["agent_seconds"] for run in runs if run["agent"] == agent])
        print(f"{agent:<14}{len(rows):>6}{cells}{own:>8.1f}")


def main() -> None:
    """Play what is not finished and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--policy", type=Path, default=shipped("vta"), help="what rhnas pretrain wrote for vta"
    )
    parser.add_argument("--problems", nargs="*", default=list(CHIPS), choices=CHIPS)
    parser.add_argument("--agents", nargs="*", default=list(AGENTS), choices=AGENTS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0, help="of the networks")
    parser.add_argument("--runs", type=Path, default=RUNS, help="where runs are kept")
    parser.add_argument("--table", action="store_true", help="print what --runs holds; play nothing")
    given = parser.parse_args()
    runs = finished(given.runs)
    if given.table:
        for name in sorted({run["problem"] for run in runs}):
            report(name, [run for run in runs if run["problem"] == name])
        return
    done = {(run["problem"], run["agent"], run["seed"]) for run in runs}
    for name in given.problems:
        problem = Problem(name, given.seed)
        print(f"{name}: {len(problem.network.layers)} layers, {problem.designs.count:,} designs", flush=True)
        for seed in range(given.seeds):
            for agent in given.agents:
                if (name, agent, seed) not in done:
                    runs.append(problem.play(agent, seed, given.policy))
                    with given.runs.open("a") as file:
                        file.write(json.dumps(runs[-1]) + "\n")
        report(name, [run for run in runs if run["problem"] == name])


if __name__ == "__main__":
    main()
