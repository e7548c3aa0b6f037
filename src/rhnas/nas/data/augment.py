"""Augmentation of whole batches at once, of integer pixels, from an explicit generator."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Random crop after zero padding, horizontal flip, cutout; each picture draws its own.

    Attributes:
        shift: Pixels of padding on every side before the crop back to size, so the largest shift.
        crop: Least share of a picture's area that a random crop keeps before it is scaled back to size, of
            3:4 to 4:3 in its sides (Szegedy et al. 2015); 1 for none.
        flip: Whether half of the pictures are mirrored.
        cutout: Side of a square set to zero (DeVries and Taylor 2017); it may hang over the edge.

    Example:
        >>> pictures = torch.ones(2, 1, 8, 8, dtype=torch.uint8)
        >>> Augmentation(shift=1)(pictures, torch.Generator().manual_seed(0)).shape
        torch.Size([2, 1, 8, 8])
    """

    shift: int = 0
    crop: float = 1.0
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
        if self.crop < 1:
            pictures = self._cropped(pictures, generator)
        count, _, height, width = pictures.shape
        device = pictures.device
        draw = torch.rand(5, count, 1, generator=generator).to(device)
        span = 2 * self.shift + 1
        rows = torch.arange(height, device=device) + (draw[0] * span).long()  # (N, H)
        columns = torch.arange(width, device=device)
        if self.flip:
            columns = torch.where(draw[1] < 0.5, columns.flip(0), columns)  # (N, W)
        columns = columns + (draw[2] * span).long()  # (N, W)
        padded = functional.pad(pictures, (self.shift,) * 4)
        which = torch.arange(count, device=device)[:, None, None]
        # Indices around the channel slice put the channels last.
        shifted = padded[which, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
        if self.cutout:
            below = self._covered(height, draw[3])  # (N, H)
            beside = self._covered(width, draw[4])  # (N, W)
            shifted = shifted.masked_fill((below[:, :, None] & beside[:, None, :])[:, None], 0)
        return shifted.contiguous()

    def _cropped(self, pictures: Tensor, generator: torch.Generator) -> Tensor:
        """Random parts of pictures scaled to the whole, bilinearly; same dtype and shape."""
        area, ratio, *centre = torch.rand(4, len(pictures), generator=generator)
        area, ratio = self.crop + (1 - self.crop) * area, (4 / 3) ** (2 * ratio - 1)
        sides = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
        turn = torch.zeros(len(pictures), 2, 3)
        for axis, (side, where) in enumerate(zip(sides, centre, strict=True)):
            turn[:, axis, axis] = side
            turn[:, axis, 2] = (2 * where - 1) * (1 - side)
        grid = functional.affine_grid(turn.to(pictures.device), list(pictures.shape), align_corners=False)
        found = functional.grid_sample(pictures.float(), grid, padding_mode="border", align_corners=False)
        return found.round().to(pictures.dtype)

    def _covered(self, size: int, draw: Tensor) -> Tensor:
        """Which of ``size`` pixels lie under a square whose centre is drawn uniformly, bool (N, size)."""
        first = (draw * size).long() - self.cutout // 2
        pixel = torch.arange(size, device=draw.device)
        return (pixel >= first) & (pixel < first + self.cutout)
