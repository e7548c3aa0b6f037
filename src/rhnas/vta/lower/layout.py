"""How tensors lie in memory: activations, weights, and what accumulators start from.

Activations are [groups][height][width][BATCH][width of a storage group]: a pixel of a storage group is
``lanes`` tensors. Channels, pictures and blocks that a layer does not have are zeros.
Legend: N pictures, C channels, H x W pixels; blocks are BLOCK_IN or BLOCK_OUT channels.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from rhnas.quantized import Int8Array, QuantizedLayer
from rhnas.vta.config import AcceleratorConfig
from rhnas.vta.mapping_nest import BEST, FOLDED, Nest, nests_of
from rhnas.workload import IntArray, Layer, LayerKind

Bytes = npt.NDArray[np.uint8]


def nest_of(layer: Layer, config: AcceleratorConfig, form: int, schedule: int = BEST) -> Nest:
    """The loop nest of a layer on one accelerator under a schedule, as the cost model sees it."""
    array = np.array([[config.log_batch, config.log_block_in, config.log_block_out]], dtype=np.int64)
    return nests_of([layer], array, schedule)[0, 0, form]


def pack_activations(tensor: Int8Array, batch: int, width: int) -> Bytes:
    """Pictures as they lie in memory.

    Args:
        tensor: int8 (N, C, H, W), N at most ``batch``.
        batch: BATCH.
        width: Channels of a storage group.

    Returns:
        uint8, flat.

    Example:
        >>> pack_activations(np.array([[[[1, 2]], [[3, 4]]]], np.int8), 1, 4)
        array([1, 3, 0, 0, 2, 4, 0, 0], dtype=uint8)
    """
    count, channels, height, columns = tensor.shape
    groups = -(-channels // width)
    whole = np.zeros((batch, groups * width, height, columns), np.int8)
    whole[:count, :channels] = tensor
    packed = whole.reshape(batch, groups, width, height, columns).transpose(1, 3, 4, 0, 2)
    return np.ascontiguousarray(packed).reshape(-1).view(np.uint8)


def unpack_activations(content: Bytes, shape: tuple[int, int, int, int], batch: int, width: int) -> Int8Array:
    """Undo ``pack_activations``, (N, C, H, W) being ``shape``."""
    count, channels, height, columns = shape
    packed = content.view(np.int8).reshape(-1, height, columns, batch, width)
    return packed.transpose(3, 0, 4, 1, 2).reshape(batch, -1, height, columns)[:count, :channels]


def fold_columns(layer: Layer, tensor: Int8Array) -> Int8Array:
    """A picture whose channels are its channels under every kernel column; padding columns are zeros.

    Args:
        layer: The convolution that reads it.
        tensor: int8 (N, C, H, W).

    Returns:
        int8 (N, C * kernel columns, H, output columns).
    """
    kernel, stride, pad = layer.kernel[1], layer.stride[1], layer.padding[1]
    columns = layer.output_size[1]
    padded = np.pad(tensor, ((0, 0), (0, 0), (0, 0), (pad, pad)))
    taps = [padded[..., k : k + (columns - 1) * stride + 1 : stride] for k in range(kernel)]
    return np.stack(taps, axis=2).reshape(len(tensor), -1, layer.size[0], columns)


def dense_weight(quantized: QuantizedLayer, form: int) -> Int8Array:
    """The weight without groups, (C_out, C_in, kernel height, kernel width); folded as the picture is."""
    layer, weight = quantized.layer, np.asarray(quantized.weight, np.int8)
    outputs, inputs = layer.channels[1], layer.channels[0] // layer.groups
    weight = weight.reshape(outputs, inputs, *layer.kernel)
    if form == FOLDED:
        return weight.transpose(0, 1, 3, 2).reshape(outputs, -1, layer.kernel[0], 1)
    whole = np.zeros((outputs, layer.channels[0], *layer.kernel), np.int8)
    per_group = outputs // layer.groups
    for group in range(layer.groups):
        rows = slice(group * per_group, (group + 1) * per_group)
        whole[rows, group * inputs : (group + 1) * inputs] = weight[rows]
    return whole


def flattened(quantized: QuantizedLayer, source: Layer, width: int) -> QuantizedLayer:
    """A dense layer whose input channels are a tensor's as memory holds it: by storage group and pixel.

    Args:
        quantized: The dense layer; its input channels are the tensor's (C, H, W) in order.
        source: The layer that writes the tensor.
        width: Channels of a storage group.
    """
    channels, pixels = source.channels[1], source.output_size[0] * source.output_size[1]
    if pixels == 1 or quantized.weight is None:
        return quantized
    outputs, groups = quantized.layer.channels[1], -(-channels // width)
    whole = np.zeros((outputs, groups * width, pixels), np.int8)
    whole[:, :channels] = quantized.weight.reshape(outputs, channels, pixels)
    stored = whole.reshape(outputs, groups, width, pixels).transpose(0, 1, 3, 2).reshape(outputs, -1)
    layer = replace(quantized.layer, channels=(stored.shape[1], outputs))
    return replace(quantized, layer=layer, weight=np.ascontiguousarray(stored))


def weight_blocks(weight: Int8Array, config: AcceleratorConfig) -> Int8Array:
    """A weight cut into tensors.

    Args:
        weight: int8 (C_out, C_in, kernel height, kernel width).
        config: Gives the blocks.

    Returns:
        int8 (output blocks, input blocks, kernel height, kernel width, BLOCK_OUT, BLOCK_IN).
    """
    outputs, inputs, *kernel = weight.shape
    block_in, block_out = config.block_in, config.block_out
    blocks_in, blocks_out = -(-inputs // block_in), -(-outputs // block_out)
    whole = np.zeros((blocks_out * block_out, blocks_in * block_in, *kernel), np.int8)
    whole[:outputs, :inputs] = weight
    cut = whole.reshape(blocks_out, block_out, blocks_in, block_in, *kernel)
    return np.ascontiguousarray(cut.transpose(0, 2, 4, 5, 1, 3))


def diagonal_blocks(quantized: QuantizedLayer, config: AcceleratorConfig) -> Int8Array:
    """Diagonals that carry channels over: an average's multiplier, or an addition's left shifts.

    Returns:
        int8 (operands * ratio of the blocks, BLOCK_OUT, BLOCK_IN): one per operand and per way in which a
        block of one side lies in a block of the other.
    """
    adds = quantized.layer.kind is LayerKind.ADD
    factors = [1 << left for left in quantized.left] if adds else [quantized.multiplier]
    small, large = sorted((config.block_in, config.block_out))
    diagonals = np.zeros((len(factors), large // small, config.block_out, config.block_in), np.int8)
    lane = np.arange(small)
    for operand, factor in enumerate(factors):
        for way in range(large // small):
            if config.block_out > config.block_in:
                diagonals[operand, way, way * small + lane, lane] = factor
            else:
                diagonals[operand, way, lane, way * small + lane] = factor
    return diagonals.reshape(-1, config.block_out, config.block_in)


def constant_tensors(
    values: npt.NDArray[Any], tensors: int, config: AcceleratorConfig, rest: int = 0
) -> Bytes:
    """One int32 per channel as so many accumulator tensors, alike in all BATCH rows; uint8, flat.

    Args:
        values: Of the channels there are.
        tensors: How many.
        config: Gives the blocks.
        rest: For channels that are not there.
    """
    whole: IntArray = np.full(tensors * config.block_out, rest, np.int64)
    whole[: len(values)] = values
    rows = np.repeat(whole.reshape(tensors, 1, -1), config.batch, axis=1)
    return rows.astype("<i4").reshape(-1).view(np.uint8)
