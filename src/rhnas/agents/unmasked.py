"""Agents from outside, which know of no masks: what they propose may not be buildable, and is counted."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np

from rhnas.agents.base import HardwareAgent, SearchContext
from rhnas.agents.moves import Asked
from rhnas.errors import CheckpointError
from rhnas.platform import Objective, Outcome
from rhnas.seeds import Seeds
from rhnas.space import FeasibleSet
from rhnas.workload import BoolArray, FloatArray, IntArray

PATIENCE = 64
"""Unrealizable or known proposals in a row after which a random new design is asked for instead."""


class UnmaskedAgent(HardwareAgent):
    """An agent that proposes one point of the space at a time, whether or not it can be built.

    Proposals that cannot be built never reach the cost model, so they are no evaluations; the agent learns
    that they are unusable and ``unrealizable`` counts them. After ``PATIENCE`` of them, or of known designs,
    in a row, a random new design is asked for instead, so that every agent spends its whole budget;
    ``rescued`` counts these.

    The libraries behind such agents do not give their state away. ``state`` therefore is the history, and
    ``restore`` plays it again from the same seed: exact, and as slow as the first time less the evaluations.

    Args:
        designs: The feasible designs.
        seeds: Where its randomness comes from; a subclass adds a child of its own.
    """

    def __init__(self, designs: FeasibleSet, seeds: Seeds) -> None:
        self._space = designs.space
        self._begin(seeds.integer())

    def _begin(self, seed: int) -> None:
        self._seed = seed
        self._rng = np.random.default_rng(seed)
        self._asked = Asked(self._space.points)
        self._stale = 0
        self._pending: IntArray | None = None  # (1, D), asked and not told
        self._contexts: list[dict[str, Any]] = []
        self._context: SearchContext | None = None
        self._turns: list[int] = []  # the context of each design told
        self._values: list[float] = []
        self.unrealizable = 0
        self.rescued = 0
        self.begin(seed)

    @abstractmethod
    def begin(self, seed: int) -> None:
        """Start as if newly made, with all randomness from ``seed``."""

    @abstractmethod
    def propose(self, context: SearchContext) -> IntArray | None:
        """A point int64 (D,); None where the choices so far have no realizable completion."""

    @abstractmethod
    def learn(self, design: IntArray | None, value: float | None) -> None:
        """What came of the last proposal, or of a design that was asked for in its place.

        Args:
            design: int64 (D,), or None as proposed.
            value: Log objective; None where it cannot be built or has no mapping.
        """

    def ask(self, n: int, context: SearchContext) -> IntArray:
        """One realizable design, whatever ``n``; the same again until it is told."""
        self._enter(context)
        if self._pending is not None and not context.designs.contains(self._pending)[0]:
            self._answer(self._pending[0], None)
        while self._pending is None:
            if self._stale >= PATIENCE:
                self._rescue(context)
                continue
            design = self.propose(context)
            if design is None or not context.designs.contains(design[None])[0]:
                self.unrealizable += 1
                self._stale += 1
                self.learn(design, None)
                continue
            self._pending = design[None]
            self._stale = self._stale + 1 if self._asked.knows(self._space.ravel(design[None]))[0] else 0
        self._asked.add(self._space.ravel(self._pending))
        return self._pending

    def _rescue(self, context: SearchContext) -> None:
        fresh = self._space.unravel(self._asked.fresh(context.designs, 1, self._rng))
        self.rescued += len(fresh)
        self._pending = fresh if len(fresh) else context.designs.sample(1, self._rng)
        self._stale = 0

    def tell(self, designs: IntArray, outcome: Outcome) -> None:
        """Pass the value on, and remember it for a replay."""
        value = float(outcome.objectives[0, 0])
        self._turns.append(len(self._contexts) - 1)
        self._values.append(value)
        self._answer(designs[0], None if np.isnan(value) else value)

    def _answer(self, design: IntArray, value: float | None) -> None:
        self._pending = None
        self.learn(design, value)

    def _enter(self, context: SearchContext) -> None:
        if context is self._context:
            return
        self._context = context
        self._contexts.append(
            {
                "allowed": np.packbits(context.designs.allowed),
                "features": context.features,
                "start": context.start,
                "objective": str(context.objective),
                "budget": context.budget,
            }
        )

    def state(self) -> dict[str, Any]:
        """The seed, the contexts met, and the value told at each turn."""
        return {
            "seed": self._seed,
            "contexts": list(self._contexts),
            "turns": np.array(self._turns, dtype=np.int64),
            "values": np.array(self._values, dtype=np.float64),
            "asked": self._asked.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Play the history again.

        Raises:
            CheckpointError: The library does not repeat itself, for instance because it is another version.
        """
        self._begin(int(state["seed"]))
        contexts = [self._context_of(stored) for stored in state["contexts"]]
        for turn, value in zip(state["turns"].tolist(), state["values"].tolist(), strict=True):
            design = self.ask(1, contexts[turn])
            objectives = np.array([[value]])
            self.tell(design, Outcome(objectives=objectives, slack=np.where(np.isnan(objectives), -1.0, 0.0)))
        if not np.array_equal(self._asked.state(), state["asked"]):
            raise CheckpointError(
                "a replayed agent must propose what it proposed before",
                got="other designs",
                fix="resume with the library versions that the run was started with",
            )

    def _context_of(self, stored: dict[str, Any]) -> SearchContext:
        bits: BoolArray = np.unpackbits(stored["allowed"], count=self._space.points).astype(np.bool_)
        features: FloatArray = stored["features"]
        return SearchContext(
            designs=FeasibleSet(space=self._space, allowed=bits.reshape(self._space.shape)),
            objective=Objective(stored["objective"]),
            start=stored["start"],
            features=features,
            budget=int(stored["budget"]),
        )
