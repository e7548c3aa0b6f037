"""The hardware side of a search: an agent, the archive of what it visited, and a budget of evaluations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from rhnas.agents.base import HardwareAgent, SearchContext
from rhnas.agents.features import WORKLOAD_FEATURES, workload_features
from rhnas.agents.local_search import LocalSearchAgent
from rhnas.codesign.archive import Archive
from rhnas.platform import Outcome
from rhnas.seeds import Seeds
from rhnas.workload import FloatArray, IntArray, Layer

IDLE_ROUNDS = 200
"""Proposals in a row without a new design after which a turn ends although budget is left."""


class HardwareSide:
    """Proposes designs for a weighting of layers; remembers everything it ever saw.

    The first design in the archive is the baseline accelerator: the feasible one nearest to the platform's
    default, and the default itself wherever that is feasible. Scores are logs of the ratio to it, so that
    what the agent is told hardly drifts while alpha moves (METHOD 5).

    Legend: B designs, N visited, L distinct layers.

    Args:
        agent: Proposes and learns; None for a side that only ever offers the baseline.
        archive: Empty, over the layers that may have to run.
        context: What the agent may know; the workload part of its features is renewed at every turn.
        layers: The archive's L layers.
    """

    def __init__(
        self,
        agent: HardwareAgent | None,
        archive: Archive,
        context: SearchContext,
        layers: tuple[Layer, ...],
    ) -> None:
        self.agent = agent
        self.archive = archive
        self._context = context
        self._layers = layers
        self.archive.visit(context.start[None])

    @property
    def evaluations(self) -> int:
        """Distinct designs asked of the cost model."""
        return len(self.archive)

    def scores(self, weights: FloatArray) -> FloatArray:
        """Log objective of every visited design less that of the baseline accelerator, float64 (N,)."""
        scores = self.archive.scores(weights)
        return np.asarray(scores - scores[0])

    def best(self, weights: FloatArray, n: int = 1) -> IntArray:
        """Rows of the best visited designs, best first, int64 (min(n, N),)."""
        return np.argsort(self.archive.scores(weights), kind="stable")[:n]

    def turn(self, weights: FloatArray, n: int, budget: int) -> FloatArray:
        """Let the agent propose ``n`` designs and learn from them.

        Args:
            weights: float64 (L,): how often each layer runs, expected counts during a joint search.
            n: Proposals, repeats included.
            budget: Evaluations this side may have made when the turn ends.

        Returns:
            Scores of the proposals in their order, float64 (at most n,).
        """
        told: list[FloatArray] = []
        asked = idle = 0
        context = self._seen(weights)
        reference = self.archive.scores(weights, np.zeros(1, dtype=np.int64))[0]
        budget = min(budget, context.designs.count)
        while self.agent and asked < n and idle < IDLE_ROUNDS and self.evaluations < budget:
            designs = self._affordable(self.agent.ask(n - asked, context), budget)
            before = self.evaluations
            rows = self.archive.visit(designs)
            scores = self.archive.scores(weights, rows) - reference
            self.agent.tell(designs, Outcome(objectives=scores[:, None], slack=np.zeros((len(scores), 1))))
            told.append(scores)
            asked += len(designs)
            idle = 0 if self.evaluations > before else idle + 1
        return np.concatenate(told) if told else np.zeros(0)

    def visit_all(self) -> None:
        """Make sure that every feasible design is known, beyond any budget."""
        if self.evaluations < self._context.designs.count:
            self.archive.visit(self._context.designs.all())

    def refine(self, weights: FloatArray, seeds: Seeds) -> None:
        """Go on with a local search around the best visited design of a fixed network.

        Args:
            weights: float64 (L,): the network's.
            seeds: Of the order of moves.
        """
        if self.agent is not None:
            start = self.archive.designs[self.best(weights)[0]]
            self._context = replace(self._context, start=start)
            self.agent = LocalSearchAgent(self._context.designs, seeds)

    def _seen(self, weights: FloatArray) -> SearchContext:
        """The context with the workload as it is expected now."""
        rest = self._context.features[WORKLOAD_FEATURES:]
        features = np.concatenate([workload_features(self._layers, weights), rest])
        return replace(self._context, features=features)

    def _affordable(self, designs: IntArray, budget: int) -> IntArray:
        """The first designs that together stay within the budget; at least one, as some is left."""
        fresh = ~self.archive.knows(designs)
        flat = self._context.designs.space.ravel(designs)
        _, first = np.unique(flat, return_index=True)
        new = np.zeros(len(designs), dtype=np.bool_)
        new[first] = True
        return designs[np.cumsum(fresh & new) <= budget - self.evaluations]

    def state(self) -> dict[str, Any]:
        """The agent and the visited designs."""
        return {
            "agent": None if self.agent is None else self.agent.state(),
            "archive": self.archive.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from ``state``: costs are computed again, evaluations are not counted again."""
        self.archive.restore(state["archive"])
        if self.agent is not None:
            self.agent.restore(state["agent"])
