"""Optuna's samplers as agents: random, TPE, NSGA-II and a Gaussian process."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, final

import numpy as np
import optuna

from rhnas.agents.base import SearchContext
from rhnas.agents.unmasked import UnmaskedAgent
from rhnas.seeds import Seeds
from rhnas.space import FeasibleSet
from rhnas.workload import IntArray

CONSTRAINT = "realizable"
"""Optuna's name for whether a trial can be built: 1 where it cannot, -1 where it can."""


class OptunaAgent(UnmaskedAgent):
    """A study with one integer per choice, asked and told as Optuna's users do.

    What cannot be built is told as a constraint that is broken, with the worst objective so far; samplers
    that handle constraints use it. Settings that are not given are Optuna's own.

    Args:
        designs: The feasible designs.
        seeds: Where its randomness comes from.
        options: Arguments of Optuna's sampler.
    """

    def __init__(self, designs: FeasibleSet, seeds: Seeds, **options: Any) -> None:
        self._options = options
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._distributions = {
            choice.name: optuna.distributions.IntDistribution(0, len(choice.values) - 1)
            for choice in designs.space.choices
        }
        super().__init__(designs, seeds.child("optuna"))

    @abstractmethod
    def sampler(self, seed: int) -> Any:
        """The sampler, seeded."""

    def begin(self, seed: int) -> None:
        """An empty study in memory."""
        self._study = optuna.create_study(sampler=self.sampler(seed % 2**32))
        self._trial: Any = None
        self._worst = -np.inf

    def propose(self, context: SearchContext) -> IntArray:
        """The parameters of the next trial."""
        if self._trial is None:
            # The Gaussian process divides by a sum of zeros where one starting point beats all others.
            with np.errstate(invalid="ignore"):
                self._trial = self._study.ask(self._distributions)
        return np.array([self._trial.params[name] for name in self._distributions], dtype=np.int64)

    def learn(self, design: IntArray | None, value: float | None) -> None:
        """End the trial; a design asked for in its place is added as a trial of its own."""
        if value is not None:
            self._worst = max(self._worst, value)
        told = value if value is not None else (self._worst if np.isfinite(self._worst) else 0.0)
        constraint = 1.0 if value is None else -1.0
        trial, self._trial = self._trial, None
        if trial is not None:
            trial.set_constraint(CONSTRAINT, constraint)
            self._study.tell(trial, told)
            return
        if design is not None:
            self._study.add_trial(
                optuna.create_trial(
                    params=dict(zip(self._distributions, design.tolist(), strict=True)),
                    distributions=self._distributions,
                    value=told,
                    constraints={CONSTRAINT: constraint},
                )
            )


@final
class OptunaRandomAgent(OptunaAgent):
    """Uniform over the product of choices, realizable or not."""

    def sampler(self, seed: int) -> Any:
        """Optuna's random sampler."""
        return optuna.samplers.RandomSampler(seed=seed, **self._options)


@final
class OptunaTPEAgent(OptunaAgent):
    """Tree-structured Parzen estimator (Bergstra et al. 2011)."""

    def sampler(self, seed: int) -> Any:
        """Optuna's TPE."""
        return optuna.samplers.TPESampler(seed=seed, **self._options)


@final
class OptunaNSGA2Agent(OptunaAgent):
    """NSGA-II (Deb et al. 2002), here with a single objective."""

    def sampler(self, seed: int) -> Any:
        """Optuna's NSGA-II."""
        return optuna.samplers.NSGAIISampler(seed=seed, **self._options)


@final
class OptunaGPAgent(OptunaAgent):
    """Bayesian optimisation with a Gaussian process; its own effort grows with every trial."""

    def sampler(self, seed: int) -> Any:
        """Optuna's GP."""
        return optuna.samplers.GPSampler(seed=seed, **self._options)
