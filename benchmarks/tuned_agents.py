"""Every agent with the same effort spent on its settings, at equal budgets against the exact optimum.

Each agent has its default settings and the same number of others, drawn with a seed from its grid. All play
the held-out networks; the candidate with the least mean gap above the exact optimum plays the reported
networks with seeds that tuning never saw. Agents without settings have one candidate.

Run ``python benchmarks/tuned_agents.py --minutes 8`` until it says that all runs are done: finished runs are
kept in ``--json``. ``--table`` prints Markdown from that file. Runs go seed by seed over all agents, so that
one that is cut short has nearly the same seeds of all of them; the table says how many.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agents import PROBLEMS, Run, run_once, summary, table_of
from rhnas.files import read_json, write_json
from rhnas.networks.zoo import load_network
from rhnas.optimize import Question, Task
from rhnas.platform import load_platform
from rhnas.provenance import provenance
from rhnas.seeds import Seeds

HELD_OUT = ("resnet34", "resnet20")
"""Networks that settings are chosen on."""

REPORTED = tuple(name for name, problem in PROBLEMS.items() if not problem.limits)
"""Networks that agents are reported on."""

FRESH = 1000
"""The first seed of the reported runs; tuning uses those from 0 on."""

RESULT = Path(__file__).parents[1] / "results" / "agents" / "tuned.json"

PPO: dict[str, tuple[Any, ...]] = {
    "learning_rate": (1e-3, 3e-3, 1e-2),
    "epochs": (3, 6, 10),
    "batch": (16, 32, 64),
    "clip": (0.1, 0.2, 0.3),
}
SB3_PPO: dict[str, tuple[Any, ...]] = {
    "learning_rate": (1e-3, 3e-3, 1e-2),
    "n_epochs": (3, 6, 10),
    "episodes": (8, 16, 32),
    "ent_coef": (0.005, 0.02, 0.05),
}

GRIDS: dict[str, dict[str, tuple[Any, ...]]] = {
    "ppo": {**PPO, "polish": (1 / 3, 1 / 2, 2 / 3)},
    "ppo_only": PPO,
    "pretrained": {},
    "local_search": {},
    "hill_climbing": {},
    "annealing": {"hot": (0.05, 0.1, 0.2, 0.5), "cold": (0.001, 0.005, 0.02)},
    "random": {},
    "confuciux": {
        "learning": (1 / 3, 1 / 2, 2 / 3),
        "episodes": (8, 16, 32),
        "learning_rate": (1e-3, 3e-3, 1e-2),
        "population": (12, 20, 40),
    },
    "optuna_random": {},
    # Without multivariate sampling it repeats itself: 770 trials were not enough for 100 evaluations.
    "optuna_tpe": {"n_startup_trials": (5, 10, 20, 40), "n_ei_candidates": (12, 24, 48)},
    "optuna_nsga2": {
        "population_size": (10, 20, 50),
        "crossover_prob": (0.7, 0.9, 1.0),
        "mutation_prob": (None, 0.1, 0.3),
    },
    "optuna_gp": {"n_startup_trials": (3, 5, 20, 40)},
    "sb3_ppo": SB3_PPO,
    "sb3_maskable_ppo": SB3_PPO,
    "sb3_a2c": {
        "learning_rate": (3e-4, 7e-4, 3e-3, 1e-2),
        "episodes": (2, 4, 8),
        "ent_coef": (0.005, 0.02, 0.05),
    },
    "sb3_dqn": {
        "learning_rate": (3e-4, 1e-3, 3e-3),
        "episodes": (8, 16, 32),
        "exploration_fraction": (1 / 3, 1 / 2, 2 / 3),
    },
}
"""The values of each agent's settings; those left out stay as they are. Empty: it has none to choose."""

DEAR = frozenset({"optuna_gp"})
"""Agents that play only where they are asked for by name."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much every agent gets; a file of results holds runs of one plan; tuning seeds may be added.

    Attributes:
        budget: Evaluations per run.
        candidates: Settings per agent that has any, the default among them.
        tuning_seeds: Seeds per candidate and held-out network.
        draw: Seed that candidates are drawn with.
    """

    budget: int
    candidates: int
    tuning_seeds: int
    draw: int = 0


@dataclass(frozen=True, kw_only=True, order=True)
class Game:
    """One run that is to be played: an agent with its candidate on a network with a seed."""

    agent: str
    candidate: int
    network: str
    seed: int

    @property
    def key(self) -> str:
        """As results are named."""
        return f"{self.agent}/{self.candidate}/{self.network}/{self.seed}"


