"""DSNAS: architecture search without proxy and without retraining (Hu et al., CVPR 2020).

Every step draws one network Z, takes one backward pass of ``L + sum_d log p(Z_d)``, reads the reward
``r_d = dL/dZ_d`` off the gates and turns the gradient of alpha into ``r_d * d log p(Z_d) / d alpha_d``.
The cost's gradient is added after that multiplication, as the exact expectation (METHOD 2).
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from rhnas.nas.expectation import CostLoss
from rhnas.nas.strategies.base import StepResult, Strategy, Turn


@final
class Dsnas(Strategy):
    """The strategy ``dsnas``; ``settings.freeze`` is the lead from which a decision is fixed."""

    held_out = 0.0

    def step(self, turn: Turn) -> StepResult:
        """One draw, one backward pass, one step of weights and alpha."""
        draw = self.supernet.draw(torch.Generator().manual_seed(turn.seeds.integer()))
        loss, right = self.step_weights(
            lambda pictures: self.supernet(pictures, draw.mixture), turn, draw.gates
        )
        draw.log_probability.backward()  # type: ignore[no-untyped-call]
        # A network without a way from picture to features (nasbench201 has some) earns nothing.
        rewards = torch.zeros_like(draw.gates) if draw.gates.grad is None else draw.gates.grad
        spent = self._learn(rewards, turn.cost) if turn.learn else float("nan")
        return StepResult(loss, right, spent, draw.architecture)

    def _learn(self, rewards: Tensor, cost: CostLoss | None) -> float:
        """Move alpha by reward and cost; its gradient holds d log p / d alpha when this is called."""
        if self.supernet.alpha.grad is None:
            raise RuntimeError("log p must have taken part in the loss")
        self.supernet.alpha.grad.mul_(rewards[:, None])
        spent = self.step_alpha(self.supernet.distribution(), cost)
        if self.settings.freeze < 1:
            self.supernet.freeze(self.settings.freeze)
        return spent
