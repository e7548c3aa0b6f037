"""Simulated annealing over realizable designs."""

from __future__ import annotations

from typing import Any, final

import numpy as np

from rhnas.agents.base import HardwareAgent, SearchContext
from rhnas.agents.moves import Asked, one_factor_moves, two_factor_moves
from rhnas.errors import SettingsError
from rhnas.platform import Outcome
from rhnas.seeds import Seeds
from rhnas.space import FeasibleSet
from rhnas.workload import FloatArray, IntArray

PATIENCE = 64
"""Known designs proposed in a row after which the walk goes on from a random new one."""


@final
class AnnealingAgent(HardwareAgent):
    """Goes to a random neighbour, always if it is better, else with probability exp(-increase / temperature).

    Kirkpatrick, Gelatt and Vecchi, "Optimization by Simulated Annealing", Science 1983. The energy is the log
    objective, so a temperature of 0.1 accepts a design that costs 10% more with probability 1/e. Neighbours
    are one or two factors away, as for local search; the walk starts at a random design.

    Args:
        designs: The feasible designs.
        seeds: Where its randomness comes from.
        hot: Temperature at the first evaluation.
        cold: Temperature at the last; it falls geometrically with the budget spent.

    Raises:
        SettingsError: Not 0 < cold <= hot.
    """

    def __init__(self, designs: FeasibleSet, seeds: Seeds, *, hot: float = 0.2, cold: float = 0.005) -> None:
        if not 0 < cold <= hot:
            raise SettingsError("temperatures must fall: 0 < cold <= hot", got=f"hot {hot}, cold {cold}")
        self._hot, self._cold = hot, cold
        self._rng = seeds.child("annealing").numpy()
        self._asked = Asked(designs.space.points)
        self._current: IntArray | None = None  # (D,)
        self._value = np.inf
        self._temperature = hot
        self._stale = 0  # known designs proposed in a row
        self._features: FloatArray | None = None

    def ask(self, n: int, context: SearchContext) -> IntArray:
        """One design: a walk is sequential, whatever ``n``."""
        self._notice(context)
        spent = min(1.0, len(self._asked) / context.budget)
        self._temperature = self._hot * (self._cold / self._hot) ** spent
        proposal = self._neighbour(context)
        flat = context.designs.space.ravel(proposal)
        self._stale = self._stale + 1 if self._asked.knows(flat)[0] else 0
        self._asked.add(flat)
        return proposal

    def _notice(self, context: SearchContext) -> None:
        """What was known of the current design need not hold for another network or tighter limits."""
        if self._features is not None and not np.array_equal(self._features, context.features):
            self._value = np.inf
        self._features = context.features
        if self._current is not None and not context.designs.contains(self._current[None])[0]:
            self._current = None

    def _neighbour(self, context: SearchContext) -> IntArray:
        """A design (1, D) next to the current one; a random new one to start, or after many known ones."""
        moves = np.empty((0, len(context.start)), dtype=np.int64)
        if self._current is not None and self._stale < PATIENCE:
            moves = np.concatenate(
                [find(context.designs, self._current) for find in (one_factor_moves, two_factor_moves)]
            )
        if len(moves):
            return moves[self._rng.integers(len(moves), size=1)]
        self._current, self._value, self._stale = None, np.inf, 0
        fresh = context.designs.space.unravel(self._asked.fresh(context.designs, 1, self._rng))
        return fresh if len(fresh) else context.designs.sample(1, self._rng)

    def tell(self, designs: IntArray, outcome: Outcome) -> None:
        """Step to the design, or stay."""
        value = float(np.nan_to_num(outcome.objectives[0, 0], nan=np.inf))
        better = value <= self._value
        if better or self._rng.random() < np.exp((self._value - value) / self._temperature):
            self._current, self._value = designs[0].copy(), value

    def state(self) -> dict[str, Any]:
        """Where the walk stands, the designs asked for and the generator."""
        return {
            "current": self._current,
            "value": self._value,
            "temperature": self._temperature,
            "stale": self._stale,
            "features": self._features,
            "asked": self._asked.state(),
            "rng": self._rng.bit_generator.state,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from ``state``."""
        self._current, self._value = state["current"], state["value"]
        self._temperature, self._stale = state["temperature"], state["stale"]
        self._features = state["features"]
        self._asked.restore(state["asked"])
        self._rng.bit_generator.state = state["rng"]
