"""What every loader returns: pictures in three parts, of which the test part has to be asked for.

Legend: N pictures, C channels, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rhnas.errors import DataError
from rhnas.nas.data.augment import Augmentation
from rhnas.seeds import Seeds

STATISTICS_BATCH = 1024
"""Pictures of which statistics are taken at a time; a part may be larger than memory."""


@dataclass(frozen=True)
class Part:
    """Pictures with their labels.

    Attributes:
        pictures: uint8 (N, C, H, W).
        labels: int64 (N,).

    Raises:
        DataError: The two do not belong together.

    Example:
        >>> part = Part(torch.zeros(5, 1, 8, 8, dtype=torch.uint8), torch.arange(5))
        >>> [len(labels) for _, labels in part.batches(2)]
        [2, 2, 1]
    """

    pictures: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        shapes = tuple(self.pictures.shape), tuple(self.labels.shape)
        if len(shapes[0]) != 4 or shapes[1] != shapes[0][:1]:
            raise DataError("pictures must have shape (N, C, H, W) and labels (N,)", got=shapes)
        if self.pictures.dtype != torch.uint8:
            raise DataError("pictures must be uint8", got=self.pictures.dtype)

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: Tensor) -> Part:
        """The chosen pictures, int64 (n,), in that order."""
        return Part(self.pictures[indices], self.labels[indices])

    def to(self, device: torch.device | str) -> Part:
        """The same on another device."""
        return Part(self.pictures.to(device), self.labels.to(device))

    def batches(self, size: int, generator: torch.Generator | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of uint8 (size, C, H, W) and int64 (size,).

        With a generator: one epoch in random order, without the last batch if it is not full (a batch of
        one picture has no statistics). Without: all pictures in order.
        """
        if generator is None:
            yield from zip(torch.split(self.pictures, size), torch.split(self.labels, size), strict=True)
            return
        order = torch.randperm(len(self), generator=generator).to(self.labels.device)
        for start in range(0, len(self) - size + 1, size):
            chosen = order[start : start + size]
            yield self.pictures[chosen], self.labels[chosen]


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """A task: pictures to learn from, pictures to choose by, and pictures to be judged by once.

    Attributes:
        name: Of the data set.
        classes: Their names, by label.
        train: What weights learn from.
        validation: What alpha, constraints and choices see; drawn from the training set.
        mean: Per channel over ``train``, of pixels as fractions of 255.
        std: Likewise, the standard deviation.
        augmentation: What training pictures go through.
        test_loader: Reads the test part; called by ``read_test`` only.
        device: Where batches are wanted; the parts may lie elsewhere.
    """

    name: str
    classes: tuple[str, ...]
    train: Part
    validation: Part
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augmentation: Augmentation
    test_loader: Callable[[], Part]
    device: torch.device | str = "cpu"

    @property
    def picture(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        channels, height, width = self.train.pictures.shape[1:]
        return channels, height, width

    def read_test(self) -> Part:
        """The test part; to be read once, after every choice has been made."""
        return self.test_loader()

    def normalise(self, pictures: Tensor) -> Tensor:
        """uint8 (N, C, H, W) to float32, each channel with mean 0 and deviation 1 over ``train``."""
        mean = torch.tensor(self.mean, device=pictures.device)[:, None, None]
        std = torch.tensor(self.std, device=pictures.device)[:, None, None]
        return (pictures / 255 - mean) / std

    def subset(self, train: int, seeds: Seeds) -> DataSet:
        """The same task with ``train`` random training pictures; validation, test and mean stay.

        Raises:
            DataError: There are not as many.
        """
        return replace(self, train=random_part(self.train, train, seeds.child("subset")))


def random_part(part: Part, count: int, seeds: Seeds) -> Part:
    """``count`` random pictures of a part.

    Raises:
        DataError: There are not as many.
    """
    if not 1 <= count <= len(part):
        raise DataError(f"a subset must have between 1 and {len(part)} pictures", got=count)
    return part.take(permutation(len(part), seeds)[:count])


def permutation(count: int, seeds: Seeds) -> Tensor:
    """A random order of ``count`` things, int64 (count,)."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(seeds.integer()))


def split(count: int, second: int, seeds: Seeds, *, what: str) -> tuple[Tensor, Tensor]:
    """Two disjoint random sets of indices, the second of the given size, both ascending.

    Raises:
        DataError: Nothing would be left in the first.
    """
    if not 0 < second < count:
        raise DataError(f"{what} must leave some of the {count} pictures to train on", got=second)
    order = permutation(count, seeds)
    return order[second:].sort().values, order[:second].sort().values


def channel_statistics(part: Part) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel, of pixels as fractions of 255.

    A channel that never changes has deviation 1, so that it can be normalised.
    """
    counts = torch.zeros(part.pictures.shape[1], 256, dtype=torch.float64)
    for pictures, _ in part.batches(STATISTICS_BATCH):
        channels = pictures.transpose(0, 1).flatten(1)  # (C, n*H*W)
        counts += torch.stack([torch.bincount(channel, minlength=256) for channel in channels])
    levels = torch.arange(256, dtype=torch.float64) / 255
    weights = counts / counts.sum(1, keepdim=True)  # (C, 256)
    mean = weights @ levels
    std = (weights @ levels**2 - mean**2).clamp_min(0).sqrt()
    return tuple(mean.tolist()), tuple(torch.where(std > 0, std, 1.0).tolist())
