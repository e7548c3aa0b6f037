"""What each part of the joint search is worth: ``python benchmarks/ablations.py --which NAME [--seeds 10]``.

On ``digits-sizes`` with small budgets (60 look-ups, 60 designs), where parts can still make a difference; the
first variant of an ablation is what ``rhnas`` does. A seed's figure is the mean EDP above the joint optimum
over the benchmark's accuracies. Printed are medians with 95% bootstrap intervals, both for the answer known
when alpha stops and for the final one, and Wilcoxon's p against the first variant on the same seeds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rhnas.agents.base import HardwareAgent, SearchContext
from rhnas.agents.features import search_context
from rhnas.agents.ppo import PPOOnlyAgent, Rollout
from rhnas.agents.registry import make_agent
from rhnas.bench.alpha import Alpha, AlphaSettings, CostSide, LayerCosts
from rhnas.bench.ledger import Budget, Ledger
from rhnas.bench.problem import TabularProblem, benchmark_named
from rhnas.bench.schemes.gradient import BATCH, JOINT_SHARE, Search
from rhnas.bench.schemes.joint import JointSet
from rhnas.bench.summary import interval, paired
from rhnas.bench.yardstick import yardstick
from rhnas.files import read_json, write_json
from rhnas.platform import Objective, Outcome
from rhnas.provenance import provenance
from rhnas.seeds import Seeds
from rhnas.space import DesignBatch, FeasibleSet
from rhnas.workload import FloatArray, IntArray

BUDGET = Budget(lookups=60, designs=60)
FEW = Budget(lookups=60, designs=10)
"""Where a design is dear: what an agent knows beforehand should count."""
MOST_PROPOSALS = 5_000
"""Where an agent without masks that does not find enough designs is given up."""

Row = dict[str, Any]


@dataclass
class World:
    """The benchmark, and the same under another energy profile or objective."""

    name: str = "digits-sizes"
    _made: dict[str, TabularProblem] = field(default_factory=dict)

    @cached_property
    def problem(self) -> TabularProblem:
        """As ``rhnas bench`` has it: EDP under the first profile."""
        return TabularProblem.of(benchmark_named(self.name))

    def under(self, technology: str) -> TabularProblem:
        """Under another energy profile."""
        if technology not in self._made:
            problem = self.problem
            model, space = problem.platform.cost_model(technology=technology), problem.space
            cost = model.evaluate(space.decode(problem.designs.all()), problem.networks.layers)
            default = DesignBatch.of(problem.platform.default())
            reference = model.evaluate(default, problem.networks.layers)
            self._made[technology] = replace(problem, cost=cost, reference=reference)
        return self._made[technology]

    def minimising(self, objective: Objective) -> TabularProblem:
        """With another objective."""
        if objective not in self._made:
            self._made[objective] = replace(self.problem, objective=objective)
        return self._made[objective]


# Variants of the search ------------------------------------------------------------------------------------


class LastDesign(Search):
    """Alpha descends on the design visited last, not on the best of the archive."""

    def together(self) -> None:
        """As the joint search, but for the designs that count."""
        budget = int(JOINT_SHARE * self.ledger.budget.designs)

        def costs(weights: FloatArray) -> LayerCosts:
            self.side.turn(weights, BATCH, budget)
            return self._archived(np.array([self.side.evaluations - 1]), weights)

        self._descend(costs, 1.0)
        self._answer_each_other()


class SampledAlpha(Alpha):
    """Cost is part of what the drawn networks are worth, instead of its exact expectation."""

    def step(self, cost: CostSide | None, spent: float) -> None:
        """Draw, look up, descend on the score function alone."""
        if cost is None:
            return super().step(cost, spent)
        self.ledger.look_up(self.draw(self.settings.draws))
        networks, problem = self.ledger.networks, self.ledger.problem
        counts = torch.from_numpy(problem.weights[networks])
        costs = torch.stack([cost.soft_minimum(row, self.settings.temperature) for row in counts])
        utility = torch.from_numpy(self.ledger.utility(problem.accuracy[networks])) - costs
        first, last = self.settings.entropy
        bonus = first + (last - first) * min(1.0, spent)
        entropy = -sum((torch.softmax(r, 0) * torch.log_softmax(r, 0)).sum() for r in self.logits)
        loss = -self._surrogate(networks, utility) - bonus * entropy
        self._adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._adam.step()
        return None


class Blind(HardwareAgent):
    """An agent that is told nothing of the workload, the objective or the budget."""

    def __init__(self, agent: HardwareAgent) -> None:
        self._agent = agent

    def ask(self, n: int, context: SearchContext) -> IntArray:
        """As the agent, with features of zero."""
        return self._agent.ask(n, replace(context, features=np.zeros_like(context.features)))

    def tell(self, designs: IntArray, outcome: Outcome) -> None:
        """As the agent."""
        self._agent.tell(designs, outcome)

    def state(self) -> dict[str, Any]:
        """As the agent."""
        return self._agent.state()

    def restore(self, state: dict[str, Any]) -> None:
        """As the agent."""
        self._agent.restore(state)


def blind(search: Search) -> None:
    """Take the agent's features away."""
    assert search.side.agent is not None
    search.side.agent = Blind(search.side.agent)


