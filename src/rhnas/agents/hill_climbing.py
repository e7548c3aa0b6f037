"""Hill climbing with random restarts: the simple rival that every learning agent must answer to."""

from __future__ import annotations

from typing import Any, final

from rhnas.agents.base import HardwareAgent, SearchContext
from rhnas.agents.descent import Descent
from rhnas.agents.moves import Asked, one_factor_moves
from rhnas.platform import Outcome
from rhnas.seeds import Seeds
from rhnas.space import FeasibleSet
from rhnas.workload import IntArray


@final
class HillClimbingAgent(HardwareAgent):
    """First improvement over one-factor moves from a random design, again and again.

    Args:
        designs: The feasible designs.
        seeds: Where its randomness comes from.
    """

    def __init__(self, designs: FeasibleSet, seeds: Seeds) -> None:
        self._rng = seeds.child("hill_climbing").numpy()
        self._asked = Asked(designs.space.points)
        self._descent = Descent((one_factor_moves,), self._asked, self._rng)

    def ask(self, n: int, context: SearchContext) -> IntArray:
        """One design: the climb is sequential, whatever ``n``."""
        return self._descent.ask(context)

    def tell(self, designs: IntArray, outcome: Outcome) -> None:
        """Step to the design if it is better."""
        self._descent.tell(designs, outcome)

    def state(self) -> dict[str, Any]:
        """The climb, the designs asked for and the generator."""
        return {
            "descent": self._descent.state(),
            "asked": self._asked.state(),
            "rng": self._rng.bit_generator.state,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from ``state``."""
        self._asked.restore(state["asked"])
        self._rng.bit_generator.state = state["rng"]
        self._descent.restore(state["descent"])
