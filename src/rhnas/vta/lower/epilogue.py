"""What a layer's accumulators start from and how far they are shifted: one number, or one per channel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from rhnas.quantized import INT8_MAX, INT8_MIN, Int32Array, QuantizedLayer
from rhnas.vta.isa import IMMEDIATE_BITS, AluOp
from rhnas.vta.lower.kernels import Dim, Index
from rhnas.vta.lower.tiles import Step
from rhnas.vta.lower.zeros import Edge, Zeros, offset_tables
from rhnas.workload import LayerKind

MAX_IMMEDIATE = (1 << (IMMEDIATE_BITS - 1)) - 1
PLAIN = Zeros()


@dataclass(frozen=True)
class Requantization:
    """The epilogue's numbers.

    Attributes:
        offsets: What accumulators start from, int32 (C_out,) or (1,) each: one table per class of pixels
            (``zeros.offset_tables``).
        shifts: int32 (C_out,) or (1,).
        clip: Smallest and largest result as it is stored.
        reach: Smallest and largest sum there can be.
    """

    offsets: tuple[Int32Array, ...]
    shifts: Int32Array
    clip: tuple[int, int]
    reach: tuple[int, int]

    @classmethod
    def of(cls, quantized: QuantizedLayer, zeros: Zeros = PLAIN) -> Requantization:
        """With one number where all channels have the same."""
        offsets = tuple(_shortest(table) for table in offset_tables(quantized, zeros))
        low, high = (limit - zeros.output for limit in quantized.clip)
        return cls(offsets, _shortest(quantized.shift), (low, high), _reach(quantized, zeros))

    @property
    def clips(self) -> list[tuple[AluOp, int]]:
        """Both clips one by one."""
        return list(zip((AluOp.MAX, AluOp.MIN), self.clip, strict=True))

    def operations(self) -> list[tuple[AluOp, int]]:
        """ALU operations with their immediates that end a tile whose channels share a shift.

        A clip that nothing reaches is left out. Both clips to a range about zero are one operation before
        the shift: the least value, a unit of the accumulator too high, is shifted down to it all the same.

        Example:
            >>> one = np.array([4], np.int32)
            >>> Requantization((one,), one, (-128, 127), (-9999, 9999)).operations()
            [(<AluOp.CLP: 5>, 2047), (<AluOp.SHR: 3>, 4)]
            >>> Requantization((one,), one, (0, 127), (-2000, 2000)).operations()
            [(<AluOp.SHR: 3>, 4), (<AluOp.MAX: 1>, 0)]
        """
        shift, (low, high) = int(self.shifts[0]), self.clip
        below, above = self.reach[0] >> shift < low, self.reach[1] >> shift > high
        most = ((high + 1) << shift) - 1
        if below and above and low == -high - 1 and shift > 0 and most <= MAX_IMMEDIATE:
            return [(AluOp.CLP, most), (AluOp.SHR, shift)]
        found = [(AluOp.SHR, shift)] if shift else []
        found += [(AluOp.MAX, low)] if below else []
        found += [(AluOp.MIN, high)] if above else []
        return found or [(AluOp.MAX, low)]

    def from_zero(self) -> list[tuple[AluOp, int]]:
        """The same for sums to which nothing was added: with an offset that all channels share.

        Where half a unit is no immediate, (x >> s - 1) + 1 >> 1 rounds all the same.
        """
        offset, shift = int(self.offsets[0][0]), int(self.shifts[0])
        if shift < IMMEDIATE_BITS:
            return [*([(AluOp.ADD, offset)] if offset else []), *self.operations()]
        more = offset - (1 << (shift - 1))
        found = [(AluOp.ADD, more)] if more else []
        found += [(AluOp.SHR, shift - 1), (AluOp.ADD, 1), (AluOp.SHR, 1)]
        return found + self.clips


def _reach(quantized: QuantizedLayer, zeros: Zeros) -> tuple[int, int]:
    """Of additions; sums of weights and of averages are not looked at."""
    if quantized.layer.kind is not LayerKind.ADD:
        limits = np.iinfo(np.int32)
        return int(limits.min), int(limits.max)
    factor = sum(1 << left for left in quantized.left)
    more = int(quantized.half.max()) - (zeros.output << int(quantized.shift.max()))
    return INT8_MIN * factor + more, INT8_MAX * factor + more


def _shortest(values: Int32Array) -> Int32Array:
    return values[:1] if (values == values[0]).all() else np.asarray(values, np.int32)


def tile_dims(step: Step, lanes: int) -> list[Dim]:
    """Every tensor of an output tile in place, as a nest."""
    sizes = [step.channels.groups, step.pixels.rows.count, step.pixels.columns.count, lanes]
    turns = np.cumprod([1, *sizes[:0:-1]])[::-1].tolist()
    return [Dim(size, Index(turn, turn)) for size, turn in zip(sizes, turns, strict=True)]


def channel_dims(step: Step, lanes: int, each: int, pixels: tuple[int, int]) -> list[Dim]:
    """Tensors of so many rows and columns of an output tile, with their channels' constants as sources.

    Args:
        step: Of the tile.
        lanes: Output tensors per pixel of a storage group.
        each: 1 where every output block has a constant of its own, 0 where all share one.
        pixels: Rows and columns.
    """
    rows, columns = step.pixels.rows.count, step.pixels.columns.count
    return [
        Dim(step.channels.groups, Index(rows * columns * lanes, each * lanes)),
        Dim(pixels[0], Index(columns * lanes, 0)),
        Dim(pixels[1], Index(lanes, 0)),
        Dim(lanes, Index(1, each)),
    ]


class Part(NamedTuple):
    """Pixels of a tile that start from one table: the first one in the tile, and how many."""

    at: int
    rows: int
    columns: int
    table: int


def starts(step: Step, edges: tuple[Edge, Edge]) -> list[list[Part]]:
    """A tile's pixels by what they start from; parts of equal shape stand together, one instruction each."""
    rows, columns = step.pixels.rows, step.pixels.columns
    by_shape: dict[tuple[int, int], list[Part]] = {}
    for top, height, down in edges[0].runs(rows.first, rows.count):
        for left, width, across in edges[1].runs(columns.first, columns.count):
            table = down * len(edges[1].taps) + across
            part = Part(top * columns.count + left, height, width, table)
            by_shape.setdefault((height, width), []).append(part)
    return list(by_shape.values())
