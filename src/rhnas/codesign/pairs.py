"""Exact costs of many networks on many designs, from the hulls of their distinct layers.

Every network is a weight per distinct layer. On one design the summed hull of any network is walked along
the same steps, ordered by the exchange rate between cycles and energy; the least product of the two sums lies
at one of its points (see ``Cost.totals``), so all networks are priced by two matrix products.

Legend: N networks, B designs, L distinct layers, S steps along all hulls of a design.
"""

from __future__ import annotations

from functools import cached_property
from typing import final

import numpy as np

from rhnas.errors import InfeasibleDesignError
from rhnas.platform import Cost, Objective
from rhnas.workload import BoolArray, FloatArray, IntArray

CHUNK = 1 << 10
"""Networks bounded at a time."""

CHAMPIONS = 64
"""Networks whose best designs are tried first against all others."""


@final
class PairCosts:
    """What networks cost on designs, each pair under its own best mappings.

    Args:
        cost: Hulls of B designs on the L layers; every layer has a mapping on every design.
        objective: What is minimised.

    Raises:
        InfeasibleDesignError: A layer has no mapping on a design.

    Example:
        >>> hulls = Cost(np.array([[[4, 8]], [[6, 6]]]), np.array([[[9.0, 3.0]], [[5.0, 5.0]]]),
        ...              np.ones((2, 1), dtype=bool), np.zeros(2, dtype=np.int64), np.zeros(2))
        >>> score, design = PairCosts(hulls, Objective.EDP).best(np.array([[1.0]]))
        >>> round(float(np.exp(score[0]))), int(design[0])  # 8 cycles x 3 pJ on the first
        (24, 0)
    """

    def __init__(self, cost: Cost, objective: Objective) -> None:
        if not cost.mapped.all():
            design, layer = np.argwhere(~cost.mapped)[0]
            raise InfeasibleDesignError(
                "every layer must have a mapping on every design",
                got=f"none for layer {layer} on design {design}",
            )
        self.cost = cost
        self.objective = objective

    def __len__(self) -> int:
        return len(self.cost.launch_cycles)

    def scores(self, weights: FloatArray, design: int) -> FloatArray:
        """Log objective of networks float64 (N, L) on one design, float64 (N,)."""
        cycles, energy = self._path(design)  # (L, S + 1) each
        if self.objective is Objective.LATENCY:
            cycles, energy = cycles[:, :1], energy[:, :1]
        elif self.objective is Objective.ENERGY:
            cycles, energy = cycles[:, -1:], energy[:, -1:]
        launch = self.cost.launch_cycles[design], self.cost.launch_energy_pj[design]
        at = _promising(weights, (cycles, energy), launch)
        totals = weights @ cycles[:, at] + launch[0], weights @ energy[:, at] + launch[1]
        if self.objective is Objective.EDP:
            return np.asarray(np.log((totals[0] * totals[1]).min(axis=1)))
        return np.asarray(self.objective.score(totals[0], totals[1])[:, 0])

    def _path(self, design: int) -> tuple[FloatArray, FloatArray]:
        """Cycles and energy of every layer along the design's walk from least cycles to least energy."""
        cycles, energy = self.cost.cycles[design].astype(np.float64), self.cost.energy_pj[design]  # (L, K)
        slower, saved = np.diff(cycles, axis=1), -np.diff(energy, axis=1)
        layer, point = np.nonzero(saved > 0)
        order = np.argsort(slower[layer, point] / saved[layer, point], kind="stable")
        layer, point = layer[order], point[order]
        steps = np.zeros((2, len(cycles), len(order) + 1))
        steps[0, :, 0], steps[1, :, 0] = cycles[:, 0], energy[:, 0]
        at = np.arange(1, len(order) + 1)
        steps[0, layer, at], steps[1, layer, at] = slower[layer, point], -saved[layer, point]
        walked = steps.cumsum(axis=2)
        return walked[0], walked[1]

    def best(self, weights: FloatArray) -> tuple[FloatArray, IntArray]:
        """The exact optimum of every network over all designs.

        Designs that no network prefers are dropped by dominance, pairs by a lower bound; what is left is
        priced exactly. The result is that of full enumeration.

        Args:
            weights: float64 (N, L).

        Returns:
            (log objective float64 (N,), design int64 (N,)).
        """
        weights, back = np.unique(weights, axis=0, return_inverse=True)
        contenders = self.contenders(weights)
        best, chosen = np.full(len(weights), np.inf), np.zeros(len(weights), dtype=np.int64)
        possible = self._possible(weights, contenders)  # (N, contenders)
        for column, design in enumerate(contenders.tolist()):
            rows = np.flatnonzero(possible[:, column])
            if len(rows):
                found = self.scores(weights[rows], design)
                better = found < best[rows]
                best[rows[better]], chosen[rows[better]] = found[better], design
        return best[back.reshape(-1)], chosen[back.reshape(-1)]

    def contenders(self, weights: FloatArray) -> IntArray:
        """Designs that may be the best one for some network, ascending; the others are dominated.

        A design is dominated where another one, at one exchange rate, is no worse than it in the cycles *and*
        the energy of every layer, even though for the dominated one each is taken at its own least.

        Args:
            weights: float64 (N, L): networks whose best designs are tried as dominators.
        """
        at, least = self._at_typical(weights), self._least
        sample = _with_launch(weights[:: max(1, len(weights) // CHAMPIONS)])
        champions = np.unique(self._product(sample, at).argmin(axis=1))
        place = np.full(len(self), len(champions))
        place[champions] = np.arange(len(champions))
        kept = np.ones(len(self), dtype=np.bool_)
        for rank, champion in enumerate(champions.tolist()):
            beaten = (at[:, champion, None] <= least).all(axis=(0, 2))
            kept &= ~(beaten & (place > rank))  # of champions that beat each other the first stays
        return np.flatnonzero(kept)

    def _possible(self, weights: FloatArray, designs: IntArray) -> BoolArray:
        """Which pairs may be a network's best, bool (N, designs): bound below the network's best known."""
        at, least = self._at_typical(weights)[:, designs], self._least[:, designs]
        found = []
        for start in range(0, len(weights), CHUNK):
            some = _with_launch(weights[start : start + CHUNK])
            known = self._product(some, at).min(axis=1)
            found.append(self._product(some, least) <= known[:, None] * (1 + ROUNDING))
        return np.concatenate(found)

    def _product(self, weights: FloatArray, layers: FloatArray) -> FloatArray:
        """What the objective is the logarithm of: weights (N, L + 1), layers (2, B, L + 1), to (N, B)."""
        if self.objective is not Objective.EDP:
            return np.asarray(weights @ layers[0 if self.objective is Objective.LATENCY else 1].T)
        return np.asarray((weights @ layers[0].T) * (weights @ layers[1].T))

    def _at_typical(self, weights: FloatArray) -> FloatArray:
        """Cycles and energy of every layer, then of the launch, at one rate per design, (2, B, L + 1).

        Any rate gives costs that can be had; where a product is least, cycles fall as fast as energy rises in
        relation to their sums, so their quotient on the mean network is a good one.
        """
        mean = _with_launch(weights.mean(axis=0)[None])[0]
        cycles, energy = self._least @ mean  # (B,) each
        rate = {Objective.LATENCY: np.zeros(len(self)), Objective.ENERGY: np.full(len(self), np.inf)}
        return self._layers(*self.cost.at(rate.get(self.objective, cycles / energy)))

    @cached_property
    def _least(self) -> FloatArray:
        """Each layer's own least cycles and least energy, then those of the launch, (2, B, L + 1)."""
        return self._layers(self.cost.cycles[:, :, 0].astype(np.float64), self.cost.energy_pj[:, :, -1])

    def _layers(self, cycles: FloatArray, energy: FloatArray) -> FloatArray:
        """Costs of layers, each (B, L), with the launch as one more layer, (2, B, L + 1)."""
        launch = self.cost.launch_cycles.astype(np.float64), self.cost.launch_energy_pj
        return np.stack([np.column_stack([cycles, launch[0]]), np.column_stack([energy, launch[1]])])


def _promising(
    weights: FloatArray, path: tuple[FloatArray, FloatArray], launch: tuple[float, float]
) -> IntArray:
    """Points of a walk at which some network's product of sums may be least, ascending.

    Between two points of a coarse grid cycles are at least those of the first, energy at least that of the
    second; where the product of these exceeds what the grid itself gives, no point between is of use.

    Args:
        weights: float64 (N, L).
        path: Cycles and energy of the layers along the walk, each (L, S + 1).
        launch: Cycles and energy beside the layers.
    """
    points = path[0].shape[1]
    if points <= 2 * GRID:
        return np.arange(points)
    grid = np.unique(np.linspace(0, points - 1, GRID).astype(np.int64))
    cycles, energy = weights @ path[0][:, grid] + launch[0], weights @ path[1][:, grid] + launch[1]
    known = (cycles * energy).min(axis=1, keepdims=True)
    use = (cycles[:, :-1] * energy[:, 1:] <= known).any(axis=0)  # (GRID - 1,)
    return np.unique([at for first in np.flatnonzero(use) for at in range(grid[first], grid[first + 1] + 1)])


GRID = 48
"""Points of a walk that are looked at first."""


def _with_launch(weights: FloatArray) -> FloatArray:
    """Networks (N, L) with the launch once each, (N, L + 1)."""
    return np.concatenate([weights, np.ones((len(weights), 1))], axis=1)


ROUNDING = 1e-12
"""Share by which sums of different order may disagree."""
