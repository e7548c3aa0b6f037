"""Training a network from scratch: SGD with momentum, a cosine, label smoothing; resumable at any step."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from rhnas.errors import CheckpointError
from rhnas.nas.batches import Batches, accuracy, cosine
from rhnas.nas.data.dataset import DataSet, Part
from rhnas.seeds import Seeds
from rhnas.settings import TrainSettings

MOMENTUM = 0.9
"""Of SGD, with Nesterov's correction."""
WARMUP_EPOCHS = 1.0
"""Over which the learning rate rises; at most a tenth of the training."""


class Training:
    """A network on its way; the caller owns the loop.

    Args:
        network: Trained in place.
        settings: The recipe.
        data: Its training part is learnt from.
        seeds: Its child ``batches`` gives orders and augmentation.

    Attributes:
        position: Steps done.
    """

    def __init__(self, network: nn.Module, settings: TrainSettings, data: DataSet, seeds: Seeds) -> None:
        self.network = network
        self.settings = settings
        self.batches = Batches(data, settings.batch, seeds.child("batches"))
        self.position = 0
        # Scales, shifts and biases are not decayed: a penalty on them only fights the normalisation.
        decayed = [p for p in network.parameters() if p.ndim > 1]
        free = [p for p in network.parameters() if p.ndim == 1]
        self.optimizer = torch.optim.SGD(
            [
                {"params": decayed, "weight_decay": settings.weight_decay},
                {"params": free, "weight_decay": 0.0},
            ],
            lr=settings.learning_rate,
            momentum=MOMENTUM,
            nesterov=True,
            fused=True,
        )

    @property
    def steps(self) -> int:
        """Steps of the whole training."""
        return self.settings.epochs * self.batches.per_epoch

    @property
    def finished(self) -> bool:
        """Whether all steps are done."""
        return self.position >= self.steps

    def step(self) -> float:
        """Train on the next batch; its loss."""
        pictures, labels = self.batches.at(self.position)
        warmup = min(WARMUP_EPOCHS / self.settings.epochs, 0.1)
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * cosine((self.position + 1) / (self.steps + 1), warmup)
        self.network.train()
        self.optimizer.zero_grad(set_to_none=True)
        loss = functional.cross_entropy(
            self.network(pictures), labels, label_smoothing=self.settings.label_smoothing
        )
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.position += 1
        return loss.item()

    def state(self) -> dict[str, Any]:
        """Everything a resumed training needs, as tensors and plain values."""
        return {
            "position": self.position,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from ``state``.

        Raises:
            CheckpointError: The state is of another network or recipe.
        """
        try:
            self.network.load_state_dict(state["network"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.position = int(state["position"])
        except (KeyError, RuntimeError, ValueError) as error:
            raise CheckpointError(
                "the checkpoint must be of this training", got=error, fix="start anew with --overwrite"
            ) from error


def evaluate(network: nn.Module, data: DataSet, part: Part) -> float:
    """Fraction of a part's pictures that a network classifies right, with its running statistics."""
    return accuracy(network.eval(), data, part)
