"""The price of one mapping: cycles of the overlapped modules, needs per scratchpad, accesses.

Load, Compute and Store run beside each other and meet at tokens; one read port serves instruction fetch and
all loads. With two virtual threads a step's load runs beside the previous step's computation and a tile's
store beside the next tile; with one, the input and weight scratchpads are free for the next load only when
the GEMM is done, and the accumulators only when the store is.

Totals over a layer are exact for loads, steps and instructions (edge tiles are smaller); overlap is computed
on the mean step. Where rows do not start on a whole beat or burst, the expected number over all alignments is
charged.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from rhnas.vta.compiled import compiled, inlined
from rhnas.vta.mapping_nest import Nest, ceil_div, quotient
from rhnas.vta.mapping_tiles import Axis, Streams
from rhnas.vta.timing import INSTRUCTION_BYTES, UOP_BYTES, TimingProfile

ACC_BYTES = 4
"""Bytes of an accumulator and of a bias."""


class Laws(NamedTuple):
    """The timing profile and the bus as numbers; constants of instructions include the dispatch cycle.

    ``wide_load`` and ``wide_store`` are the laws of tensors no wider than the bus; ``store_each`` is what an
    instruction takes beside its bursts.
    """

    gemm: int
    reset: int
    alu: int
    alu_immediate_steps: int
    alu_tensor_steps: int
    load: int
    wide_load: int
    padding_hidden: int
    store: int
    wide_store: int
    store_each: int
    fetch: int
    fetch_instructions: int
    bus: int
    burst: int

    @classmethod
    def of(cls, profile: TimingProfile, bus_bits: int) -> Laws:
        """The numbers of a profile on a bus of that width."""
        return cls(
            gemm=profile.gemm_constant + profile.dispatch,
            reset=profile.reset_constant + profile.dispatch,
            alu=profile.alu_constant + profile.dispatch,
            alu_immediate_steps=profile.alu_immediate_steps,
            alu_tensor_steps=profile.alu_tensor_steps,
            load=profile.load_constant + profile.memory_delay + profile.dispatch,
            wide_load=profile.uop_load_constant + profile.memory_delay + profile.dispatch,
            padding_hidden=profile.padding_hidden,
            store=profile.store_constant,
            wide_store=profile.wide_store_constant,
            store_each=profile.store_setup + profile.dispatch,
            fetch=profile.fetch_latency(bus_bits),
            fetch_instructions=profile.fetch_instructions(bus_bits),
            bus=bus_bits // 8,
            burst=profile.burst_bytes(bus_bits),
        )

    @property
    def record(self) -> LawsRecord:
        """The same as a record of ``LAWS``, which compiled code passes by reference."""
        return np.array([tuple(self)], dtype=LAWS)[0]


LawsRecord = Any
"""A record of ``LAWS``."""
LAWS = np.dtype([(name, np.int64) for name in Laws._fields])
"""Laws as compiled code takes them."""


class Price(NamedTuple):
    """What a mapping costs. Fills are in tensors of their scratchpad.

    ``read_beats`` holds all that passes the read port: inputs, weights, biases, micro-ops, instructions.
    """

    cycles: int
    read_beats: int
    write_beats: int
    inp_fill: int
    wgt_fill: int
    acc_fill: int
    instructions: int
    load_cycles: int
    compute_cycles: int
    store_cycles: int


@compiled
def lowest_bit(value: int) -> int:
    """The largest power of two that divides ``value``."""
    return value & -value


@inlined
def spans(total: int, runs: int, grain: int, window: int) -> int:
    """Expected windows (beats, bursts) that ``runs`` runs of ``total`` bytes touch.

    A run of n bytes starting at a random multiple of g touches (n - g) / w + 1 windows of w bytes on average.
    """
    return int(ceil_div(total + runs * (window - min(grain, window)), window))


@inlined
def load_constant(tensor_bytes: int, laws: LawsRecord) -> int:
    """What a LOAD of such tensors takes beside its beats."""
    return int(laws.wide_load if tensor_bytes <= laws.bus else laws.load)


class Pixels(NamedTuple):
    """What the pixels of a tile decide about loads and stores, whatever the channels of a tile are.

    Attributes:
        input_beats: Of one input storage group, over all tiles.
        input_fill: Input tensors of one storage group, padding included, over all tiles.
        input_zeros: The padding among them.
        joined_loads: 1 where one LOAD brings all storage groups of a tile: whole planes without padding.
        joined_stores: 1 where rows of full width join, so that one STORE writes all groups of a tile.
        write_beats: Of the whole output.
        store_cycles: The store module's for it, less what each instruction takes.
    """

    input_beats: int
    input_fill: int
    input_zeros: int
    joined_loads: int
    joined_stores: int
    write_beats: int
    store_cycles: int


@compiled
def pixels_of(nest: Nest, laws: LawsRecord, h: Axis, w: Axis) -> Pixels:
    """Loads and stores of a spatial tile; where rows of full width join, a group is one run."""
    contiguous = w.whole and (nest.kernel_h > 1 or nest.stride_h == 1)
    grain = lowest_bit(nest.in_w) * nest.pixel_in if w.whole else nest.pixel_in
    pixels, full = h.read * w.read, h.full * w.full
    beats = spans(pixels * nest.pixel_in, h.read * w.tiles, grain, laws.bus)
    joined_loads = contiguous and nest.pad_h + nest.pad_w == 0
    written = nest.out_h * nest.out_w
    runs, grain = nest.out_h * w.tiles, min(lowest_bit(nest.out_w), lowest_bit(w.tile)) * nest.pixel_out
    if w.tiles == 1:
        runs = h.tiles
        grain = min(lowest_bit(written), lowest_bit(h.tile * nest.out_w)) * nest.pixel_out
    write_beats = nest.groups_out * spans(written * nest.pixel_out, runs, grain, laws.bus)
    bursts = nest.groups_out * spans(written * nest.pixel_out, runs, grain, laws.burst)
    if nest.tensor_out <= laws.bus:
        store = write_beats + bursts * laws.wide_store
    else:
        # The scratchpad is read once for each row of a tensor, which pauses the bus.
        store = write_beats + bursts * laws.store + nest.groups_out * written * nest.lanes_out * nest.rows
    return Pixels(
        beats, full * nest.lanes_in, (full - pixels) * nest.lanes_in,
        int(joined_loads), int(w.tiles == 1), write_beats, store,
    )  # fmt: skip


class Work(NamedTuple):
    """Cycles of a layer by what they do; ``setup`` happens once, before the first tile.

    ``uops`` is the part of it before the first biases, ``constants`` are their beats: the read port serves
    them when the load under way has sent its requests. ``each_input`` is what an input instruction takes.
    """

    inputs: int
    weights: int
    setup: int
    uops: int
    constants: int
    each_input: int
    gemm: int
    start: int
    end: int
    store: int


@inlined
def overlap(work: Work, s: Streams, threads: int) -> int:
    """Cycles of a layer whose modules run beside each other.

    One thread: a tile is its GEMMs, the loads of all its reduction steps but the first, and the longer of
    the first load and (epilogue, store, initialisation). Two threads: each step takes the longer of its load
    and its computation. Both add the first load in front and the last epilogue and store behind.
    """
    load = work.inputs + work.weights
    each_start, each_end = quotient(work.start, s.tiles), quotient(work.end, s.tiles)
    each_store, each_gemm = quotient(work.store, s.tiles), quotient(work.gemm, s.steps)
    first = inputs = 0
    if load:
        inputs = quotient(work.inputs, s.input_loads)
        first = inputs + quotient(work.weights, s.weight_loads)
    waits = min(inputs, work.uops + work.each_input) if inputs > work.uops else first
    begin = max(first + work.constants, max(waits + work.constants, work.setup) + each_start)
    # Without a reduction loop, steps that load both tiles differ from those where one stays.
    both = min(s.input_loads, s.weight_loads)
    small = work.inputs if s.input_loads < s.weight_loads else work.weights
    large = load - small
    if load == 0 and threads == 1:
        # On the ALU: loads of the next tile run beside the store, the ALU beside neither.
        beside = max(work.start, work.store)
        return begin + work.end + beside - quotient(beside, s.tiles) + each_store
    # The first step, whose load stands in front, is one that loads both tiles.
    if threads == 1:
        between = work.start + work.end + work.store
        if s.reductions == 1:
            with_both = quotient(between * both, s.tiles)
            load_both = small + quotient(large * both, s.tiles)
            rest = max(load - load_both, between - with_both)
            cycles = work.gemm + rest + without_first(max(load_both, with_both), both)
        else:
            load_first = quotient(load, s.reductions)
            cycles = work.gemm + load - load_first + without_first(max(load_first, between), s.tiles)
        return cycles + begin + each_end + each_store
    compute = work.gemm + work.start + work.end
    if s.reductions == 1:
        with_both = quotient(compute * both, s.tiles)
        load_both = small + quotient(large * both, s.tiles)
        middle = max(load - load_both, compute - with_both)
        middle += without_first(max(load_both, with_both), both)
    else:
        inner_load, inner = load - quotient(load, s.reductions), work.gemm - quotient(work.gemm, s.reductions)
        middle = max(inner_load, inner) + max(load - inner_load, compute - inner)
        middle = without_first(middle, s.steps)
    ends = each_gemm + each_end
    cycles = middle + begin + ends + each_store
    cycles = max(cycles, begin + ends + work.store, work.setup + compute + each_store)
    return max(cycles, load + ends + each_store)


@inlined
def without_first(cycles: int, times: int) -> int:
    """What is left of so many equal turns when the first is gone; nothing where there is none."""
    return cycles - quotient(cycles, times) if times else cycles


class Counts(NamedTuple):
    """What a mapping does, before its modules overlap: work in cycles, accesses as in ``Price``.

    ``feed`` is what instruction fetch takes.
    """

    work: Work
    read_beats: int
    inp_fill: int
    wgt_fill: int
    acc_fill: int
    instructions: int
    feed: int


@inlined
def counts_of(nest: Nest, laws: LawsRecord, p: Pixels, s: Streams) -> Counts:
    """Work and accesses of a mapping, but for its micro-ops.

    Nothing here falls when a count of ``s`` rises: fewer tiles and loads give a lower bound.
    """
    input_instructions = s.input_loads * nest.operands if p.joined_loads else s.input_groups * s.pixel_tiles
    input_beats = s.input_groups * p.input_beats
    exposed = max(0, s.input_groups * p.input_zeros - laws.padding_hidden * input_instructions)
    constant = load_constant(quotient(nest.pixel_in, nest.lanes_in), laws)
    input_cycles = input_beats + input_instructions * constant + exposed
    store_instructions = s.tiles if p.joined_stores else s.pixel_tiles * nest.groups_out
    store_cycles = p.store_cycles + store_instructions * laws.store_each
    weights = 0 if nest.vector else nest.weights * s.weight_passes
    weight_beats = spans(weights * nest.tensor_wgt, s.weight_loads, nest.tensor_wgt, laws.bus)
    weight_cycles = weight_beats + s.weight_loads * load_constant(nest.tensor_wgt, laws)
    tensor_acc = nest.tensor_out * ACC_BYTES
    bias_beats = spans(s.bias_tensors * tensor_acc, s.bias_loads, tensor_acc, laws.bus)
    bias_cycles = bias_beats + s.bias_loads * load_constant(tensor_acc, laws)
    bias_first = quotient(bias_cycles, max(1, s.bias_loads))

    outputs = nest.out_h * nest.out_w * nest.groups_out * nest.lanes_out
    gemms = 0 if nest.vector else s.steps
    gemm = nest.steps * nest.kernel_h * nest.kernel_w * nest.out_h * nest.out_w + gemms * laws.gemm
    start = nest.start_immediates * (outputs * laws.alu_immediate_steps + s.tiles * laws.alu)
    start += nest.start_resets * (outputs + s.tiles * laws.reset) + bias_cycles - bias_first
    end_steps = nest.end_immediates * laws.alu_immediate_steps + nest.end_tensors * laws.alu_tensor_steps
    alus = nest.end_immediates + nest.end_tensors
    end = outputs * end_steps + s.tiles * alus * laws.alu
    acc_fill, inp_fill = s.bias_tensors, s.input_groups * p.input_fill
    if nest.vector:
        start, input_cycles = start + input_cycles, 0
        acc_fill, inp_fill = inp_fill, 0

    instructions = input_instructions + s.weight_loads + s.bias_loads + 1 + gemms + store_instructions
    instructions += s.tiles * (nest.start_immediates + nest.start_resets + alus)
    fetch_beats = ceil_div(instructions * INSTRUCTION_BYTES, laws.bus)
    feed = ceil_div(instructions, laws.fetch_instructions) * laws.fetch + fetch_beats + instructions
    work = Work(
        input_cycles, weight_cycles, laws.wide_load + bias_first, laws.wide_load,
        quotient(bias_beats, max(1, s.bias_loads)), quotient(input_cycles, input_instructions),
        gemm, start, end, store_cycles,
    )  # fmt: skip
    read_beats = input_beats + weight_beats + bias_beats + fetch_beats
    return Counts(work, read_beats, inp_fill, weights, acc_fill, instructions, feed)


@inlined
def price_of(c: Counts, laws: LawsRecord, p: Pixels, s: Streams, threads: int, uops: int) -> Price:
    """Price what is counted, keeping ``uops`` micro-ops; see the module's text for the machine."""
    uop_beats = ceil_div(uops * UOP_BYTES, laws.bus)
    w, read_beats = c.work, c.read_beats + uop_beats
    work = Work(
        w.inputs, w.weights, w.setup + uop_beats, w.uops + uop_beats,
        w.constants, w.each_input, w.gemm, w.start, w.end, w.store,
    )  # fmt: skip
    cycles = max(overlap(work, s, threads), read_beats, c.feed)
    return Price(
        cycles, read_beats, p.write_beats, c.inp_fill, c.wgt_fill, c.acc_fill,
        c.instructions, w.inputs + w.weights, work.setup + w.gemm + w.start + w.end, w.store,
    )  # fmt: skip


