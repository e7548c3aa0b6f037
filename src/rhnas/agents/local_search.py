"""Local search from the default accelerator: what a careful engineer would do by hand."""

from __future__ import annotations

from typing import Any, final

from rhnas.agents.base import HardwareAgent, SearchContext
from rhnas.agents.descent import Descent
from rhnas.agents.moves import Asked, one_factor_moves, two_factor_moves
from rhnas.platform import Outcome
from rhnas.seeds import Seeds
from rhnas.space import FeasibleSet
from rhnas.workload import IntArray


@final
class LocalSearchAgent(HardwareAgent):
    """First improvement from ``context.start`` over one-factor, then two-factor moves.

    Where neither holds a better design it starts anew from a random one. Two-factor moves matter under a
    budget, where one resource can only grow as another shrinks.

    Args:
        designs: The feasible designs.
        seeds: Where the order of moves comes from.
    """

    def __init__(self, designs: FeasibleSet, seeds: Seeds) -> None:
        self._rng = seeds.child("local_search").numpy()
        self._asked = Asked(designs.space.points)
        self._descent = Descent((one_factor_moves, two_factor_moves), self._asked, self._rng)

    def ask(self, n: int, context: SearchContext) -> IntArray:
        """One design: the search is sequential, whatever ``n``."""
        if not len(self._asked):
            self._descent.begin(context.start)
        return self._descent.ask(context)

    def tell(self, designs: IntArray, outcome: Outcome) -> None:
        """Step to the design if it is better."""
        self._descent.tell(designs, outcome)

    def state(self) -> dict[str, Any]:
        """The search, the designs asked for and the generator."""
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
