"""Moves between designs: what is one step away, what is two, and what has not been asked for yet."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np

from rhnas.space import FeasibleSet
from rhnas.workload import BoolArray, IntArray


def one_factor_moves(designs: FeasibleSet, design: IntArray) -> IntArray:
    """Along each factor the nearest feasible design in either direction.

    Args:
        designs: The feasible designs.
        design: int64 (D,).

    Returns:
        int64 (B, D), feasible, without ``design`` itself.

    Example:
        >>> from rhnas.space import Choice, Space
        >>> line = Space(name="line", rules=(), choices=(Choice(name="a", values=(0, 1, 2, 3)),))
        >>> one_factor_moves(line.feasible(), np.array([1])).tolist()
        [[0], [2]]
    """
    found: list[IntArray] = []
    for factor in range(len(design)):
        line = designs.allowed[(*design[:factor], slice(None), *design[factor + 1 :])]
        values = np.flatnonzero(line)
        for values_beyond in (values[values < design[factor]][-1:], values[values > design[factor]][:1]):
            for value in values_beyond:
                moved = design.copy()
                moved[factor] = value
                found.append(moved)
    return np.array(found, dtype=np.int64).reshape(-1, len(design))


def two_factor_moves(designs: FeasibleSet, design: IntArray) -> IntArray:
    """One step along each of two factors at once: what trades one resource for another under a budget.

    Args:
        designs: The feasible designs.
        design: int64 (D,).

    Returns:
        int64 (B, D), feasible.
    """
    offsets = []
    for pair in combinations(range(len(design)), 2):
        for steps in product((-1, 1), repeat=2):
            offset = np.zeros(len(design), dtype=np.int64)
            offset[list(pair)] = steps
            offsets.append(offset)
    moved = design + np.array(offsets, dtype=np.int64).reshape(-1, len(design))
    inside = ((moved >= 0) & (moved < np.array(designs.space.shape))).all(axis=1)
    moved = moved[inside]
    return moved[designs.contains(moved)] if len(moved) else moved


def nearest(designs: FeasibleSet, design: IntArray) -> IntArray:
    """The feasible design with the fewest steps from ``design`` (first in order among equals), int64 (D,).

    Raises:
        InfeasibleDesignError: The set is empty.
    """
    designs.require_some()
    steps = [np.abs(np.arange(size) - at) for size, at in zip(designs.space.shape, design, strict=True)]
    distance = sum(np.ix_(*steps), start=np.zeros(designs.space.shape, dtype=np.int64))
    closest = int(np.where(designs.allowed, distance, designs.space.points).argmin())
    return np.asarray(designs.space.unravel(np.array([closest]))[0])


class Asked:
    """The distinct designs an agent has asked for so far.

    Args:
        points: Size of the space's product.
    """

    def __init__(self, points: int) -> None:
        self._asked: BoolArray = np.zeros(points, dtype=np.bool_)
        self._order: list[int] = []

    def __len__(self) -> int:
        return len(self._order)

    def add(self, flat: IntArray) -> None:
        """Remember designs by their flat positions (B,)."""
        for position in flat.tolist():
            if not self._asked[position]:
                self._asked[position] = True
                self._order.append(position)

    def knows(self, flat: IntArray) -> BoolArray:
        """Which of the flat positions (B,) have been asked for, bool (B,)."""
        return np.asarray(self._asked[flat])

    def fresh(self, designs: FeasibleSet, n: int, rng: np.random.Generator) -> IntArray:
        """Up to ``n`` feasible designs never asked for, uniform without replacement.

        Returns:
            Flat positions int64 (B,); empty when every feasible design has been asked for.
        """
        flat = designs.flat
        if 2 * len(self) < len(flat):  # rejection is cheap while most of the set is unknown
            drawn = rng.choice(flat, size=4 * n + 16)
            unknown = drawn[~self._asked[drawn]]
            _, first = np.unique(unknown, return_index=True)
            if len(first) >= n:
                return np.asarray(unknown[np.sort(first)[:n]])
        unknown = flat[~self._asked[flat]]
        return np.asarray(rng.choice(unknown, size=min(n, len(unknown)), replace=False))

    def state(self) -> IntArray:
        """The flat positions in the order they were first asked for."""
        return np.array(self._order, dtype=np.int64)

    def restore(self, state: IntArray) -> None:
        """Continue from ``state``."""
        self._asked[:] = False
        self._order = []
        self.add(np.asarray(state, dtype=np.int64))
