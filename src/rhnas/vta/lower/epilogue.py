"""What a layer's accumulators start from and how far they are shifted: one number, or one per channel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rhnas.quantized import Int32Array, QuantizedLayer
from rhnas.vta.lower.kernels import Dim, Index
from rhnas.vta.lower.tiles import Step


@dataclass(frozen=True)
class Requantization:
    """The epilogue's numbers.

    Attributes:
        offsets: Bias and rounding, int32 (C_out,) or (1,).
        shifts: int32 (C_out,) or (1,).
        clip: Smallest and largest result.
    """

    offsets: Int32Array
    shifts: Int32Array
    clip: tuple[int, int]

    @classmethod
    def of(cls, quantized: QuantizedLayer) -> Requantization:
        """With one number where all channels have the same."""
        return cls(_shortest(quantized.offset), _shortest(quantized.shift), quantized.clip)


def _shortest(values: Int32Array) -> Int32Array:
    return values[:1] if (values == values[0]).all() else np.asarray(values, np.int32)


def tile_dims(step: Step, lanes: int) -> list[Dim]:
    """Every tensor of an output tile in place, as a nest."""
    sizes = [step.channels.groups, step.pixels.rows.count, step.pixels.columns.count, lanes]
    turns = np.cumprod([1, *sizes[:0:-1]])[::-1].tolist()
    return [Dim(size, Index(turn, turn)) for size, turn in zip(sizes, turns, strict=True)]
