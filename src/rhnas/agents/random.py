"""Random search: the floor every other agent is measured from."""

from __future__ import annotations

from typing import Any, final

from rhnas.agents.base import HardwareAgent, SearchContext
from rhnas.agents.moves import Asked
from rhnas.platform import Outcome
from rhnas.seeds import Seeds
from rhnas.space import FeasibleSet
from rhnas.workload import IntArray


@final
class RandomAgent(HardwareAgent):
    """Uniform over the feasible designs, without replacement.

    Args:
        designs: The feasible designs.
        seeds: Where its randomness comes from.
    """

    def __init__(self, designs: FeasibleSet, seeds: Seeds) -> None:
        self._asked = Asked(designs.space.points)
        self._rng = seeds.child("random").numpy()

    def ask(self, n: int, context: SearchContext) -> IntArray:
        """Fresh designs; once all are known, any of them."""
        flat = self._asked.fresh(context.designs, n, self._rng)
        if not len(flat):
            return context.designs.sample(n, self._rng)
        self._asked.add(flat)
        return context.designs.space.unravel(flat)

    def tell(self, designs: IntArray, outcome: Outcome) -> None:
        """Random search learns nothing."""

    def state(self) -> dict[str, Any]:
        """The designs asked for and the generator."""
        return {"asked": self._asked.state(), "rng": self._rng.bit_generator.state}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from ``state``."""
        self._asked.restore(state["asked"])
        self._rng.bit_generator.state = state["rng"]
