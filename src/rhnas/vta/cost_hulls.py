"""Hulls of a whole batch behind each other, and the threads that find and spread them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from rhnas.vta.cost_kernel import spread
from rhnas.workload import BoolArray, FloatArray, IntArray

Piece = TypeVar("Piece")
Result = TypeVar("Result")

PIECES_PER_CORE = 32
"""Pieces of a search per core; pairs differ in effort, so that many pieces even it out."""
DESIGNS_PER_PIECE = 1024
"""Designs whose hulls are written at a time."""


@dataclass(frozen=True)
class Hulls:
    """Hulls of distinct designs on distinct layers, one behind the other.

    Attributes:
        points: Cycles int64 (P,) and energy float64 (P,), pJ, of all points.
        begins: int64 (D, M): where each hull begins among them.
        found: int64 (D, M): its points, 0 without a mapping.
        designs: int64 (distinct designs,): the row of each.
        layers: int64 (distinct layers,): the column of each.
    """

    points: tuple[IntArray, FloatArray]
    begins: IntArray
    found: IntArray
    designs: IntArray
    layers: IntArray

    def spread(self, rows: IntArray, columns: IntArray) -> tuple[IntArray, FloatArray, BoolArray]:
        """Cycles and energy (B, L, K), and which pairs have a mapping (B, L).

        Args:
            rows: int64 (B,): which of the distinct designs each design is.
            columns: int64 (L,): which of the distinct layers each layer is.
        """
        rows, columns = self.designs[rows], self.layers[columns]
        shape = len(rows), len(columns), max(int(self.found.max(initial=1)), 1)
        cycles, energy = np.empty(shape, dtype=np.int64), np.empty(shape)

        def write(part: slice) -> None:
            given = self.points, self.begins, self.found, rows[part], columns
            spread(*given, cycles[part], energy[part])

        parts = -(-len(rows) // DESIGNS_PER_PIECE)
        in_threads(
            write, [slice(at * DESIGNS_PER_PIECE, (at + 1) * DESIGNS_PER_PIECE) for at in range(parts)]
        )
        return cycles, energy, self.found[np.ix_(rows, columns)] > 0


def pieces_of(pairs: int) -> list[IntArray]:
    """Pairs in pieces that take about as long as each other."""
    pieces = max(1, min(_cores() * PIECES_PER_CORE, pairs))
    return [np.arange(start, pairs, pieces) for start in range(pieces)]


def in_threads(run: Callable[[Piece], Result], pieces: Sequence[Piece]) -> list[Result]:
    """Run compiled code, which holds no lock, on every core; each piece writes its own places."""
    if len(pieces) == 1:
        return [run(pieces[0])]
    with ThreadPoolExecutor(_cores()) as pool:
        return list(pool.map(run, pieces))


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
