"""What is known exactly of a tabular problem: the joint optimum, that of two stages, and what lies between.

Scores are natural logs of the objective.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rhnas.bench.problem import TabularProblem
from rhnas.pareto import hypervolume, pareto

HEADROOM_THRESHOLDS = 16
"""At how many accuracies the headroom is told."""


@dataclass(frozen=True, kw_only=True)
class Yardstick:
    """The optima at one accuracy.

    Attributes:
        threshold: Percent.
        joint: Least score of any network that holds it, on any design.
        two_stage: Of the network that is cheapest on the reference accelerator, on its best design.
        network: The joint optimum's.
        design: The joint optimum's.
    """

    threshold: float
    joint: float
    two_stage: float
    network: int
    design: int

    @property
    def headroom(self) -> float:
        """Objective of the two stages' optimum over that of the joint one; >= 1."""
        return float(np.exp(self.two_stage - self.joint))

    def closed(self, score: float) -> float:
        """Share of the headroom that an answer closes: 1 at the joint optimum, 0 at the two stages'."""
        return (self.two_stage - score) / (self.two_stage - self.joint)

    def regret(self, score: float) -> float:
        """Objective of an answer over the joint optimum, less 1."""
        return float(np.expm1(score - self.joint))


def yardstick(problem: TabularProblem, threshold: float) -> Yardstick:
    """The exact optima at an accuracy that some network holds."""
    best, design = problem.best
    held = np.flatnonzero(problem.accuracy >= threshold)
    joint = int(held[best[held].argmin()])
    first = int(held[problem.reference_scores[held].argmin()])
    return Yardstick(
        threshold=threshold,
        joint=float(best[joint]),
        two_stage=float(best[first]),
        network=joint,
        design=int(design[joint]),
    )


def headroom(problem: TabularProblem) -> list[Yardstick]:
    """Yardsticks over the benchmark's span, evenly spaced."""
    low, high = problem.benchmark.span
    return [yardstick(problem, float(t)) for t in np.linspace(low, high, HEADROOM_THRESHOLDS)]


def exact_front(problem: TabularProblem) -> list[tuple[float, float]]:
    """(accuracy, score) of every network that no other one beats in both, most accurate first."""
    return pareto(problem.accuracy, problem.best[0])


def corner_of(problem: TabularProblem) -> tuple[float, float]:
    """The span's lowest accuracy, and the score of the dearest network of the exact front."""
    return problem.benchmark.span[0], max(score for _, score in exact_front(problem))


def front_share(problem: TabularProblem, points: Sequence[tuple[float, float]]) -> float:
    """Hypervolume of a front as a share of that of the exact one."""
    corner = corner_of(problem)
    return hypervolume(points, corner) / hypervolume(exact_front(problem), corner)
