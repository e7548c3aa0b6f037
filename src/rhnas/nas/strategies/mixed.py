"""DARTS and FBNet: all options run at once, weighed by a distribution that alpha's gradient flows through.

Both alternate: weights learn from one part of the training pictures, alpha from the part held out. They
differ in the weights of the mixture.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import final

import torch
from torch import Tensor
from torch.nn import functional

from rhnas.nas.strategies.base import StepResult, Strategy, Turn, held_out
from rhnas.seeds import Seeds

FIRST_TEMPERATURE = 5.0
"""Of FBNet's Gumbel softmax (Wu et al., CVPR 2019, and the public ports)."""
LAST_TEMPERATURE = FIRST_TEMPERATURE * math.exp(-0.045 * 90)
"""After the paper's 90 epochs, over which the public ports let it fall by exp(-0.045) each."""


class Mixed(Strategy):
    """Alternates a step of the weights and, where alpha learns, one of alpha on held-out pictures."""

    @abstractmethod
    def shares(self, seeds: Seeds, progress: float) -> Tensor:
        """Weight of every option in the mixture, differentiable in alpha, (decisions, most options)."""

    def step(self, turn: Turn) -> StepResult:
        """Weights on the batch; then alpha on the pictures held out."""
        shares = self.shares(turn.seeds.child("weights"), turn.progress).detach()
        mixture = self.supernet.mixture(shares)
        loss, right = self.step_weights(lambda pictures: self.supernet(pictures, mixture), turn)
        spent = self._learn(turn) if turn.learn else float("nan")
        return StepResult(loss, right, spent, self.supernet.most_likely())

    def _learn(self, turn: Turn) -> float:
        pictures, labels = held_out(turn)
        shares = self.shares(turn.seeds.child("alpha"), turn.progress)
        loss = functional.cross_entropy(self.supernet(pictures, self.supernet.mixture(shares)), labels)
        (gradient,) = torch.autograd.grad(loss, self.supernet.alpha)
        self.supernet.alpha.grad = gradient
        return self.step_alpha(self.supernet.distribution(), turn.cost)


@final
class Darts(Mixed):
    """The strategy ``darts``: first-order DARTS (Liu et al., ICLR 2019), half of the pictures for alpha."""

    held_out = 0.5

    def shares(self, seeds: Seeds, progress: float) -> Tensor:
        """The probabilities themselves."""
        return self.supernet.logits().softmax(1)


@final
class FbNet(Mixed):
    """The strategy ``fbnet`` (Wu et al., CVPR 2019): a Gumbel softmax whose temperature falls; 80% to 20%."""

    held_out = 0.2

    def shares(self, seeds: Seeds, progress: float) -> Tensor:
        """A draw of the Gumbel softmax at the temperature of the moment."""
        noise = gumbel(self.supernet.alpha.shape, seeds).to(self.supernet.alpha.device)
        return ((self.supernet.logits() + noise) / temperature(progress)).softmax(1)


def temperature(progress: float) -> float:
    """FBNet's temperature, whatever the length of the search.

    Example:
        >>> [round(temperature(p), 2) for p in (0.0, 0.5, 1.0)]
        [5.0, 0.66, 0.09]
    """
    return float(FIRST_TEMPERATURE * (LAST_TEMPERATURE / FIRST_TEMPERATURE) ** progress)


def gumbel(shape: tuple[int, ...], seeds: Seeds) -> Tensor:
    """Standard Gumbel noise, float64."""
    generator = torch.Generator().manual_seed(seeds.integer())
    return -torch.empty(shape, dtype=torch.float64).exponential_(generator=generator).log()
