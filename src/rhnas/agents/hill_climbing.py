"""Hill climbing with random restarts: the simple rival that every learning agent must answer to."""

from __future__ import annotations

from typing import final

from rhnas.agents.base import SearchContext
from rhnas.agents.descent import DescentAgent
from rhnas.agents.moves import one_factor_moves
from rhnas.seeds import Seeds
from rhnas.space import FeasibleSet
from rhnas.workload import IntArray


@final
class HillClimbingAgent(DescentAgent):
    """First improvement over one-factor moves from a random design, again and again.

    Args:
        designs: The feasible designs.
        seeds: Where its randomness comes from.
    """

    def __init__(self, designs: FeasibleSet, seeds: Seeds) -> None:
        super().__init__((one_factor_moves,), designs, seeds.child("hill_climbing"))

    def first(self, context: SearchContext) -> IntArray:
        """A random design."""
        return self._descent.restart(context)
