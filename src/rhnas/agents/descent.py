"""First-improvement descent over moves between designs, as hill climbing and local search share it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rhnas.agents.base import HardwareAgent, SearchContext
from rhnas.agents.moves import Asked
from rhnas.platform import Outcome
from rhnas.seeds import Seeds
from rhnas.space import FeasibleSet
from rhnas.workload import FloatArray, IntArray

Moves = Callable[[FeasibleSet, IntArray], IntArray]

Order = Callable[[SearchContext, IntArray], IntArray]
"""From neighbours (B, D) to the same in the order in which they are tried."""


class Descent:
    """Goes to the first better neighbour until none of the neighbourhoods holds one, then starts anew.

    The neighbourhoods are tried one after another; after a step the first is tried again. Known
    designs are asked again rather than remembered: that is free, and right also where costs drift. When the
    context changes, the current design's cost is renewed before it is compared with anything.

    Args:
        neighbourhoods: Functions from the feasible set and a design (D,) to its neighbours (B, D).
        asked: The designs asked for so far; restarts are drawn from the others.
        rng: Where order and restarts come from.
        order: Of the moves of a neighbourhood; random if None.
    """

    def __init__(
        self,
        neighbourhoods: Sequence[Moves],
        asked: Asked,
        rng: np.random.Generator,
        order: Order | None = None,
    ) -> None:
        self._neighbourhoods = tuple(neighbourhoods)
        self._asked = asked
        self._rng = rng
        self._order = order or (lambda _, moves: rng.permutation(moves, axis=0))
        self._current: IntArray | None = None  # (D,)
        self._value: float | None = None  # of the current design; None until it is told
        self._queue = np.empty((0, 0), dtype=np.int64)  # neighbours still to try, (B, D)
        self._depth = 0  # neighbourhoods opened around the current design
        self._features: FloatArray | None = None

    def begin(self, design: IntArray) -> None:
        """Start from ``design`` (D,)."""
        self._current = np.asarray(design, dtype=np.int64)
        self._value = None
        self._open_none()

    def ready(self, context: SearchContext) -> bool:
        """Whether there is a design to try without starting anew."""
        self._notice(context)
        self._advance(context)
        return self._current is not None

    def ask(self, context: SearchContext) -> IntArray:
        """The one design to evaluate next, int64 (1, D)."""
        if not self.ready(context):
            self.begin(self.restart(context))
        proposal = self._queue[:1] if len(self._queue) else np.asarray(self._current)[None]
        self._queue = self._queue[1:]
        self._asked.add(context.designs.space.ravel(proposal))
        return proposal

    def _advance(self, context: SearchContext) -> None:
        """Open neighbourhoods until one holds a design to try; with none left there is no current design."""
        while self._current is not None and self._value is not None and not len(self._queue):
            if self._depth == len(self._neighbourhoods):
                self._current = None
                break
            moves = self._neighbourhoods[self._depth](context.designs, self._current)
            self._queue = self._order(context, moves)
            self._depth += 1

    def tell(self, design: IntArray, outcome: Outcome) -> None:
        """Learn the cost of the design that was asked for.

        Args:
            design: int64 (1, D).
            outcome: objectives (1, 1); nan counts as infinitely bad.
        """
        value = float(np.nan_to_num(outcome.objectives[0, 0], nan=np.inf))
        if self._value is None:
            self._value = value
        elif value < self._value:
            self._current, self._value = design[0].copy(), value
            self._open_none()

    def _open_none(self) -> None:
        self._queue = self._queue[:0]
        self._depth = 0

    def _notice(self, context: SearchContext) -> None:
        changed = self._features is not None and not np.array_equal(self._features, context.features)
        self._features = context.features
        if self._current is None or not changed:
            return
        if context.designs.contains(self._current[None])[0]:
            self.begin(self._current)
        else:
            self._current, self._queue = None, self._queue[:0]

    def restart(self, context: SearchContext) -> IntArray:
        """A random design never asked for, or any once all are known, int64 (D,)."""
        flat = self._asked.fresh(context.designs, 1, self._rng)
        fresh = context.designs.space.unravel(flat)
        return np.asarray((fresh if len(fresh) else context.designs.sample(1, self._rng))[0])

    def state(self) -> dict[str, Any]:
        """The current design with its cost, and what is still to try around it."""
        return {
            "current": self._current,
            "value": self._value,
            "queue": self._queue,
            "depth": self._depth,
            "features": self._features,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from ``state``."""
        self._current, self._value = state["current"], state["value"]
        self._queue, self._depth = state["queue"], state["depth"]
        self._features = state["features"]


class DescentAgent(HardwareAgent):
    """An agent that is one descent after another; a subclass says where the first one begins.

    Args:
        neighbourhoods: As of ``Descent``.
        designs: The feasible designs.
        seeds: Where its randomness comes from.
    """

    def __init__(self, neighbourhoods: Sequence[Moves], designs: FeasibleSet, seeds: Seeds) -> None:
        self._rng = seeds.numpy()
        self._asked = Asked(designs.space.points)
        self._descent = Descent(neighbourhoods, self._asked, self._rng)

    @abstractmethod
    def first(self, context: SearchContext) -> IntArray:
        """Where the first descent begins, int64 (D,)."""

    def ask(self, n: int, context: SearchContext) -> IntArray:
        """One design: a descent is sequential, whatever ``n``."""
        if not len(self._asked):
            self._descent.begin(self.first(context))
        return self._descent.ask(context)

    def tell(self, designs: IntArray, outcome: Outcome) -> None:
        """Step to the design if it is better."""
        self._descent.tell(designs, outcome)

    def state(self) -> dict[str, Any]:
        """The descent, the designs asked for and the generator."""
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
