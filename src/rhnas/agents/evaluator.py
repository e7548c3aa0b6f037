"""What designs cost a fixed workload, and how evaluations are counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from rhnas.errors import SettingsError
from rhnas.platform import CostModel, Objective, Outcome, Totals
from rhnas.space import DesignBatch, Space
from rhnas.workload import FloatArray, IntArray, Layer, layer_table

Scores = Callable[[IntArray], FloatArray]
"""From designs int64 (B, D) to the log objective, float64 (B,); nan where a layer has no mapping."""


class DesignCosts:
    """Whole-network costs of designs, asked of the cost model once per distinct layer shape.

    Args:
        space: The design space.
        model: The platform's cost model.
        layers: L layers.
        objective: What the shared mapping choice minimises.
        weights: float64 (L,): multiplicity of each layer; ones if None.
    """

    def __init__(
        self,
        space: Space,
        model: CostModel,
        layers: Sequence[Layer],
        objective: Objective,
        weights: FloatArray | None = None,
    ) -> None:
        self.space = space
        self.model = model
        self.objective = objective
        _, first, inverse = np.unique(layer_table(layers), axis=0, return_index=True, return_inverse=True)
        self.layers = [layers[index] for index in first]
        self.weights = np.bincount(inverse.reshape(-1), weights=weights).astype(np.float64)

    def totals(self, batch: DesignBatch) -> Totals:
        """Cycles and energy of the whole network on every design."""
        return self.model.evaluate(batch, self.layers).totals(self.objective, self.weights)

    def __call__(self, indices: IntArray) -> FloatArray:
        """The log objective of designs.

        Args:
            indices: int64 (B, D), structurally realizable.

        Returns:
            float64 (B,); nan where a layer has no mapping.
        """
        totals = self.totals(self.space.decode(indices))
        return self.objective.score(totals.cycles, totals.energy_pj)


class Evaluator:
    """Answers what designs cost and counts them: an evaluation is one distinct design, repeats are free.

    Args:
        space: The design space.
        scores: What a design costs; called once per distinct design.
    """

    def __init__(self, space: Space, scores: Scores) -> None:
        self._space = space
        self._scores = scores
        self._known: dict[int, float] = {}

    @property
    def evaluations(self) -> int:
        """Distinct designs so far."""
        return len(self._known)

    @property
    def trace(self) -> FloatArray:
        """The least log objective after each evaluation, float64 (evaluations,); inf until one is usable."""
        values = np.array(list(self._known.values()), dtype=np.float64)
        return np.minimum.accumulate(np.nan_to_num(values, nan=np.inf)) if len(values) else values

    def best(self) -> tuple[IntArray, float]:
        """The cheapest design so far and its log objective: (int64 (D,), float).

        Raises:
            SettingsError: No evaluated design has a mapping for every layer.
        """
        values = np.array(list(self._known.values()), dtype=np.float64)
        if not np.isfinite(values).any():
            raise SettingsError(
                "a search must have evaluated a usable design", got=f"{len(values)} evaluations"
            )
        best = int(np.nanargmin(values))
        return self._space.unravel(np.array([list(self._known)[best]]))[0], float(values[best])

    def affordable(self, designs: IntArray, budget: int) -> int:
        """How many of the designs (B, D), from the first on, fit into a budget of distinct evaluations."""
        seen = set(self._known)
        for count, flat in enumerate(self._space.ravel(designs).tolist()):
            seen.add(flat)
            if len(seen) > budget:
                return count
        return len(designs)

    def __call__(self, designs: IntArray) -> Outcome:
        """Outcome of designs int64 (B, D): objectives (B, 1) and slack (B, 1), -1 without a mapping."""
        flat = self._space.ravel(designs).tolist()
        new = list(dict.fromkeys(position for position in flat if position not in self._known))
        if new:
            scores = self._scores(self._space.unravel(np.array(new, dtype=np.int64)))
            self._known.update(zip(new, scores.tolist(), strict=True))
        objectives = np.array([self._known[position] for position in flat])[:, None]
        return Outcome(objectives=objectives, slack=np.where(np.isnan(objectives), -1.0, 0.0))
