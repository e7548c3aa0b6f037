"""What a layer's accumulators start from and how far they are shifted: one number, or one per channel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rhnas.quantized import INT8_MAX, INT8_MIN, Int32Array, QuantizedLayer
from rhnas.vta.isa import IMMEDIATE_BITS, AluOp
from rhnas.vta.lower.kernels import Dim, Index
from rhnas.vta.lower.tiles import Step
from rhnas.workload import LayerKind

INT8_BITS = 8
MAX_CLIP_SHIFT = IMMEDIATE_BITS - INT8_BITS
"""Shifts up to this let a clip before the shift have an immediate."""


@dataclass(frozen=True)
class Requantization:
    """The epilogue's numbers.

    Attributes:
        offsets: Bias and rounding, int32 (C_out,) or (1,).
        shifts: int32 (C_out,) or (1,).
        clip: Smallest and largest result.
        reach: Smallest and largest sum there can be.
    """

    offsets: Int32Array
    shifts: Int32Array
    clip: tuple[int, int]
    reach: tuple[int, int]

    @classmethod
    def of(cls, quantized: QuantizedLayer) -> Requantization:
        """With one number where all channels have the same."""
        clip, reach = quantized.clip, _reach(quantized)
        return cls(_shortest(quantized.offset), _shortest(quantized.shift), clip, reach)

    def operations(self) -> list[tuple[AluOp, int]]:
        """ALU operations with their immediates that end a tile whose channels share a shift.

        A clip that nothing reaches is left out. Both clips of a result with a sign are one operation before
        the shift: the least value, a unit of the accumulator too high, is shifted down to it all the same.

        Example:
            >>> one = np.array([4], np.int32)
            >>> Requantization(one, one, (-128, 127), (-9999, 9999)).operations()
            [(<AluOp.CLP: 5>, 2047), (<AluOp.SHR: 3>, 4)]
            >>> Requantization(one, one, (0, 127), (-2000, 2000)).operations()
            [(<AluOp.SHR: 3>, 4), (<AluOp.MAX: 1>, 0)]
        """
        shift, (low, high) = int(self.shifts[0]), self.clip
        below, above = self.reach[0] >> shift < low, self.reach[1] >> shift > high
        if below and above and low == INT8_MIN and 0 < shift <= MAX_CLIP_SHIFT:
            return [(AluOp.CLP, ((high + 1) << shift) - 1), (AluOp.SHR, shift)]
        found = [(AluOp.SHR, shift)] if shift else []
        found += [(AluOp.MAX, low)] if below else []
        found += [(AluOp.MIN, high)] if above else []
        return found or [(AluOp.MAX, low)]


def _reach(quantized: QuantizedLayer) -> tuple[int, int]:
    """Of additions; sums of weights and of averages are not looked at."""
    if quantized.layer.kind is not LayerKind.ADD:
        limits = np.iinfo(np.int32)
        return int(limits.min), int(limits.max)
    factor, half = sum(1 << left for left in quantized.left), int(quantized.half.max())
    return INT8_MIN * factor + half, INT8_MAX * factor + half


def _shortest(values: Int32Array) -> Int32Array:
    return values[:1] if (values == values[0]).all() else np.asarray(values, np.int32)


def tile_dims(step: Step, lanes: int) -> list[Dim]:
    """Every tensor of an output tile in place, as a nest."""
    sizes = [step.channels.groups, step.pixels.rows.count, step.pixels.columns.count, lanes]
    turns = np.cumprod([1, *sizes[:0:-1]])[::-1].tolist()
    return [Dim(size, Index(turn, turn)) for size, turn in zip(sizes, turns, strict=True)]
