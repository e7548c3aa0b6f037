"""Batches as a pure function of the step: what makes training resumable at any step."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from rhnas.errors import DataError
from rhnas.seeds import Seeds

Split = tuple[Tensor, Tensor]
"""Pictures float32 (N, C, H, W), normalised, and labels int64 (N,)."""
Augment = Callable[[Tensor, torch.Generator], Tensor]
"""Random changes to a batch of pictures, same shape."""


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
    """Shuffled, augmented batches of a split; a rest smaller than a batch waits for another epoch's order.

    Args:
        split: What is drawn from.
        size: Pictures per batch; at most the whole split.
        seeds: Orders come from its children ``order/EPOCH``, changes from ``augment/STEP``.
        augment: Applied to every batch.

    Raises:
        DataError: Fewer than two pictures: batch statistics need more.

    Example:
        >>> batches = Batches((torch.zeros(5, 1, 2, 2), torch.arange(5)), 2, Seeds(root=0))
        >>> batches.per_epoch, batches.at(3)[0].shape
        (2, torch.Size([2, 1, 2, 2]))
    """

    def __init__(self, split: Split, size: int, seeds: Seeds, augment: Augment | None = None) -> None:
        if len(split[1]) < 2:
            raise DataError("training must have at least two pictures", got=len(split[1]))
        self.split = split
        self.size = min(size, len(split[1]))
        self.seeds = seeds
        self.augment = augment
        self._epoch, self._order = -1, torch.empty(0)

    @property
    def per_epoch(self) -> int:
        """Batches in an epoch."""
        return len(self.split[1]) // self.size

    def at(self, step: int) -> Split:
        """The batch of a step, counted from 0 over all epochs."""
        epoch, index = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            shuffle = generator(self.seeds.child("order").child(str(epoch)))
            self._epoch, self._order = epoch, torch.randperm(len(self.split[1]), generator=shuffle)
        chosen = self._order[index * self.size : (index + 1) * self.size]
        pictures, labels = self.split[0][chosen], self.split[1][chosen]
        if self.augment is not None:
            pictures = self.augment(pictures, generator(self.seeds.child("augment").child(str(step))))
        return pictures, labels
