"""Tiles of a loop nest: how a nest is cut, how often what is loaded, and what must lie on chip at once."""

from __future__ import annotations

from typing import NamedTuple

from rhnas.vta.compiled import compiled, inlined
from rhnas.vta.mapping_nest import BEST, PIXELS_OUTER, Nest, ceil_div, quotient


class Axis(NamedTuple):
    """One spatial dimension cut into tiles of ``tile`` output pixels.

    Attributes:
        tile: Output pixels of a tile.
        tiles: Tiles.
        read: Input pixels read, summed over tiles, without padding.
        full: The same with padding.
        extent: Input pixels of a whole tile, with padding.
        whole: 1 where one tile reads the whole picture's extent.
    """

    tile: int
    tiles: int
    read: int
    full: int
    extent: int
    whole: int


class Tiling(NamedTuple):
    """Tiles of channels and the order they run in; group counts are storage groups.

    Attributes:
        tile_ci: Input groups of a reduction tile.
        tile_co: Output groups of a tile.
        tile_groups: Input groups loaded for one step, at most.
        pass_groups: Input groups loaded for all output tiles of one pixel tile (dense: for one of them).
        order: ``CHANNELS_OUTER`` or ``PIXELS_OUTER``.
        schedule: ``BEST`` or ``UPSTREAM``.
    """

    tile_ci: int
    tile_co: int
    tile_groups: int
    pass_groups: int
    order: int
    schedule: int


@compiled
def axis_of(out: int, size: int, kernel: int, stride: int, pad: int, tile: int, pitch: int) -> Axis:
    """Cut a dimension; ``pitch`` input pixels on chip lie between outputs, ``stride`` in memory."""
    read, full = 0, 0
    for start in range(0, out, tile):
        here = min(tile, out - start)
        low = start * stride - pad
        high = low + (here - 1) * stride + kernel
        full += (here - 1) * pitch + kernel
        if pitch == stride:
            read += max(0, min(high, size) - max(low, 0))
        else:
            for pixel in range(low, high, stride):
                read += 0 <= pixel < size
    count = ceil_div(out, tile)
    return Axis(tile, count, read, full, (tile - 1) * pitch + kernel, int(count == 1 and read == size))


@compiled
def row_axis(nest: Nest, tile: int) -> Axis:
    """The rows of a nest; those that a kernel of one row strides over are not loaded."""
    pitch = 1 if nest.kernel_h == 1 else nest.stride_h
    return axis_of(nest.out_h, nest.in_h, nest.kernel_h, nest.stride_h, nest.pad_h, tile, pitch)


@compiled
def column_axis(nest: Nest, tile: int) -> Axis:
    """The columns of a nest."""
    return axis_of(nest.out_w, nest.in_w, nest.kernel_w, nest.stride_w, nest.pad_w, tile, nest.stride_w)


@compiled
def channel_groups(nest: Nest, tile_co: int) -> tuple[int, int]:
    """Input storage groups that output tiles read: (sum over tiles, most of one tile); dense: all of them."""
    if nest.dense:
        return nest.groups_in, nest.groups_in
    total, most = 0, 0
    for first in range(0, nest.groups_out, tile_co):
        end = min((first + tile_co) * nest.width_out, nest.channels_out)
        low = quotient(quotient(first * nest.width_out, nest.group_out) * nest.group_in, nest.width_in)
        high = ceil_div((quotient(end - 1, nest.group_out) + 1) * nest.group_in, nest.width_in)
        total += high - low
        most = max(most, high - low)
    return total, most


@inlined
def unfolded_uops(a: int, b: int, c: int, d: int, e: int, f: int, g: int, h: int) -> int:
    """Micro-ops of a kernel: the product of its dimensions less the two that become loops, the longest."""
    first, second, product = max(a, b), min(a, b), a * b
    for size in (c, d, e, f, g, h):
        product *= size
        second = max(second, min(first, size))
        first = max(first, size)
    return quotient(product, first * second)


@inlined
def kernel_uops(nest: Nest, h: Axis, w: Axis, t: Tiling) -> int:
    """Micro-ops of a layer's kernel in one variant, on the GEMM core or the ALU."""
    lanes_out, reduction, lanes_in = min(nest.lanes_out, nest.blocks_out), nest.touched, 1
    taps_h, taps_w = nest.kernel_h, nest.kernel_w
    rows, columns = h.tile, w.tile
    if taps_h * taps_w * nest.stride_h * nest.stride_w == 1:
        rows, columns = rows * columns, 1
    if nest.dense:
        reduction, lanes_in = t.tile_ci, min(nest.lanes_in, nest.blocks_in)
    if nest.vector:
        # Each tap is an instruction of its own with its own micro-ops.
        lanes_out, reduction, taps_h, taps_w = nest.lanes_out, 1, 1, 1
    kernel = unfolded_uops(t.tile_co, lanes_out, reduction, lanes_in, taps_h, taps_w, rows, columns)
    return int(kernel * (nest.kernel_h * nest.kernel_w if nest.vector else nest.operands))


