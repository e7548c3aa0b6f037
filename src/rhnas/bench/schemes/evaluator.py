"""DANCE's way: a learnt, differentiable cost model takes the place of the real one during the search.

Choi et al., "DANCE: Differentiable accelerator/network co-exploration", DAC 2021. Legend: n networks, B
designs, L distinct layers, V values of all hardware choices side by side.
"""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import final

import numpy as np
import torch
from torch import Tensor, nn

from rhnas.bench.alpha import Alpha, AlphaSettings
from rhnas.bench.ledger import Ledger
from rhnas.bench.schemes.base import TabularScheme
from rhnas.seeds import Seeds
from rhnas.workload import FloatArray, IntArray

SAMPLES = 0.7
"""Of the designs, priced to teach the evaluator; the rest is what its search proposes."""
PAIRS = 4_096
"""Pairs of a random network and a priced design that it learns from."""
HIDDEN = 64
EPOCHS = 300
SEARCH_RATE = 0.05
DRAWS = 64
"""Designs drawn at a time at the end."""
MOST_DRAWS = 50
"""Times that is done, also where it yields nothing new."""


@final
class EvaluatorScheme(TabularScheme):
    """Alpha and a distribution over designs both descend on a learnt cost; winners are priced for real.

    Unlike in DANCE the distribution over designs is learnt directly and not the output of a network, and
    proposals that cannot be built are withheld and counted.
    """

    def run(self, ledger: Ledger, seeds: Seeds) -> None:
        """Teach, search, price the likeliest designs."""
        settings = AlphaSettings()
        surrogate = Surrogate(ledger, seeds.child("surrogate"))
        alpha = Alpha(ledger, settings, seeds.child("alpha"))
        for step in range(settings.steps):
            spent = 1 - ledger.lookups_left / ledger.budget.lookups
            if spent >= 1:
                break
            if step:
                surrogate.descend(alpha.weights())
            alpha.step(surrogate, spent)
        surrogate.propose(ledger, alpha.weights())


class Surrogate:
    """A multilayer perceptron from (layers' expected counts, hardware choices) to the log objective.

    Args:
        ledger: Prices designs and knows the problem.
        seeds: Of samples, initial weights and proposals.
    """

    def __init__(self, ledger: Ledger, seeds: Seeds) -> None:
        problem, self._rng = ledger.problem, seeds.child("samples").numpy()
        self._problem = problem
        self._sizes = problem.space.shape
        self._starts = [0, *accumulate(self._sizes)][:-1]
        places = self._rng.permutation(len(problem.pairs))[: max(1, int(SAMPLES * ledger.budget.designs))]
        ledger.price(places)
        networks = self._rng.integers(len(problem.options), size=PAIRS)
        designs = self._rng.integers(len(places), size=PAIRS)
        rows = problem.pair_scores(networks, places)[np.arange(PAIRS), designs]
        self._layers = np.maximum(problem.weights.max(axis=0), 1.0)
        self._offset, self._scale = float(rows.mean()), float(rows.std()) + 1e-9
        inputs = self._inputs(problem.weights[networks], self._one_hot(places[designs]))
        self._net = _net(inputs.shape[1], seeds.child("weights"))
        self._fit(inputs, torch.from_numpy((rows - self._offset) / self._scale).float())
        self._logits = torch.zeros(sum(self._sizes), requires_grad=True)
        self._adam = torch.optim.Adam([self._logits], lr=SEARCH_RATE)

    def _fit(self, inputs: Tensor, targets: Tensor) -> None:
        adam = torch.optim.Adam(self._net.parameters(), lr=3e-3)
        for _ in range(EPOCHS):
            batch = torch.from_numpy(self._rng.integers(len(inputs), size=256))
            loss = ((self._net(inputs[batch])[:, 0] - targets[batch]) ** 2).mean()
            adam.zero_grad()
            loss.backward()
            adam.step()
        for parameter in self._net.parameters():
            parameter.requires_grad_(False)

    def soft_minimum(self, counts: Tensor, temperature: float) -> Tensor:
        """The learnt log objective at the present distribution over designs; scalar.

        Args:
            counts: float64 (L,): expected counts, differentiable.
            temperature: Unused: there is one design, the relaxed one.
        """
        layers = (counts / torch.from_numpy(self._layers)).float()
        out = self._net(torch.cat([layers, self._relaxed().detach()])[None])[0, 0]
        scaled: Tensor = out.double() * self._scale + self._offset
        return scaled

    def descend(self, weights: FloatArray) -> None:
        """One step of the distribution over designs for a weighting of layers (L,)."""
        layers = torch.from_numpy(weights / self._layers).float()
        loss = self._net(torch.cat([layers, self._relaxed()])[None])[0, 0]
        self._adam.zero_grad()
        loss.backward()
        self._adam.step()

    def propose(self, ledger: Ledger, weights: FloatArray) -> None:
        """Draw designs, withhold what cannot be built, price the rest of the budget."""
        for _ in range(MOST_DRAWS):
            if ledger.designs_left < 1:
                break
            drawn = [self._rng.choice(len(p), size=DRAWS, p=p) for p in self._distributions()]
            designs = np.stack(drawn, axis=1).astype(np.int64)
            can = self._problem.designs.contains(designs)
            ledger.unrealizable += int((~can).sum())
            places = self._problem.places(designs[can])
            _, first = np.unique(places, return_index=True)
            ledger.price(places[np.sort(first)][: ledger.designs_left])

    def _relaxed(self) -> Tensor:
        parts = torch.split(self._logits, list(self._sizes))
        return torch.cat([torch.softmax(part, 0) for part in parts])

    def _distributions(self) -> list[FloatArray]:
        parts = torch.split(self._relaxed().detach().double(), list(self._sizes))
        return [(part / part.sum()).numpy() for part in parts]

    def _one_hot(self, places: IntArray) -> FloatArray:
        """Designs by place as one-hot rows, float64 (B, V)."""
        indices = self._problem.space.unravel(self._problem.designs.flat[places])
        rows = np.zeros((len(places), sum(self._sizes)))
        rows[np.arange(len(places))[:, None], indices + np.array(self._starts)] = 1.0
        return rows

    def _inputs(self, weights: FloatArray, hardware: FloatArray) -> Tensor:
        return torch.from_numpy(np.concatenate([weights / self._layers, hardware], axis=1)).float()


def _net(inputs: int, seeds: Seeds) -> nn.Sequential:
    generator = torch.Generator().manual_seed(seeds.integer())
    widths = (inputs, HIDDEN, HIDDEN, 1)
    net = nn.Sequential()
    for before, after in pairwise(widths):
        # The constructor alone would draw from torch's global generator.
        layer: nn.Linear = nn.utils.skip_init(nn.Linear, before, after)  # type: ignore[no-untyped-call]
        nn.init.kaiming_uniform_(layer.weight, generator=generator)
        nn.init.zeros_(layer.bias)
        net.extend([layer, nn.ReLU()] if after != 1 else [layer])
    return net
