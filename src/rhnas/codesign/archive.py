"""Every design a search has visited, with its costs, so that none has to be asked for twice (METHOD 5)."""

from __future__ import annotations

from typing import Any

import numpy as np

from rhnas.errors import SettingsError
from rhnas.networks.spaces.base import Architecture
from rhnas.networks.tables import CostTable, LayerCounts
from rhnas.platform import Cost, CostModel, Objective, Totals
from rhnas.space import Space
from rhnas.workload import FloatArray, IntArray, Layer


class Archive:
    """Visited designs with their hulls on the distinct layers of a network space.

    A network, or a distribution over networks, is a weight per distinct layer; under it every visited design
    is scored without a cost call, each at its own exchange rate solved anew. An *evaluation* is one distinct
    design handed to the cost model: this class is the only one that hands it any.

    Legend: N visited designs, B of a query, D choices, L distinct layers.

    Args:
        space: The designs.
        model: Costs them.
        layers: The L layers every design is costed on.
        objective: What designs are ranked by.
    """

    def __init__(
        self, space: Space, model: CostModel, layers: tuple[Layer, ...], objective: Objective
    ) -> None:
        self._space = space
        self._model = model
        self._layers = layers
        self._objective = objective
        self._rows: dict[int, int] = {}  # flat position of a design -> row of the archive
        self._blocks: list[Cost] = []  # costs in the order of the rows, as they came

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def designs(self) -> IntArray:
        """The visited designs in the order of their first visit, int64 (N, D)."""
        return self._space.unravel(np.fromiter(self._rows, dtype=np.int64, count=len(self._rows)))

    def visit(self, designs: IntArray) -> IntArray:
        """Make sure that designs are known; only those that are not cost an evaluation.

        Args:
            designs: int64 (B, D), structurally realizable.

        Returns:
            Their rows, int64 (B,).
        """
        flat = self._space.ravel(designs).tolist()
        unknown = [position for position in dict.fromkeys(flat) if position not in self._rows]
        if unknown:
            batch = self._space.decode(self._space.unravel(np.array(unknown, dtype=np.int64)))
            self._blocks.append(self._model.evaluate(batch, self._layers))
            self._rows.update(
                zip(unknown, range(len(self._rows), len(self._rows) + len(unknown)), strict=True)
            )
        return np.array([self._rows[position] for position in flat], dtype=np.int64)

    def totals(self, weights: FloatArray) -> Totals:
        """Cost of every visited design under weights; no cost call.

        Args:
            weights: float64 (L,): how often each distinct layer runs.

        Returns:
            Totals of N designs.
        """
        parts = [block.totals(self._objective, weights) for block in self._blocks]
        return Totals(
            np.concatenate([part.cycles for part in parts]),
            np.concatenate([part.energy_pj for part in parts]),
            np.concatenate([part.mu for part in parts]),
        )

    def scores(self, weights: FloatArray) -> FloatArray:
        """Log of the objective of every visited design under weights, float64 (N,)."""
        totals = self.totals(weights)
        return self._objective.score(totals.cycles, totals.energy_pj)

    def table(self, rows: IntArray, counts: LayerCounts, weights: FloatArray) -> CostTable:
        """The cost table of some visited designs, each at its exchange rate under weights.

        Args:
            rows: int64 (B,).
            counts: Of the network space whose distinct layers the archive holds.
            weights: float64 (L,).
        """
        cost = self._take(rows)
        return counts.table(cost, cost.totals(self._objective, weights).mu)

    def _take(self, rows: IntArray) -> Cost:
        """Costs of some rows, padded to one number of hull points."""
        starts = np.cumsum([0, *(len(block.launch_cycles) for block in self._blocks)])
        owner = np.searchsorted(starts, rows, side="right") - 1
        parts = [
            (self._blocks[block], int(row - starts[block])) for row, block in zip(rows, owner, strict=True)
        ]
        points = max(block.cycles.shape[2] for block, _ in parts)

        def padded(values: Any) -> Any:  # (L, k) -> (L, points)
            return np.pad(values, ((0, 0), (0, points - values.shape[1])), mode="edge")

        return Cost(
            cycles=np.stack([padded(block.cycles[row]) for block, row in parts]),
            energy_pj=np.stack([padded(block.energy_pj[row]) for block, row in parts]),
            mapped=np.stack([block.mapped[row] for block, row in parts]),
            launch_cycles=np.array([block.launch_cycles[row] for block, row in parts]),
            launch_energy_pj=np.array([block.launch_energy_pj[row] for block, row in parts]),
        )

    def state(self) -> dict[str, Any]:
        """The visited designs and how they came; their costs are a function of them and are not kept."""
        return {"designs": self.designs, "blocks": [len(block.launch_cycles) for block in self._blocks]}

    def restore(self, state: dict[str, Any]) -> None:
        """Visit what was visited before, in the same steps.

        Raises:
            SettingsError: The archive is not empty.
        """
        if self._rows:
            raise SettingsError("an archive must be empty before it is restored", got=f"{len(self)} designs")
        designs = state["designs"]
        for end, size in zip(np.cumsum(state["blocks"]), state["blocks"], strict=True):
            self.visit(designs[end - size : end])


def layer_weights(counts: LayerCounts, architecture: Architecture) -> FloatArray:
    """How often each distinct layer runs in one network, float64 (L,)."""
    cells = [
        count[tuple(architecture[d] for d in decisions)]  # (L,)
        for decisions, count in zip(counts.decisions, counts.counts, strict=True)
    ]
    return np.asarray(np.sum(cells, axis=0, dtype=np.float64))
