"""The least cost of any network of a space, on each of many designs, without looking at networks one by one.

Every layer chooses its mapping at one exchange rate between cycles and energy. At a given rate the cheapest
network minimises a sum of terms over few decisions each, so decisions are eliminated one after the other, as
in Viterbi's algorithm. Each rate gives a line below all (cycles, energy) that the space can reach; the
product of the two is least at a corner of what the lines enclose, and lines are added where that corner is.

Legend: B designs, N networks, L distinct layers, S lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rhnas.networks.tables import LayerCounts
from rhnas.platform import Cost, Objective
from rhnas.workload import BoolArray, FloatArray

LINES = 6
"""Lines added for a product after those of least cycles and least energy."""

PRICES = (0.0, 0.25, 0.5, 1.0, 2.0)
"""Multipliers tried for a least size, in units of the average price of its unit."""

PARALLEL = 1e-9
"""Sine of the angle below which two lines are one."""

Term = tuple[tuple[int, ...], FloatArray]
"""Decisions, ascending or not, and values (B, n_1, ..., n_t) for all combinations of their options."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """A lower limit on a network.

    Attributes:
        per_layer: float64 (L,): what each distinct layer adds, say its MACs.
        least: What the network must have at least.
    """

    per_layer: FloatArray
    least: float


def least_sum(terms: Sequence[Term]) -> FloatArray:
    """The least sum of one entry of each term over all networks, float64 (B,).

    Example:
        >>> chain = [((0, 1), np.array([[[5.0, 1.0], [2.0, 9.0]]])), ((1,), np.array([[0.0, 3.0]]))]
        >>> least_sum(chain)  # 5 + 0, 1 + 3, 2 + 0, 9 + 3
        array([2.])
    """
    open_ = [(tuple(decisions), values) for decisions, values in terms]
    left = {decision for decisions, _ in open_ for decision in decisions}
    while left:
        decision = min(left, key=lambda d: (len({e for ds, _ in open_ if d in ds for e in ds}), d))
        left.remove(decision)
        touched = [term for term in open_ if decision in term[0]]
        open_ = [term for term in open_ if decision not in term[0]]
        axes = (*sorted({d for ds, _ in touched for d in ds} - {decision}), decision)
        total = sum((_spread(term, axes) for term in touched), start=np.zeros(1))
        open_.append((axes[:-1], total.min(axis=-1)))
    return np.asarray(sum(values for _, values in open_))


def _spread(term: Term, axes: tuple[int, ...]) -> FloatArray:
    """Values with one axis for each of ``axes`` after the designs', of length one where there is none."""
    decisions, values = term
    present = [axis for axis in axes if axis in decisions]
    ordered = values.transpose(0, *(1 + decisions.index(axis) for axis in present))
    sizes = iter(ordered.shape[1:])
    return ordered.reshape(len(values), *(next(sizes) if axis in decisions else 1 for axis in axes))


def least_objective(
    counts: LayerCounts, cost: Cost, objective: Objective, size: Size | None = None
) -> FloatArray:
    """Below the log objective of every network of a space, under its own best mappings, on each design.

    Without a size it is the least one up to the accuracy of the lines added; with one it is Lagrange's bound,
    a relaxation.

    Args:
        counts: Layers of the space's terms.
        cost: Hulls of B designs on the L distinct layers.
        objective: What is minimised.
        size: What networks must have at least; any will do if None.

    Returns:
        float64 (B,).
    """
    support = _Support(counts, cost, size)
    one, zero = np.ones(len(cost.launch_cycles)), np.zeros(len(cost.launch_cycles))
    if objective is Objective.LATENCY:
        return np.asarray(np.log(support(one, zero)))
    if objective is Objective.ENERGY:
        return np.asarray(np.log(support(zero, one)))
    return _least_product(support, one, zero)


