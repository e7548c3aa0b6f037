"""The systolic array as plain loops: registers clocked one by one, and every step of a layer walked."""

import itertools
from dataclasses import dataclass

import numpy as np

from rhnas.platforms.systolic_kernel import (
    DESCRIPTOR_BYTES,
    LATENCY,
    OUTPUT_OPERATIONS,
    Array,
    Energies,
    Tile,
)
from rhnas.workload import Layer, LayerKind


def simulated_pass(weights: np.ndarray, inputs: np.ndarray) -> tuple[np.ndarray, int]:
    """A weight-stationary array, clocked until the last sum has left: inputs @ weights, and the cycles."""
    rows, cols = weights.shape
    held = np.zeros_like(weights)
    cycles = 0
    for line in weights[::-1]:  # the last line enters first and moves down
        held = np.vstack([line, held[:-1]])
        cycles += 1
    moving, sums = np.zeros_like(weights), np.zeros_like(weights)
    out = np.full((len(inputs), cols), -1)
    missing = out.size
    clock = 0
    while missing:
        entering = [inputs[clock - r, r] if 0 <= clock - r < len(inputs) else 0 for r in range(rows)]
        moving = np.column_stack([entering, moving[:, :-1]])
        sums = np.vstack([np.zeros(cols, dtype=sums.dtype), sums[:-1]]) + moving * held
        for col in range(cols):
            vector = clock - (rows - 1) - col
            if 0 <= vector < len(inputs):
                out[vector, col] = sums[-1, col]
                missing -= 1
        clock += 1
        cycles += 1
    return out, cycles