class Streams(NamedTuple):
    """How many tiles there are and how often what is loaded; loads count tiles, not instructions."""

    pixel_tiles: int
    channel_tiles: int
    reductions: int
    tiles: int
    steps: int
    input_groups: int
    input_loads: int
    weight_passes: int
    weight_loads: int
    bias_loads: int
    bias_resident: int
    bias_tensors: int


@inlined
def streams_of(nest: Nest, h: Axis, w: Axis, t: Tiling) -> Streams:
    """Which tiles stay on chip, and what is loaded how often."""
    pixel_tiles = h.tiles * w.tiles
    channel_tiles = ceil_div(nest.groups_out, t.tile_co)
    reductions = ceil_div(nest.groups_in, t.tile_ci) if nest.dense else 1
    tiles = pixel_tiles * channel_tiles
    hoist = t.schedule == BEST and reductions == 1

    input_stays = hoist and nest.dense and (t.order == PIXELS_OUTER or pixel_tiles == 1)
    input_loads = pixel_tiles if input_stays else tiles * reductions
    input_groups = t.pass_groups * nest.operands
    if nest.dense and not input_stays:
        input_groups *= channel_tiles
    weight_stays = hoist and (t.order != PIXELS_OUTER or channel_tiles == 1)
    weight_passes = 1 if nest.shared or weight_stays else pixel_tiles
    weight_loads = 1 if nest.shared else channel_tiles * reductions * weight_passes

    bias_loads, bias_resident = channel_tiles, t.tile_co * nest.lanes_out
    bias_tensors = nest.groups_out * nest.lanes_out
    if t.schedule != BEST:
        bias_loads, bias_tensors = tiles, bias_tensors * pixel_tiles
    elif not nest.bias:
        bias_loads, bias_resident, bias_tensors = 1, 1, 1
    elif t.order == PIXELS_OUTER:
        bias_loads, bias_resident = 1, bias_tensors
    if nest.vector:
        weight_loads = bias_loads = bias_resident = bias_tensors = 0
    return Streams(
        pixel_tiles, channel_tiles, reductions, tiles, tiles * reductions, input_groups, input_loads,
        weight_passes, weight_loads, bias_loads, bias_resident, bias_tensors,
    )  # fmt: skip


class Held(NamedTuple):
    """Tensors of one tile on chip; ``outputs`` are accumulators.

    Attributes:
        inputs: Of the input scratchpad.
        weights: Of the weight scratchpad.
        outputs: Of the accumulators, without biases.
        bias: Of the accumulators.
        kernel: Micro-ops of one variant of the kernel.
        edges: Variants of the kernel: 2 where the last tile of a row is narrower.
    """

    inputs: int
    weights: int
    outputs: int
    bias: int
    kernel: int
    edges: int


@inlined
def held_of(nest: Nest, h: Axis, w: Axis, t: Tiling, s: Streams) -> Held:
    """What one tile holds; nothing of it falls when a tile of channels grows."""
    inputs = t.tile_groups * nest.operands * nest.lanes_in * h.extent * w.extent
    outputs = t.tile_co * nest.lanes_out * h.tile * w.tile
    weights = nest.weights
    if not nest.shared:
        depth = min(t.tile_ci * nest.lanes_in, nest.blocks_in) if nest.dense else nest.touched
        weights = min(t.tile_co * nest.lanes_out, nest.blocks_out) * depth * nest.kernel_h * nest.kernel_w
    if nest.vector:
        # The sum of an addition replaces its first operand.
        outputs = inputs + (outputs if nest.operands == 1 else 0)
        inputs = weights = 0
    edges = 1 if nest.out_w == w.tile * quotient(nest.out_w, w.tile) else 2
    return Held(inputs, weights, outputs, s.bias_resident, kernel_uops(nest, h, w, t), edges)


@inlined
def needs_of(nest: Nest, held: Held, s: Streams, threads: int, schedule: int) -> tuple[int, int, int, int]:
    """(inp, wgt, acc, uop) tensors on chip at once; what is loaded once needs no second half."""
    inputs, weights, outputs, bias, phases = held.inputs, held.weights, held.outputs, held.bias, 1
    if threads > 1:
        duplicate = schedule != BEST
        phases = 4 if s.reductions > 1 or (s.pixel_tiles > 1 and s.channel_tiles > 1) else 2
        inputs *= 2 if s.input_loads > 1 or duplicate else 1
        weights *= 2 if s.weight_loads > 1 or duplicate else 1
        bias *= 2 if s.bias_loads > 1 or duplicate else 1
        outputs *= 2
    if nest.vector:
        return inputs, weights, outputs + bias, held.kernel * threads
    uops = held.kernel * held.edges * phases + (nest.lanes_out + 1) * threads
    return inputs, weights, outputs + bias, uops
