"""How the hardware side of a joint search answers a network that moves: three ways behind one interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from rhnas.codesign.hardware import HardwareSide
from rhnas.settings import AgentSettings
from rhnas.workload import FloatArray, IntArray

JOINT_SHARE = 0.5
"""Of the evaluations, spent while alpha moves; the rest answers fixed networks at the end."""
TURNS = 4
"""Of alternation: so often a design is held while alpha moves."""
REPEATS = 20
"""Proposals per evaluation that a held network's hardware search may make; known designs are free."""
NEGLIGIBLE = 20.0
"""Temperatures above the least score at which a design no longer counts in a soft minimum (2e-9 of it)."""
MOST_DESIGNS = 1 << 13
"""Designs that are costed on every layer of a network space where all are; bounds time and memory."""


@dataclass(frozen=True, kw_only=True)
class Moment:
    """Where a search stands when the hardware side is asked.

    Attributes:
        weights: float64 (L,): how often each distinct layer is expected to run.
        share: Of the steps in which alpha moves, done.
        likeliest: Gives the same weights of the most probable network, float64 (L,).
    """

    weights: FloatArray
    share: float
    likeliest: Callable[[], FloatArray]


class Response(ABC):
    """Decides which designs alpha descends on."""

    @abstractmethod
    def turn(
        self, hardware: HardwareSide, moment: Moment, settings: AgentSettings
    ) -> tuple[FloatArray, IntArray]:
        """Search hardware as far as this way does.

        Args:
            hardware: The agent and its archive.
            moment: Where the search stands.
            settings: Budgets.

        Returns:
            Scores of the designs proposed, float64 (n,), and the rows of the archive whose soft minimum alpha
            descends on until the next turn, int64 (k,).
        """

    def state(self) -> dict[str, Any]:
        """What has to be kept across a kill, beside the hardware side's own."""
        return dict(vars(self))

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from ``state``."""
        vars(self).update(state)


@final
class AgentResponse(Response):
    """The agent proposes at every turn; alpha descends on the best designs of all that were visited."""

    def turn(
        self, hardware: HardwareSide, moment: Moment, settings: AgentSettings
    ) -> tuple[FloatArray, IntArray]:
        """A batch of proposals for the expected network; evaluations are spent as evenly as alpha moves."""
        most = max(1, int(JOINT_SHARE * settings.evaluations))
        budget = min(most, int(most * moment.share) + settings.batch)
        proposed = hardware.turn(moment.weights, settings.batch, budget)
        return proposed, hardware.best(moment.weights, settings.archive)


@final
class AlternationResponse(Response):
    """A design is held while alpha moves, then the likeliest network while the agent looks for a design."""

    def __init__(self) -> None:
        self._turn = 0
        self._held = 0  # the archive's first design is the baseline accelerator

    def turn(
        self, hardware: HardwareSide, moment: Moment, settings: AgentSettings
    ) -> tuple[FloatArray, IntArray]:
        """A hardware search wherever another share of alpha's steps is done; nothing in between."""
        proposed = np.zeros(0)
        due = min(TURNS - 1, int(moment.share * TURNS))
        if due > self._turn:
            self._turn = due
            budget = max(1, int(JOINT_SHARE * settings.evaluations * due / (TURNS - 1)))
            network = moment.likeliest()
            proposed = hardware.turn(network, REPEATS * budget, budget)
            self._held = int(hardware.best(network)[0])
        return proposed, np.array([self._held])


@final
class ExactResponse(Response):
    """Alpha descends on the soft minimum over all designs: Danskin's gradient, the yardstick of an agent."""

    def turn(
        self, hardware: HardwareSide, moment: Moment, settings: AgentSettings
    ) -> tuple[FloatArray, IntArray]:
        """Every design that counts at this alpha; the first turn costs all of them."""
        hardware.visit_all()
        scores = hardware.archive.scores(moment.weights)
        near = np.flatnonzero(scores <= scores.min() + NEGLIGIBLE * settings.temperature)
        return np.zeros(0), near


RESPONSES: dict[str, Callable[[], Response]] = {
    "agent": AgentResponse,
    "alternation": AlternationResponse,
    "exact": ExactResponse,
}
"""By the word in ``NetworkSearch.response``."""
