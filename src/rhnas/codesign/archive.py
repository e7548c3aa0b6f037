"""Every design a search has visited, with its costs, so that none has to be asked for twice (METHOD 5)."""

from __future__ import annotations

from typing import Any

import numpy as np

from rhnas.errors import InfeasibleDesignError, SettingsError
from rhnas.networks.spaces.base import Architecture
from rhnas.networks.tables import CostTable, LayerCounts
from rhnas.platform import Cost, CostModel, Objective, Totals
from rhnas.space import Space
from rhnas.workload import BoolArray, FloatArray, IntArray, Layer


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

    def row(self, index: int) -> dict[str, int]:
        """One visited design by name of the choice."""
        return self._space.decode(self.designs[index : index + 1]).row(0)

    def knows(self, designs: IntArray) -> BoolArray:
        """Which designs int64 (B, D) have been visited, bool (B,)."""
        flat = self._space.ravel(designs).tolist()
        return np.array([position in self._rows for position in flat], dtype=np.bool_)

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
            self._append(self._model.evaluate(batch, self._layers))
            self._rows.update(
                zip(unknown, range(len(self._rows), len(self._rows) + len(unknown)), strict=True)
            )
        return np.array([self._rows[position] for position in flat], dtype=np.int64)

    def _append(self, block: Cost) -> None:
        """Keep few large blocks: neighbours of like size become one, as in a binary counter."""
        if not block.mapped.all():
            raise InfeasibleDesignError(
                "every design of a joint search must have a mapping for every layer of the network space",
                got=f"{int((~block.mapped.all(axis=1)).sum())} of {len(block.mapped)} designs without",
                fix='let a rule of the platform mask them: infeasible = "mask" where a command tells',
            )
        self._blocks.append(block)
        while len(self._blocks) > 1 and _size(self._blocks[-2]) <= 2 * _size(self._blocks[-1]):
            self._blocks[-2:] = [_joined(self._blocks[-2:])]

    def totals(self, weights: FloatArray) -> Totals:
        """Cost of every visited design under weights; no cost call.

        Args:
            weights: float64 (L,): how often each distinct layer runs.

        Returns:
            Totals of N designs.
        """
        return _totals(self._blocks, self._objective, weights)

    def scores(self, weights: FloatArray, rows: IntArray | None = None) -> FloatArray:
        """Log of the objective of visited designs under weights.

        Args:
            weights: float64 (L,).
            rows: int64 (B,); all N if None.

        Returns:
            float64 (B,) or (N,).
        """
        chosen = self._blocks if rows is None else [self._take(rows)]
        totals = _totals(chosen, self._objective, weights)
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
        starts = np.cumsum([0, *map(_size, self._blocks)])
        owner = np.searchsorted(starts, rows, side="right") - 1
        return _joined(
            [_slice(self._blocks[block], row - starts[block]) for row, block in zip(rows, owner, strict=True)]
        )

    def state(self) -> dict[str, Any]:
        """The visited designs; their costs are a function of them and are not kept."""
        return {"designs": self.designs}

    def restore(self, state: dict[str, Any]) -> None:
        """Visit what was visited before; rows keep their numbers.

        Raises:
            SettingsError: The archive has gone another way already.
        """
        designs = state["designs"]
        if len(self) > len(designs) or (self.designs != designs[: len(self)]).any():
            raise SettingsError("an archive must be new before it is restored", got=f"{len(self)} designs")
        self.visit(designs)


def _totals(blocks: list[Cost], objective: Objective, weights: FloatArray) -> Totals:
    parts = [block.totals(objective, weights) for block in blocks]
    return Totals(
        np.concatenate([part.cycles for part in parts]),
        np.concatenate([part.energy_pj for part in parts]),
        np.concatenate([part.mu for part in parts]),
    )


def _size(cost: Cost) -> int:
    return len(cost.launch_cycles)


def _slice(cost: Cost, row: int) -> Cost:
    """One design's cost, as a batch of one."""
    one = slice(row, row + 1)
    return Cost(
        cost.cycles[one],
        cost.energy_pj[one],
        cost.mapped[one],
        cost.launch_cycles[one],
        cost.launch_energy_pj[one],
    )


def _joined(parts: list[Cost]) -> Cost:
    """Costs one after the other, padded to one number of hull points."""
    points = max(part.cycles.shape[2] for part in parts)

    def padded(values: Any) -> Any:  # (B, L, k) -> (B, L, points)
        return np.pad(values, ((0, 0), (0, 0), (0, points - values.shape[2])), mode="edge")

    return Cost(
        np.concatenate([padded(part.cycles) for part in parts]),
        np.concatenate([padded(part.energy_pj) for part in parts]),
        np.concatenate([part.mapped for part in parts]),
        np.concatenate([part.launch_cycles for part in parts]),
        np.concatenate([part.launch_energy_pj for part in parts]),
    )


def layer_weights(counts: LayerCounts, architecture: Architecture) -> FloatArray:
    """How often each distinct layer runs in one network, float64 (L,)."""
    cells = [
        count[tuple(architecture[d] for d in decisions)]  # (L,)
        for decisions, count in zip(counts.decisions, counts.counts, strict=True)
    ]
    return np.asarray(np.sum(cells, axis=0, dtype=np.float64))
