"""The golden model: what every integer layer computes, bit for bit, over a batch of pictures.

The accelerator's simulator and RTL are compared with it. Sums are taken by floating-point matrix products,
which are exact here: no partial sum leaves the integers that the format holds (``_exact_type``).

Legend: N pictures, G groups, C channels, H x W pixels, P output pixels.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from rhnas.quantized import INT8_MIN, Int8Array, QuantizedLayer, QuantizedNetwork
from rhnas.workload import PICTURE, IntArray, Layer, LayerKind

AnyArray = npt.NDArray[Any]
Values = TypeVar("Values")
"""Pictures and results of every layer: arrays or tensors."""

_COLUMN_VALUES = 1 << 21
"""Values of unfolded pictures held at a time: 8 MB, so that they stay in cache and memory is bounded."""


def run(network: QuantizedNetwork, pictures: Int8Array) -> Int8Array:
    """Class scores.

    Args:
        network: In integers.
        pictures: int8 (N, C, H, W), as ``QuantizedNetwork.read_pixels`` gives them.

    Returns:
        int8 (N, classes).
    """
    ((_, scores),) = deque(activations(network, pictures), maxlen=1)
    return scores.reshape(len(pictures), -1)


def activations(network: QuantizedNetwork, pictures: Int8Array) -> Iterator[tuple[str, Int8Array]]:
    """Every layer's name and result, int8 (N, C, H, W), in execution order."""
    return walk(
        network.workload.layers, pictures, lambda index, inputs: compute(network.layers[index], *inputs)
    )


def walk(
    layers: tuple[Layer, ...], pictures: Values, step: Callable[[int, list[Values]], Values]
) -> Iterator[tuple[str, Values]]:
    """Run layers in order along their wiring, keeping a tensor only while something still reads it."""
    last_reader = {source: index for index, layer in enumerate(layers) for source in layer.inputs}
    known: dict[str, Values] = {PICTURE: pictures}
    for index, layer in enumerate(layers):
        known[layer.name] = step(index, [known[source] for source in layer.inputs])
        yield layer.name, known[layer.name]
        for source in set(layer.inputs):
            if last_reader[source] == index:
                del known[source]


def compute(quantized: QuantizedLayer, *inputs: Int8Array) -> Int8Array:
    """One layer on a batch, int8 (N, C, H, W) each; additions take two."""
    layer = quantized.layer
    sums = _SUMS[layer.kind](quantized, *inputs)  # int32 (N, C, H, W)
    per_channel = (-1, 1, 1)
    sums += quantized.offset.reshape(per_channel)
    sums >>= quantized.shift.reshape(per_channel)
    np.clip(sums, *quantized.clip, out=sums)
    return sums.astype(np.int8)


def accuracy(network: QuantizedNetwork, pictures: AnyArray, labels: IntArray, batch: int = 256) -> float:
    """Share of pictures whose largest score, the first of equals, is their label's.

    Args:
        network: In integers.
        pictures: uint8 (N, C, H, W).
        labels: int64 (N,).
        batch: Pictures at a time.
    """
    right = 0
    for start in range(0, len(labels), batch):
        scores = run(network, network.read_pixels(pictures[start : start + batch]))
        right += int((scores.argmax(1) == labels[start : start + batch]).sum())
    return right / len(labels)


