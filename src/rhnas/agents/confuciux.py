"""REINFORCE, then a genetic algorithm: ConfuciuX carried over to spaces of whole accelerators."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from rhnas.agents.base import SearchContext
from rhnas.agents.features import feature_count
from rhnas.agents.policy import FactoredPolicy, of_chosen
from rhnas.agents.unmasked import UnmaskedAgent
from rhnas.errors import SettingsError
from rhnas.seeds import Seeds
from rhnas.space import FeasibleSet
from rhnas.workload import IntArray


@dataclass(frozen=True, kw_only=True)
class ConfuciuXSettings:
    """Sizes of Kao, Jeong and Krishna, MICRO 2020, where they carry over; the rate is our PPO's, untuned.

    Attributes:
        learning: Fraction of the budget that REINFORCE gets; the genetic algorithm has the rest.
        episodes: Episodes per policy step, unrealizable ones included.
        learning_rate: Of Adam.
        hidden: Width of the policy network's two layers.
        population: Designs of a generation.
        parents: The best of a generation, from which the next is bred.
        elite: The best of a generation that live on unchanged.
    """

    learning: float = 2 / 3
    episodes: int = 16
    learning_rate: float = 3e-3
    hidden: int = 64
    population: int = 20
    parents: int = 8
    elite: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.learning <= 1:
            raise SettingsError("learning must be a fraction of the budget in [0, 1]", got=self.learning)
        if not 1 <= self.elite <= self.parents < self.population:
            raise SettingsError("there must be 1 <= elite <= parents < population", got=self)


@dataclass(frozen=True)
class Individual:
    """A member of the population: a design int64 (D,) and its log objective, inf where it is unusable."""

    design: IntArray
    value: float


class Breeder:
    """The genetic algorithm: the best cross, children move by one step in some factors, the elite lives on.

    Args:
        settings: Sizes of a generation.
        sizes: Number of values of each choice.
        rng: Where mating and mutation come from.
    """

    def __init__(self, settings: ConfuciuXSettings, sizes: tuple[int, ...], rng: np.random.Generator) -> None:
        self._settings = settings
        self._top = np.array(sizes) - 1
        self._rng = rng
        self._population: list[Individual] = []
        self._children: list[IntArray] = []

    def add(self, design: IntArray, value: float) -> None:
        """A member of the generation that is growing up."""
        self._population.append(Individual(design, value))

    def propose(self, best: IntArray) -> IntArray:
        """The next child (D,); the first generation descends from ``best`` alone."""
        if not self._children:
            ranked = sorted(self._population, key=lambda member: member.value)
            parents = [member.design for member in ranked[: self._settings.parents]] or [best]
            self._population = ranked[: self._settings.elite]
            count = self._settings.population - len(self._population)
            self._children = [self._child(parents) for _ in range(count)]
        return self._children.pop()

    def _child(self, parents: list[IntArray]) -> IntArray:
        first, second = (parents[index] for index in self._rng.integers(len(parents), size=2))
        child = np.where(self._rng.random(len(first)) < 0.5, first, second)
        moved = self._rng.random(len(child)) < 1 / len(child)
        moved[self._rng.integers(len(child))] = True
        steps = np.where(moved, self._rng.choice([-1, 1], size=len(child)), 0)
        return np.asarray(np.clip(child + steps, 0, self._top))


@final
class ConfuciuXAgent(UnmaskedAgent):
    """REINFORCE for two thirds of the budget, then a genetic algorithm from the best design it found.

    As in ConfuciuX the reward is the gain over the worst design so far and an episode that exceeds the
    resources is punished. One factor is one step. Departures, since here the cost is known only of a whole
    design and resources are rules of many kinds: the reward comes with the last factor; an unrealizable
    design gets minus the mean reward so far; returns are standardised over a batch of episodes, since within
    an episode that would cancel the only reward there is; the policy is our feed-forward one, unmasked.

    Args:
        designs: The feasible designs.
        seeds: Where its randomness comes from.
        options: Fields of ``ConfuciuXSettings``.
    """

    def __init__(self, designs: FeasibleSet, seeds: Seeds, **options: Any) -> None:
        self.settings = ConfuciuXSettings(**options)
        space = designs.space
        self._everything = FeasibleSet(space=space, allowed=np.ones(space.shape, dtype=np.bool_))
        super().__init__(designs, seeds.child("confuciux"))

    def begin(self, seed: int) -> None:
        """A new policy and an empty population."""
        sizes = self._space.shape
        self._generator = torch.Generator().manual_seed(seed)
        self._policy = FactoredPolicy(
            sizes, feature_count(self._space), self.settings.hidden, self._generator
        )
        self._adam = torch.optim.Adam(self._policy.parameters(), lr=self.settings.learning_rate)
        self._breeder = Breeder(self.settings, sizes, np.random.default_rng(seed))
        self._episodes: list[tuple[Tensor, Tensor, Tensor, float]] = []  # features, design, masks, reward
        self._sampled: tuple[Tensor, Tensor, Tensor] | None = None
        self._bred: IntArray | None = None
        self._best: Individual | None = None
        self._worst = -np.inf
        self._gains: list[float] = []

    def propose(self, context: SearchContext) -> IntArray:
        """An unmasked sample of the policy, or a child."""
        self._sampled, self._bred = None, None
        if self._best is not None and len(self._asked) >= self.settings.learning * context.budget:
            self._bred = self._breeder.propose(self._best.design)
            return self._bred
        features = torch.from_numpy(context.features).float()
        chosen, masks, _ = self._policy.sample(features, self._everything, 1, 1.0, self._generator)
        self._sampled = features, chosen, masks
        return np.asarray(chosen[0].numpy())

    def learn(self, design: IntArray | None, value: float | None) -> None:
        """Reward the episode, or let the child take its place among its generation."""
        if value is not None and design is not None:
            self._worst = max(self._worst, value)
            if self._best is None or value < self._best.value:
                self._best = Individual(design.copy(), value)
        if self._bred is not None and design is not None:
            self._breeder.add(design.copy(), np.inf if value is None else value)
        if self._sampled is not None and design is not None:
            if np.array_equal(self._sampled[1][0].numpy(), design):
                self._reward(self._sampled, value)
            self._sampled = None

    def _reward(self, sampled: tuple[Tensor, Tensor, Tensor], value: float | None) -> None:
        if value is None:
            reward = -float(np.mean(self._gains)) if self._gains else -1.0
        else:
            reward = self._worst - value
            self._gains.append(reward)
        self._episodes.append((*sampled, reward))
        if len(self._episodes) == self.settings.episodes:
            self._step()
            self._episodes = []

    def _step(self) -> None:
        """One step along E[R grad log pi], R standardised (REINFORCE; Williams, Machine Learning 8, 1992)."""
        features = torch.stack([features for features, *_ in self._episodes])  # (B, F)
        chosen = torch.cat([chosen for _, chosen, _, _ in self._episodes])  # (B, D)
        masks = torch.cat([masks for _, _, masks, _ in self._episodes])  # (B, D, M)
        rewards = torch.tensor([reward for *_, reward in self._episodes])
        spread = rewards.std(correction=0)
        if spread < 1e-12:
            return
        returns = (rewards - rewards.mean()) / spread
        log_policy = of_chosen(self._policy(features, chosen, masks), chosen)  # (B, D)
        loss = -(returns * log_policy.sum(dim=1)).mean()
        self._adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._adam.step()
