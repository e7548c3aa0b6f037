"""What a strategy of differentiable architecture search does: learn from a batch, and name the result."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from rhnas.nas.expectation import CostLoss
from rhnas.networks.spaces.base import Architecture
from rhnas.seeds import Seeds


@dataclass(frozen=True)
class StepResult:
    """What one batch showed.

    Attributes:
        loss: Cross-entropy of the drawn network on the batch.
        accuracy: Fraction of the batch it got right.
        cost: The cost loss, nan where alpha did not learn or no cost was given.
        architecture: The drawn network.
    """

    loss: float
    accuracy: float
    cost: float
    architecture: Architecture


class Strategy(ABC):
    """Trains a supernet's weights and its alpha together.

    All state beyond the supernet's own is set in ``__init__``; randomness comes in with every step, so that
    a step depends on nothing but the state and its seeds.
    """

    @abstractmethod
    def step(
        self,
        pictures: Tensor,
        labels: Tensor,
        *,
        seeds: Seeds,
        rate: float,
        cost: CostLoss | None,
        learn: bool,
    ) -> StepResult:
        """One update on a batch.

        Args:
            pictures: (N, C, H, W).
            labels: int64 (N,).
            seeds: Of this step.
            rate: Learning rate of the weights.
            cost: Added to alpha's loss, already weighted; None for accuracy alone.
            learn: Whether alpha moves; False during warm-up.
        """

    @abstractmethod
    def derive(self) -> Architecture:
        """The network the search has arrived at."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Optimizer states and the like, as tensors and plain values; the supernet is saved apart."""

    @abstractmethod
    def restore(self, state: dict[str, Any]) -> None:
        """Continue from ``state``."""
