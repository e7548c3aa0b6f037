"""The cost model in plain Python: walks every tile of a mapping and counts, with no closed form of a total.

Written from docs/cost-model.md, not from the compiled code; it shares with it the timing profile alone.
"""

import math
from dataclasses import dataclass, field
from fractions import Fraction

from rhnas.vta.mapping import Mapping
from rhnas.vta.timing import TimingProfile
from rhnas.workload import Layer, LayerKind

GEMM, FOLDED, ALU = "gemm", "gemm, kernel columns folded into channels", "alu"


def up(value: Fraction | float) -> int:
    return math.ceil(value)


@dataclass
class Array:
    """An array and its bus, as plain numbers."""

    batch: int
    block_in: int
    block_out: int
    bus: int


@dataclass
class Shape:
    """A layer in one form on one array."""

    layer: Layer
    array: Array
    form: str
    schedule: str = "best"

    def __post_init__(self):
        layer, array = self.layer, self.array
        self.weighted = layer.kind in (LayerKind.CONV, LayerKind.DENSE)
        self.dense = self.weighted and layer.groups == 1
        self.upstream = self.schedule == "upstream" and layer.kind is LayerKind.CONV and self.dense
        self.cin, self.cout = layer.channels
        self.size, self.kernel, self.stride, self.pad = layer.size, layer.kernel, layer.stride, layer.padding
        self.out = layer.output_size
        if self.form == FOLDED:
            self.cin *= self.kernel[1]
            self.size = (self.size[0], self.out[1])
            self.kernel, self.stride, self.pad = (self.kernel[0], 1), (self.stride[0], 1), (self.pad[0], 0)
        lanes = max(array.block_in, array.block_out)
        self.group_in, self.group_out = (lanes, lanes)
        if array.batch > 1:
            self.group_in, self.group_out = array.block_in, array.block_out
        if self.dense and layer.reads_picture:
            self.group_in = array.block_in
        self.block_in = array.block_in
        if self.form == ALU:
            self.group_in, self.block_in = self.group_out, array.block_out
        self.operands = 2 if layer.kind is LayerKind.ADD else 1
        self.groups_in, self.groups_out = up(self.cin / self.group_in), up(self.cout / self.group_out)
        self.lanes_in, self.lanes_out = self.group_in // self.block_in, self.group_out // array.block_out

    def channels_read(self, first: int, last: int) -> range:
        """Input channels that output channels first .. last read."""
        if self.dense:
            return range(self.cin)
        per_in, per_out = 1, 1
        if self.weighted:
            per_in, per_out = (channels // self.layer.groups for channels in self.layer.channels)
        last = min(last, self.cout - 1)
        return range(first // per_out * per_in, (last // per_out + 1) * per_in)

    def inputs_of(self, outputs: range, width_out: int, width_in: int) -> list[int]:
        """Input pieces of ``width_in`` channels that output pieces of ``width_out`` channels read."""
        read = self.channels_read(outputs[0] * width_out, (outputs[-1] + 1) * width_out - 1)
        return sorted({channel // width_in for channel in read})


@dataclass
class Walk:
    """What the tiles of a mapping add up to."""

    gemm_steps: int = 0
    gemms: int = 0
    tiles: int = 0
    input_loads: int = 0
    input_groups_per_pixel_tile: int = 0
    weight_loads: int = 0
    weight_tensors: int = 0
    bias_loads: int = 0
    bias_tensors: int = 0
    pixel_tiles: set = field(default_factory=set)
    reductions: int = 1
    most: dict = field(default_factory=lambda: dict.fromkeys(("inp", "wgt", "out", "bias"), 0))


def cut(size: int, tile: int) -> list[range]:
    return [range(start, min(start + tile, size)) for start in range(0, size, tile)]


def rows_needed(shape: Shape, axis: int, outputs: range) -> tuple[int, int]:
    """(pixels in the picture, pixels with padding) that a run of outputs needs along an axis."""
    kernel, stride, pad = shape.kernel[axis], shape.stride[axis], shape.pad[axis]
    if axis == 0 and kernel == 1:
        pixels = [i * stride - pad for i in outputs]
    else:
        pixels = list(range(outputs[0] * stride - pad, outputs[-1] * stride - pad + kernel))
    return sum(0 <= p < shape.size[axis] for p in pixels), len(pixels)


def blocks_read(shape: Shape, channels: range, reduction: range | None) -> int:
    """Input blocks that the output blocks of some storage groups read within a reduction tile."""
    blocks = 0
    end = min((channels[-1] + 1) * shape.lanes_out, up(shape.cout / shape.array.block_out))
    for block in range(channels[0] * shape.lanes_out, end):
        read = shape.inputs_of(range(block, block + 1), shape.array.block_out, shape.block_in)
        if reduction is not None:
            read = [piece for piece in read if piece // shape.lanes_in in reduction]
        blocks += len(read)
    return blocks


def load_biases(shape: Shape, found: Walk, channels: range, everything: bool, there: object) -> object:
    """Load the biases of a tile unless they are there; what is there afterwards."""
    bias = channels if shape.weighted and not everything else "all"
    if shape.form == ALU or (bias == there and not shape.upstream):
        return there
    tensors = 1
    if shape.weighted:
        tensors = (shape.groups_out if everything else len(channels)) * shape.lanes_out
    found.bias_loads += 1
    found.bias_tensors += tensors
    found.most["bias"] = max(found.most["bias"], tensors)
    return bias


def walk(shape: Shape, mapping: Mapping) -> Walk:
    found = Walk()
    taps = shape.kernel[0] * shape.kernel[1]
    pixel_tiles = [
        (h, w) for h in cut(shape.out[0], mapping.tile_h) for w in cut(shape.out[1], mapping.tile_w)
    ]
    channel_tiles = cut(shape.groups_out, mapping.tile_co)
    reductions = cut(shape.groups_in, mapping.tile_ci) if shape.dense else [None]
    found.reductions = len(reductions)
    outer_pixels = mapping.order == "pixels outer"
    pairs = [(p, c) for p in pixel_tiles for c in channel_tiles]
    if not outer_pixels:
        pairs = [(p, c) for c in channel_tiles for p in pixel_tiles]
    input_there = weights_there = bias_there = None
    for pixels, channels in pairs:
        found.tiles += 1
        bias_there = load_biases(shape, found, channels, outer_pixels, bias_there)
        found.most["out"] = max(found.most["out"], len(channels) * shape.lanes_out)
        for reduction in reductions:
            groups = reduction or shape.inputs_of(channels, shape.group_out, shape.group_in)
            key = (pixels, reduction if shape.dense else channels)
            if key != input_there or shape.upstream:
                input_there = key
                found.input_loads += 1
                if pixels == pixel_tiles[0]:
                    found.input_groups_per_pixel_tile += len(groups) * shape.operands
                found.most["inp"] = max(found.most["inp"], len(groups) * shape.operands)
            if shape.form == ALU:
                continue
            found.gemms += 1
            blocks = blocks_read(shape, channels, reduction)
            found.gemm_steps += blocks * taps * len(pixels[0]) * len(pixels[1]) * shape.operands
            weights = (channels, reduction) if shape.weighted else "diagonals"
            if weights != weights_there or shape.upstream:
                weights_there = weights
                found.weight_loads += 1
                tensors = blocks * taps if shape.weighted else diagonals(shape)
                found.weight_tensors += tensors
                found.most["wgt"] = max(found.most["wgt"], tensors)
    found.pixel_tiles = pixel_tiles
    return found


def needs(shape: Shape, mapping: Mapping) -> tuple[int, int, int]:
    """Tensors of inp, wgt and acc that lie on chip at once; two threads double what is loaded twice."""
    found = walk(shape, mapping)
    pixels = mapping.tile_h * mapping.tile_w
    rows = rows_needed(shape, 0, range(mapping.tile_h))[1]
    inputs = found.most["inp"] * shape.lanes_in * rows * rows_needed(shape, 1, range(mapping.tile_w))[1]
    outputs, weights, biases = found.most["out"] * pixels, found.most["wgt"], found.most["bias"]
    if shape.form == ALU:
        outputs = inputs + (outputs if shape.operands == 1 else 0)
        inputs = 0
    if mapping.threads == 2:
        inputs *= 2 if found.input_loads > 1 or shape.upstream else 1
        weights *= 2 if found.weight_loads > 1 or shape.upstream else 1
        biases *= 2 if found.bias_loads > 1 or shape.upstream else 1
        outputs *= 2
    return inputs, weights, outputs + biases


def diagonals(shape: Shape) -> int:
    wide, narrow = sorted((shape.array.block_in, shape.array.block_out), reverse=True)
    return shape.operands * wide // narrow


def windows(total: int, runs: int, grain: int, window: int) -> int:
    """Expected windows that runs at random multiples of ``grain`` touch."""
    return up(Fraction(total + runs * (window - min(grain, window)), window))


def power_of_two_in(value: int) -> int:
    return next(1 << bit for bit in reversed(range(value.bit_length())) if value % (1 << bit) == 0)


@dataclass
class Counts:
    """What a mapping costs."""

    cycles: int
    read_beats: int
    write_beats: int
    inp_fill: int
    wgt_fill: int
    acc_fill: int
    instructions: int


def load(shape: Shape, timing: TimingProfile, tensor_bytes: int) -> int:
    """What a LOAD takes beside its beats."""
    constant = timing.uop_load_constant if tensor_bytes <= shape.array.bus else timing.load_constant
    return constant + timing.memory_delay + timing.dispatch


def inputs_of(shape: Shape, found: Walk, timing: TimingProfile) -> tuple[int, int, int, int]:
    """(beats, instructions, cycles, tensors) of all input loads."""
    array = shape.array
    read = full = 0
    rows = {h for h, _ in found.pixel_tiles}
    columns = {w for _, w in found.pixel_tiles}
    for h, w in found.pixel_tiles:
        (row, row_full), (column, column_full) = rows_needed(shape, 0, h), rows_needed(shape, 1, w)
        read, full = read + row * column, full + row_full * column_full
    runs = sum(rows_needed(shape, 0, h)[0] for h in rows) * len(columns)
    whole = len(columns) == 1 and rows_needed(shape, 1, range(shape.out[1]))[0] == shape.size[1]
    pixel = array.batch * shape.group_in
    grain = power_of_two_in(shape.size[1]) * pixel if whole else pixel
    groups = found.input_groups_per_pixel_tile
    input_beats = groups * windows(read * pixel, runs, grain, array.bus)
    loads = groups * len(found.pixel_tiles)
    if whole and sum(shape.pad) == 0 and (shape.kernel[0] > 1 or shape.stride[0] == 1):
        loads = found.input_loads * shape.operands
    zeros = groups * (full - read) * shape.lanes_in
    input_cycles = input_beats + loads * load(shape, timing, array.batch * shape.block_in)
    input_cycles += max(0, zeros - timing.padding_hidden * loads)
    input_fill = groups * full * shape.lanes_in
    return input_beats, loads, input_cycles, input_fill


def stores_of(shape: Shape, found: Walk, timing: TimingProfile) -> tuple[int, int, int]:
    """(beats, instructions, cycles) of all stores."""
    array, each = shape.array, timing.store_setup + timing.dispatch
    burst = timing.burst_bytes(8 * array.bus)
    rows = {h for h, _ in found.pixel_tiles}
    columns = {w for _, w in found.pixel_tiles}
    out_pixels, out_pixel = shape.out[0] * shape.out[1], array.batch * shape.group_out
    out_runs, stores = shape.out[0] * len(columns), len(found.pixel_tiles) * shape.groups_out
    out_grain = min(power_of_two_in(shape.out[1]), power_of_two_in(max(len(w) for w in columns))) * out_pixel
    if len(columns) == 1:
        out_runs, stores = len(rows), found.tiles
        joined = power_of_two_in(max(len(h) for h in rows) * shape.out[1])
        out_grain = min(power_of_two_in(out_pixels), joined) * out_pixel
    write_beats = shape.groups_out * windows(out_pixels * out_pixel, out_runs, out_grain, array.bus)
    bursts = shape.groups_out * windows(out_pixels * out_pixel, out_runs, out_grain, burst)
    outputs = out_pixels * shape.groups_out * shape.lanes_out
    store = write_beats + stores * each
    if array.batch * array.block_out <= array.bus:
        store += bursts * timing.wide_store_constant
    else:
        store += bursts * timing.store_constant + outputs * array.batch
    return write_beats, stores, store


def price(shape: Shape, mapping: Mapping, timing: TimingProfile, uops: int) -> Counts:
    """The price of a mapping that keeps ``uops`` micro-ops."""
    found, array, layer = walk(shape, mapping), shape.array, shape.layer
    alu, each = shape.form == ALU, timing.dispatch
    input_beats, loads, input_cycles, input_fill = inputs_of(shape, found, timing)
    weight_bytes = array.block_in * array.block_out
    weight_beats = windows(found.weight_tensors * weight_bytes, found.weight_loads, weight_bytes, array.bus)
    weight_cycles = weight_beats + found.weight_loads * load(shape, timing, weight_bytes)
    acc_bytes = 4 * array.batch * array.block_out
    bias_beats = windows(found.bias_tensors * acc_bytes, found.bias_loads, acc_bytes, array.bus)
    bias_cycles = bias_beats + found.bias_loads * load(shape, timing, acc_bytes)
    uop_beats = up(4 * uops / array.bus)

    write_beats, stores, store = stores_of(shape, found, timing)
    outputs = shape.out[0] * shape.out[1] * shape.groups_out * shape.lanes_out

    # Computation: (instructions per tile, cycles per output tensor) before and after the reduction.
    start, end = (1, 1), (3, 3)
    if layer.kind is not LayerKind.AVG_POOL or layer.kernel[0] * layer.kernel[1] <= 4:
        end = (2, 2)  # both clips at once
    if shape.upstream:
        end = (4, 3 + timing.alu_tensor_steps)
    if alu:
        taps = layer.kernel[0] * layer.kernel[1]
        start, end = (0, 0), (taps, 1 + (taps - 1) * timing.alu_tensor_steps)
        if layer.kind is LayerKind.ADD:
            end = (5, 4 + timing.alu_tensor_steps)
    first_constant = timing.reset_constant if shape.upstream else timing.alu_constant
    gemm = found.gemm_steps + found.gemms * (timing.gemm_constant + each)
    begin = outputs * start[1] + found.tiles * start[0] * (first_constant + each)
    begin += bias_cycles - bias_cycles // max(1, found.bias_loads)
    finish = outputs * end[1] + found.tiles * end[0] * (timing.alu_constant + each)
    if alu:
        begin += input_cycles
        input_cycles = 0
    setup = uop_beats + timing.uop_load_constant + timing.memory_delay + each
    setup += bias_cycles // max(1, found.bias_loads)

    instructions = loads + found.weight_loads + found.bias_loads + 1 + found.gemms + stores
    instructions += found.tiles * (start[0] + end[0])
    fetch_beats = up(16 * instructions / array.bus)
    batches = up(instructions / timing.fetch_instructions(8 * array.bus))
    read_beats = input_beats + weight_beats + bias_beats + uop_beats + fetch_beats
    fetch = batches * timing.fetch_latency(8 * array.bus) + fetch_beats + instructions
    cycles = overlapped(
        found,
        (input_cycles, weight_cycles),
        (setup, gemm, begin, finish, store),
        (setup - bias_cycles // max(1, found.bias_loads), bias_beats // max(1, found.bias_loads)),
        input_cycles // loads,
        mapping.threads,
    )
    return Counts(
        cycles=max(cycles, read_beats, fetch),
        read_beats=read_beats,
        write_beats=write_beats,
        inp_fill=0 if alu else input_fill,
        wgt_fill=found.weight_tensors,
        acc_fill=input_fill if alu else found.bias_tensors,
        instructions=instructions,
    )


def overlapped(
    found: Walk,
    loads: tuple[int, int],
    work: tuple[int, ...],
    fill: tuple[int, int],
    instruction: int,
    threads: int,
) -> int:
    """Modules side by side, on the mean step; see "Overlap" in docs/cost-model.md.

    A load stands in front, so that the turn it would have had beside other work falls away. The first
    biases come when the micro-ops are there and the load instruction then under way has its data.
    """
    setup, gemm, begin, finish, store = work
    load, tiles, steps = sum(loads), found.tiles, found.tiles * found.reductions
    counts = (found.input_loads, found.weight_loads)
    first = sum(cycles // count for cycles, count in zip(loads, counts, strict=True) if cycles)
    uops, constants = fill
    inputs = loads[0] // counts[0] if loads[0] else 0
    behind = min(inputs, uops + instruction) if inputs > uops else first
    lead = max(first + constants, max(behind + constants, setup) + begin // tiles)
    if load == 0 and threads == 1:
        return lead + finish + max(begin, store) - max(begin, store) // tiles + store // tiles
    beside = begin + finish + store if threads == 1 else gemm + begin + finish
    if found.reductions == 1:
        # Steps that load both tiles, then those where one of them stays.
        both = min(counts)
        seldom, often = loads if counts[0] < counts[1] else loads[::-1]
        load_both, beside_both = seldom + often * both // tiles, beside * both // tiles
        turns = max(load_both, beside_both)
        middle = max(load - load_both, beside - beside_both) + (turns - turns // both if both else turns)
    elif threads == 1:
        turns = max(load // found.reductions, beside)
        middle = turns - turns // tiles + load - load // found.reductions
    else:
        tail_load, tail_gemm = load // found.reductions, gemm // found.reductions
        inner = max(load - tail_load, gemm - tail_gemm)
        turns = inner + max(tail_load, beside - (gemm - tail_gemm))
        middle = turns - turns // steps
    if threads == 1:
        return gemm + middle + lead + finish // tiles + store // tiles
    ends = gemm // steps + finish // tiles
    return max(
        middle + lead + ends + store // tiles,
        lead + ends + store,
        setup + gemm + begin + finish + store // tiles,
        load + ends + store // tiles,
    )