@inlined
def least_cycles(c: Counts, s: Streams, threads: int, most_tiles: int) -> int:
    """Cycles that no mapping with at least these counts undercuts, whatever its micro-ops.

    Each module needs the cycles of its own work, and one thread loads beside no GEMM. Of a reduction in
    parts the epilogue runs beside the last part's load alone. At the end stand an epilogue and a store of
    one tile; ``overlap`` rounds at most six cycles away.

    Args:
        c: Counts.
        s: The tiling they are of.
        threads: 1 or 2.
        most_tiles: Tiles of the mapping that has most.
    """
    w = c.work
    load, part, between = w.inputs + w.weights, quotient(w.inputs + w.weights, s.reductions), w.start + w.end
    ends = quotient(w.end, most_tiles) + quotient(w.store, most_tiles)
    if threads == 1:
        if load == 0:
            return max(w.end + max(w.start, w.store) - 6, c.read_beats, c.feed)
        between += w.store
        more = between - part
        exposed = load + (more - quotient(more, s.tiles) if more > 0 else 0)
        return max(w.gemm + max(between, exposed + ends) - 6, c.read_beats, c.feed)
    last = quotient(w.gemm, s.reductions)
    middle = max(load - part, w.gemm - last) + max(part, last + between)
    more = middle - load
    steps = load + (more - quotient(more, s.steps) if more > 0 else 0)
    return max(w.gemm + between - 6, steps + ends - 6, w.store - 6, c.read_beats, c.feed)
