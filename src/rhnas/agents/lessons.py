"""Problems to learn from: random networks, objectives and chip budgets, each with what is good for it.

The teacher prices candidates and hands out designs drawn from the soft optimum over them,
q(x) ~ exp(-log cost(x) / T), among those that the budget allows and every layer can run on. In a small space
the candidates are all its designs, so q is exact. In a large one they are the designs that earlier problems
were taught, samples of the policy, and neighbours of the best: the teacher learns too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rhnas.agents.features import budget_features, context_features, workload_features
from rhnas.agents.moves import one_factor_moves, two_factor_moves
from rhnas.agents.policy import Policy, prefix_masks
from rhnas.agents.price_table import PriceTable
from rhnas.errors import SettingsError
from rhnas.networks.random import random_network
from rhnas.platform import Objective, Platform
from rhnas.seeds import Seeds
from rhnas.space import FeasibleSet, Space
from rhnas.workload import BoolArray, FloatArray, IntArray, Layer, Workload

ATTEMPTS = 50
"""Chip budgets drawn before a network is taught without one."""


EXPLORING = 1.5
"""Temperature of the policy where its samples become candidates."""

CLIMBS = 8
"""Times that neighbours of each problem's best candidate become candidates."""

UNLIMITED = 1 / 5
"""Chance of a chip without any limit, as many are asked for."""

LIMITED = 4 / 5
"""Chance of each limit to be part of any other chip budget."""


@dataclass(frozen=True, kw_only=True)
class LessonSettings:
    """How problems are drawn and what the teacher knows about them.

    Attributes:
        networks: Random networks per round, beside the named ones.
        settings: Networks with a chip budget per round, parts of networks included.
        weightings: Of the layers of each: the network's own or, as often, random ones, as in a joint search.
        draws: Designs taught per problem.
        temperature: Of the soft optimum, in units of log cost.
        enumerated: Designs up to which the teacher prices all of a space.
        explore: Samples of the policy that a problem adds to the candidates; as many neighbours per climb.
        remembered: Taught designs that stay candidates in later rounds.
    """

    networks: int = 8
    settings: int = 36
    weightings: int = 3
    draws: int = 32
    temperature: float = 0.02
    enumerated: int = 1 << 13
    explore: int = 8
    remembered: int = 1 << 9

    def __post_init__(self) -> None:
        if min(self.networks, self.settings, self.weightings, self.draws, self.explore) < 1:
            raise SettingsError("a round must have problems with designs to teach", got=self)
        if self.temperature <= 0:
            raise SettingsError("temperature must be positive", got=self.temperature)


