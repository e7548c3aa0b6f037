"""Training a network from scratch: SGD with momentum, a cosine, label smoothing; resumable at any step."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from rhnas.errors import CheckpointError
from rhnas.nas.batches import Augment, Batches, Split, cosine
from rhnas.seeds import Seeds
from rhnas.settings import TrainSettings

MOMENTUM = 0.9
"""Of SGD, with Nesterov's correction."""
WARMUP_EPOCHS = 1.0
"""Over which the learning rate rises; at most a tenth of the training."""
EVALUATION_BATCH = 500
"""Pictures per forward pass of an evaluation; does not change its result."""


class Training:
    """A network on its way; the caller owns the loop.

    Args:
        network: Trained in place.
        settings: The recipe.
        train: Training pictures.
        seeds: Its child ``batches`` gives orders and augmentation.
        augment: Applied to training batches.

    Attributes:
        position: Steps done.
    """

    def __init__(
        self,
        network: nn.Module,
        settings: TrainSettings,
        *,
        train: Split,
        seeds: Seeds,
        augment: Augment | None = None,
    ) -> None:
        self.network = network
        self.settings = settings
        self.batches = Batches(train, settings.batch, seeds.child("batches"), augment)
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


def evaluate(network: nn.Module, split: Split) -> float:
    """Fraction of pictures a network classifies right, with its running statistics."""
    network.eval()
    right = 0
    with torch.no_grad():
        for first in range(0, len(split[1]), EVALUATION_BATCH):
            part = slice(first, first + EVALUATION_BATCH)
            right += int((network(split[0][part]).argmax(1) == split[1][part]).sum())
    return right / len(split[1])
