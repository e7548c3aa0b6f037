"""What a strategy of differentiable architecture search does: learn from a batch, and name the result."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from rhnas.nas.expectation import CostLoss
from rhnas.nas.pieces import Pieces
from rhnas.nas.supernet import SuperNet
from rhnas.networks.spaces.base import Architecture
from rhnas.seeds import Seeds
from rhnas.settings import NasSettings

Scores = Callable[[Tensor], Tensor]
"""Pictures (n, C, H, W) to class scores (n, classes)."""

MOMENTUM = 0.9
"""Of the weights' SGD."""
CLIP = 5.0
"""Greatest norm of the weights' gradient (Liu et al., ICLR 2019)."""


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What one step may look at.

    Attributes:
        pictures: (N, C, H, W), that weights learn from.
        labels: int64 (N,).
        held_out: Pictures and labels that weights never see, where alpha learns from such; else None.
        seeds: Of this step.
        rate: Learning rate of the weights.
        progress: Share of the search that is done, from 0 to 1.
        cost: Added to alpha's loss, already weighted; None for accuracy alone.
        learn: Whether alpha moves; False during warm-up.
    """

    pictures: Tensor
    labels: Tensor
    held_out: tuple[Tensor, Tensor] | None = None
    seeds: Seeds
    rate: float
    progress: float = 0.0
    cost: CostLoss | None = None
    learn: bool = True


@dataclass(frozen=True)
class StepResult:
    """What one batch showed.

    Attributes:
        loss: Cross-entropy on the batch of what ran.
        accuracy: Fraction of the batch it got right.
        cost: The cost loss, nan where alpha did not learn or no cost was given.
        architecture: The drawn network; where many ran at once, the most likely one.
    """

    loss: float
    accuracy: float
    cost: float
    architecture: Architecture


class Strategy(ABC):
    """Trains a supernet's weights and its alpha.

    All state beyond the supernet's own is set in ``__init__``; randomness comes in with every step, so that
    a step depends on nothing but the state and its turn. What strategies differ in is how alpha learns from
    the loss; the gradient of the cost is that of its exact expectation in all of them (METHOD 2).

    Args:
        supernet: What is trained.
        settings: Rates and the like.
    """

    held_out: ClassVar[float]
    """Share of the training part kept from the weights for alpha; 0 where both learn from all of it."""
    alpha_betas: ClassVar[tuple[float, float]] = (0.5, 0.999)
    """Of alpha's Adam; DARTS' for architecture parameters (Liu et al., ICLR 2019)."""

    def __init__(self, supernet: SuperNet, settings: NasSettings) -> None:
        self.supernet = supernet
        self.settings = settings
        self.trained = supernet.trained()
        self.weights = torch.optim.SGD(
            self.trained,
            lr=settings.learning_rate,
            momentum=MOMENTUM,
            weight_decay=settings.weight_decay,
            nesterov=True,
            foreach=True,
        )
        self.alpha = torch.optim.Adam([supernet.alpha], lr=settings.alpha_rate, betas=self.alpha_betas)
        self.pieces = Pieces()

    @abstractmethod
    def step(self, turn: Turn) -> StepResult:
        """One update on a batch."""

    def step_weights(self, scores: Scores, turn: Turn, *leaves: Tensor) -> tuple[float, float]:
        """Learn from the batch of a turn, and step the weights alone.

        Args:
            scores: What runs.
            turn: Of the step.
            leaves: What collects a gradient beside weights and alpha.

        Returns:
            Loss and fraction classified right.
        """
        leaves = (*self.trained, self.supernet.alpha, *leaves)
        loss, right = self.pieces.gradient(scores, turn.pictures, turn.labels, leaves)
        torch.nn.utils.clip_grad_norm_(self.trained, CLIP)
        for group in self.weights.param_groups:
            group["lr"] = turn.rate
        self.weights.step()
        return loss.item(), right.item()

    def step_alpha(self, probabilities: Sequence[Tensor], cost: CostLoss | None) -> float:
        """Add the gradient of the cost to that already in alpha, and step alpha; the cost loss or nan."""
        spent = float("nan")
        if cost is not None:
            value = cost(probabilities)
            value.backward()  # type: ignore[no-untyped-call]
            spent = value.item()
        self.alpha.step()
        return spent

    def derive(self) -> Architecture:
        """The network the search has arrived at: the most probable option of every decision."""
        return self.supernet.most_likely()

    def state(self) -> dict[str, Any]:
        """Both optimizers, as tensors and plain values; the supernet is saved apart."""
        optimizers = {"weights": self.weights.state_dict(), "alpha": self.alpha.state_dict()}
        return {**optimizers, "pieces": self.pieces.count}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from ``state``."""
        self.weights.load_state_dict(state["weights"])
        self.alpha.load_state_dict(state["alpha"])
        self.pieces.count = int(state["pieces"])


def held_out(turn: Turn) -> tuple[Tensor, Tensor]:
    """Pictures and labels for alpha: those held out, or those of the weights where a caller holds none."""
    return turn.held_out if turn.held_out is not None else (turn.pictures, turn.labels)
