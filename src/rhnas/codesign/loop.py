"""The joint search: reinforcement learning over accelerators, gradients over networks, one cost table.

Every ``every`` steps of alpha the agent proposes designs for the network as it is expected at that moment;
the whole archive is scored anew at that alpha; alpha then descends on the soft minimum over the best designs
(METHOD 5, "no chasing"). At the end hardware and network answer each other until nothing changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from rhnas.codesign.archive import layer_weights
from rhnas.codesign.hardware import HardwareSide
from rhnas.codesign.schemes.responses import AgentResponse, Moment, Response
from rhnas.codesign.settle import Settled, Settlement
from rhnas.nas.expectation import table_loss
from rhnas.nas.search import DifferentiableSearch
from rhnas.nas.strategies.base import StepResult
from rhnas.networks.spaces.base import Architecture
from rhnas.networks.tables import LayerCounts
from rhnas.platform import Objective
from rhnas.seeds import Seeds
from rhnas.settings import AgentSettings
from rhnas.workload import FloatArray


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What one turn of the search came to.

    Attributes:
        step: Steps of the network search so far.
        steps: Of the whole search.
        learning: Whether alpha moved.
        evaluations: Distinct designs costed so far.
        design: The archive's best design at this alpha, by name of the choice.
        proposed: Log objective of the designs proposed in this turn, less the baseline's.
        best: The same of the archive's best design.
        cycles: Expected cycles on that design.
        energy_pj: Expected energy on that design.
        entropy: Mean over decisions of the entropy of alpha, as a fraction of the greatest possible.
        loss: Mean cross-entropy of the drawn networks since the last trial.
        accuracy: Mean training accuracy of the drawn networks since then.
    """

    step: int
    steps: int
    learning: bool
    evaluations: int
    design: dict[str, int]
    proposed: tuple[float, ...]
    best: float
    cycles: float
    energy_pj: float
    entropy: float
    loss: float
    accuracy: float


class CoDesign:
    """Iterate it to search; every item is a ``Trial``.

    With a hardware side that has no agent this is plain hardware-aware search for the baseline accelerator;
    with ``weight`` 0 it is plain architecture search: the baselines are this loop, not another one.

    Args:
        networks: The network side.
        hardware: The hardware side, its archive over the network space's layers.
        objective: What is minimised.
        weight: Lambda, loss per unit of log cost.
        settings: When and how much the agent proposes, and the soft minimum.
        response: How the hardware side answers; the agent at every turn if None.
    """

    def __init__(
        self,
        networks: DifferentiableSearch,
        hardware: HardwareSide,
        *,
        objective: Objective,
        weight: float,
        settings: AgentSettings,
        response: Response | None = None,
    ) -> None:
        self.networks = networks
        self.hardware = hardware
        self.counts = LayerCounts.of(networks.supernet.space)
        self.objective = objective
        self.weight = weight
        self.settings = settings
        self.response = response or AgentResponse()

    def __iter__(self) -> Iterator[Trial]:
        """Search to the end; safe to save between items."""
        while not self.networks.finished:
            weights = self.counts.expected(self.networks.supernet.probabilities())
            learning = self.networks.learning
            proposed = self._turn(weights) if learning else np.zeros(0)
            yield self._trial(weights, proposed, self._steps(), learning)

    def _turn(self, weights: FloatArray) -> FloatArray:
        """The hardware side answers; alpha gets the table of the designs that count."""
        moment = Moment(
            weights=weights,
            share=self.networks.learnt,
            likeliest=lambda: self.weights_of(self.networks.strategy.derive()),
        )
        proposed, rows = self.response.turn(self.hardware, moment, self.settings)
        if self.weight > 0:
            table = self.hardware.archive.table(rows, self.counts, weights)
            softest = table_loss(table, self.objective, self.settings.temperature)
            self.networks.cost = lambda probabilities: self.weight * softest(probabilities)
        return proposed

    def _steps(self) -> list[StepResult]:
        """Steps of the network side until the agent's next turn; a turn opens the steps that move alpha."""
        learning = self.networks.learning
        results = [self.networks.step()]
        while (
            len(results) < self.settings.every
            and not self.networks.finished
            and self.networks.learning == learning
        ):
            results.append(self.networks.step())
        return results

    def _trial(
        self, weights: FloatArray, proposed: FloatArray, results: list[StepResult], learning: bool
    ) -> Trial:
        archive = self.hardware.archive
        totals = archive.totals(weights)
        scores = self.hardware.scores(weights)
        best = int(np.argmin(scores))
        return Trial(
            step=self.networks.position,
            steps=self.networks.steps,
            learning=learning,
            evaluations=self.hardware.evaluations,
            design=archive.row(best),
            proposed=tuple(proposed.tolist()),
            best=float(scores[best]),
            cycles=float(totals.cycles[best]),
            energy_pj=float(totals.energy_pj[best]),
            entropy=relative_entropy(self.networks.supernet.probabilities()),
            loss=float(np.mean([result.loss for result in results])),
            accuracy=float(np.mean([result.accuracy for result in results])),
        )

    def weights_of(self, architecture: Architecture) -> FloatArray:
        """How often each layer of the archive runs in one network, float64 (L,)."""
        return layer_weights(self.counts, architecture)

    def settle(self, candidates: int, seeds: Seeds) -> Settled:
        """Alternate best hardware for the network and best network for that hardware to a fixed point.

        Args:
            candidates: Networks that may be scored with the supernet's weights.
            seeds: Of the local searches.
        """
        return Settlement(self, candidates, seeds).run()

    def state(self) -> dict[str, Any]:
        """Both sides, between two trials."""
        sides = {"networks": self.networks.state(), "hardware": self.hardware.state()}
        return {**sides, "response": self.response.state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from ``state``; the next trial is the one that would have come."""
        self.networks.restore(state["networks"])
        self.hardware.restore(state["hardware"])
        self.response.restore(state["response"])


def relative_entropy(probabilities: list[FloatArray]) -> float:
    """Mean over decisions of the entropy as a fraction of its maximum; decisions without a choice count not.

    Example:
        >>> relative_entropy([np.array([0.5, 0.5]), np.array([1.0, 0.0]), np.array([1.0])])
        0.5
    """
    values = [
        float(-(row[row > 0] * np.log(row[row > 0])).sum() / np.log(len(row)))
        for row in probabilities
        if len(row) > 1
    ]
    return float(np.mean(values)) if values else 0.0