def learnt(search: Search) -> None:
    """Put the agent that has learnt the space in the place of the one that begins with nothing."""
    seeds = search.seeds.child("learnt")
    search.side.agent = make_agent("pretrained", search.problem.designs, seeds)


def sampled(search: Search) -> None:
    """Take alpha's exact expectation away."""
    search.alpha = SampledAlpha(search.ledger, search.settings, search.seeds.child("alpha"))


def played(
    problem: TabularProblem,
    seed: int,
    *,
    judge: TabularProblem | None = None,
    kind: type[Search] = Search,
    change: Callable[[Search], None] = lambda _: None,
    run: Callable[[Search], None] = lambda search: search.together(),
    budget: Budget = BUDGET,
) -> Row:
    """A joint search per accuracy; what its answer is above the judge's joint optimum."""
    judge = judge or problem
    ends, stops = [], []
    for threshold in problem.benchmark.thresholds:
        ledger = Ledger(problem, threshold, budget)
        search = kind(ledger, AlphaSettings(), "ppo", Seeds(root=seed).child(f"{threshold:g}"))
        change(search)
        run(search)
        best = yardstick(judge, threshold)
        ends.append(regret_of(answer(ledger), judge, best.regret))
        until = search.settings.share * budget.lookups
        told = [step.score for step in ledger.improvements(None) if step.lookups <= until]
        stops.append(best.regret(told[-1]) if told and judge is problem else np.inf)
    return {"end": float(np.mean(ends)), "stop": float(np.mean(stops))}


def answer(ledger: Ledger) -> tuple[int, int] | None:
    """The pair a search ends with: network and design; None where none holds the accuracy."""
    problem = ledger.problem
    held = ledger.networks[problem.accuracy[ledger.networks] >= ledger.threshold]
    if not len(held):
        return None
    scores = ledger.pair_scores(held)
    network, column = np.unravel_index(scores.argmin(), scores.shape)
    chosen = int(held[network])
    exact = scores.shape[1] == 1 and ledger.priced == len(problem.pairs)
    return chosen, int(problem.best[1][chosen] if exact else ledger.designs[column])


def regret_of(pair: tuple[int, int] | None, judge: TabularProblem, regret: Callable[[float], float]) -> float:
    """What a pair costs by the judge's table, above its optimum."""
    if pair is None:
        return float("inf")
    return regret(float(judge.pairs.scores(judge.weights[pair[:1],], pair[1])[0]))


# Masks -----------------------------------------------------------------------------------------------------


