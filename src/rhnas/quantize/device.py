"""The golden model on torch's devices: the same integers, in float64, for whole data sets on a GPU.

Every sum is an integer below 2**31, so that float64 holds it however it is added up; a convolution that
multiplies transformed pictures (Winograd) is off by far less than the half that rounding removes. The tests
compare every layer with ``rhnas.quantize.golden``.

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

PICTURES = 250
"""At a time: bounds the memory."""


def accuracy_on_device(network: QuantizedNetwork, pictures: Tensor, labels: Tensor) -> float:
    """As ``golden.accuracy``, on the device of the pictures.

    Args:
        network: In integers.
        pictures: uint8 (N, C, H, W).
        labels: int64 (N,), on the same device.
    """
    right = 0
    for some, wanted in zip(torch.split(pictures, PICTURES), torch.split(labels, PICTURES), strict=True):
        values = torch.from_numpy(network.read_pixels(some.cpu().numpy())).to(pictures.device).double()
        scores = scores_of(network, values)
        # torch leaves open which of equal scores it names; the golden model takes the first.
        first = (scores == scores.amax(1, keepdim=True)).int().argmax(1)
        right += int((first == wanted).sum())
    return right / len(labels)


def scores_of(network: QuantizedNetwork, values: Tensor) -> Tensor:
    """Class scores (N, classes), integers in float64, of int8 pictures given as float64 (N, C, H, W)."""

    def step(index: int, inputs: list[Tensor]) -> Tensor:
        return compute(network.layers[index], *inputs)

    with torch.no_grad():
        ((_, scores),) = deque(walk(network.workload.layers, values, step), maxlen=1)
    return scores.flatten(1)


def compute(quantized: QuantizedLayer, *inputs: Tensor) -> Tensor:
    """One layer on a batch, integers in float64 (N, C, H, W); additions take two."""
    sums = _SUMS[quantized.layer.kind](quantized, *inputs)
    offset, shift = (_per_channel(values, sums) for values in (quantized.offset, quantized.shift))
    return torch.floor((sums.round() + offset) * torch.exp2(-shift)).clamp(*quantized.clip)


def _per_channel(values: Any, like: Tensor) -> Tensor:
    return torch.from_numpy(values).to(like)[:, None, None]


def _convolution(quantized: QuantizedLayer, inputs: Tensor) -> Tensor:
    layer = quantized.layer
    shape = (layer.channels[1], -1, *layer.kernel)
    weight = torch.from_numpy(quantized.weight).to(inputs).reshape(shape)
    values = inputs.reshape(len(inputs), layer.channels[0], *layer.size)
    return functional.conv2d(values, weight, None, layer.stride, layer.padding, groups=layer.groups)


def _addition(quantized: QuantizedLayer, first: Tensor, second: Tensor) -> Tensor:
    left = quantized.left
    return first * (1 << left[0]) + second * (1 << left[1])


def _average(quantized: QuantizedLayer, inputs: Tensor) -> Tensor:
    layer = quantized.layer
    sums = functional.avg_pool2d(inputs, layer.kernel, layer.stride, layer.padding, divisor_override=1)
    return sums * quantized.multiplier


def _maximum(quantized: QuantizedLayer, inputs: Tensor) -> Tensor:
    layer = quantized.layer
    return functional.max_pool2d(inputs, layer.kernel, layer.stride, layer.padding)


_SUMS: Mapping[LayerKind, Callable[..., Tensor]] = {
    LayerKind.CONV: _convolution,
    LayerKind.DENSE: _convolution,
    LayerKind.ADD: _addition,
    LayerKind.AVG_POOL: _average,
    LayerKind.MAX_POOL: _maximum,
}
