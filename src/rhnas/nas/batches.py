"""Batches as a pure function of the step: what makes training resumable at any step."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from rhnas.errors import DataError
from rhnas.nas.data.dataset import DataSet, Part
from rhnas.seeds import Seeds

EVALUATION_BATCH = 500
"""Greatest number of pictures per forward pass of an evaluation."""


def generator(seeds: Seeds) -> torch.Generator:
    """A fresh torch generator, always in the same initial state for this node."""
    return torch.Generator().manual_seed(seeds.integer())


def cosine(progress: float, warmup: float = 0.0) -> float:
    """Factor of the learning rate: linear up to 1 during ``warmup``, then along a cosine to 0.

    Example:
        >>> [round(cosine(p), 2) for p in (0.0, 0.5, 1.0)]
        [1.0, 0.5, 0.0]
    """
    if progress < warmup:
        return progress / warmup
    return 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))


class Batches:
    """Shuffled, augmented, normalised training batches; what is left of an epoch is less than a batch.

    Args:
        data: Its training part is drawn from.
        size: Pictures per batch; at most the whole part.
        seeds: Orders come from its children ``order/EPOCH``, augmentation from ``augment/STEP``.

    Raises:
        DataError: Fewer than two pictures: batch statistics need more.

    Example:
        >>> from rhnas.nas.data.load import load_data
        >>> batches = Batches(load_data("digits", Seeds(root=0)), 64, Seeds(root=0))
        >>> batches.per_epoch, batches.at(3)[0].shape
        (12, torch.Size([64, 1, 8, 8]))
    """

    def __init__(self, data: DataSet, size: int, seeds: Seeds) -> None:
        if len(data.train) < 2:
            raise DataError("training must have at least two pictures", got=len(data.train))
        self.data = data
        self.size = min(size, len(data.train))
        self.seeds = seeds
        self._epoch, self._order = -1, torch.empty(0)

    @property
    def per_epoch(self) -> int:
        """Batches in an epoch."""
        return len(self.data.train) // self.size

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        """The batch of a step, counted from 0 over all epochs: float32 (N, C, H, W) and int64 (N,)."""
        epoch, index = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            shuffle = generator(self.seeds.child("order").child(str(epoch)))
            self._epoch, self._order = epoch, torch.randperm(len(self.data.train), generator=shuffle)
        part = self.data.train.take(self._order[index * self.size : (index + 1) * self.size])
        part = part.to(self.data.device)
        draws = generator(self.seeds.child("augment").child(str(step)))
        return prepare(self.data, self.data.augmentation(part.pictures, draws)), part.labels


def prepare(data: DataSet, pictures: Tensor) -> Tensor:
    """Normalised pictures with channels last in memory: a third faster to train on a CPU (docs/nas.md)."""
    return data.normalise(pictures).contiguous(memory_format=torch.channels_last)


def accuracy(scores: Callable[[Tensor], Tensor], data: DataSet, part: Part) -> float:
    """Fraction of a part's pictures whose highest score is that of their label.

    Args:
        scores: Normalised pictures (N, C, H, W) to class scores (N, classes).
        data: Whose normalisation applies.
        part: What is classified, in chunks of nearly equal size, so that batch statistics have enough.
    """
    chunks = -(-len(part) // EVALUATION_BATCH)
    right = 0
    with torch.no_grad():
        for chosen in torch.arange(len(part)).tensor_split(chunks):
            chunk = part.take(chosen).to(data.device)
            right += int((scores(prepare(data, chunk.pictures)).argmax(1) == chunk.labels).sum())
    return right / len(part)
