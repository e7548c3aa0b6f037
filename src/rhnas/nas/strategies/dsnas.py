"""DSNAS: architecture search without proxy and without retraining (Hu et al., CVPR 2020).

Every step draws one network Z, takes one backward pass of ``L + sum_d log p(Z_d)``, reads the reward
``r_d = dL/dZ_d`` off the gates and turns the gradient of alpha into ``r_d * d log p(Z_d) / d alpha_d``.
The cost's gradient is added after that multiplication, as the exact expectation (METHOD 2).
"""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor
from torch.nn import functional

from rhnas.nas.expectation import CostLoss
from rhnas.nas.strategies.base import StepResult, Strategy
from rhnas.nas.supernet import SuperNet
from rhnas.networks.spaces.base import Architecture
from rhnas.seeds import Seeds
from rhnas.settings import NasSettings

MOMENTUM = 0.9
"""Of the weights' SGD."""
ALPHA_BETAS = (0.5, 0.999)
"""Of alpha's Adam, as DARTS uses for architecture parameters (Liu et al., ICLR 2019)."""
CLIP = 5.0
"""Greatest norm of the weights' gradient (Liu et al., ICLR 2019)."""


@final
class Dsnas(Strategy):
    """The strategy ``dsnas``.

    Args:
        supernet: What is trained.
        settings: Rates and the lead from which a decision is frozen.
    """

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
        self.alpha = torch.optim.Adam([supernet.alpha], lr=settings.alpha_rate, betas=ALPHA_BETAS)

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
        """One draw, one backward pass, one step of weights and alpha."""
        draw = self.supernet.draw(torch.Generator().manual_seed(seeds.integer()))
        self.weights.zero_grad(set_to_none=True)
        self.alpha.zero_grad(set_to_none=True)
        scores = self.supernet(pictures, draw)  # (N, classes)
        loss = functional.cross_entropy(scores, labels)
        (loss + draw.log_probability).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.trained, CLIP)
        for group in self.weights.param_groups:
            group["lr"] = rate
        self.weights.step()
        spent = self._learn(draw.gates.grad, cost) if learn else float("nan")
        accuracy = (scores.detach().argmax(1) == labels).float().mean()
        return StepResult(loss.item(), accuracy.item(), spent, draw.architecture)

    def _learn(self, rewards: Tensor | None, cost: CostLoss | None) -> float:
        """Move alpha by reward and cost; its gradient holds d log p / d alpha when this is called."""
        if rewards is None or self.supernet.alpha.grad is None:
            raise RuntimeError("the gates must have taken part in the loss")
        self.supernet.alpha.grad.mul_(rewards[:, None])
        spent = float("nan")
        if cost is not None:
            value = cost(self.supernet.distribution())
            value.backward()  # type: ignore[no-untyped-call]
            spent = value.item()
        self.alpha.step()
        if self.settings.freeze < 1:
            self.supernet.freeze(self.settings.freeze)
        return spent

    def derive(self) -> Architecture:
        """The most probable option of every decision."""
        return self.supernet.most_likely()

    def state(self) -> dict[str, Any]:
        """Both optimizers."""
        return {"weights": self.weights.state_dict(), "alpha": self.alpha.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from ``state``."""
        self.weights.load_state_dict(state["weights"])
        self.alpha.load_state_dict(state["alpha"])
