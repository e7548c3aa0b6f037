"""Fronts of accuracy against cost: what is undominated, and how much it dominates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rhnas.workload import FloatArray

Front = list[tuple[float, float]]
"""(accuracy, score), most accurate first; accuracy is to be high, score low."""


def pareto(accuracy: FloatArray, score: FloatArray) -> Front:
    """The undominated points, most accurate first: accuracy is to be high, score low; each (n,).

    Example:
        >>> pareto(np.array([90.0, 91.0, 89.0]), np.array([1.0, 2.0, 1.5]))
        [(91.0, 2.0), (90.0, 1.0)]
    """
    found: Front = []
    for at in np.lexsort((score, -accuracy)):
        if not found or score[at] < found[-1][1]:
            found.append((float(accuracy[at]), float(score[at])))
    return found


def hypervolume(points: Sequence[tuple[float, float]], corner: tuple[float, float]) -> float:
    """Area between a front and a corner that it dominates, in points of accuracy times log objective.

    Args:
        points: (accuracy, score), any order; those not beyond the corner in both count for nothing.
        corner: The worst (accuracy, score) of interest.

    Example:
        >>> hypervolume([(91.0, 2.0), (90.0, 1.0)], (89.0, 3.0))
        3.0
    """
    beyond = np.array([p for p in points if p[0] > corner[0] and p[1] < corner[1]]).reshape(-1, 2)
    area, score = 0.0, corner[1]
    for accuracy, least in pareto(beyond[:, 0], beyond[:, 1]):
        area += (accuracy - corner[0]) * max(0.0, score - least)
        score = min(score, least)
    return area
