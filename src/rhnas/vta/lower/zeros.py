"""Tensors stored less a constant, so that a ReLU's two clips are one operation.

A result from 0 to 127 is stored from -64 to 63: CLP clips to such a range at once, before the shift. What
readers then lack, a constant times the sum of their weights, is in what their accumulators start from. Where
a kernel meets padding, which the machine loads as 0, fewer weights count: pixels at the border start from
constants of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np

from rhnas.quantized import Int32Array, QuantizedLayer
from rhnas.workload import IntArray, Layer, LayerKind

CENTRE = 64
"""What is taken off a result from 0 to 127."""


@dataclass(frozen=True, kw_only=True)
class Zeros:
    """The numbers that stored zeros stand for.

    Attributes:
        inputs: Of each tensor that a layer reads, in the golden model's units.
        output: Of the tensor that it writes.
    """

    inputs: tuple[int, ...] = (0, 0)
    output: int = 0


@dataclass(frozen=True)
class Edge:
    """Output pixels along one axis by the kernel taps that lie in the picture.

    Attributes:
        taps: Of each class of pixels, in the order of the axis.
        classes: Of each output pixel.
    """

    taps: tuple[range, ...]
    classes: tuple[int, ...]

    @classmethod
    def along(cls, size: int, kernel: int, stride: int, pad: int) -> Edge:
        """Of an axis.

        Example:
            >>> Edge.along(4, 3, 1, 1).classes
            (0, 1, 1, 2)
        """
        starts = range(-pad, size + pad - kernel + 1, stride)
        inside = [range(max(0, -at), max(0, -at, min(kernel, size - at))) for at in starts]
        taps = tuple(dict.fromkeys(inside))
        return cls(taps, tuple(taps.index(some) for some in inside))

    @classmethod
    def none(cls, pixels: int) -> Edge:
        """All pixels alike, where zeros stand for 0."""
        return cls((range(0),), (0,) * pixels)

    def runs(self, first: int, count: int) -> list[tuple[int, int, int]]:
        """(offset, pixels, class) of pixels of one class in a tile.

        Example:
            >>> Edge.along(4, 3, 1, 1).runs(1, 3)
            [(0, 2, 1), (2, 1, 2)]
        """
        inside = np.array(self.classes[first : first + count])
        bounds = [0, *(np.flatnonzero(np.diff(inside)) + 1).tolist(), count]
        return [(a, b - a, int(inside[a])) for a, b in pairwise(bounds)]


def edges(layer: Layer, zeros: Zeros) -> tuple[Edge, Edge]:
    """A layer's output rows and columns by what padding does to them."""
    if not zeros.inputs[0] or not any(layer.padding):
        return Edge.none(layer.output_size[0]), Edge.none(layer.output_size[1])
    sides = zip(layer.size, layer.kernel, layer.stride, layer.padding, strict=True)
    rows, columns = (Edge.along(*side) for side in sides)
    return rows, columns


def offset_tables(quantized: QuantizedLayer, zeros: Zeros) -> list[Int32Array]:
    """What accumulators start from: bias, rounding, and what stored zeros stand for.

    Returns:
        int32 (C_out,) for every class of rows and, within it, of columns; sums wrap as the machine's.
    """
    start = quantized.offset.astype(np.int64) - centring(quantized, zeros)
    rows, columns = edges(quantized.layer, zeros)
    tables = [
        start + _missing(quantized, zeros, down, across) for down in rows.taps for across in columns.taps
    ]
    return [table.astype(np.int32) for table in tables]


def centring(quantized: QuantizedLayer, zeros: Zeros) -> IntArray:
    """What a result is stored less, in units of the accumulator, like ``shift``."""
    return np.int64(zeros.output) << quantized.shift.astype(np.int64)


def _missing(quantized: QuantizedLayer, zeros: Zeros, rows: range, columns: range) -> IntArray:
    """What the products lack, int64 (C_out,) or (1,)."""
    layer = quantized.layer
    if layer.kind is LayerKind.ADD:
        sums = zip(zeros.inputs, quantized.left, strict=True)
        return np.array([sum(zero << left for zero, left in sums)], np.int64)
    if quantized.weight is None:
        averages = layer.kind is LayerKind.AVG_POOL
        factor = quantized.multiplier * layer.kernel[0] * layer.kernel[1] if averages else 1
        return np.array([zeros.inputs[0] * factor], np.int64)
    weight = quantized.weight.astype(np.int64).reshape(len(quantized.weight), -1, *layer.kernel)
    if any(layer.padding):
        weight = weight[:, :, rows.start : rows.stop, columns.start : columns.stop]
    return np.asarray(zeros.inputs[0] * weight.sum(axis=(1, 2, 3)), np.int64)


class Tiled(Protocol):
    """What the choice has to know of a lowered layer."""

    @property
    def quantized(self) -> QuantizedLayer:
        """In integers."""
        ...

    def centre_gain(self) -> int:
        """Cycles that a centred result saves; 0 where it cannot be centred."""
        ...

    def centre_loss(self) -> int | None:
        """Cycles that a centred input takes; None where it cannot be read."""
        ...


def network_zeros(layers: Sequence[Tiled]) -> dict[str, int]:
    """What stored zeros stand for in every layer's result.

    A result is centred where its readers lose less by that than its own epilogue gains. Maximum pooling
    without a shift passes on what it reads.
    """
    readers: dict[str, list[Tiled]] = {layer.quantized.layer.name: [] for layer in layers}
    for layer in layers:
        for source in layer.quantized.layer.inputs:
            if source in readers:
                readers[source].append(layer)
    zeros: dict[str, int] = {}
    for layer in layers:
        shape = layer.quantized.layer
        if passes(layer.quantized):
            zeros[shape.name] = zeros.get(shape.inputs[0], 0)
            continue
        loss, gain = _loss(shape.name, readers), layer.centre_gain()
        zeros[shape.name] = CENTRE if loss is not None and gain > loss else 0
    return zeros


def passes(quantized: QuantizedLayer) -> bool:
    """Whether a layer stores what it reads, by whatever constant it was less."""
    return quantized.layer.kind is LayerKind.MAX_POOL and not quantized.shift.any()


def _loss(name: str, readers: Mapping[str, Sequence[Tiled]]) -> int | None:
    """What all readers lose; None where one cannot read a centred tensor, or nobody does."""
    if not readers[name]:
        return None
    total = 0
    for reader in readers[name]:
        quantized = reader.quantized
        through = passes(quantized)
        loss = _loss(quantized.layer.name, readers) if through else reader.centre_loss()
        if loss is None:
            return None
        total += loss
    return total


def layer_zeros(layer: Layer, zeros: Mapping[str, int]) -> Zeros:
    """Of one layer of a network; pictures are stored as they are."""
    inputs = tuple(zeros.get(source, 0) for source in layer.inputs)
    return Zeros(inputs=inputs, output=zeros[layer.name])