def hardware_alone(problem: TabularProblem, seed: int, way: str) -> Row:
    """PPO on the joint optimum's network with exact masks, with a penalty, or with rejection.

    Without masks the agent chooses among the values that occur in any feasible design.
    """
    threshold = problem.benchmark.thresholds[-1]
    best = yardstick(problem, threshold)
    kept = JointSet.of(problem)
    free = FeasibleSet(kept.hardware.space, np.ones_like(kept.hardware.allowed))
    designs = kept.hardware if way == "mask" else free
    weights = problem.weights[best.network]
    share = kept.hardware.count / free.count
    context = context_of(problem, designs, weights, 1.0 if way == "mask" else share)
    agent = PPOOnlyAgent(designs, Seeds(root=seed).child(way))
    known: dict[int, float] = {}
    proposals = unrealizable = 0
    while len(known) < BUDGET.designs and proposals < MOST_PROPOSALS:
        asked = agent.ask(16, context)
        proposals += len(asked)
        can = kept.hardware.contains(asked)
        unrealizable += int((~can).sum())
        scores = np.full(len(asked), np.nan)
        scores[can] = priced(problem, kept, asked[can], best.network, known)
        if way == "rejection":
            withhold(agent, can)
            asked, scores = asked[can], scores[can]
        agent.tell(asked, Outcome(scores[:, None], np.where(np.isnan(scores), -1.0, 0.0)[:, None]))
    least = min(list(known.values())[: BUDGET.designs], default=np.inf)
    found = {"end": best.regret(least), "unrealizable": unrealizable, "designs": len(known)}
    return {**found, "feasible_share": share}


def context_of(
    problem: TabularProblem, designs: FeasibleSet, weights: FloatArray, share: float
) -> SearchContext:
    """What the agent may know; its budget counts what cannot be built, so that its entropy falls alike."""
    full = search_context(
        problem.designs,
        problem.objective,
        problem.platform.default(),
        problem.networks.layers,
        weights=weights,
        budget=round(BUDGET.designs / share),
    )
    start = np.zeros(len(designs.space.choices), dtype=np.int64)
    return replace(full, designs=designs, start=start)


def withhold(agent: PPOOnlyAgent, can: Any) -> None:
    """Nothing is learnt from proposals that are rejected."""
    proposed = agent._proposed
    assert proposed is not None
    agent._proposed = Rollout(*(column[torch.from_numpy(can)] for column in vars(proposed).values()))


def priced(
    problem: TabularProblem, kept: JointSet, designs: IntArray, network: int, known: dict[int, float]
) -> FloatArray:
    """Log objective of one network on feasible designs of the kept values; new ones are noted."""
    rows = np.stack([used[designs[:, at]] for at, used in enumerate(kept.values)], axis=1)
    places = problem.places(rows)
    scores = problem.pair_scores(np.array([network]), places)[0] if len(places) else np.zeros(0)
    for place, score in zip(places.tolist(), scores.tolist(), strict=True):
        known.setdefault(place, score)
    return scores


# What is compared ------------------------------------------------------------------------------------------

Variant = Callable[[World, int], Row]

ABLATIONS: dict[str, dict[str, Variant]] = {
    "mask": {
        "exact masks": lambda world, seed: hardware_alone(world.problem, seed, "mask"),
        "penalty": lambda world, seed: hardware_alone(world.problem, seed, "penalty"),
        "rejection": lambda world, seed: hardware_alone(world.problem, seed, "rejection"),
    },
    "conditioned": {
        "conditioned": lambda world, seed: played(world.problem, seed),
        "blind": lambda world, seed: played(world.problem, seed, change=blind),
    },
    "learnt": {
        "from nothing": lambda world, seed: played(world.problem, seed),
        "has learnt the space": lambda world, seed: played(world.problem, seed, change=learnt),
    },
    "learnt-few": {
        "from nothing": lambda world, seed: played(world.problem, seed, budget=FEW),
        "has learnt the space": lambda world, seed: played(world.problem, seed, change=learnt, budget=FEW),
    },
    "exact-best-response": {
        "agent": lambda world, seed: played(world.problem, seed),
        "all designs": lambda world, seed: played(world.problem, seed, run=lambda s: s.exactly()),
    },
    "archive": {
        "best of the archive": lambda world, seed: played(world.problem, seed),
        "last design": lambda world, seed: played(world.problem, seed, kind=LastDesign),
    },
    "sampled-cost": {
        "exact expectation": lambda world, seed: played(world.problem, seed),
        "sampled": lambda world, seed: played(world.problem, seed, change=sampled),
    },
    "profile": {
        "same profile": lambda world, seed: played(world.under("horowitz45"), seed),
        "the other profile": lambda world, seed: played(world.problem, seed, judge=world.under("horowitz45")),
    },
    "objective": {
        "EDP": lambda world, seed: played(world.problem, seed),
        "latency": lambda world, seed: played(world.minimising(Objective.LATENCY), seed, judge=world.problem),
    },
}


