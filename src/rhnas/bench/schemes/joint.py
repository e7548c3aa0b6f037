"""Schemes that propose a network and a design as one point: one controller, or one population, over both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from rhnas.agents.base import SearchContext
from rhnas.agents.features import budget_features
from rhnas.agents.ppo import PPOOnlyAgent
from rhnas.bench.ledger import Ledger
from rhnas.bench.problem import TabularProblem
from rhnas.bench.schemes.base import TabularScheme
from rhnas.platform import Outcome
from rhnas.seeds import Seeds
from rhnas.space import Choice, FeasibleSet, Space
from rhnas.workload import BoolArray, FloatArray, IntArray

ROUND = 32
"""Points asked for at a time."""
IDLE = 50
"""Rounds without anything new after which a search ends."""


@dataclass(frozen=True)
class JointSet(FeasibleSet):
    """Feasible designs with a network appended: every network may go with every feasible design.

    Values that no feasible design has are left out, so that the product stays small enough to index.

    Attributes:
        hardware: The feasible designs alone; ``allowed`` is theirs, the networks' axes are not written out.
        values: Per hardware choice the positions in the problem's space of the values that are left.
    """

    hardware: FeasibleSet
    values: tuple[IntArray, ...]

    @classmethod
    def of(cls, problem: TabularProblem) -> JointSet:
        """The designs of a problem, then its network's decisions."""
        designs, choices = problem.designs, problem.space.choices
        axes = range(len(choices))
        values = tuple(
            np.flatnonzero(designs.allowed.any(axis=tuple(a for a in axes if a != axis))) for axis in axes
        )
        kept = tuple(
            Choice(name=choice.name, values=tuple(choice.values[at] for at in used))
            for choice, used in zip(choices, values, strict=True)
        )
        hardware = FeasibleSet(Space(name="kept", rules=(), choices=kept), designs.allowed[np.ix_(*values)])
        networks = tuple(
            Choice(name=decision.name, values=tuple(range(len(decision.options))))
            for decision in problem.networks.decisions
        )
        space = Space(name="joint", rules=(), choices=(*kept, *networks))
        return cls(space, hardware.allowed, hardware, values)

    @property
    def count(self) -> int:
        """Number of feasible pairs."""
        return self.hardware.count * int(np.prod(self.space.shape[len(self.hardware.space.shape) :]))

    def mask(self, partial: IntArray) -> BoolArray:
        """As of the designs; a network's options are all open."""
        depth, own = partial.shape[1], len(self.hardware.space.shape)
        if depth < own:
            return self.hardware.mask(partial)
        return np.ones((len(partial), self.space.shape[depth]), dtype=np.bool_)

    def split(self, problem: TabularProblem, points: IntArray) -> tuple[IntArray, IntArray]:
        """Networks and designs by their places, each (n,), of points int64 (n, choices)."""
        own = len(self.hardware.space.shape)
        networks = np.ravel_multi_index(tuple(points[:, own:].T), self.space.shape[own:])
        designs = np.stack([used[points[:, at]] for at, used in enumerate(self.values)], axis=1)
        return problem.identity[networks], problem.places(designs)


def evaluate(ledger: Ledger, networks: IntArray, designs: IntArray) -> tuple[FloatArray, FloatArray]:
    """Ask for pairs in order while both budgets last.

    Returns:
        (log objective, accuracy) of the first pairs, each (m,), m <= n.
    """
    accuracy = []
    for network, design in zip(networks.tolist(), designs.tolist(), strict=True):
        if design not in ledger.designs and ledger.designs_left < 1:
            break
        found = float(ledger.look_up([network])[0])
        if np.isnan(found):
            break
        ledger.price([design])
        accuracy.append(found)
    m = len(accuracy)
    scores = [
        float(ledger.problem.pair_scores(networks[i : i + 1], designs[i : i + 1])[0, 0]) for i in range(m)
    ]
    return np.array(scores), np.array(accuracy)


