"""Differentiable architecture search as an object one can step, save, restore and ask for networks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch

from rhnas.errors import CheckpointError, DataError
from rhnas.nas.batches import Batches, accuracy, cosine, generator
from rhnas.nas.data.dataset import DataSet
from rhnas.nas.expectation import CostLoss
from rhnas.nas.strategies.base import StepResult, Strategy, Turn
from rhnas.nas.strategies.registry import make_strategy
from rhnas.nas.supernet import SuperNet
from rhnas.networks.spaces.base import Architecture
from rhnas.seeds import Seeds
from rhnas.settings import NasSettings


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
        data: Weights and alpha learn from its training part, or each from a share of it as the strategy has
            it; its validation part chooses among candidates.
        seeds: Its children: ``split``, ``batches``, ``held_out``, ``draws``, ``derive``.

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
        self.supernet = supernet
        self.settings = settings
        self.data = data
        self.seeds = seeds
        self.strategy: Strategy = make_strategy(supernet, settings)
        weights, held_out = split(data, self.strategy.held_out, seeds.child("split"))
        self.batches = Batches(weights, settings.batch, seeds.child("batches"))
        self.held_out = held_out and Batches(held_out, settings.batch, seeds.child("held_out"))
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
    def every(self) -> int:
        """Steps of the weights per step of alpha: both then finish an epoch of their pictures together."""
        share = self.strategy.held_out
        return round((1 - share) / share) if share else 1

    @property
    def learning(self) -> bool:
        """Whether alpha moves: warm-up is over."""
        return self.position >= self._warmup

    @property
    def learnt(self) -> float:
        """How much of the steps that move alpha is done, 0 to 1."""
        return max(0, self.position - self._warmup) / max(1, self.steps - self._warmup)

    @property
    def _warmup(self) -> int:
        return self.settings.warmup * self.batches.per_epoch

    def step(self) -> StepResult:
        """Train on the next batch."""
        pictures, labels = self.batches.at(self.position)
        learn = self.learning and self.position % self.every == 0
        turn = Turn(
            pictures=pictures,
            labels=labels,
            held_out=self.held_out.at(self.position // self.every) if self.held_out and learn else None,
            seeds=self.seeds.child("draws").child(str(self.position)),
            rate=self.settings.learning_rate * cosine(self.position / self.steps),
            progress=self.position / self.steps,
            cost=self.cost,
            learn=learn,
        )
        result = self.strategy.step(turn)
        self.position += 1
        return result

    def accuracy(self, architecture: Architecture) -> float:
        """Validation accuracy of a network with the supernet's weights and batch statistics."""
        path = self.supernet.path(architecture).mixture
        return accuracy(lambda pictures: self.supernet(pictures, path), self.data, self.data.validation)

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


def split(data: DataSet, share: float, seeds: Seeds) -> tuple[DataSet, DataSet | None]:
    """Data for the weights, and a random share of the training part for alpha; None for a share of 0.

    Raises:
        DataError: Either part is left with fewer than two pictures.
    """
    if share == 0:
        return data, None
    order = torch.randperm(len(data.train), generator=generator(seeds))
    count = round(share * len(data.train))
    if min(count, len(data.train) - count) < 2:
        raise DataError(
            f"training pictures must leave two for alpha's share of {share:.0%} and two for the weights",
            got=len(data.train),
        )
    chosen, kept = order[:count], order[count:]
    return replace(data, train=data.train.take(kept)), replace(data, train=data.train.take(chosen))
