"""Exhaustive search: every feasible design once, in order."""

from __future__ import annotations

from typing import Any, final

import numpy as np

from rhnas.agents.base import HardwareAgent, SearchContext
from rhnas.platform import Outcome
from rhnas.seeds import Seeds
from rhnas.space import FeasibleSet
from rhnas.workload import IntArray


@final
class ExhaustiveAgent(HardwareAgent):
    """Walks through the feasible designs from a starting point the seed decides, then begins anew.

    A budget below the size of the set cuts the walk short; which designs it then saw is up to the seed.

    Args:
        designs: The feasible designs.
        seeds: Where the starting point comes from.
    """

    def __init__(self, designs: FeasibleSet, seeds: Seeds) -> None:
        self._next = int(seeds.child("exhaustive").numpy().integers(designs.space.points))

    def ask(self, n: int, context: SearchContext) -> IntArray:
        """The next designs in row-major order; the walk wraps around the end of the space."""
        flat = context.designs.flat
        first = int(np.searchsorted(flat, self._next))
        chosen = np.take(flat, np.arange(first, first + min(n, len(flat))), mode="wrap")
        self._next = int(chosen[-1]) + 1
        return context.designs.space.unravel(chosen)

    def tell(self, designs: IntArray, outcome: Outcome) -> None:
        """Enumeration learns nothing."""

    def state(self) -> dict[str, Any]:
        """Where the walk stands."""
        return {"next": self._next}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from ``state``."""
        self._next = int(state["next"])