def _least_product(support: _Support, one: FloatArray, zero: FloatArray) -> FloatArray:
    """Log of the least product over what lines enclose, (B,)."""
    a, b = np.stack([one, zero], axis=1), np.stack([zero, one], axis=1)  # (B, S): a cycles + b energy >= g
    g = np.stack([support(one, zero), support(zero, one)], axis=1)
    unit = g[:, :2].copy()  # cycles and energy are counted in their least values from here on
    g = g / unit
    for _ in range(LINES):
        cycles, energy = _corner(a, b, g)
        whole = cycles + energy
        new_a, new_b = energy / whole, cycles / whole  # along the level of the product in the corner
        value = support(new_a / unit[:, 0], new_b / unit[:, 1])
        a, b, g = np.column_stack([a, new_a]), np.column_stack([b, new_b]), np.column_stack([g, value])
        order = np.argsort(np.arctan2(b, a), axis=1, kind="stable")
        a, b, g = (np.take_along_axis(values, order, axis=1) for values in (a, b, g))
        g = _lifted(a, b, g)
    cycles, energy = _corner(a, b, g)
    return np.asarray(np.log(cycles * energy) + np.log(unit).sum(axis=1))


def _lifted(a: FloatArray, b: FloatArray, g: FloatArray) -> FloatArray:
    """Lines (B, S), by angle, that lie below where their neighbours meet, moved up to there.

    Only bounds under a size can be that loose; what the other lines enclose is the same.
    """
    g = g.copy()
    for at in range(1, g.shape[1] - 1):
        sides = [values[:, [at - 1, at + 1]] for values in (a, b, g)]
        real, cycles, energy = _meet(*sides)
        met = a[:, at] * cycles[:, 0] + b[:, at] * energy[:, 0]
        g[:, at] = np.where(real[:, 0], np.maximum(g[:, at], met), g[:, at])
    return g


def _corner(a: FloatArray, b: FloatArray, g: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Where neighbouring lines (B, S), by angle, meet with the least product: (cycles, energy), each (B,).

    Both are at least 1, as all that is enclosed.
    """
    real, cycles, energy = _meet(a, b, g)
    cycles, energy = np.maximum(cycles, 1.0), np.maximum(energy, 1.0)
    at = np.where(real, cycles * energy, np.inf).argmin(axis=1)[:, None]
    return np.take_along_axis(cycles, at, axis=1)[:, 0], np.take_along_axis(energy, at, axis=1)[:, 0]


def _meet(a: FloatArray, b: FloatArray, g: FloatArray) -> tuple[BoolArray, FloatArray, FloatArray]:
    """Whether neighbouring lines (B, S) differ, and the cycles and energy at which they meet, (B, S - 1)."""
    turn = a[:, :-1] * b[:, 1:] - a[:, 1:] * b[:, :-1]
    lengths = np.hypot(a, b)
    real = turn > PARALLEL * lengths[:, :-1] * lengths[:, 1:]
    safe = np.where(real, turn, 1.0)
    cycles = (g[:, :-1] * b[:, 1:] - g[:, 1:] * b[:, :-1]) / safe
    energy = (a[:, :-1] * g[:, 1:] - a[:, 1:] * g[:, :-1]) / safe
    return real, cycles, energy


class _Support:
    """The least of a * cycles + b * energy over all networks, or a bound below it where they have a size."""

    def __init__(self, counts: LayerCounts, cost: Cost, size: Size | None) -> None:
        self._counts, self._cost = counts, cost
        self._least = 0.0 if size is None else size.least
        self._sizes = None if size is None else [(count @ size.per_layer)[None] for count in counts.counts]

    def __call__(self, a: FloatArray, b: FloatArray) -> FloatArray:
        """Weights (B,), not both zero, to float64 (B,)."""
        with np.errstate(divide="ignore"):
            table = self._counts.table(self._cost, b / a)
        launch = a * table.launch_cycles + b * table.launch_energy_pj
        costs = [
            _scaled(a, term.cycles) + _scaled(b, term.energy_pj) for term in table.terms
        ]  # (B, n_1, ..., n_t) each
        if self._sizes is None:
            return launch + self._sum(costs)
        whole = self._sum(costs)
        average = whole / self._least if self._least > 0 else np.zeros(len(whole))
        found = whole
        for price in PRICES[1:]:
            paid = price * average
            reduced = [cost - _scaled(paid, size) for cost, size in zip(costs, self._sizes, strict=True)]
            found = np.maximum(found, self._sum(reduced) + paid * self._least)
        return launch + found

    def _sum(self, costs: Sequence[FloatArray]) -> FloatArray:
        return least_sum(list(zip(self._counts.decisions, costs, strict=True)))


def _scaled(factor: FloatArray, values: FloatArray) -> FloatArray:
    """Values (B or 1, ...) times a factor (B,)."""
    return np.asarray(factor.reshape(-1, *(1,) * (values.ndim - 1)) * values)
