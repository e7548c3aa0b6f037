"""The golden model on torch's devices: the same integers, for whole data sets on a GPU.

Torch convolves floats. A sum is an integer below 2**31, so that float64 holds it however it is added up; a
convolution that multiplies transformed pictures (Winograd) is off by far less than the half that rounding
removes. On a CPU, where torch multiplies pictures as they are, float32 does where a layer's sums stay below
2**24. All else is computed in int32. The tests compare every layer with ``rhnas.quantize.golden``.

Legend: N pictures, C channels, H x W pixels.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from rhnas.quantize.golden import walk
from rhnas.quantized import QuantizedLayer, QuantizedNetwork
from rhnas.workload import LayerKind

PICTURES = 50
"""At a time: bounds the memory."""
FLOAT32_INTEGERS = 1 << 24
"""Up to here float32 holds every integer."""


def accuracy_on_device(network: QuantizedNetwork, pictures: Tensor, labels: Tensor) -> float:
    """As ``golden.accuracy``, on the device of the pictures.

    Args:
        network: In integers.
        pictures: uint8 (N, C, H, W).
        labels: int64 (N,), on the same device.
    """
    right = 0
    for some, wanted in zip(torch.split(pictures, PICTURES), torch.split(labels, PICTURES), strict=True):
        values = torch.from_numpy(network.read_pixels(some.cpu().numpy())).to(pictures.device)
        scores = scores_of(network, values.contiguous(memory_format=torch.channels_last))
        # torch leaves open which of equal scores it names; the golden model takes the first.
        first = (scores == scores.amax(1, keepdim=True)).int().argmax(1)
        right += int((first == wanted).sum())
    return right / len(labels)


def scores_of(network: QuantizedNetwork, values: Tensor) -> Tensor:
    """Class scores (N, classes), int32, of int8 pictures (N, C, H, W)."""

    def step(index: int, inputs: list[Tensor]) -> Tensor:
        return compute(network.layers[index], *inputs)

    with torch.no_grad():
        ((_, scores),) = deque(walk(network.workload.layers, values, step), maxlen=1)
    return scores.flatten(1)


def compute(quantized: QuantizedLayer, *inputs: Tensor) -> Tensor:
    """One layer on a batch of integers of any type, int32 (N, C, H, W); additions take two."""
    sums = _SUMS[quantized.layer.kind](quantized, *inputs)
    offset, shift = (_per_channel(values, sums) for values in (quantized.offset, quantized.shift))
    return sums.add_(offset).bitwise_right_shift_(shift).clamp_(*quantized.clip)


def _per_channel(values: Any, like: Tensor) -> Tensor:
    return torch.from_numpy(values).to(like)[:, None, None]


def _integers(sums: Tensor) -> Tensor:
    return sums.round_().to(torch.int32)


def _convolution(quantized: QuantizedLayer, inputs: Tensor) -> Tensor:
    layer = quantized.layer
    shape = (layer.channels[1], -1, *layer.kernel)
    short = inputs.device.type == "cpu" and quantized.accumulator_bound <= FLOAT32_INTEGERS
    values = inputs.to(torch.float32 if short else torch.float64)
    values = values.reshape(len(inputs), layer.channels[0], *layer.size)
    weight = torch.from_numpy(quantized.weight).to(values).reshape(shape)
    return _integers(
        functional.conv2d(values, weight, None, layer.stride, layer.padding, groups=layer.groups)
    )


def _addition(quantized: QuantizedLayer, first: Tensor, second: Tensor) -> Tensor:
    left = quantized.left
    return (first.to(torch.int32) << left[0]).add_(second.to(torch.int32) << left[1])


def _average(quantized: QuantizedLayer, inputs: Tensor) -> Tensor:
    layer = quantized.layer
    values = inputs.double()
    sums = functional.avg_pool2d(values, layer.kernel, layer.stride, layer.padding, divisor_override=1)
    return _integers(sums).mul_(quantized.multiplier)


def _maximum(quantized: QuantizedLayer, inputs: Tensor) -> Tensor:
    layer = quantized.layer
    return _integers(functional.max_pool2d(inputs.double(), layer.kernel, layer.stride, layer.padding))


_SUMS: Mapping[LayerKind, Callable[..., Tensor]] = {
    LayerKind.CONV: _convolution,
    LayerKind.DENSE: _convolution,
    LayerKind.ADD: _addition,
    LayerKind.AVG_POOL: _average,
    LayerKind.MAX_POOL: _maximum,
}
