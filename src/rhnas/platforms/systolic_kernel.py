"""Cycles and energy of one layer on one array, in closed form, and the hull of them over all tilings.

A layer is cut into equal tiles; a step holds one block of weights against one tile of pixels. While a step
computes, the memory port stores what the step before it finished and fetches what the next one needs; the
longer of both is the step's length. All steps of a kind are equal, so the sum is a handful of products.

Everything here is compiled and calls nothing outside this file, so that a kept compilation is never stale.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from rhnas.workload import FloatArray, IntArray

LATENCY = 16
"""Cycles from a request to the first word of a transfer: what the project assumes of VTA's memory as well."""
DESCRIPTOR_BYTES = 64
"""What the controller reads for each layer, and once more for the end."""
OUTPUT_OPERATIONS = 3
"""On every output: shift, minimum, maximum."""
WORD_BYTES = 4
"""Bytes of an accumulator and of a bias."""
UNFIT = -1
"""Cycles of a tiling that does not fit the buffers."""


class Nest(NamedTuple):
    """One layer. Sizes in pixels; ``ins`` and ``outs`` are channels of one group.

    ``operations`` is 0 for a convolution or dense layer, else vector operations per output.
    """

    groups: int
    ins: int
    outs: int
    out_h: int
    out_w: int
    in_h: int
    in_w: int
    kernel_h: int
    kernel_w: int
    stride_h: int
    stride_w: int
    operands: int
    operations: int


class Array(NamedTuple):
    """One design; capacities are bytes of half a buffer."""

    rows: int
    cols: int
    input_bytes: int
    weight_bytes: int
    acc_bytes: int
    bus_bytes: int
    lanes: int


class Energies(NamedTuple):
    """pJ per event, in the order of ``energies_of``; operations are those of the vector unit."""

    mac: float
    input_byte: float
    weight_byte: float
    acc_word: float
    dram_byte: float
    operation: float


class Cut(NamedTuple):
    """What a tiling makes of a layer.

    Attributes:
        groups: Times that all of the following is repeated.
        loops: Blocks along the columns.
        blocks: Blocks of input channels.
        packed: Groups at once.
        folds: Tiles of weights of a step along the rows.
        across: And along the columns.
        wide: Columns of accumulators in use.
        outs: Output channels of a step.
        all_outs: Of the layer.
        weight_bytes: Of a step, biases included.
        compute: Cycles of a step.
    """

    groups: int
    loops: int
    blocks: int
    packed: int
    folds: int
    across: int
    wide: int
    outs: int
    all_outs: int
    weight_bytes: int
    compute: int


class Tile(NamedTuple):
    """How a layer is cut: pixels of an output tile, input channels of a block, column folds of a block.

    ``halvings`` says how often the folds along the columns are halved; ``weights_stay`` whether the tiles of
    pixels are the inner loop.
    """

    height: int
    width: int
    channels: int
    halvings: int
    weights_stay: int


