"""The last word on an accelerator: the best few that a search has visited, timed by simulation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rhnas.codesign.problem import Problem
from rhnas.workload import IntArray, Workload

RETIMED = 8
"""Designs that are timed at most."""
RETIMED_CYCLES = 32_000_000
"""Modelled cycles of all of them together, at most: simulating large networks takes minutes a design."""


@dataclass(frozen=True, kw_only=True)
class Retimed:
    """A design with its cycles.

    Attributes:
        design: int64 (D,).
        cycles: Modelled.
        cycles_simulated: By the simulator; None where the platform cannot tell.
        score: Log of the objective, cycles simulated where they are known and energy modelled.
    """

    design: IntArray
    cycles: int
    cycles_simulated: int | None
    score: float


def retimed(problem: Problem, workload: Workload, designs: IntArray) -> list[Retimed]:
    """Designs with their simulated cycles, best first.

    Args:
        problem: What is searched.
        workload: The network.
        designs: int64 (B, D), best by the model first; of equal ones the earlier wins.

    Returns:
        The first ``RETIMED`` of them, or fewer where the network is large, but one at least.
    """
    cycles = problem.totals(designs[0], workload).cycles[0]
    count = int(np.clip(RETIMED_CYCLES // cycles, 1, RETIMED))
    found = [_time(problem, workload, design) for design in designs[:count]]
    return sorted(found, key=lambda timed: timed.score)


def _time(problem: Problem, workload: Workload, design: IntArray) -> Retimed:
    totals = problem.totals(design, workload)
    simulated = problem.simulated_cycles(design, workload)
    cycles = totals.cycles if simulated is None else np.array([float(simulated)])
    score = problem.settings.objective.minimize.score(cycles, totals.energy_pj)
    return Retimed(
        design=design,
        cycles=int(totals.cycles[0]),
        cycles_simulated=simulated,
        score=float(score[0]),
    )
