"""The network side on a table: exact expected cost, and a score-function gradient of accuracy.

Legend: L distinct layers, B designs, n networks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from rhnas.bench.ledger import Ledger
from rhnas.platform import Cost, Objective
from rhnas.seeds import Seeds
from rhnas.workload import FloatArray, IntArray


@dataclass(frozen=True, kw_only=True)
class AlphaSettings:
    """How alpha learns; the same for every scheme that has one.

    Attributes:
        draws: Networks drawn from alpha and looked up per step; known ones are free.
        rate: Of Adam.
        entropy: Weight of the entropy bonus at the first look-up and at the last of alpha's share.
        temperature: Of the soft minimum over designs, in units of log cost.
        share: Of the look-ups, spent while alpha moves; the rest goes to the neighbourhood of its answer.
        steps: At most, also where alpha draws nothing new.
    """

    draws: int = 4
    rate: float = 0.15
    entropy: tuple[float, float] = (0.5, 0.05)
    temperature: float = 0.05
    share: float = 0.6
    steps: int = 120


class CostSide(Protocol):
    """What a weighting of layers costs on some designs."""

    def soft_minimum(self, counts: Tensor, temperature: float) -> Tensor:
        """Log of the expected cost; scalar, differentiable in counts float64 (L,)."""


class Alpha:
    """A categorical per decision, learnt from the networks looked up so far.

    The gradient of expected utility is the score function's, E[u grad log p], self-normalised over every
    network looked up so far (importance weights p(n) / sum p), against the weighted mean as baseline: as an
    archive of designs is scored anew at every alpha, so are the networks that have been paid for.

    Args:
        ledger: Answers accuracies.
        settings: How it learns.
        seeds: Where draws come from.
    """

    def __init__(self, ledger: Ledger, settings: AlphaSettings, seeds: Seeds) -> None:
        self.ledger = ledger
        self.settings = settings
        problem = ledger.problem
        self._sizes = [len(decision.options) for decision in problem.networks.decisions]
        self.logits = [torch.zeros(size, dtype=torch.float64, requires_grad=True) for size in self._sizes]
        self._adam = torch.optim.Adam(self.logits, lr=settings.rate)
        self._rng = seeds.child("draws").numpy()
        self._cells = [
            (decisions, torch.from_numpy(count.reshape(-1, count.shape[-1]).astype(np.float64)))
            for decisions, count in zip(problem.counts.decisions, problem.counts.counts, strict=True)
        ]

    def probabilities(self) -> list[FloatArray]:
        """Per decision its distribution."""
        return [torch.softmax(row, 0).detach().numpy() for row in self.logits]

    def weights(self) -> FloatArray:
        """Expected number of times each distinct layer runs, float64 (L,)."""
        return np.asarray(self.ledger.problem.counts.expected(self.probabilities()))

    def draw(self, n: int) -> IntArray:
        """Networks drawn independently, int64 (n,)."""
        options = [self._rng.choice(len(row), size=n, p=row) for row in self.probabilities()]
        return np.asarray(np.ravel_multi_index(tuple(options), self._sizes), dtype=np.int64)

    def log_likelihood(self, networks: IntArray) -> FloatArray:
        """Log-probability of networks (n,), float64 (n,)."""
        return np.asarray(self._log_p(networks).detach().numpy())

    def step(self, cost: CostSide | None, spent: float) -> None:
        """Draw, look up, descend.

        Args:
            cost: What expected cost is taken on; None where only accuracy counts.
            spent: Share of alpha's look-ups that is spent, for the entropy bonus.
        """
        self.ledger.look_up(self.draw(self.settings.draws))
        networks = self.ledger.networks
        accuracy = self.ledger.problem.accuracy[networks]
        penalty = self.ledger.problem.penalty
        utility = penalty * accuracy if cost is None else self.ledger.utility(accuracy)
        loss = -self._surrogate(networks, torch.from_numpy(utility))
        if cost is not None:
            loss = loss + cost.soft_minimum(self._expected_counts(), self.settings.temperature)
        first, last = self.settings.entropy
        bonus = first + (last - first) * min(1.0, spent)
        entropy = -sum((torch.softmax(r, 0) * torch.log_softmax(r, 0)).sum() for r in self.logits)
        loss = loss - bonus * entropy
        self._adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._adam.step()

    def _surrogate(self, networks: IntArray, utility: Tensor) -> Tensor:
        """Whose gradient is the self-normalised estimate of that of E[utility]; scalar."""
        log_p = self._log_p(networks)
        share = torch.softmax(log_p.detach(), 0)
        centred = utility - (share * utility).sum()
        return (share * centred * log_p).sum()

    def _log_p(self, networks: IntArray) -> Tensor:
        options = self.ledger.problem.options[networks]
        rows = [torch.log_softmax(row, 0)[options[:, at]] for at, row in enumerate(self.logits)]
        return torch.stack(rows).sum(dim=0)

    def _expected_counts(self) -> Tensor:
        """Differentiable, float64 (L,)."""
        probabilities = [torch.softmax(row, 0) for row in self.logits]
        total = torch.zeros(self._cells[0][1].shape[-1], dtype=torch.float64)
        for decisions, cells in self._cells:
            joint = probabilities[decisions[0]]
            for decision in decisions[1:]:
                joint = (joint[..., None] * probabilities[decision]).reshape(-1)
            total = total + joint @ cells
        return total


class LayerCosts:
    """Costs of the distinct layers on some designs, each at its own exchange rate under given weights.

    Args:
        cost: Hulls of B designs.
        objective: What is minimised.
        weights: float64 (L,): expected counts that set the exchange rates.
    """

    def __init__(self, cost: Cost, objective: Objective, weights: FloatArray) -> None:
        cycles, energy = cost.at(cost.totals(objective, weights).mu)
        self._objective = objective
        self._cycles, self._energy = torch.from_numpy(cycles), torch.from_numpy(energy)  # (B, L)
        self._launch = torch.from_numpy(cost.launch_cycles.astype(np.float64))
        self._launch_energy = torch.from_numpy(cost.launch_energy_pj)

    def soft_minimum(self, counts: Tensor, temperature: float) -> Tensor:
        """Over the designs, of the log of the expected cost; scalar, differentiable in counts (L,).

        Its gradient is the mixture of the designs' gradients by their share in the soft minimum: Danskin's
        as the temperature goes to zero.
        """
        cycles = (self._cycles @ counts + self._launch).log()
        energy = (self._energy @ counts + self._launch_energy).log()
        scores = {Objective.LATENCY: cycles, Objective.ENERGY: energy}.get(self._objective, cycles + energy)
        return -temperature * torch.logsumexp(-scores / temperature, dim=0)


def take(cost: Cost, designs: IntArray) -> Cost:
    """The hulls of some designs (B,)."""
    return Cost(
        cost.cycles[designs],
        cost.energy_pj[designs],
        cost.mapped[designs],
        cost.launch_cycles[designs],
        cost.launch_energy_pj[designs],
    )