@dataclass(frozen=True)
class Lessons:
    """Problems with the designs that are good for them. Legend: N problems, W designs each.

    Attributes:
        features: float32 (N, F).
        chosen: int64 (N, W, D).
        masks: bool (N, W, D, M), as ``Policy`` wants them.
    """

    features: Tensor
    chosen: Tensor
    masks: Tensor


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What is asked of the policy: weighted layers, an objective, and the designs that are allowed.

    Attributes:
        columns: int64 (L,): the layers' places among those of the round.
        weights: float64 (L,), positive.
        objective: What is minimised.
        designs: The feasible designs.
        features: float32 (F,), what the policy sees of all this.
    """

    columns: IntArray
    weights: FloatArray
    objective: Objective
    designs: FeasibleSet
    features: Tensor


@dataclass(frozen=True, kw_only=True)
class Round:
    """One round's lessons.

    Attributes:
        lessons: To learn from.
        gaps: float64 (N,): how far above the best candidate the policy's answer was before it learnt them.
        taught: Flat positions of designs to remember.
    """

    lessons: Lessons
    gaps: FloatArray
    taught: IntArray


class Teacher:
    """Draws problems and teaches what is good for them; the same seed and round give the same problems.

    Args:
        platform: The family of accelerators.
        space: The design space.
        networks: Taught in every round, beside random ones.
        settings: How problems are drawn.
        seeds: Of the problems.

    Attributes:
        exact: Whether all designs of the space are candidates.
    """

    def __init__(
        self,
        platform: Platform,
        space: Space,
        networks: Sequence[Workload],
        settings: LessonSettings,
        seeds: Seeds,
    ) -> None:
        self.settings = settings
        self._platform, self._space, self._networks = platform, space, tuple(networks)
        self._model = platform.cost_model()
        self._seeds = seeds
        self._realizable = space.feasible()
        self.exact = self._realizable.count <= settings.enumerated
        self._levels: dict[tuple[bool, str | None], FeasibleSet] = {}

    def round(self, index: int, policy: Policy, remembered: IntArray) -> Round:
        """Problems of a round, with what is good for them.

        Args:
            index: Of the round.
            policy: Whose answers are measured and whose samples are candidates.
            remembered: Flat positions of designs taught before.
        """
        seeds = self._seeds.child(f"round {index}")
        rng, generator = seeds.numpy(), torch.Generator().manual_seed(seeds.integer())
        networks = [*self._networks, *(random_network(rng) for _ in range(self.settings.networks))]
        asked = rng.integers(len(networks), size=self.settings.settings)
        parts = []
        for network, settings in zip(networks, np.bincount(asked, minlength=len(networks)), strict=True):
            layers, inverse = network.unique
            problems = self._problems(layers, np.bincount(inverse).astype(np.float64), settings, rng)
            if problems:
                answers = np.array([policy.answer(p.features, p.designs) for p in problems])
                table = PriceTable(self._space, self._model, layers)
                if self.exact:
                    table.add(self._realizable.flat)
                else:
                    explored = self._explored(problems, policy, generator)
                    table.add(np.concatenate([self._space.ravel(answers), remembered, explored]))
                    for _ in range(CLIMBS):
                        table.add(self._neighbours(problems, table, policy, rng))
                parts.append(self._lessons(problems, answers, table, rng))
        return self._joined(parts, remembered)

    # Problems -----------------------------------------------------------------------------------------

    def _problems(
        self, layers: Sequence[Layer], counts: FloatArray, settings: int, rng: np.random.Generator
    ) -> list[Problem]:
        """Of one network: its distinct layers, how often each occurs, and how many chip budgets it gets."""
        runnable: dict[int, BoolArray] = {}
        problems: list[Problem] = []
        for _ in range(settings):
            columns = np.arange(len(layers))
            if rng.random() < 1 / 2:  # part of a network is one as well
                columns = rng.permutation(columns)[: rng.integers(1, len(columns) + 1)]
            for index in set(columns.tolist()) - runnable.keys():
                rules = self._platform.rules(layers=[layers[index]])
                runnable[index] = self._realizable.restrict(rules).allowed
            designs = self._designs(np.logical_and.reduce([runnable[c] for c in columns.tolist()]), rng)
            if designs.allowed.any():
                chosen = [layers[c] for c in columns.tolist()]
                problems += self._weighted(columns, counts[columns], chosen, designs, rng)
        return problems

    def _designs(self, runnable: BoolArray, rng: np.random.Generator) -> FeasibleSet:
        """Those that run all layers, within a random chip budget that leaves some."""
        for _ in range(ATTEMPTS):
            within = self._budget(rng)
            designs = FeasibleSet(space=self._space, allowed=within.allowed & runnable)
            if designs.allowed.any():
                return designs
        return FeasibleSet(space=self._space, allowed=runnable)

    def _budget(self, rng: np.random.Generator) -> FeasibleSet:
        """The designs of a random chip: whole networks or not, a part or none, each limit or none."""
        platform = self._platform
        parts = platform.fpgas if rng.random() < 1 / 4 else ()
        level = bool(rng.random() < 1 / 4), str(rng.choice(parts)) if parts else None
        if level not in self._levels:
            rules = platform.rules(chainable=level[0], fpga=level[1])
            self._levels[level] = self._realizable.restrict(rules)
        chance = 0.0 if rng.random() < UNLIMITED else LIMITED
        limits = {
            name: round(float(np.exp(rng.uniform(*np.log(ends)))))
            for name, ends in platform.limits.items()
            if rng.random() < chance
        }
        return self._levels[level].restrict(platform.rules(limits=limits))

    def _weighted(
        self,
        columns: IntArray,
        counts: FloatArray,
        layers: Sequence[Layer],
        designs: FeasibleSet,
        rng: np.random.Generator,
    ) -> list[Problem]:
        budget = budget_features(designs)
        problems = []
        for _ in range(self.settings.weightings):
            weights = counts if rng.random() < 1 / 2 else counts * np.exp(rng.normal(size=len(counts)))
            workload = workload_features(layers, weights)
            for objective in Objective:
                features = torch.from_numpy(context_features(workload, objective, budget)).float()
                problems.append(
                    Problem(
                        columns=columns,
                        weights=weights,
                        objective=objective,
                        designs=designs,
                        features=features,
                    )
                )
        return problems

    # What is good for them ----------------------------------------------------------------------------

    def _explored(
        self,
        problems: Sequence[Problem],
        policy: Policy,
        generator: torch.Generator,
    ) -> IntArray:
        """Samples of the policy, flat positions; at first they are all but uniform."""
        found = [np.empty(0, dtype=np.int64)]
        for p in problems:
            sampled = policy.sample(p.features, p.designs, self.settings.explore, EXPLORING, generator)[0]
            found.append(self._space.ravel(sampled.numpy()))
        return np.concatenate(found)

    def _neighbours(
        self,
        problems: Sequence[Problem],
        table: PriceTable,
        policy: Policy,
        rng: np.random.Generator,
    ) -> IntArray:
        """New moves from each problem's best candidate, the likeliest and random ones, flat positions."""
        found = [np.empty(0, dtype=np.int64)]
        for problem in problems:
            flat, scores = _candidates(problem, table)
            best = self._space.unravel(flat[scores.argmin()][None])[0]
            moves = np.concatenate(
                [near(problem.designs, best) for near in (one_factor_moves, two_factor_moves)]
            )
            moves = moves[table.rows(self._space.ravel(moves)) < 0]
            likely = (
                policy.likelihood(problem.features, problem.designs, moves).argsort(descending=True).numpy()
            )
            half = self.settings.explore // 2
            chosen = np.concatenate(
                [likely[:half], rng.permutation(likely[half:])[: self.settings.explore - half]]
            )
            found.append(self._space.ravel(moves[chosen]))
        return np.concatenate(found)

    def _lessons(
        self, problems: Sequence[Problem], answers: IntArray, table: PriceTable, rng: np.random.Generator
    ) -> tuple[Lessons, list[float]]:
        """Draws from the soft optimum of each problem, and how far above the best its answer is."""
        gaps, drawn = [], []
        for problem, answer in zip(problems, self._space.ravel(answers), strict=True):
            flat, scores = _candidates(problem, table)
            gaps.append(float(np.exp(scores[flat == answer][0] - scores.min()) - 1))
            soft = np.exp((scores.min() - scores) / self.settings.temperature)
            drawn.append(rng.choice(flat, self.settings.draws, p=soft / soft.sum()))
        chosen = [self._space.unravel(flat) for flat in drawn]
        masks = [prefix_masks(p.designs, designs) for p, designs in zip(problems, chosen, strict=True)]
        lessons = Lessons(
            features=torch.stack([problem.features for problem in problems]),
            chosen=torch.from_numpy(np.stack(chosen)),
            masks=torch.stack(masks),
        )
        return lessons, gaps

    def _joined(self, parts: Sequence[tuple[Lessons, list[float]]], remembered: IntArray) -> Round:
        columns = zip(*(vars(lessons).values() for lessons, _ in parts), strict=True)
        lessons = Lessons(*(torch.cat(column) for column in columns))
        taught = self._space.ravel(lessons.chosen.reshape(-1, len(self._space.shape)).numpy())
        recent = np.array(list(dict.fromkeys([*taught.tolist(), *remembered.tolist()])))
        gaps = np.array([gap for _, found in parts for gap in found])
        return Round(lessons=lessons, gaps=gaps, taught=recent[: self.settings.remembered])


def _candidates(problem: Problem, table: PriceTable) -> tuple[IntArray, FloatArray]:
    """Flat positions and scores of the priced designs that the problem allows."""
    flat = table.flat[problem.designs.allowed.reshape(-1)[table.flat]]
    scores = table.scores(table.rows(flat), problem.objective, problem.columns, problem.weights)
    return flat, np.nan_to_num(scores, nan=np.inf)
