"""Cost tables: what every combination of network decisions costs on designs, at one exchange rate each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rhnas.networks.spaces.base import Architecture, NetworkSpace
from rhnas.platform import Cost
from rhnas.workload import FloatArray, IntArray


@dataclass(frozen=True)
class TermCost:
    """One term's cost. Shapes are (B, n_1, ..., n_t): designs, then options of the term's decisions."""

    decisions: tuple[int, ...]
    cycles: FloatArray
    energy_pj: FloatArray


@dataclass(frozen=True)
class CostTable:
    """Costs of a whole network space on B designs, each design at its own mu.

    Attributes:
        terms: Their sum at an architecture's options, plus launch, is the network's cost at that mu.
        launch_cycles: float64 (B,).
        launch_energy_pj: float64 (B,).
        mu: float64 (B,): cycles per pJ at which every layer chose its mapping.
    """

    terms: tuple[TermCost, ...]
    launch_cycles: FloatArray
    launch_energy_pj: FloatArray
    mu: FloatArray

    def __len__(self) -> int:
        return len(self.mu)

    def of(self, architecture: Architecture) -> tuple[FloatArray, FloatArray]:
        """(cycles (B,), energy_pj (B,)) of one network on every design."""
        cycles, energy = self.launch_cycles.copy(), self.launch_energy_pj.copy()
        for term in self.terms:
            sizes = term.cycles.shape[1:]
            cell = np.ravel_multi_index(tuple(architecture[d] for d in term.decisions), sizes)
            cycles += term.cycles.reshape(len(self), -1)[:, cell]
            energy += term.energy_pj.reshape(len(self), -1)[:, cell]
        return cycles, energy


@dataclass(frozen=True)
class LayerCounts:
    """How often each distinct layer of a space occurs in each cell of each term; built once per space.

    Attributes:
        decisions: Per term, its decisions.
        counts: Per term, int64 (n_1, ..., n_t, L) over the space's distinct layers.
    """

    decisions: tuple[tuple[int, ...], ...]
    counts: tuple[IntArray, ...]

    @classmethod
    def of(cls, space: NetworkSpace) -> LayerCounts:
        """Count the layers of a space."""
        position = {layer.shape: index for index, layer in enumerate(space.layers)}
        sizes = [len(decision.options) for decision in space.decisions]
        counts = []
        for term in space.terms:
            table = np.zeros((*(sizes[d] for d in term.decisions), len(position)), dtype=np.int64)
            for options, layers in term.layers.items():
                for layer in layers:
                    table[(*options, position[layer.shape])] += 1
            counts.append(table)
        return cls(tuple(term.decisions for term in space.terms), tuple(counts))

    def table(self, cost: Cost, mu: FloatArray) -> CostTable:
        """The cost table at the given exchange rates.

        Args:
            cost: Cost of B designs on the space's distinct layers, (B, L, K).
            mu: float64 (B,).
        """
        cycles, energy = cost.at(mu)  # (B, L) each
        terms = tuple(
            TermCost(decisions, np.moveaxis(count @ cycles.T, -1, 0), np.moveaxis(count @ energy.T, -1, 0))
            for decisions, count in zip(self.decisions, self.counts, strict=True)
        )
        launch = cost.launch_cycles.astype(np.float64)
        return CostTable(terms, launch, cost.launch_energy_pj.astype(np.float64), mu)

    def expected(self, probabilities: list[FloatArray]) -> FloatArray:
        """Expected number of times each distinct layer runs, float64 (L,).

        Args:
            probabilities: Per decision of the space, its distribution over options.
        """
        total = np.zeros(self.counts[0].shape[-1])
        for decisions, count in zip(self.decisions, self.counts, strict=True):
            weighted = count.astype(np.float64)
            for decision in decisions:
                weighted = np.tensordot(probabilities[decision], weighted, axes=(0, 0))
            total += weighted
        return total
