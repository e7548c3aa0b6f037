"""Training a network from scratch: SGD with momentum, a cosine, label smoothing; resumable at any step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from rhnas.errors import CheckpointError
from rhnas.nas.arithmetic import Arithmetic
from rhnas.nas.batches import Batches, accuracy, cosine
from rhnas.nas.data.dataset import DataSet, Part
from rhnas.nas.pieces import Pieces
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
        arithmetic: What it computes in.

    Attributes:
        position: Steps done.
        pieces: In how many a batch is computed.
    """

    def __init__(
        self,
        network: nn.Module,
        settings: TrainSettings,
        data: DataSet,
        seeds: Seeds,
        arithmetic: Arithmetic | None = None,
    ) -> None:
        self.network = network
        self.settings = settings
        augmentation = replace(data.augmentation, cutout=settings.cutout)
        data = replace(data, augmentation=augmentation)
        self.batches = Batches(data, settings.batch, seeds.child("batches"))
        self.position = 0
        self.pieces = Pieces(settings.label_smoothing, arithmetic)
        self._average = _averaged(network, settings.average)
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

    @property
    def trained(self) -> nn.Module:
        """The network to keep: the average of the weights where one is asked for, else the last."""
        return self.network if self._average is None else self._average.module

    def step(self) -> Tensor:
        """Train on the next batch; its loss, a scalar on the device."""
        pictures, labels = self.batches.at(self.position)
        warmup = min(WARMUP_EPOCHS / self.settings.epochs, 0.1)
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * cosine((self.position + 1) / (self.steps + 1), warmup)
        self.network.train()
        loss, _ = self.pieces.gradient(self.network, pictures, labels, list(self.network.parameters()))
        self.optimizer.step()
        if self._average is not None:
            self._average.update_parameters(self.network)
        self.position += 1
        return loss

    def state(self) -> dict[str, Any]:
        """Everything a resumed training needs, as tensors and plain values."""
        return {
            "position": self.position,
            "pieces": self.pieces.count,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": None if self._average is None else self._average.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from ``state``.

        Raises:
            CheckpointError: The state is of another network or recipe.
        """
        try:
            self.network.load_state_dict(state["network"])
            self.optimizer.load_state_dict(state["optimizer"])
            if self._average is not None:
                self._average.load_state_dict(state["average"])
            self.position, self.pieces.count = int(state["position"]), int(state["pieces"])
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise CheckpointError(
                "the checkpoint must be of this training", got=error, fix="start anew with --overwrite"
            ) from error


def _averaged(network: nn.Module, decay: float) -> AveragedModel | None:
    """A moving average of weights and of running statistics, None for no decay."""
    if decay == 0:
        return None
    average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    return AveragedModel(network, multi_avg_fn=average, use_buffers=True)


def evaluate(network: nn.Module, data: DataSet, part: Part) -> float:
    """Fraction of a part's pictures that a network classifies right, with its running statistics."""
    return accuracy(network.eval(), data, part)


def halved(network: nn.Module) -> dict[str, Tensor]:
    """A network's state on the CPU with kernels and matrices in half precision, as trained weights are kept.

    That is finer than the integers they become, and half of the bytes. Statistics, scales and biases stay as
    they are: a variance may be beyond half precision.

    Example:
        >>> {key: value.dtype for key, value in halved(nn.Linear(2, 2)).items()}
        {'weight': torch.float16, 'bias': torch.float32}
    """
    state = {key: value.cpu() for key, value in network.state_dict().items()}
    return {key: value.half() if value.ndim > 1 else value for key, value in state.items()}
