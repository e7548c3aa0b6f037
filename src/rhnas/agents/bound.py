"""A proof of how good a design can be: branch and bound over boxes of designs.

A box holds all designs between two corners. Where the cost model can, it prices a box at once: hulls of the
layers below those of every design inside. Walked with one exchange rate for all layers they bound the whole
network's objective; boxes are split where the bound is least, until the least bound is that of one design
(the optimum is proved) or the effort is spent (what is left is a certified gap).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from rhnas.agents.evaluator import DesignCosts
from rhnas.errors import InfeasibleDesignError
from rhnas.platform import Cost, CostModel
from rhnas.relaxation import RelaxableCostModel
from rhnas.space import FeasibleSet
from rhnas.workload import FloatArray, IntArray, Layer

BATCH = 16
"""Boxes split at a time; pricing many at once is quicker than one by one."""

ROUNDING = 1e-12
"""Difference of logs that is no difference."""


@dataclass(frozen=True, kw_only=True)
class Bound:
    """How far a search for the optimum came.

    Attributes:
        lower: No feasible design has a smaller log objective.
        design: The cheapest design found, int64 (D,); None if none is better than what was known.
        log_objective: Its log objective, or what was known; inf without either.
        costed: Boxes and designs priced.
    """

    lower: float
    design: IntArray | None
    log_objective: float
    costed: int

    @property
    def proved(self) -> bool:
        """Whether nothing is better than ``log_objective``."""
        return self.log_objective <= self.lower + ROUNDING


@dataclass(frozen=True)
class Box:
    """The feasible designs between two corners, both included; int64 (D,) each, as tight as can be."""

    low: tuple[int, ...]
    high: tuple[int, ...]

    @property
    def single(self) -> bool:
        """Whether it holds one design."""
        return self.low == self.high


Bounds = Callable[[list[Box]], FloatArray]
"""From n boxes to float64 (n,): below the values of every design inside."""


def branch_and_bound(
    designs: FeasibleSet,
    costs: DesignCosts,
    effort: int | None = None,
    known: float = np.inf,
    progress: Callable[[int, int], None] = lambda _d, _t: None,
) -> Bound:
    """The optimum of a feasible set, or a lower bound where the effort does not suffice.

    Args:
        designs: The feasible designs.
        costs: What a design costs; its model bounds boxes.
        effort: Boxes and designs that may be priced; as many as it takes if None.
        known: Log objective of a feasible design, the better the sooner boxes are dropped.
        progress: Told how many have been priced.

    Raises:
        InfeasibleDesignError: No design is feasible, or none has a mapping for every layer.
    """

    def bounds(boxes: list[Box]) -> FloatArray:
        return box_bounds(designs, costs, boxes)

    return least(designs, bounds, relaxable(costs.model), effort=effort, known=known, progress=progress)


def least(
    designs: FeasibleSet,
    bounds: Bounds,
    free: tuple[str, ...],
    *,
    effort: int | None = None,
    known: float = np.inf,
    progress: Callable[[int, int], None] = lambda _d, _t: None,
) -> Bound:
    """The least value over a feasible set of anything that can be bounded over boxes.

    Args:
        designs: The feasible designs.
        bounds: From n boxes to float64 (n,), each below the values of all designs inside; of one design, its
            value.
        free: Choices along which a box may hold more than one design.
        effort: Boxes and designs that may be priced, though always one per combination of the other choices;
            as many as it takes if None.
        known: A value that can be had.
        progress: Told how many have been priced.

    Raises:
        InfeasibleDesignError: No design is feasible, or none has a finite value.
    """
    designs.require_some()
    search = _Search(designs, bounds, known)
    search.add(roots(designs, free))
    while search.open and not search.done:
        if effort is not None and search.costed >= effort:
            break
        search.add([half for box in search.take(BATCH) for half in halves(designs, box)])
        progress(search.costed, search.costed + len(search.open))
    return search.result()


class _Search:
    """Open boxes by their bound, and the best design so far."""

    def __init__(self, designs: FeasibleSet, bounds: Bounds, known: float) -> None:
        self._designs, self._bounds = designs, bounds
        self.open: list[tuple[float, int, Box]] = []
        self.costed = 0
        self._best: tuple[int, ...] | None = None
        self._value = known

    @property
    def done(self) -> bool:
        """Whether no open box can hold a better design."""
        return self.open[0][0] >= self._value - ROUNDING

    def add(self, boxes: list[Box]) -> None:
        """Price boxes; one design is an answer, others are opened if they may hold a better one."""
        if not boxes:
            return
        for box, bound in zip(boxes, self._bounds(boxes).tolist(), strict=True):
            self.costed += 1
            if box.single and bound < self._value:
                self._best, self._value = box.low, bound
            elif not box.single and bound < self._value:
                heapq.heappush(self.open, (bound, self.costed, box))

    def take(self, n: int) -> list[Box]:
        """Up to ``n`` open boxes of the least bounds."""
        found: list[Box] = []
        while self.open and len(found) < n and not self.done:
            found.append(heapq.heappop(self.open)[2])
        return found

    def result(self) -> Bound:
        """What is known now."""
        left = self.open[0][0] if self.open else np.inf
        lower = min(left, self._value)
        if not np.isfinite(lower):
            raise InfeasibleDesignError(
                "at least one design must have a mapping for every layer",
                got=f"none of {self._designs.count}",
            )
        design = None if self._best is None else np.array(self._best, dtype=np.int64)
        return Bound(lower=lower, design=design, log_objective=self._value, costed=self.costed)


def box_bounds(designs: FeasibleSet, costs: DesignCosts, boxes: list[Box]) -> FloatArray:
    """Below the log objective of every design of each box, float64 (boxes,); inf where none has a mapping."""
    cost = relaxed(designs, costs.model, costs.layers, boxes)
    totals = cost.totals(costs.objective, costs.weights)
    return np.nan_to_num(costs.objective.score(totals.cycles, totals.energy_pj), nan=np.inf)


def relaxable(model: CostModel) -> tuple[str, ...]:
    """Choices along which a model bounds a range of designs at once."""
    return model.relaxable if isinstance(model, RelaxableCostModel) else ()


def relaxed(designs: FeasibleSet, model: CostModel, layers: Sequence[Layer], boxes: list[Box]) -> Cost:
    """Hulls below those of every design of each box, (boxes, L); exact where a box is one design."""
    corners = [np.array([getattr(box, side) for box in boxes], dtype=np.int64) for side in ("low", "high")]
    low, high = (designs.space.decode(indices) for indices in corners)
    if isinstance(model, RelaxableCostModel):
        return model.relaxed(low, high, layers)
    return model.evaluate(low, layers)  # every box is one design


def roots(designs: FeasibleSet, free: tuple[str, ...]) -> list[Box]:
    """One box for every combination of the choices that cannot be relaxed and has a feasible design."""
    fixed = [axis for axis, choice in enumerate(designs.space.choices) if choice.name not in free]
    inside = tuple(axis for axis in range(len(designs.space.choices)) if axis not in fixed)
    present = np.argwhere(designs.allowed.any(axis=inside)) if inside else designs.all()
    found = []
    for values in present.tolist():
        low, high = [0] * len(designs.space.shape), [size - 1 for size in designs.space.shape]
        for axis, value in zip(fixed, values, strict=True):
            low[axis] = high[axis] = value
        box = tightened(designs, low, high)
        if box is not None:
            found.append(box)
    return found


def halves(designs: FeasibleSet, box: Box) -> list[Box]:
    """A box cut in the middle of its longest side; a half without a feasible design is dropped."""
    sides = [high - low for low, high in zip(box.low, box.high, strict=True)]
    axis = int(np.argmax(sides))
    middle = (box.low[axis] + box.high[axis]) // 2
    lower = tightened(designs, box.low, [*box.high[:axis], middle, *box.high[axis + 1 :]])
    upper = tightened(designs, [*box.low[:axis], middle + 1, *box.low[axis + 1 :]], box.high)
    return [half for half in (lower, upper) if half is not None]


def tightened(
    designs: FeasibleSet, low: list[int] | tuple[int, ...], high: list[int] | tuple[int, ...]
) -> Box | None:
    """The smallest box around the feasible designs between two corners; None without one."""
    inside = designs.allowed[tuple(slice(a, b + 1) for a, b in zip(low, high, strict=True))]
    axes = range(inside.ndim)
    corners: list[tuple[int, int]] = []
    for axis in axes:
        used = np.flatnonzero(inside.any(axis=tuple(a for a in axes if a != axis)))
        if not len(used):
            return None
        corners.append((low[axis] + int(used[0]), low[axis] + int(used[-1])))
    return Box(tuple(a for a, _ in corners), tuple(b for _, b in corners))