def compare(world: World, which: str, seeds: int) -> dict[str, Any]:
    """All variants of an ablation on the same seeds."""
    rows: dict[str, list[Row]] = {}
    for name, variant in ABLATIONS[which].items():
        rows[name] = [variant(world, seed) for seed in range(seeds)]
    first = np.array([row["end"] for row in next(iter(rows.values()))])
    figures = {name: figures_of(found, first) for name, found in rows.items()}
    budget = asdict(FEW if which == "learnt-few" else BUDGET)
    return {"ablation": which, "seeds": seeds, "budget": budget, "variants": figures, "runs": rows}


def figures_of(rows: list[Row], first: FloatArray) -> Row:
    """Medians over seeds, their intervals, and the paired test against the first variant."""
    found: Row = {}
    for key in ("stop", "end"):
        values = np.array([row.get(key, np.inf) for row in rows])
        finite = bool(np.isfinite(values).all())
        found[key] = float(np.median(values)) if finite else None
        found[f"{key}_interval"] = interval(values) if finite else None
    ends = np.array([row["end"] for row in rows])
    found["p"] = None if np.array_equal(ends, first) else paired(first, ends)
    for key in ("unrealizable", "designs", "feasible_share"):
        if key in rows[0]:
            found[key] = float(np.mean([row[key] for row in rows]))
    return found


def told(result: dict[str, Any]) -> None:
    """The table of one ablation."""
    budget = Budget(**result["budget"])
    print(
        f"{result['ablation']}: {result['seeds']} seeds, {budget.lookups} look-ups, {budget.designs} designs"
    )
    for name, row in result["variants"].items():
        parts = [f"  {name:<20}"]
        for key in ("stop", "end"):
            if row[key] is not None:
                low, high = row[f"{key}_interval"]
                parts.append(f"{key} {row[key]:8.2%} ({low:.2%} to {high:.2%})")
        if row["p"] is not None:
            parts.append(f"p {row['p']:.2g}")
        if "unrealizable" in row:
            parts.append(f"unrealizable {row['unrealizable']:,.0f}, designs {row['designs']:.0f}")
        print("  ".join(parts), flush=True)


def main() -> None:
    """Parse options, run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--which", choices=[*ABLATIONS, "all"], default="all")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path("results/ablations"))
    parser.add_argument("--table", action="store_true", help="print what --out holds; run nothing")
    given = parser.parse_args()
    torch.set_num_threads(1)
    world = World()
    for which in ABLATIONS if given.which == "all" else [given.which]:
        if given.table:
            told(read_json(given.out / f"{which}.json"))
            continue
        started = time.process_time()
        result = compare(world, which, given.seeds)
        told(result)
        print(f"  {time.process_time() - started:.0f} s of a processor", flush=True)
        for row in (*result["variants"].values(), *(r for rows in result["runs"].values() for r in rows)):
            row.update({key: None for key, value in row.items() if value == np.inf})
        write_json(given.out / f"{which}.json", {"schema": 1, **result, "provenance": provenance()})


if __name__ == "__main__":
    main()
