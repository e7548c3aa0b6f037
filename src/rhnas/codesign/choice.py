"""Which of the trained finalists a search ends with: cost is compared among networks of equal accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rhnas.networks.spaces.base import Architecture


@dataclass(frozen=True, kw_only=True)
class Finalist:
    """A network trained from scratch.

    Attributes:
        architecture: The network.
        accuracy: On the validation part, as a fraction.
        cost: Log of the objective on the accelerator it was searched with.
    """

    architecture: Architecture
    accuracy: float
    cost: float


def choose(finalists: Sequence[Finalist], reference: float | None, tolerance: float) -> Finalist:
    """The cheapest finalist that is no worse than the reference, within the tolerance.

    Where none is good enough it is the most accurate one: cost never buys accuracy off. The test set plays
    no part.

    Args:
        finalists: At least one.
        reference: Validation accuracy to be held; None for the best among the finalists.
        tolerance: Fraction by which accuracy may lie below the reference.

    Example:
        >>> finalists = [Finalist(architecture=(i,), accuracy=a, cost=c)
        ...              for i, (a, c) in enumerate([(0.990, 5.0), (0.988, 4.0), (0.950, 1.0)])]
        >>> choose(finalists, None, 0.003).architecture
        (1,)
        >>> choose(finalists, 0.999, 0.003).architecture
        (0,)
    """
    held = max(finalist.accuracy for finalist in finalists) if reference is None else reference
    able = [finalist for finalist in finalists if finalist.accuracy >= held - tolerance - ROUNDING]
    if able:
        return min(able, key=lambda finalist: finalist.cost)
    return max(finalists, key=lambda finalist: (finalist.accuracy, -finalist.cost))


ROUNDING = 1e-9
"""Accuracies are quotients of counts; equal ones must not differ by their last bit."""
