"""Costs of many designs on many layers, kept so that any network made of these layers is one product."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rhnas.platform import Cost, CostModel, Objective
from rhnas.space import Space
from rhnas.workload import FloatArray, IntArray, Layer

CHUNK = 1 << 9
"""Designs whose hulls are held at a time."""

LADDER = 8
"""Exchange rates between the least and the largest of a design's layers."""


class PriceTable:
    """Cycles and energy at a few exchange rates per design, common to all layers. Legend: R rates.

    A network's exact cost is the sum of its layers at one exchange rate, the cycles per pJ of the network
    itself where EDP is minimised (``Cost.totals``). That ratio lies between those of its layers, so a
    geometric ladder over them holds a rate close to it: the EDP found is that of a choice of mappings, hence
    never below the exact one, and to second order in the ladder's step above it. Latency and energy stand at
    rates 0 and inf and are exact.

    Args:
        space: The design space.
        model: The platform's cost model.
        layers: P distinct layers that networks are made of.
    """

    def __init__(self, space: Space, model: CostModel, layers: Sequence[Layer]) -> None:
        self._space, self._model, self._layers = space, model, layers
        self._row = np.full(space.points, -1, dtype=np.int64)
        shape = 0, len(layers), LADDER + 2
        self.flat: IntArray = np.empty(0, dtype=np.int64)  # (N,)
        self._cycles, self._energy_pj = np.empty(shape), np.empty(shape)  # (N, P, R)
        self._launch: FloatArray = np.empty((0, 2))  # cycles and pJ

    def add(self, flat: IntArray) -> None:
        """Price the designs at these flat positions (B,), the known ones excepted."""
        new = np.unique(flat[self._row[flat] < 0])
        parts = [self._priced(new[start : start + CHUNK]) for start in range(0, len(new), CHUNK)]
        if parts:
            cycles, energy, launch = zip(*parts, strict=True)
            self._cycles = np.concatenate([self._cycles, *cycles])
            self._energy_pj = np.concatenate([self._energy_pj, *energy])
            self._launch = np.concatenate([self._launch, *launch])
            self._row[new] = len(self.flat) + np.arange(len(new))
            self.flat = np.concatenate([self.flat, new])

    def _priced(self, flat: IntArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        cost = self._model.evaluate(self._space.at(flat), self._layers)
        at = [cost.at(rate) for rate in exchange_rates(cost)]
        cycles, energy = (np.stack(column, axis=2) for column in zip(*at, strict=True))  # (B, P, R)
        return cycles, energy, np.stack([cost.launch_cycles, cost.launch_energy_pj], axis=1)

    def rows(self, flat: IntArray) -> IntArray:
        """Where the designs at known flat positions (B,) stand in the table."""
        return np.asarray(self._row[flat])

    def scores(
        self, rows: IntArray, objective: Objective, columns: IntArray, weights: FloatArray
    ) -> FloatArray:
        """The log objective of a network on known designs.

        Args:
            rows: int64 (B,), designs of the table.
            objective: What is minimised.
            columns: int64 (L,), layers of the table.
            weights: float64 (L,), positive: how often each of them runs.

        Returns:
            float64 (B,); nan where a layer has no mapping.
        """
        part = rows[:, None], columns[None]
        cycles = np.einsum("blr,l->br", self._cycles[part], weights) + self._launch[rows, :1]
        energy = np.einsum("blr,l->br", self._energy_pj[part], weights) + self._launch[rows, 1:]
        return np.asarray(objective.score(cycles, energy).min(axis=1))


def exchange_rates(cost: Cost) -> FloatArray:
    """0, a geometric ladder over the cycles per pJ of a design's layers, and inf; float64 (R, B)."""
    used = cost.mapped[:, :, None] & (cost.cycles > 0) & (cost.energy_pj > 0)
    ratio = np.divide(cost.cycles, cost.energy_pj, out=np.ones(used.shape), where=used)
    least = np.where(used, ratio, np.inf).min(axis=(1, 2), initial=np.inf)
    largest = np.where(used, ratio, 0.0).max(axis=(1, 2), initial=0.0)
    some = used.any(axis=(1, 2))
    ladder = np.geomspace(np.where(some, least, 1.0), np.where(some, largest, 1.0), LADDER)
    return np.concatenate([np.zeros_like(ladder[:1]), ladder, np.full_like(ladder[:1], np.inf)])
