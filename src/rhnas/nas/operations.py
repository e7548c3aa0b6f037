"""Layers as torch functions: one meaning of ``Layer`` for the supernet and for derived networks.

Legend: N pictures, C channels, H x W pixels.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from rhnas.errors import UnsupportedNetworkError
from rhnas.workload import Layer, LayerKind

BATCH_NORM_EPSILON = 1e-5
"""Added to variances, as torch does by default."""


def weight_shape(layer: Layer) -> tuple[int, ...]:
    """Shape of a convolution's or dense layer's weight."""
    channels_in, channels_out = layer.channels
    if layer.kind is LayerKind.DENSE:
        return channels_out, channels_in
    return channels_out, channels_in // layer.groups, *layer.kernel


def initial_weight(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """He's normal initialisation over the fan-in."""
    fan_in = math.prod(shape[1:])
    return torch.randn(shape, generator=generator) * math.sqrt(2.0 / fan_in)


def convolve(layer: Layer, pictures: Tensor, weight: Tensor) -> Tensor:
    """The layer's convolution without bias, (N, C_in, H, W) to (N, C_out, H', W')."""
    return functional.conv2d(pictures, weight, None, layer.stride, layer.padding, groups=layer.groups)


def pool(layer: Layer, pictures: Tensor) -> Tensor:
    """Max or average pooling, (N, C, H, W) to (N, C, H', W')."""
    if layer.kind is LayerKind.MAX_POOL:
        return functional.max_pool2d(pictures, layer.kernel, layer.stride, layer.padding)
    if layer.kind is not LayerKind.AVG_POOL:
        raise UnsupportedNetworkError(f"layer {layer.name!r} must be a pooling", got=layer.kind.name)
    if layer.kernel == tuple(pictures.shape[2:]):
        return pictures.mean(dim=(2, 3), keepdim=True)
    return functional.avg_pool2d(pictures, layer.kernel, layer.stride, layer.padding)
