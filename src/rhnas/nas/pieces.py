"""The gradient of a batch that may not fit in memory: in as many pieces as it takes, said aloud."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from rhnas.nas.arithmetic import Arithmetic

LEAST = 2
"""Pictures in a piece: normalisation by the statistics of one makes no sense."""

log = logging.getLogger(__name__)


class Pieces:
    """Parts a batch is computed in, one after the other; what an optimizer sees stays the mean of the batch.

    So the batch of a recipe is the same on every device, and only what is computed at a time is smaller.
    Batch normalisation then sees a part at a time.

    Args:
        label_smoothing: Of the cross-entropy.
        arithmetic: What scores and losses are computed in.

    Attributes:
        count: One, and twice as many whenever memory does not suffice.
    """

    def __init__(self, label_smoothing: float = 0.0, arithmetic: Arithmetic | None = None) -> None:
        self.label_smoothing = label_smoothing
        self.arithmetic = arithmetic or Arithmetic()
        self.count = 1

    def gradient(
        self,
        scores: Callable[[Tensor], Tensor],
        pictures: Tensor,
        labels: Tensor,
        leaves: Sequence[Tensor],
    ) -> tuple[Tensor, Tensor]:
        """Leave the gradient of a batch's cross-entropy in the leaves.

        Args:
            scores: Pictures (n, C, H, W) to class scores (n, classes).
            pictures: (N, C, H, W).
            labels: int64 (N,).
            leaves: All that collects a gradient; what it has collected before is dropped.

        Returns:
            The loss, and the fraction classified right; scalars on the device.

        Raises:
            torch.OutOfMemoryError: Not even ``LEAST`` pictures fit.
        """
        while True:
            for leaf in leaves:
                leaf.grad = None
            try:
                return self._gradient(scores, pictures, labels)
            except torch.OutOfMemoryError:
                if len(labels) < 2 * LEAST * self.count:
                    raise
                self.count *= 2
                log.warning(
                    "out of memory: batches of %d are computed in %d pieces from here on",
                    len(labels),
                    self.count,
                )

    def _gradient(
        self, scores: Callable[[Tensor], Tensor], pictures: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor]:
        total, right = (torch.zeros((), device=labels.device) for _ in range(2))
        for some, wanted in zip(
            pictures.tensor_split(self.count), labels.tensor_split(self.count), strict=True
        ):
            with self.arithmetic.region():
                found = scores(some)
                loss = functional.cross_entropy(found, wanted, label_smoothing=self.label_smoothing)
            share = loss * (len(wanted) / len(labels))
            share.backward()  # type: ignore[no-untyped-call]
            total += share.detach()
            right += (found.detach().argmax(1) == wanted).sum()
        return total, right / len(labels)
