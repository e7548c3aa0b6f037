"""The search as a Gymnasium environment: one factor per step, one design per episode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from rhnas.agents.base import SearchContext
from rhnas.workload import BoolArray, IntArray

Price = Callable[[IntArray | None], float | None]
"""From a complete design int64 (D,), or None for a dead end, to its log objective; None where unusable."""

FEATURE_BOUND = 10.0
"""Context features are clipped to this; they are roughly within -2 and 2."""


class AcceleratorEnv(gymnasium.Env[NDArray[np.float32], int]):  # type: ignore[misc]
    """Choose the factors of a design one after another; the reward comes with the last.

    An action is the position of a value among those of the factor whose turn it is. Legend: D choices,
    F features, V values of all choices side by side, M the most values a choice has.

    - Observation float32 (F + V + D,): context features, the values chosen so far one-hot, whose turn it is.
    - Reward: log cost of the first design priced minus log cost of this one; 0 before the last factor.
    - A value that the factor does not have, or after which no realizable design is left, ends the episode
      with the worst reward so far less one, and costs no evaluation. ``action_masks`` names those that are
      left; an agent that respects them never meets a dead end.

    Args:
        context: What is searched; it may be replaced between episodes by one with as many features.
        price: Asked once at the end of every episode.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 - Gymnasium's own declaration

    def __init__(self, context: SearchContext, price: Price) -> None:
        self.context = context
        self.price = price
        self._sizes = context.designs.space.shape
        self._starts = np.cumsum([0, *self._sizes[:-1]])
        self._chosen: list[int] = []
        self._reference: float | None = None
        self._worst = 0.0
        length = len(context.features) + sum(self._sizes) + len(self._sizes)
        self.action_space = gymnasium.spaces.Discrete(max(self._sizes))
        self.observation_space = gymnasium.spaces.Box(-FEATURE_BOUND, FEATURE_BOUND, (length,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """A new design with nothing chosen; the environment itself holds no randomness."""
        super().reset(seed=seed)
        self._chosen = []
        return self._observation(), {}

    def step(self, action: int) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Choose a value of the factor whose turn it is."""
        if not self.action_masks()[int(action)]:
            self.price(None)
            return self._observation(), self._worst - 1.0, True, False, {"realizable": False}
        self._chosen.append(int(action))
        if len(self._chosen) < len(self._sizes):
            return self._observation(), 0.0, False, False, {}
        design = np.array(self._chosen, dtype=np.int64)
        return self._observation(), self._reward(design), True, False, {"realizable": True, "design": design}

    def _reward(self, design: IntArray) -> float:
        value = self.price(design)
        if value is None:
            return self._worst - 1.0
        if self._reference is None:
            self._reference = value
        self._worst = min(self._worst, self._reference - value)
        return self._reference - value

    def action_masks(self) -> BoolArray:
        """Which actions still lead to a realizable design, bool (M,)."""
        masks = np.zeros(max(self._sizes), dtype=np.bool_)
        if len(self._chosen) < len(self._sizes):
            prefix = np.array([self._chosen], dtype=np.int64).reshape(1, -1)
            masks[: self._sizes[len(self._chosen)]] = self.context.designs.mask(prefix)[0]
        return masks

    def _observation(self) -> NDArray[np.float32]:
        prefix = np.zeros(sum(self._sizes), dtype=np.float32)
        prefix[self._starts[: len(self._chosen)] + np.array(self._chosen, dtype=np.int64)] = 1.0
        turn = np.zeros(len(self._sizes), dtype=np.float32)
        turn[min(len(self._chosen), len(self._sizes) - 1)] = 1.0
        features = np.clip(self.context.features, -FEATURE_BOUND, FEATURE_BOUND).astype(np.float32)
        return np.concatenate([features, prefix, turn])
