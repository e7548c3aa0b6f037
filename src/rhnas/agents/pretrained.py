"""An agent that has learnt the space: it answers at once, and goes on from its answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any, final

import numpy as np
import torch

from rhnas.agents.base import HardwareAgent, SearchContext
from rhnas.agents.descent import Descent
from rhnas.agents.moves import Asked, one_factor_moves, two_factor_moves
from rhnas.agents.policy_file import load_policy, shipped
from rhnas.platform import Outcome
from rhnas.seeds import Seeds
from rhnas.space import FeasibleSet
from rhnas.workload import FloatArray, IntArray

TEMPERATURES = (1.0, 2.0, 5.0, 100.0)
"""Of the policy, raised in this order while its samples are known."""

SAMPLES = 16
"""Drawn at a time where a search starts anew."""


@final
class PretrainedAgent(HardwareAgent):
    """First the policy's own answer, then local search from it, then from samples of the policy.

    Neighbours are tried in the order of their probability under the policy. A workload that moves is answered
    anew. The weights stay as they are; ``ppo`` with the option ``pretrained`` goes on learning from them.

    Args:
        designs: The feasible designs.
        seeds: Where samples come from.
        pretrained: The file that ``rhnas pretrain`` wrote; if empty, the one that comes for the space.
    """

    def __init__(self, designs: FeasibleSet, seeds: Seeds, pretrained: str = "") -> None:
        space = designs.space
        self._policy = load_policy(Path(pretrained) if pretrained else shipped(space.name), space)
        self._generator = torch.Generator().manual_seed(seeds.child("pretrained").integer())
        self._asked = Asked(designs.space.points)
        self._rng = seeds.child("restarts").numpy()
        moves = one_factor_moves, two_factor_moves
        self._descent = Descent(moves, self._asked, self._rng, self._likeliest_first)
        self._features: FloatArray | None = None

    def ask(self, n: int, context: SearchContext) -> IntArray:
        """One design: the answer, then the moves of a descent."""
        if self._features is None or not np.array_equal(self._features, context.features):
            self._features = context.features
            self._descent.begin(self._policy.answer(self._seen(context), context.designs))
        elif not self._descent.ready(context):
            self._descent.begin(self._sample(context))
        return self._descent.ask(context)

    def tell(self, designs: IntArray, outcome: Outcome) -> None:
        """Step to the design if it is better."""
        self._descent.tell(designs, outcome)

    def _seen(self, context: SearchContext) -> torch.Tensor:
        return torch.from_numpy(context.features).float()

    def _sample(self, context: SearchContext) -> IntArray:
        """A sample of the policy that was never asked for, or any design that was not, int64 (D,)."""
        for temperature in TEMPERATURES:
            sampled = self._policy.sample(
                self._seen(context), context.designs, SAMPLES, temperature, self._generator
            )[0].numpy()
            new = sampled[~self._asked.knows(context.designs.space.ravel(sampled))]
            if len(new):
                return np.asarray(new[0])
        return self._descent.restart(context)

    def _likeliest_first(self, context: SearchContext, moves: IntArray) -> IntArray:
        likelihood = self._policy.likelihood(self._seen(context), context.designs, moves)
        return np.asarray(moves[likelihood.argsort(descending=True, stable=True).numpy()])

    def state(self) -> dict[str, Any]:
        """The weights, the descent, the designs asked for and the generators."""
        return {
            "policy": self._policy.state_dict(),
            "descent": self._descent.state(),
            "asked": self._asked.state(),
            "generator": self._generator.get_state(),
            "rng": self._rng.bit_generator.state,
            "features": self._features,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from ``state``."""
        self._policy.load_state_dict(state["policy"])
        self._asked.restore(state["asked"])
        self._descent.restore(state["descent"])
        self._generator.set_state(state["generator"])
        self._rng.bit_generator.state = state["rng"]
        self._features = state["features"]
