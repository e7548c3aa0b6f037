"""Expected cost of a network under a distribution over its decisions: exact, and differentiable.

Notation: B designs; a probability list holds one float64 tensor (O_d,) per decision d of the space.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rhnas.networks.tables import CostTable, TermCost
from rhnas.platform import Objective

CostLoss = Callable[[Sequence[Tensor]], Tensor]
"""Maps the probabilities of every decision to a scalar; its gradient is added to that of alpha."""


@dataclass(frozen=True)
class ExpectedCost:
    """Expected whole-network cost per design, float64 (B,), differentiable in the probabilities."""

    cycles: Tensor
    energy_pj: Tensor

    @property
    def edp(self) -> Tensor:
        """E[energy] * E[cycles] in pJ x cycles, (B,): what the loss uses; ``expected_edp`` is E[EDP]."""
        return self.cycles * self.energy_pj

    def score(self, objective: Objective) -> Tensor:
        """Natural logarithm of the objective, (B,)."""
        if objective is Objective.LATENCY:
            return self.cycles.log()
        if objective is Objective.ENERGY:
            return self.energy_pj.log()
        return self.cycles.log() + self.energy_pj.log()


def expected_cost(table: CostTable, probabilities: Sequence[Tensor]) -> ExpectedCost:
    """The exact expectation: every term's cells weighted by the product of its decisions' probabilities.

    Example:
        >>> import numpy as np
        >>> term = TermCost((0,), np.array([[100.0, 300.0]]), np.array([[1.0, 3.0]]))
        >>> table = CostTable((term,), np.zeros(1), np.zeros(1), np.zeros(1))
        >>> float(expected_cost(table, [torch.tensor([0.5, 0.5], dtype=torch.float64)]).edp)
        400.0
    """
    weights = torch.cat(
        [_joint(term.decisions, probabilities).reshape(-1) for term in table.terms]
    )  # (cells,)
    cycles = torch.cat([torch.from_numpy(term.cycles).flatten(1) for term in table.terms], 1)  # (B, cells)
    energy = torch.cat([torch.from_numpy(term.energy_pj).flatten(1) for term in table.terms], 1)
    return ExpectedCost(
        cycles @ weights + torch.from_numpy(table.launch_cycles),
        energy @ weights + torch.from_numpy(table.launch_energy_pj),
    )


def expected_edp(table: CostTable, probabilities: Sequence[Tensor]) -> Tensor:
    """E[EDP] in pJ x cycles, float64 (B,): E[energy] E[cycles] plus the covariances (METHOD 5).

    Two terms covary only through decisions they share; given those they are independent, so the covariance
    of a pair is that of their conditional expectations.
    """
    cost = expected_cost(table, probabilities)
    total = cost.edp
    for first, second in itertools.product(table.terms, repeat=2):
        shared = tuple(d for d in first.decisions if d in second.decisions)
        if not shared:
            continue
        weight = _joint(shared, probabilities)  # (shared options...)
        energy = _given(first, torch.from_numpy(first.energy_pj), shared, probabilities)
        cycles = _given(second, torch.from_numpy(second.cycles), shared, probabilities)
        product = _sum(weight * energy * cycles)
        total = total + product - _sum(weight * energy) * _sum(weight * cycles)
    return total


def table_loss(table: CostTable, objective: Objective, temperature: float = 0.05) -> CostLoss:
    """The soft minimum over a table's designs of the log of their expected cost.

    With one design it is that design's log expected cost. Log cost differs from the log ratio against a
    reference by a constant, so both have the same gradient.

    Args:
        table: Costs of B designs.
        objective: EDP weighs energy and cycles alike (w_e = w_d = 1).
        temperature: Of the soft minimum, in units of log cost.
    """

    def loss(probabilities: Sequence[Tensor]) -> Tensor:
        scores = expected_cost(table, probabilities).score(objective)  # (B,)
        return -temperature * torch.logsumexp(-scores / temperature, dim=0)

    return loss


def _joint(decisions: Sequence[int], probabilities: Sequence[Tensor]) -> Tensor:
    """Joint distribution of independent decisions, (O_1, ..., O_t)."""
    joint = probabilities[decisions[0]]
    for decision in decisions[1:]:
        joint = joint[..., None] * probabilities[decision]
    return joint


def _given(term: TermCost, cells: Tensor, shared: Sequence[int], probabilities: Sequence[Tensor]) -> Tensor:
    """Conditional expectation of a term's cells (B, O_1, ..., O_t) given its shared decisions."""
    for axis in reversed(range(len(term.decisions))):
        decision = term.decisions[axis]
        if decision not in shared:
            cells = torch.tensordot(cells, probabilities[decision], dims=([axis + 1], [0]))
    return cells


def _sum(cells: Tensor) -> Tensor:
    """Sum over everything but the designs, (B,)."""
    return cells.flatten(1).sum(1)