def runs_words(height: int, width: int, tensor: tuple[int, int], channels: int, bus: int) -> int:
    """Bus words of a tile at the origin of a tensor [..][width][channels], run by contiguous run."""
    whole_width, whole_channels = tensor
    addresses = sorted(
        (y * whole_width + x) * whole_channels + c
        for y, x, c in itertools.product(range(height), range(width), range(channels))
    )
    words, start = 0, 0
    for i in range(1, len(addresses) + 1):
        if i == len(addresses) or addresses[i] != addresses[i - 1] + 1:
            words += -(-(i - start) // bus)
            start = i
    return words


@dataclass(frozen=True)
class Step:
    """What every step of a layer does, and how many there are along each loop."""

    groups: int
    bands: int
    ks: int
    passes: int
    compute: int
    lanes: int
    stored: int
    channels: int
    weight_bytes: int


def array_step(layer: Layer, array: Array, tile: Tile) -> Step:
    """Of a convolution or dense layer."""
    ins, outs = layer.channels[0] // layer.groups, layer.channels[1] // layer.groups
    taps = layer.kernel[0] * layer.kernel[1]
    together = 1
    while (
        (together + 1) * taps * ins <= array.rows
        and (together + 1) * outs <= array.cols
        and together < layer.groups
    ):
        together += 1
    down = -(-together * tile.channels * taps // array.rows)
    columns = -(-together * outs // array.cols)
    across = -(-columns // 2**tile.halvings)
    stored = together * min(outs, across * array.cols)
    one = 2 * array.rows + array.cols + tile.height * tile.width - 2
    return Step(
        groups=-(-layer.groups // together),
        bands=-(-columns // across),
        ks=-(-ins // tile.channels),
        passes=down * across,
        compute=down * across * one,
        lanes=across * array.cols,
        stored=stored,
        channels=together * tile.channels,
        weight_bytes=stored * (tile.channels * taps + 4),
    )


def vector_step(layer: Layer, array: Array, tile: Tile) -> Step:
    """Of pooling or an addition."""
    operations = tile.height * tile.width * tile.channels * layer.kernel[0] * layer.kernel[1]
    return Step(
        groups=-(-layer.channels[0] // tile.channels),
        bands=1,
        ks=1,
        passes=0,
        compute=-(-operations // array.lanes),
        lanes=tile.channels,
        stored=tile.channels,
        channels=tile.channels,
        weight_bytes=0,
    )


def walk(layer: Layer, array: Array, energy: Energies, tile: Tile) -> tuple[int, float] | None:
    """Cycles and pJ by walking every step; None where a buffer is too small or the unit is missing."""
    weighted = layer.kind in (LayerKind.CONV, LayerKind.DENSE)
    if not weighted and not array.lanes:
        return None
    step = array_step(layer, array, tile) if weighted else vector_step(layer, array, tile)
    operands = 2 if layer.kind is LayerKind.ADD else 1
    high, wide = (
        min((tiled - 1) * stride + kernel, size)
        for tiled, stride, kernel, size in zip(tile[:2], layer.stride, layer.kernel, layer.size, strict=True)
    )
    pixels, held = tile.height * tile.width, step.passes * array.rows * array.cols
    bytes_in = operands * high * wide * step.channels
    sizes = bytes_in, held, 4 * pixels * step.lanes
    if any(need > room for need, room in zip(sizes, array[2:5], strict=True)):
        return None
    bus, (_, out_w) = array.bus_bytes, layer.output_size
    words_in = operands * runs_words(high, wide, (layer.size[1], layer.channels[0]), step.channels, bus)
    words_out = runs_words(tile.height, tile.width, (out_w, layer.channels[1]), step.stored, bus)
    words_weights = -(-step.weight_bytes // bus)
    fetch, words, pj = [], 0, 0.0
    before = None, None
    steps = order(layer, tile, step)
    for inputs, weights, done in steps:
        fetch.append(0)
        if inputs != before[0]:
            fetch[-1] += operands * LATENCY + words_in
            words += words_in
            pj += bytes_in * energy.input_byte
        if weighted and weights != before[1]:
            fetch[-1] += LATENCY + words_weights
            words += words_weights
            pj += held * energy.weight_byte
        before = inputs, weights
        words += words_out if done else 0
        pj += step_energy(layer, array, energy, step, pixels)
        pj += pixels * step.lanes * OUTPUT_OPERATIONS * energy.operation if done else 0
    words += -(-DESCRIPTOR_BYTES // bus)
    cycles = pipelined(
        step.compute, [*fetch, 0], [LATENCY + words_out if done else 0 for _, _, done in steps]
    )
    return cycles + LATENCY + -(-DESCRIPTOR_BYTES // bus), pj + words * bus * energy.dram_byte


def order(layer: Layer, tile: Tile, step: Step) -> list[tuple[tuple, tuple, bool]]:
    """For each step which inputs and which weights it needs, and whether it finishes an output tile."""
    out_h, out_w = layer.output_size
    spots = [(y, x) for y in range(0, out_h, tile.height) for x in range(0, out_w, tile.width)]
    loops = (range(step.bands), spots) if tile.weights_stay else (spots, range(step.bands))
    steps = []
    for g, a, b, k in itertools.product(range(step.groups), *loops, range(step.ks)):
        band, spot = (a, b) if tile.weights_stay else (b, a)
        steps.append(((g, spot, k), (g, band, k), k == step.ks - 1))
    return steps


def step_energy(layer: Layer, array: Array, energy: Energies, step: Step, pixels: int) -> float:
    """pJ of the computation of one step."""
    if not step.passes:
        taps = layer.kernel[0] * layer.kernel[1]
        return pixels * step.lanes * (taps * (energy.operation + energy.input_byte) + 2 * energy.acc_word)
    pj = 0.0
    for _ in range(step.passes):
        pj += array.rows * array.cols * energy.weight_byte
        pj += pixels * array.rows * array.cols * energy.mac
        pj += pixels * (array.rows * energy.input_byte + 2 * array.cols * energy.acc_word)
    return pj


def pipelined(compute: int, fetch: list[int], store: list[int]) -> int:
    """While a step computes, the port stores for the one before and fetches for the next."""
    total, pending = fetch[0], 0
    for i, stored in enumerate(store):
        total += max(compute, pending + fetch[i + 1])
        pending = stored
    return total + pending
