"""Local search from the default accelerator: what a careful engineer would do by hand."""

from __future__ import annotations

from typing import final

from rhnas.agents.base import SearchContext
from rhnas.agents.descent import DescentAgent
from rhnas.agents.moves import one_factor_moves, two_factor_moves
from rhnas.seeds import Seeds
from rhnas.space import FeasibleSet
from rhnas.workload import IntArray


@final
class LocalSearchAgent(DescentAgent):
    """First improvement from ``context.start`` over one-factor, then two-factor moves.

    Where neither holds a better design it starts anew from a random one. Two-factor moves matter under a
    budget, where one resource can only grow as another shrinks.

    Args:
        designs: The feasible designs.
        seeds: Where the order of moves comes from.
    """

    def __init__(self, designs: FeasibleSet, seeds: Seeds) -> None:
        super().__init__((one_factor_moves, two_factor_moves), designs, seeds.child("local_search"))

    def first(self, context: SearchContext) -> IntArray:
        """The feasible design nearest to the default one."""
        return context.start