def candidates(agent: str, count: int, draw: int) -> list[dict[str, Any]]:
    """The default settings (no options) and up to ``count - 1`` distinct others of the agent's grid.

    Example:
        >>> candidates("random", 4, draw=0)
        [{}]
        >>> len(candidates("annealing", 4, draw=0))
        4
    """
    grid = GRIDS[agent]
    if not grid:
        return [{}]
    points = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    order = Seeds(root=draw).child(agent).numpy().permutation(len(points))
    return [{}, *(points[index] for index in order[: count - 1])]


def best_candidate(runs: Sequence[Sequence[Run]], budget: int) -> int:
    """The candidate with the least mean gap; if tied, the one sooner at the optimum, then the first.

    Args:
        runs: Of each candidate, on the same networks and seeds.
        budget: Evaluations per run; a run that never finds the optimum counts as one more.
    """
    waited = [[budget + 1 if run.to_optimum is None else run.to_optimum for run in played] for played in runs]
    scores = [
        (round(float(np.mean([run.gap for run in played])), 12), float(np.mean(waits)))
        for played, waits in zip(runs, waited, strict=True)
    ]
    return scores.index(min(scores))


class Results:
    """Finished runs of one plan, kept in a file.

    Args:
        path: The file; absent at first.
        plan: Refused where the file was made with another; left out: that of the file.
    """

    def __init__(self, path: Path, plan: Plan | None = None) -> None:
        self._path = path
        if not path.exists() and plan is None:
            raise SystemExit(f"there must be results to print, got no file {path}; run without --table first")
        content = read_json(path) if path.exists() else {}
        self.plan = plan or Plan(**content["plan"])
        known = {**content.get("plan", {}), "tuning_seeds": self.plan.tuning_seeds}
        if content and Plan(**known) != self.plan:
            raise SystemExit(f"{path} must hold runs of {plan}, got {content['plan']}; give another --json")
        for agent, drawn in content.get("candidates", {}).items():
            if drawn != self.settings(agent):
                raise SystemExit(f"{path} must hold runs of today's grid of {agent}; give another --json")
        self.runs = {key: Run(**run) for key, run in content.get("runs", {}).items()}

    def write(self) -> None:
        """Keep all runs, with the settings they were made with."""
        settings = {agent: self.settings(agent) for agent in GRIDS if self.played(agent)}
        runs = {key: dataclasses.asdict(run) for key, run in sorted(self.runs.items())}
        content = {"schema": 1, "plan": dataclasses.asdict(self.plan), "candidates": settings, "runs": runs}
        write_json(self._path, {**content, "provenance": provenance(seed=self.plan.draw)})

    def settings(self, agent: str) -> list[dict[str, Any]]:
        """The agent's candidates."""
        return candidates(agent, self.plan.candidates, self.plan.draw)

    def played(self, agent: str) -> bool:
        """Whether there is any run of the agent."""
        return any(key.startswith(f"{agent}/") for key in self.runs)

    def of(self, games: Sequence[Game]) -> list[Run]:
        """Their runs; a game that was not played yet ends the program."""
        missing = [game.key for game in games if game.key not in self.runs]
        if missing:
            raise SystemExit(f"{self._path} must hold {missing[0]}; run again without --table to go on")
        return [self.runs[game.key] for game in games]

    def chosen(self, agent: str) -> int:
        """The candidate that tuning chose; an agent that has one only need not play for it."""
        count = len(self.settings(agent))
        if count == 1:
            return 0
        runs = [
            self.of([game for game in tuning(self.plan, [agent]) if game.candidate == candidate])
            for candidate in range(count)
        ]
        return best_candidate(runs, self.plan.budget)

    def reported(self, agent: str, network: str) -> list[Run]:
        """The chosen candidate's runs on a reported network, as far as they were played without a hole."""
        games = (
            Game(agent=agent, candidate=self.chosen(agent), network=network, seed=FRESH + seed)
            for seed in itertools.count()
        )
        return self.of(list(itertools.takewhile(lambda game: game.key in self.runs, games)))


def tuning(plan: Plan, agents: Sequence[str]) -> Iterator[Game]:
    """Runs that settings are chosen by, seed by seed."""
    for seed, network, agent in itertools.product(range(plan.tuning_seeds), HELD_OUT, agents):
        count = len(candidates(agent, plan.candidates, plan.draw))
        for candidate in range(count if count > 1 else 0):
            yield Game(agent=agent, candidate=candidate, network=network, seed=seed)