@final
class JointRLScheme(TabularScheme):
    """One PPO controller over both, as NASAIC (DAC 2020) and NAHAS (2021): our PPO, networks appended."""

    def run(self, ledger: Ledger, seeds: Seeds) -> None:
        """Sample, evaluate as pairs, learn from minus the log objective and the penalty for accuracy."""
        problem = ledger.problem
        points = JointSet.of(problem)
        agent = PPOOnlyAgent(points, seeds.child("agent"))
        base = problem.context(ledger.budget.lookups)
        size = len(base.features) - len(budget_features(problem.designs))
        features = np.concatenate([base.features[:size], np.zeros(2 + 2 * len(points.space.choices))])
        context = SearchContext(
            designs=points,
            objective=problem.objective,
            start=np.zeros(len(points.space.choices), dtype=np.int64),
            features=features,
            budget=ledger.budget.lookups,
        )
        idle = 0
        while min(ledger.lookups_left, ledger.designs_left) > 0 and idle < IDLE:
            before = ledger.lookups_left
            asked = agent.ask(ROUND, context)
            scores, accuracy = evaluate(ledger, *points.split(problem, asked))
            cost = scores - ledger.utility(accuracy)
            agent.tell(asked[: len(cost)], Outcome(cost[:, None], np.zeros((len(cost), 1))))
            idle = 0 if ledger.lookups_left < before else idle + 1


@final
class JointEvolutionScheme(TabularScheme):
    """NSGA-II over both (NHAS, NAAS): low log objective against little shortfall of accuracy.

    Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II", 2002: binary tournaments by
    rank and crowding, uniform crossover, one decision mutated on average; children that cannot be built are
    counted and bred anew.
    """

    POPULATION = 24
    CROSSOVER = 0.9

    def run(self, ledger: Ledger, seeds: Seeds) -> None:
        """Breed until a budget is spent."""
        problem, rng = ledger.problem, seeds.numpy()
        points = JointSet.of(problem)
        sizes = np.array(points.space.shape)
        own = len(problem.space.shape)
        hardware = points.hardware.sample(self.POPULATION, rng)
        networks = rng.integers(sizes[own:], size=(self.POPULATION, len(sizes) - own))
        population = np.concatenate([hardware, networks], axis=1)
        population, objectives = self._evaluated(ledger, points, population)
        idle = 0
        while min(ledger.lookups_left, ledger.designs_left) > 0 and idle < IDLE and len(population):
            before = ledger.lookups_left
            children = self._children(ledger, points, (population, objectives), rng)
            children, found = self._evaluated(ledger, points, children)
            population = np.concatenate([population, children])
            objectives = np.concatenate([objectives, found])
            _, kept = np.unique(population, axis=0, return_index=True)
            kept = kept[_order(objectives[kept])][: self.POPULATION]
            population, objectives = population[kept], objectives[kept]
            idle = 0 if ledger.lookups_left < before else idle + 1

    def _evaluated(self, ledger: Ledger, points: JointSet, rows: IntArray) -> tuple[IntArray, FloatArray]:
        scores, accuracy = evaluate(ledger, *points.split(ledger.problem, rows))
        return rows[: len(scores)], np.stack([scores, ledger.shortfall(accuracy)], axis=1)

    def _children(
        self,
        ledger: Ledger,
        points: JointSet,
        parents: tuple[IntArray, FloatArray],
        rng: np.random.Generator,
    ) -> IntArray:
        population, objectives = parents
        place = np.empty(len(population), dtype=np.int64)
        place[_order(objectives)] = np.arange(len(population))
        sizes, own = np.array(points.space.shape), len(points.values)
        found: list[IntArray] = []
        while len(found) < self.POPULATION:
            rivals = rng.integers(len(population), size=(2, 2))
            first, second = (population[pair[place[pair].argmin()]] for pair in rivals)
            mixed = (
                rng.random(len(sizes)) < 0.5 if rng.random() < self.CROSSOVER else np.zeros(len(sizes), bool)
            )
            child = np.where(mixed, second, first)
            mutated = rng.random(len(sizes)) < 1 / len(sizes)
            child = np.where(mutated, rng.integers(sizes), child)
            if points.hardware.contains(child[None, :own])[0]:
                found.append(child)
            else:
                ledger.unrealizable += 1
        return np.array(found)


def _order(objectives: FloatArray) -> IntArray:
    """Best first: by front, within a front by crowding distance; objectives (n, 2) are to be low."""
    rank, left = np.zeros(len(objectives), dtype=np.int64), np.arange(len(objectives))
    front = 0
    while len(left):
        rest = objectives[left]
        no_worse = np.all(rest[None] <= rest[:, None], axis=2)
        better = np.any(rest[None] < rest[:, None], axis=2)
        beaten = np.any(no_worse & better, axis=1)
        rank[left[~beaten]] = front
        left, front = left[beaten], front + 1
    crowding = np.zeros(len(objectives))
    for level in range(front):
        members = np.flatnonzero(rank == level)
        for column in objectives.T:
            order = members[np.argsort(column[members], kind="stable")]
            spread = max(float(np.ptp(column[members])), 1e-12)
            crowding[order[[0, -1]]] = np.inf
            crowding[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / spread
    return np.lexsort((-crowding, rank))
