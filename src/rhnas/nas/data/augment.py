"""Augmentation of whole batches at once, on integers, from an explicit generator."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Random crop after zero padding, horizontal flip, cutout; each picture draws its own.

    Attributes:
        shift: Pixels of padding on every side before the crop back to size, so the largest shift.
        flip: Whether half of the pictures are mirrored.
        cutout: Side of a square set to zero (DeVries and Taylor 2017); it may hang over the edge.

    Example:
        >>> pictures = torch.ones(2, 1, 8, 8, dtype=torch.uint8)
        >>> Augmentation(shift=1)(pictures, torch.Generator().manual_seed(0)).shape
        torch.Size([2, 1, 8, 8])
    """

    shift: int = 0
    flip: bool = False
    cutout: int = 0

    def __call__(self, pictures: Tensor, generator: torch.Generator) -> Tensor:
        """Augmented copies.

        Args:
            pictures: Any dtype, (N, C, H, W).
            generator: On the CPU; the draws do not depend on the device of the pictures.

        Returns:
            Same dtype and shape.
        """
        count, _, height, width = pictures.shape
        device = pictures.device
        draw = torch.rand(5, count, 1, generator=generator).to(device)
        span = 2 * self.shift + 1
        rows = torch.arange(height, device=device) + (draw[0] * span).long()  # (N, H)
        columns = torch.arange(width, device=device)
        if self.flip:
            columns = torch.where(draw[1] < 0.5, columns.flip(0), columns)  # (N, W)
        columns = columns + (draw[2] * span).long()  # (N, W)
        padded = torch.nn.functional.pad(pictures, (self.shift,) * 4)
        which = torch.arange(count, device=device)[:, None, None]
        # Indices around the channel slice put the channels last.
        shifted = padded[which, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
        if self.cutout:
            below = self._covered(height, draw[3])  # (N, H)
            beside = self._covered(width, draw[4])  # (N, W)
            shifted = shifted.masked_fill((below[:, :, None] & beside[:, None, :])[:, None], 0)
        return shifted.contiguous()

    def _covered(self, size: int, draw: Tensor) -> Tensor:
        """Which of ``size`` pixels lie under a square whose centre is drawn uniformly, bool (N, size)."""
        first = (draw * size).long() - self.cutout // 2
        pixel = torch.arange(size, device=draw.device)
        return (pixel >= first) & (pixel < first + self.cutout)