def reporting(results: Results, agents: Sequence[str], seeds: int) -> Iterator[Game]:
    """Runs of the chosen settings, seed by seed; tuning must be over."""
    chosen = {agent: results.chosen(agent) for agent in agents}
    for seed, network, agent in itertools.product(range(seeds), REPORTED, agents):
        yield Game(agent=agent, candidate=chosen[agent], network=network, seed=FRESH + seed)


@functools.cache
def problem(network: str) -> tuple[Task, np.ndarray]:
    """What is searched, and the log objective of every point."""
    task = Task(load_platform("vta"), Question(network=load_network(network), space="vta-intel"))
    return task, table_of(task)


def play(results: Results, games: Iterator[Game], until: float) -> bool:
    """Play what was not played yet; whether all is done before the time is up."""
    for game in games:
        if game.key in results.runs:
            continue
        if time.monotonic() > until:
            return False
        task, table = problem(game.network)
        options: Mapping[str, Any] = results.settings(game.agent)[game.candidate]
        run = run_once(task, table, game.agent, game.seed, budget=results.plan.budget, options=options)
        results.runs[game.key] = dataclasses.replace(run, seconds=round(run.seconds, 3))
        results.write()
    return True


def described(options: Mapping[str, Any]) -> str:
    """Settings in a few words."""
    values = (
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in options.items()
    )
    return ", ".join(values)


def print_row(*cells: str) -> None:
    """A row of Markdown."""
    print(f"| {' | '.join(cells)} |")


def print_chosen(results: Results, agents: Sequence[str]) -> None:
    """What tuning chose, and what that gained on the held-out networks."""
    print_row("agent", "candidates", "chosen", "mean gap held out, default", "chosen")
    print_row(*["---"] * 5)
    for agent in agents:
        settings, games = results.settings(agent), list(tuning(results.plan, [agent]))
        if len(settings) == 1:
            print_row(f"`{agent}`", "1", "no settings", "", "")
            continue
        best = results.chosen(agent)
        means = [
            np.mean([run.gap for run in results.of([game for game in games if game.candidate == candidate])])
            for candidate in (0, best)
        ]
        words = described(settings[best]) or "default"
        print_row(f"`{agent}`", str(len(settings)), words, *(f"{mean:.2%}" for mean in means))


def print_table(results: Results) -> None:
    """Markdown: what tuning chose, then a row per network and agent, over the seeds that it has played."""
    agents = [agent for agent in GRIDS if results.played(agent)]
    print_chosen(results, agents)
    runs = {(network, agent): results.reported(agent, network) for network in REPORTED for agent in agents}
    print(f"\n{results.plan.budget} evaluations\n")
    found = "exact optimum found", "median gap", "90th percentile", "evaluations until the optimum (median)"
    print_row("network", "agent", "seeds", *found, "unrealizable proposals")
    print_row(*["---"] * 8)
    for (network, agent), played in runs.items():
        row = summary(played)
        middle = row["evaluations_to_optimum"]
        print_row(
            network if agent == agents[0] else "",
            f"`{agent}`",
            str(len(played)),
            f"{row['exact']:.0%}",
            f"{row['median']:.2%}",
            f"{row['p90']:.2%}",
            "-" if middle is None else f"{middle:.0f}",
            f"{row['unrealizable']:.0f}",
        )


def main() -> None:
    """Play what is missing, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--budget", type=int, default=100, help="evaluations per run")
    parser.add_argument(
        "--candidates", type=int, default=4, help="settings per agent, its default among them"
    )
    parser.add_argument("--tuning-seeds", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=10, help="of the reported runs")
    parser.add_argument("--agents", nargs="*", choices=GRIDS, default=[a for a in GRIDS if a not in DEAR])
    parser.add_argument(
        "--minutes", type=float, default=np.inf, help="stop after so long; go on another time"
    )
    parser.add_argument("--json", type=Path, default=RESULT, help="where runs are kept")
    parser.add_argument("--table", action="store_true", help="print what the file says; play nothing")
    given = parser.parse_args()
    if given.table:
        print_table(Results(given.json))
        return
    plan = Plan(budget=given.budget, candidates=given.candidates, tuning_seeds=given.tuning_seeds)
    results, until = Results(given.json, plan), time.monotonic() + 60 * given.minutes
    done = play(results, tuning(plan, given.agents), until) and play(
        results, reporting(results, given.agents, given.seeds), until
    )
    print(f"{len(results.runs)} runs in {given.json}; {'all are done' if done else 'run again to go on'}")


if __name__ == "__main__":
    main()
