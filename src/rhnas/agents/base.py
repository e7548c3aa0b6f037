"""Hardware agents: whatever proposes designs and learns from their cost, behind ask and tell."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from rhnas.platform import Objective, Outcome
from rhnas.space import FeasibleSet
from rhnas.workload import FloatArray, IntArray


@dataclass(frozen=True, kw_only=True)
class SearchContext:
    """What an agent may know before it proposes. Legend: B designs, D choices, F features.

    Attributes:
        designs: The feasible designs; nothing else may be proposed.
        objective: What is minimised.
        start: int64 (D,): the feasible design nearest to the default one; where local searches begin.
        features: float64 (F,): workload (expected shapes during a joint search), objective, chip budget,
            roughly standardised; what a conditioned agent sees.
        budget: Evaluations in all, for agents that plan their effort.
    """

    designs: FeasibleSet
    objective: Objective
    start: IntArray
    features: FloatArray
    budget: int


class HardwareAgent(ABC):
    """Proposes designs and learns from what they cost; the caller owns the loop (METHOD 5).

    An evaluation is one distinct design; asking for a known one again is free, and the caller keeps count.
    All state is set in ``__init__``; ``state`` and ``restore`` carry it across a kill.

    Attributes:
        unrealizable: Proposals so far that could not be built; they are withheld from the caller and no
            evaluations. Stays 0 for an agent that respects the masks.

    Example:
        >>> issubclass(HardwareAgent, ABC)
        True
    """

    unrealizable: int = 0

    @abstractmethod
    def ask(self, n: int, context: SearchContext) -> IntArray:
        """Up to ``n`` feasible designs, int64 (B, D) with 1 <= B <= n; repeats are allowed."""

    @abstractmethod
    def tell(self, designs: IntArray, outcome: Outcome) -> None:
        """Learn from the outcome of designs as asked, in the order asked.

        Where a budget ends within a proposal, the caller may tell its first designs only.

        Args:
            designs: int64 (B, D).
            outcome: objectives (B, 1), the log of the objective, and slack (B, C).
        """

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Everything a resumed agent needs, as plain values, NumPy arrays and tensors (no objects).

        Taken after a tell and before the next ask.
        """

    @abstractmethod
    def restore(self, state: dict[str, Any]) -> None:
        """Continue from ``state``; the agent then behaves as if never interrupted."""
