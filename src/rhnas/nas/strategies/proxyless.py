"""ProxylessNAS with two paths (Cai et al., ICLR 2019).

Weights learn on one drawn path. For alpha two options of every decision are drawn, one of which is active:
gates g are (1, 0). Both run, so that dL/dg_j is known for both, and with q the pair's own softmax

    dL/d alpha_i = sum_j dL/dg_j q_j (delta_ij - q_i).

Only the pair moves, and only against each other: it is rescaled so that all other probabilities stay.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor
from torch.nn import functional

from rhnas.nas.strategies.base import StepResult, Strategy, Turn, held_out
from rhnas.nas.strategies.mixed import gumbel
from rhnas.seeds import Seeds


@final
class Proxyless(Strategy):
    """The strategy ``proxyless``."""

    held_out = 0.2
    alpha_betas = (0.0, 0.999)
    """No momentum, as in the authors' code: it would move options that were not drawn."""

    def step(self, turn: Turn) -> StepResult:
        """Weights on a drawn path; then alpha on two options of every decision."""
        draw = self.supernet.draw(torch.Generator().manual_seed(turn.seeds.child("weights").integer()))
        loss, right = self.step_weights(lambda pictures: self.supernet(pictures, draw.mixture), turn)
        spent = self._learn(turn) if turn.learn else float("nan")
        return StepResult(loss, right, spent, draw.architecture)

    def _learn(self, turn: Turn) -> float:
        pair, active = self.pairs(turn.seeds.child("alpha"))
        gates = active.to(self.supernet.alpha).requires_grad_()
        pictures, labels = held_out(turn)
        loss = functional.cross_entropy(self.supernet(pictures, self.supernet.mixture(gates, pair)), labels)
        (rewards,) = torch.autograd.grad(
            loss, gates, materialize_grads=True
        )  # dL/dg, (decisions, most options)
        shares = self._within(pair)
        # The gradient of this sum in alpha is the formula above.
        (gradient,) = torch.autograd.grad((rewards * shares).sum(), self.supernet.alpha)
        self.supernet.alpha.grad = gradient
        before = self._mass(pair)
        rest = self.supernet.logits().softmax(1).detach()
        together = (rest * pair).sum(1, keepdim=True)
        rows = torch.where(pair, together * self._within(pair), rest).cpu()
        spent = self.step_alpha(
            [row[: len(d.options)] for row, d in zip(rows, self.supernet.space.decisions, strict=True)],
            turn.cost,
        )
        with torch.no_grad():
            self.supernet.alpha.sub_(torch.where(pair, (self._mass(pair) - before)[:, None], 0.0))
        return spent

    def pairs(self, seeds: Seeds) -> tuple[Tensor, Tensor]:
        """Two options of every decision, drawn without replacement, and which of them is active.

        Returns:
            bool (decisions, most options) each: the pair (one option where only one is open), the active one.
        """
        logits = self.supernet.logits().detach()
        first = (logits + gumbel(logits.shape, seeds.child("pair")).to(logits)).topk(min(2, logits.shape[1]))
        pair = torch.zeros_like(self.supernet.open).scatter(1, first.indices, first.values > -torch.inf)
        within = logits.masked_fill(~pair, -torch.inf)
        chosen = (within + gumbel(logits.shape, seeds.child("active")).to(logits)).argmax(1)
        return pair, functional.one_hot(chosen, logits.shape[1]).bool()

    def _within(self, pair: Tensor) -> Tensor:
        """The pair's own softmax, 0 elsewhere."""
        return self.supernet.alpha.masked_fill(~pair, -torch.inf).softmax(1)

    def _mass(self, pair: Tensor) -> Tensor:
        """Logarithm of the pair's unnormalised probability, (decisions,)."""
        return self.supernet.alpha.detach().masked_fill(~pair, -torch.inf).logsumexp(1)
