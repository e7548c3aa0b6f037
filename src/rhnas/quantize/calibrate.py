"""From a trained network to integers: power-of-two scales chosen on calibration pictures.

A network is a sequence of layers with folded batch norm, aligned with its workload; where the weights come
from is not this module's business. Legend: N pictures, C channels, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np

from rhnas.errors import UnsupportedNetworkError
from rhnas.quantize.golden import AnyArray, convolve, pool_maxima, pool_sums, walk
from rhnas.quantized import (
    INT8_MAX,
    INT8_MIN,
    MAX_LEFT_SHIFT,
    Int8Array,
    Int32Array,
    QuantizedLayer,
    QuantizedNetwork,
)
from rhnas.workload import PICTURE, FloatArray, Layer, LayerKind

WEIGHT_LIMIT = 127
"""Weights are symmetric: a sign never changes what can be said."""
_CHANNEL_SPREAD = 6
"""Most fraction bits a channel's weights may have beyond the tensor's; more bits would not be seen."""
_MULTIPLIER_BITS = 6
"""A multiplier of an average pooling has 64 for its highest bit."""
_BIAS_BITS = 29
"""A bias is below 2**29 in units of its accumulator, which leaves as much for the products."""
_COARSEST = -32
"""Fewest fraction bits of an activation; only weights that grow around a residual connection need fewer."""
_SAMPLES = 1 << 16
"""Values per tensor that the choice of a scale looks at."""


class FloatLayer(Protocol):
    """A layer with batch norm folded into weight and bias; both None where it has none."""

    @property
    def layer(self) -> Layer:
        """Its shapes."""

    @property
    def weight(self) -> FloatArray | None:
        """float64 (C_out, C_in / groups, kernel height, kernel width); dense: (C_out, C_in)."""

    @property
    def bias(self) -> FloatArray | None:
        """float64 (C_out,)."""


@dataclass(frozen=True, kw_only=True)
class Scales:
    """Fraction bits of everything in a network; a number with f bits is stored as round(x * 2**f).

    Attributes:
        picture: Of the input.
        weights: Per layer int32 (1,), or (C_out,) with one per channel; None where there are none.
        outputs: Per layer.
    """

    picture: int
    weights: tuple[Int32Array | None, ...]
    outputs: tuple[int, ...]

    def inputs(self, layers: Sequence[Layer], index: int) -> tuple[int, ...]:
        """Fraction bits of what a layer reads."""
        position = {layer.name: at for at, layer in enumerate(layers)}
        return tuple(
            self.picture if source == PICTURE else self.outputs[position[source]]
            for source in layers[index].inputs
        )


def calibrate(layers: Sequence[FloatLayer], pictures: AnyArray, *, per_channel: bool = False) -> Scales:
    """Scales that lose least, tensor by tensor, in mean squared error over the calibration pictures.

    Args:
        layers: Of the network, in order.
        pictures: Normalised, float (N, C, H, W); a few hundred training pictures.
        per_channel: Whether each output channel's weights get a scale of their own.
    """
    shapes = tuple(layer.layer for layer in layers)
    weights = tuple(_weight_bits(layer, per_channel) for layer in layers)
    wishes = [best_bits(values) for _, values in walk(shapes, pictures, partial(_compute, layers))]
    first = settle(shapes, best_bits(pictures), weights, wishes)
    held = tuple(
        _held(layer, first.inputs(shapes, index), weights[index]) for index, layer in enumerate(layers)
    )
    return settle(shapes, first.picture, held, first.outputs)


def settle(
    shapes: Sequence[Layer],
    picture: int,
    weights: tuple[Int32Array | None, ...],
    wishes: Sequence[int],
) -> Scales:
    """The finest scales, none finer than wished, that the integer operations allow.

    A result cannot be finer than its accumulator; the operands of an addition lie at most
    ``MAX_LEFT_SHIFT`` bits apart; maximum pooling keeps its input's scale.

    Raises:
        UnsupportedNetworkError: Where the weights between a tensor and an addition that reads it again are
            so large that no scale serves both.
    """
    bits = {PICTURE: picture} | {layer.name: wish for layer, wish in zip(shapes, wishes, strict=True)}
    changed = True
    while changed:
        before = dict(bits)
        for layer, weight in zip(shapes, weights, strict=True):
            given = [bits[source] for source in layer.inputs]
            finest = max(given) if weight is None else given[0] + int(weight.min())
            if layer.kind is LayerKind.AVG_POOL:
                finest += _MULTIPLIER_BITS
            bits[layer.name] = min(bits[layer.name], finest)
            ceiling = {
                LayerKind.ADD: min(given) + MAX_LEFT_SHIFT,
                LayerKind.MAX_POOL: bits[layer.name],
            }.get(layer.kind, max(given))
            for source in layer.inputs:
                bits[source] = min(bits[source], ceiling)
            _check_scale(layer, bits[layer.name])
        changed = bits != before
    return Scales(picture=bits[PICTURE], weights=weights, outputs=tuple(bits[layer.name] for layer in shapes))


def quantize(name: str, layers: Sequence[FloatLayer], scales: Scales, pixels: Int8Array) -> QuantizedNetwork:
    """The integer network.

    Args:
        name: Of the network.
        layers: With float weights.
        scales: From ``calibrate``.
        pixels: From ``pixel_table``.
    """
    shapes = tuple(layer.layer for layer in layers)
    quantized = tuple(
        _quantize_layer(layer, scales.inputs(shapes, index), scales.weights[index], scales.outputs[index])
        for index, layer in enumerate(layers)
    )
    return QuantizedNetwork(name=name, layers=quantized, picture_bits=scales.picture, pixels=pixels)


def pixel_table(mean: Sequence[float], std: Sequence[float], bits: int) -> Int8Array:
    """What every pixel value becomes in each channel: normalised, scaled, rounded; int8 (channels, 256).

    Example:
        >>> pixel_table([0.5], [0.25], 5)[0, [0, 128, 255]].tolist()
        [-64, 0, 64]
    """
    levels = np.arange(256, dtype=np.float32) / np.float32(255)
    normal = (levels - np.asarray(mean, np.float32)[:, None]) / np.asarray(std, np.float32)[:, None]
    return _to_int8(normal, bits, INT8_MIN)


def best_bits(values: AnyArray, limit: int = INT8_MAX) -> int:
    """Fraction bits with the least mean squared error of rounding and clipping to ``limit``.

    Example:
        >>> best_bits(np.array([0.5, -1.5])), best_bits(np.linspace(-1, 1, 1001))
        (6, 7)
    """
    flat = np.abs(values.reshape(-1))
    largest = float(flat.max(initial=0.0))
    if not np.isfinite(largest):
        raise UnsupportedNetworkError("a tensor to be quantized must be finite", got=largest)
    if largest == 0.0:
        return 7
    flat = flat[:: -(-flat.size // _SAMPLES)].astype(np.float64)
    # Without clipping at all, then clipping ever more of the largest values.
    coarsest = int(np.floor(np.log2(limit / largest)))
    candidates = range(coarsest, coarsest + 4)
    return min(candidates, key=lambda bits: _squared_error(flat, bits, limit))


def reciprocal(pixels: int, finer: int) -> tuple[int, int]:
    """Multiplier and right shift nearest to ``2**finer / pixels``, with a multiplier of 64 to 127.

    Example:
        >>> reciprocal(64, 0), reciprocal(49, 0)
        ((64, 12), (84, 12))
    """
    ratio = 2.0**finer / pixels
    shift = _MULTIPLIER_BITS - int(np.floor(np.log2(ratio)))
    multiplier = round(ratio * 2.0**shift)
    return (multiplier, shift) if multiplier <= INT8_MAX else (multiplier // 2, shift - 1)


def _compute(layers: Sequence[FloatLayer], index: int, inputs: list[AnyArray]) -> AnyArray:
    """One layer in floating point."""
    layer, weight, bias = layers[index].layer, layers[index].weight, layers[index].bias
    result: AnyArray
    if weight is not None and bias is not None:
        values = inputs[0].reshape(len(inputs[0]), layer.channels[0], *layer.size)
        taps = weight.reshape(layer.channels[1], -1, *layer.kernel).astype(inputs[0].dtype)
        result = convolve(layer, values, taps) + bias.astype(inputs[0].dtype)[:, None, None]
    elif layer.kind is LayerKind.ADD:
        result = inputs[0] + inputs[1]
    elif layer.kind is LayerKind.AVG_POOL:
        result = pool_sums(layer, inputs[0]) / (layer.kernel[0] * layer.kernel[1])
    else:
        result = pool_maxima(layer, inputs[0], -np.inf)
    if layer.relu:
        np.maximum(result, 0, out=result)
    return result


def _check_scale(layer: Layer, bits: int) -> None:
    if bits < _COARSEST:
        raise UnsupportedNetworkError(
            f"the output of {layer.name} must have at least {_COARSEST} fraction bits",
            got=bits,
            fix="train with weight decay or batch norm: the weights before an addition are too large",
        )


def _weight_bits(layer: FloatLayer, per_channel: bool) -> Int32Array | None:
    if layer.weight is None:
        return None
    whole = best_bits(layer.weight, WEIGHT_LIMIT)
    if not per_channel:
        return np.array([whole], np.int32)
    each = [best_bits(channel, WEIGHT_LIMIT) if channel.any() else whole for channel in layer.weight]
    return np.minimum(each, whole + _CHANNEL_SPREAD).astype(np.int32)


def _held(layer: FloatLayer, given: tuple[int, ...], bits: Int32Array | None) -> Int32Array | None:
    """Weights no finer than lets the bias fit the accumulator."""
    if layer.bias is None or bits is None:
        return None
    largest = np.abs(layer.bias) if len(bits) > 1 else np.abs(layer.bias).max(keepdims=True)
    _, exponent = np.frexp(largest)  # largest < 2**exponent
    finest: Int32Array = np.minimum(bits, _BIAS_BITS - given[0] - np.maximum(exponent, 0)).astype(np.int32)
    return finest


def _quantize_layer(
    layer: FloatLayer, given: tuple[int, ...], weight_bits: Int32Array | None, bits: int
) -> QuantizedLayer:
    shape = layer.layer
    if layer.weight is not None and layer.bias is not None and weight_bits is not None:
        accumulator = given[0] + weight_bits  # fraction bits, (1,) or (C_out,)
        per_output = weight_bits.reshape(-1, *(1,) * (layer.weight.ndim - 1))
        return QuantizedLayer(
            layer=shape,
            fraction_bits=bits,
            shift=(accumulator - bits).astype(np.int32),
            weight=_to_int8(layer.weight, per_output, -WEIGHT_LIMIT),
            bias=np.rint(np.ldexp(layer.bias, accumulator)).astype(np.int32),
        )
    if shape.kind is LayerKind.ADD:
        common = max(given)
        left = common - given[0], common - given[1]
        return QuantizedLayer(layer=shape, fraction_bits=bits, shift=_one(common - bits), left=left)
    if shape.kind is LayerKind.AVG_POOL:
        multiplier, shift = reciprocal(shape.kernel[0] * shape.kernel[1], bits - given[0])
        return QuantizedLayer(layer=shape, fraction_bits=bits, shift=_one(shift), multiplier=multiplier)
    return QuantizedLayer(layer=shape, fraction_bits=bits, shift=_one(0))


def _one(shift: int) -> Int32Array:
    return np.array([shift], np.int32)


def _to_int8(values: AnyArray, bits: int | Int32Array, lowest: int) -> Int8Array:
    scaled: AnyArray = np.clip(np.rint(np.ldexp(values, bits)), lowest, INT8_MAX)
    return scaled.astype(np.int8)


def _squared_error(magnitudes: FloatArray, bits: int, limit: int) -> float:
    stored = np.minimum(np.rint(np.ldexp(magnitudes, bits)), limit)
    return float(np.mean((np.ldexp(stored, -bits) - magnitudes) ** 2))
