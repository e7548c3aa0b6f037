"""Differentiable architecture search as an object one can step, save, restore and ask for networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rhnas.errors import CheckpointError, SettingsError
from rhnas.nas.batches import Batches, accuracy, cosine, generator
from rhnas.nas.data.dataset import DataSet
from rhnas.nas.expectation import CostLoss
from rhnas.nas.strategies.base import StepResult, Strategy
from rhnas.nas.strategies.dsnas import Dsnas
from rhnas.nas.supernet import SuperNet
from rhnas.networks.spaces.base import Architecture
from rhnas.seeds import Seeds
from rhnas.settings import NasSettings

STRATEGIES: dict[str, type[Dsnas]] = {"dsnas": Dsnas}
"""Strategies by name."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A derived network and its accuracy on the validation part with the supernet's weights."""

    architecture: Architecture
    accuracy: float


class DifferentiableSearch:
    """A supernet, the strategy that trains it and the data it learns from.

    A step is a pure function of the state and the seeds, so a restored search goes on as if never stopped.

    Args:
        supernet: What is trained.
        settings: Epochs, rates and the like.
        data: Weights and alpha learn from its training part; its validation part chooses among candidates.
        seeds: Its children: ``batches``, ``draws``, ``derive``.

    Attributes:
        cost: Weighted cost loss that alpha also descends on; may be exchanged between steps.
        position: Steps done.

    Raises:
        SettingsError: There is no strategy of that name.
    """

    def __init__(
        self,
        supernet: SuperNet,
        settings: NasSettings,
        data: DataSet,
        seeds: Seeds,
    ) -> None:
        if settings.strategy not in STRATEGIES:
            raise SettingsError(f"nas.strategy must be one of {sorted(STRATEGIES)}", got=settings.strategy)
        self.supernet = supernet
        self.settings = settings
        self.data = data
        self.seeds = seeds
        self.strategy: Strategy = STRATEGIES[settings.strategy](supernet, settings)
        self.batches = Batches(data, settings.batch, seeds.child("batches"))
        self.cost: CostLoss | None = None
        self.position = 0

    @property
    def steps(self) -> int:
        """Steps of the whole search."""
        return self.settings.epochs * self.batches.per_epoch

    @property
    def finished(self) -> bool:
        """Whether all steps are done."""
        return self.position >= self.steps

    @property
    def learning(self) -> bool:
        """Whether alpha moves at the next step: warm-up is over."""
        return self.position >= self.settings.warmup * self.batches.per_epoch

    def step(self) -> StepResult:
        """Train on the next batch."""
        pictures, labels = self.batches.at(self.position)
        result = self.strategy.step(
            pictures,
            labels,
            seeds=self.seeds.child("draws").child(str(self.position)),
            rate=self.settings.learning_rate * cosine(self.position / self.steps),
            cost=self.cost,
            learn=self.learning,
        )
        self.position += 1
        return result

    def accuracy(self, architecture: Architecture) -> float:
        """Validation accuracy of a network with the supernet's weights and batch statistics."""
        draw = self.supernet.path(architecture)
        return accuracy(lambda pictures: self.supernet(pictures, draw), self.data, self.data.validation)

    def derive(self, n: int = 1) -> tuple[Candidate, ...]:
        """Up to ``n`` distinct networks, the most accurate first: the result and draws from alpha.

        The strategy's own result is always among them; with ``n`` = 1 it is the only one.
        """
        draws = generator(self.seeds.child("derive"))
        found = {self.strategy.derive(): None}
        for _ in range(20 * n):
            if len(found) >= n:
                break
            found[self.supernet.draw(draws).architecture] = None
        scored = [Candidate(architecture=a, accuracy=self.accuracy(a)) for a in found]
        return tuple(sorted(scored, key=lambda candidate: -candidate.accuracy))

    def state(self) -> dict[str, Any]:
        """Everything a resumed search needs, as tensors and plain values."""
        return {
            "position": self.position,
            "supernet": self.supernet.state_dict(),
            "strategy": self.strategy.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from ``state``; whatever is drawn next is as if never interrupted.

        Raises:
            CheckpointError: The state is of another space or settings.
        """
        try:
            self.supernet.load_state_dict(state["supernet"])
            self.strategy.restore(state["strategy"])
            self.position = int(state["position"])
        except (KeyError, RuntimeError, ValueError) as error:
            raise CheckpointError(
                "the checkpoint must be of this search", got=error, fix="start anew with --overwrite"
            ) from error