def convolve(layer: Layer, inputs: AnyArray, weight: AnyArray) -> AnyArray:
    """Convolution without bias as matrix products, in the type of the weight.

    Args:
        layer: Shapes, stride, padding, groups.
        inputs: (N, C_in, H, W).
        weight: (C_out, C_in / groups, kernel height, kernel width).

    Returns:
        (N, C_out, H', W').
    """
    groups, outputs = layer.groups, layer.channels[1]
    height, width = layer.output_size
    taps, pixels = layer.kernel[0] * layer.kernel[1], height * width
    matrix = weight.reshape(groups, outputs // groups, -1)  # (G, C_out/G, C_in/G * taps)
    sums = np.empty((len(inputs), groups, outputs // groups, pixels), weight.dtype)
    at_once = max(1, _COLUMN_VALUES // (layer.channels[0] * taps * pixels))
    for start in range(0, len(inputs), at_once):
        some = inputs[start : start + at_once]
        windows = np.empty((len(some), layer.channels[0], taps, height, width), weight.dtype)
        for index, window in enumerate(_windows(layer, some, 0)):
            windows[:, :, index] = window
        columns = windows.reshape(len(some), groups, -1, pixels)  # (N, G, C_in/G * taps, P)
        np.matmul(matrix, columns, out=sums[start : start + at_once])
    return sums.reshape(len(inputs), outputs, height, width)


def pool_sums(layer: Layer, inputs: AnyArray) -> AnyArray:
    """Sums over pooling windows, (N, C, H, W) to (N, C, H', W')."""
    sums = np.zeros((*inputs.shape[:2], *layer.output_size), inputs.dtype)
    for window in _windows(layer, inputs, 0):
        sums += window
    return sums


def pool_maxima(layer: Layer, inputs: AnyArray, lowest: float) -> AnyArray:
    """Maxima over pooling windows; ``lowest`` is what padding counts as."""
    maxima = np.full((*inputs.shape[:2], *layer.output_size), lowest, inputs.dtype)
    for window in _windows(layer, inputs, lowest):
        np.maximum(maxima, window, out=maxima)
    return maxima


def _windows(layer: Layer, inputs: AnyArray, padding: float) -> Iterator[AnyArray]:
    """For each kernel position, row by row, the pixels it meets, (N, C, H', W')."""
    top, left = layer.padding
    if top or left:
        inputs = np.pad(inputs, ((0, 0), (0, 0), (top, top), (left, left)), constant_values=padding)
    height, width = layer.output_size
    for row in range(layer.kernel[0]):
        for column in range(layer.kernel[1]):
            rows = slice(row, row + (height - 1) * layer.stride[0] + 1, layer.stride[0])
            columns = slice(column, column + (width - 1) * layer.stride[1] + 1, layer.stride[1])
            yield inputs[:, :, rows, columns]


def _exact_type(bound: int) -> type[np.float32 | np.float64]:
    """The faster float that holds every integer up to ``bound``; accumulators are below 2**31 anyway."""
    return np.float32 if bound <= 1 << 24 else np.float64


def _convolution(quantized: QuantizedLayer, inputs: Int8Array) -> AnyArray:
    layer, weight = quantized.layer, quantized.weight
    exact = _exact_type(quantized.accumulator_bound)
    values = inputs.reshape(len(inputs), layer.channels[0], *layer.size)
    shape = (layer.channels[1], -1, *layer.kernel)
    sums = convolve(layer, values, np.asarray(weight, exact).reshape(shape))
    return sums.astype(np.int32)


def _addition(quantized: QuantizedLayer, first: Int8Array, second: Int8Array) -> AnyArray:
    left = quantized.left
    return (first.astype(np.int32) << left[0]) + (second.astype(np.int32) << left[1])


def _average(quantized: QuantizedLayer, inputs: Int8Array) -> AnyArray:
    return pool_sums(quantized.layer, inputs.astype(np.int32)) * np.int32(quantized.multiplier)


def _maximum(quantized: QuantizedLayer, inputs: Int8Array) -> AnyArray:
    return pool_maxima(quantized.layer, inputs, INT8_MIN).astype(np.int32)


_SUMS: Mapping[LayerKind, Callable[..., AnyArray]] = {
    LayerKind.CONV: _convolution,
    LayerKind.DENSE: _convolution,
    LayerKind.ADD: _addition,
    LayerKind.AVG_POOL: _average,
    LayerKind.MAX_POOL: _maximum,
}