@njit(cache=True, nogil=True)
def ceil_div(a: int, b: int) -> int:
    """A / b, rounded up."""
    return -(-a // b)


@njit(cache=True, nogil=True)
def packed_groups(groups: int, depth: int, outs: int, rows: int, cols: int) -> int:
    """Groups that the array works on at once, along its diagonal; 1 where a group fills it."""
    return max(1, min(groups, rows // depth, cols // outs))


@njit(cache=True, nogil=True)
def pass_cycles(rows: int, cols: int, pixels: int) -> int:
    """One tile of weights: shifted in, then met by ``pixels`` skewed vectors, then drained."""
    return 2 * rows + cols + pixels - 2


@njit(cache=True, nogil=True)
def run(
    step: tuple[int, int, int, int], loops: tuple[int, int, int, int], weights_stay: bool
) -> tuple[int, int, int]:
    """The length of a loop nest of equal steps, and how often either operand is fetched.

    Args:
        step: Cycles that a step computes, that its inputs, its weights and its outputs take on the port.
        loops: Groups, outer blocks, inner blocks, and blocks of input channels, the innermost.
        weights_stay: The inner loop goes over pixels, else over columns.

    Returns:
        Cycles, fetches of inputs, fetches of weights.
    """
    compute, inputs, weights, outputs = step
    groups, outer, inner, blocks = loops
    split, again = int(blocks > 1), int(inner > 1 or blocks > 1)
    inner_i, inner_w, outer_i, outer_w = split, 1, 1, again
    if weights_stay:
        inner_i, inner_w, outer_i, outer_w = 1, split, again, 1
    both = inputs + weights
    at_inner = inner_i * inputs + inner_w * weights
    at_outer = outer_i * inputs + outer_w * weights
    inners, outers, tiles = groups * outer * (inner - 1), groups * (outer - 1), groups * outer * inner
    cycles = both + outputs
    if blocks > 1:
        cycles += max(compute, both) + (tiles - 1) * max(compute, both + outputs)
        cycles += tiles * (blocks - 2) * max(compute, both)
        cycles += inners * max(compute, at_inner) + outers * max(compute, at_outer)
        cycles += (groups - 1) * max(compute, both) + compute
    else:
        first = at_inner if inner > 1 else at_outer if outer > 1 else both if groups > 1 else 0
        cycles += inners * max(compute, at_inner + outputs) + outers * max(compute, at_outer + outputs)
        cycles += (groups - 1) * max(compute, both + outputs) + max(compute, outputs)
        cycles += max(compute, first) - max(compute, first + outputs)  # nothing to store yet
    more = tiles * (blocks - 1) + groups
    return cycles, more + inners * inner_i + outers * outer_i, more + inners * inner_w + outers * outer_w


@njit(cache=True, nogil=True)
def array_cut(nest: Nest, array: Array, tile: Tile) -> Cut:
    """A convolution or dense layer on the array; small groups share it along its diagonal."""
    taps = nest.kernel_h * nest.kernel_w
    packed = packed_groups(nest.groups, taps * nest.ins, nest.outs, array.rows, array.cols)
    folds = ceil_div(packed * tile.channels * taps, array.rows)
    whole = ceil_div(packed * nest.outs, array.cols)
    across = ceil_div(whole, 1 << tile.halvings)
    wide = across * array.cols
    each = min(wide, nest.outs)
    return Cut(
        groups=ceil_div(nest.groups, packed),
        loops=ceil_div(whole, across),
        blocks=ceil_div(nest.ins, tile.channels),
        packed=packed,
        folds=folds,
        across=across,
        wide=wide,
        outs=packed * each,
        all_outs=nest.groups * nest.outs,
        weight_bytes=packed * each * (tile.channels * taps + WORD_BYTES),
        compute=folds * across * pass_cycles(array.rows, array.cols, tile.height * tile.width),
    )


@njit(cache=True, nogil=True)
def vector_cut(nest: Nest, array: Array, tile: Tile) -> Cut:
    """Pooling or an addition on the vector unit; blocks of channels are independent of each other."""
    outputs = tile.height * tile.width * tile.channels
    return Cut(
        groups=ceil_div(nest.ins, tile.channels),
        loops=1,
        blocks=1,
        packed=1,
        folds=0,
        across=1,
        wide=tile.channels,
        outs=tile.channels,
        all_outs=nest.ins,
        weight_bytes=0,
        compute=ceil_div(outputs * nest.operations, max(array.lanes, 1)),
    )


@njit(cache=True, nogil=True)
def beats_of(size: tuple[int, int], whole_width: int, channels: tuple[int, int], bus: int) -> int:
    """Words on the port of a tile of a tensor [height][width][channels]: as few as its gaps allow.

    Args:
        size: Height and width of the tile.
        whole_width: Of the tensor.
        channels: Of the tile and of the tensor.
        bus: Bytes of a word.
    """
    height, width = size
    runs, length = 1, height * width * channels[0]
    if channels[0] < channels[1]:
        runs, length = height * width, channels[0]
    elif width < whole_width:
        runs, length = height, width * channels[0]
    words: int = ceil_div(length, bus)
    return runs * words


@njit(cache=True, nogil=True)
def price(nest: Nest, array: Array, energy: Energies, tile: Tile) -> tuple[int, float]:
    """Cycles and pJ of a layer under one tiling; ``UNFIT`` cycles where a buffer is too small."""
    bus, pixels = array.bus_bytes, tile.height * tile.width
    read = (
        min((tile.height - 1) * nest.stride_h + nest.kernel_h, nest.in_h),
        min((tile.width - 1) * nest.stride_w + nest.kernel_w, nest.in_w),
    )
    cut = vector_cut(nest, array, tile) if nest.operations else array_cut(nest, array, tile)
    channels = cut.packed * tile.channels
    input_bytes = read[0] * read[1] * channels * nest.operands
    held = cut.folds * cut.across * array.rows * array.cols
    fits = input_bytes <= array.input_bytes and held <= array.weight_bytes
    fits = fits and pixels * cut.wide * WORD_BYTES <= array.acc_bytes
    if not fits or (nest.operations and not array.lanes):
        return UNFIT, 0.0
    inputs = beats_of(read, nest.in_w, (channels, nest.groups * nest.ins), bus) * nest.operands
    weights = ceil_div(cut.weight_bytes, bus)
    outputs = beats_of((tile.height, tile.width), nest.out_w, (cut.outs, cut.all_outs), bus)
    step = (
        cut.compute,
        nest.operands * LATENCY + inputs,
        LATENCY + weights if weights else 0,
        LATENCY + outputs,
    )
    spatial = ceil_div(nest.out_h, tile.height) * ceil_div(nest.out_w, tile.width)
    outer, inner = (cut.loops, spatial) if tile.weights_stay else (spatial, cut.loops)
    cycles, fetches, refills = run(step, (cut.groups, outer, inner, cut.blocks), tile.weights_stay > 0)
    descriptor = ceil_div(DESCRIPTOR_BYTES, bus)
    tiles = cut.groups * spatial * cut.loops
    beats = fetches * inputs + refills * weights + tiles * outputs + descriptor
    pj = fetches * input_bytes * energy.input_byte + beats * bus * energy.dram_byte
    pj += tiles * pixels * cut.wide * OUTPUT_OPERATIONS * energy.operation
    if nest.operations:
        each = nest.operations * (energy.operation + energy.input_byte) + 2 * energy.acc_word
        pj += tiles * pixels * cut.wide * each
    else:
        passes = tiles * cut.blocks * cut.folds * cut.across
        vector = array.rows * (array.cols * energy.mac + energy.input_byte) + 2 * array.cols * energy.acc_word
        pj += passes * pixels * vector
        pj += (passes * array.rows * array.cols + refills * held) * energy.weight_byte
    return cycles + LATENCY + descriptor, pj


@njit(cache=True, nogil=True)
def hull(cycles: IntArray, pj: FloatArray, count: int, at: IntArray) -> int:
    """The lower hull of the first ``count`` points: their positions into ``at``, by ascending cycles.

    Each next point is the one to which energy is bought most cheaply; at most ``len(at)`` are kept.
    """
    best = 0
    for i in range(1, count):
        if cycles[i] < cycles[best] or (cycles[i] == cycles[best] and pj[i] < pj[best]):
            best = i
    found = 0
    while best >= 0 and found < len(at):
        at[found] = best
        found += 1
        last, best, rate = best, -1, np.inf
        for i in range(count):
            if pj[i] < pj[last]:
                new = (cycles[i] - cycles[last]) / (pj[last] - pj[i])
                if new < rate or (new == rate and pj[i] < pj[best]):
                    best, rate = i, new
    return found


@njit(cache=True, nogil=True)
def hulls(
    nest: Nest, tiles: IntArray, designs: IntArray, energies: FloatArray, out: tuple[IntArray, FloatArray]
) -> IntArray:
    """Hulls of one layer on many designs.

    Args:
        nest: The layer.
        tiles: int64 (T, 5): the tilings, as ``Tile``.
        designs: int64 (B, 7), as ``Array``.
        energies: float64 (B, 6), as ``Energies``.
        out: int64 (B, K) and float64 (B, K): receive cycles and pJ of the hulls, the last point repeated.

    Returns:
        int64 (B,): points of each hull; 0 where nothing fits, K where there may be more.
    """
    cycles, pj = out
    counts = np.zeros(len(designs), dtype=np.int64)
    all_cycles, all_pj = np.empty(len(tiles), dtype=np.int64), np.empty(len(tiles))
    at = np.empty(cycles.shape[1], dtype=np.int64)
    for b in range(len(designs)):
        d, e = designs[b], energies[b]
        array = Array(d[0], d[1], d[2], d[3], d[4], d[5], d[6])
        energy = Energies(e[0], e[1], e[2], e[3], e[4], e[5])
        count = 0
        for t in range(len(tiles)):
            row = tiles[t]
            one = price(nest, array, energy, Tile(row[0], row[1], row[2], row[3], row[4]))
            if one[0] != UNFIT:
                all_cycles[count], all_pj[count] = one
                count += 1
        if count:
            counts[b] = hull(all_cycles, all_pj, count, at)
            for k in range(cycles.shape[1]):
                point = at[min(k, counts[b] - 1)]
                cycles[b, k], pj[b, k] = all_cycles[point], all_pj[point]
    return counts
