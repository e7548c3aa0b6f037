"""The cost model in NumPy: every mapping of one layer on one design as arrays, nothing pruned or shared.

The yardstick of ``cost_model.py``: what a vectorised program without a compiler reaches. It follows
docs/cost-model.md under schedule ``best`` and shares with the compiled code the loop nest, the numbers of the
timing profile and the energy of each event, not one line of the search or of the price.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rhnas.space import DesignBatch
from rhnas.vta.cost import VtaCostModel, arrays_of, room_of
from rhnas.vta.cost_price import ACC_BYTES, Laws
from rhnas.vta.cost_stairs import FIXED_EVENTS, fixed_energy
from rhnas.vta.energy import event_energy
from rhnas.vta.mapping_nest import BEST, nests_of
from rhnas.vta.rules import BUS
from rhnas.vta.timing import INSTRUCTION_BYTES, UOP_BYTES
from rhnas.workload import FloatArray, IntArray, Layer

Columns = dict[str, Any]
"""Named numbers, each one per mapping or the same for all."""
KERNEL_LOOPS = 2
"""Loops of a GEMM or ALU instruction; what is left of a kernel are micro-ops."""


def mappings(layer: Layer, batch: DesignBatch, model: VtaCostModel) -> tuple[IntArray, FloatArray]:
    """Cycles int64 (N,) and energy float64 (N,), pJ, of every mapping of a layer that fits one design."""
    laws, room = Laws.of(model.timing, int(batch[BUS][0])), room_of(batch)[0]
    event_pj = event_energy(model.technology, batch)[0]
    cycles, energy = [], []
    for nest in nests_of([layer], arrays_of(batch), BEST)[0, 0]:
        if not nest["valid"]:
            continue
        n: Columns = {name: int(nest[name]) for name in nest.dtype.names}
        tiles = loops(n)
        counted = work(n, laws, tiles)
        needs = scratchpads(n, tiles)
        fits = np.logical_and.reduce([needs[memory] <= room[memory] for memory in range(4)])
        fits &= (tiles["threads"] == 1) | (tiles["tiles"] > 1)
        cycles.append(overlapped(laws, tiles, counted, needs[3])[fits])
        events = ("beats", "inp_fill", "wgt_fill", "acc_fill", "instructions")
        beats = counted["beats"] + up(needs[3] * UOP_BYTES, laws.bus)
        counts = [*((counted | {"beats": beats})[name] for name in events), needs[3]]
        counted_pj = sum(pj * count for pj, count in zip(event_pj[FIXED_EVENTS:], counts, strict=True))
        energy.append((fixed_energy(nest, event_pj) + counted_pj)[fits])
    return np.concatenate(cycles), np.concatenate(energy)


def up(a: Any, b: Any) -> Any:
    """``a / b`` rounded up."""
    return -(-a // b)


def sizes(size: int) -> IntArray:
    """Distinct ceil(size / k)."""
    return np.unique(up(size, np.arange(1, size + 1)))


def axis(n: Columns, side: str, tiles: IntArray, pitch: int) -> dict[str, IntArray]:
    """Tiles of rows or columns: input pixels read and with padding, over all tiles and of one; (T,) each."""
    out, size, kernel = n[f"out_{side}"], n[f"in_{side}"], n[f"kernel_{side}"]
    stride, pad = n[f"stride_{side}"], n[f"pad_{side}"]
    first = np.arange(out)
    read, full = [], []
    for tile in tiles:
        start = first[::tile]
        here = np.minimum(tile, out - start)
        low = start * stride - pad
        high = low + (here - 1) * stride + kernel
        inside = np.maximum(0, np.minimum(high, size) - np.maximum(low, 0)).sum()
        if pitch != stride:
            inside = ((first * stride - pad >= 0) & (first * stride - pad < size)).sum()
        read.append(inside)
        full.append(((here - 1) * pitch + kernel).sum())
    count, extent = up(out, tiles), (tiles - 1) * pitch + kernel
    whole = (count == 1) & (np.array(read) == size)
    return {"tile": tiles, "n": count, "read": np.array(read), "full": np.array(full), "extent": extent,
            "whole": whole}  # fmt: skip


def groups_read(n: Columns, tiles: IntArray) -> tuple[IntArray, IntArray]:
    """Input storage groups that output tiles of each size read: (sum, most of one tile)."""
    if n["dense"]:
        return np.full_like(tiles, n["groups_in"]), np.full_like(tiles, n["groups_in"])
    total, most = [], []
    for tile in tiles:
        first = np.arange(0, n["groups_out"], tile)
        end = np.minimum((first + tile) * n["width_out"], n["channels_out"])
        low = first * n["width_out"] // n["group_out"] * n["group_in"] // n["width_in"]
        high = up(((end - 1) // n["group_out"] + 1) * n["group_in"], n["width_in"])
        total.append((high - low).sum())
        most.append((high - low).max())
    return np.array(total), np.array(most)


def loops(n: Columns) -> Columns:
    """Every mapping of a nest, and how often what is loaded."""
    rows = axis(n, "h", sizes(n["out_h"]), 1 if n["kernel_h"] == 1 else n["stride_h"])
    columns = axis(n, "w", sizes(n["out_w"]), n["stride_w"])
    inner = sizes(n["groups_in"]) if n["dense"] else np.ones(1, dtype=np.int64)
    outer, orders = sizes(n["groups_out"]), np.arange(1 if n["vector"] else 2)
    lengths = len(rows["tile"]), len(columns["tile"]), len(inner), len(outer), len(orders), 2
    h, w, ci, co, order, thread = (index.reshape(-1) for index in np.indices(lengths))
    total, most = groups_read(n, outer)
    t: Columns = {f"h_{name}": values[h] for name, values in rows.items()}
    t |= {f"w_{name}": values[w] for name, values in columns.items()}
    t |= {"ci": inner[ci], "co": outer[co], "pixels_outer": orders[order] == 1, "threads": thread + 1}
    t["pixel_tiles"], t["channel_tiles"] = t["h_n"] * t["w_n"], up(n["groups_out"], t["co"])
    t["reductions"] = up(n["groups_in"], t["ci"]) if n["dense"] else np.ones_like(t["ci"])
    t["tiles"] = t["pixel_tiles"] * t["channel_tiles"]
    t["held_groups"] = t["ci"] if n["dense"] else most[co]
    once = t["reductions"] == 1
    stays = once & bool(n["dense"]) & (t["pixels_outer"] | (t["pixel_tiles"] == 1))
    t["input_loads"] = np.where(stays, t["pixel_tiles"], t["tiles"] * t["reductions"])
    t["input_groups"] = total[co] * n["operands"]
    t["input_groups"] *= np.where(~stays & bool(n["dense"]), t["channel_tiles"], 1)
    weights_stay = once & (~t["pixels_outer"] | (t["channel_tiles"] == 1))
    t["weight_passes"] = np.where(weights_stay | bool(n["shared"]), 1, t["pixel_tiles"])
    loads = 1 if n["shared"] else t["channel_tiles"] * t["reductions"] * t["weight_passes"]
    t["weight_loads"] = loads * (1 - n["vector"]) + 0 * t["ci"]
    biases = n["groups_out"] * n["lanes_out"]
    whole = t["pixels_outer"] | (not n["bias"])
    t["bias_loads"] = np.where(whole, 1, t["channel_tiles"]) * (1 - n["vector"])
    t["bias_held"] = np.where(t["pixels_outer"], biases, t["co"] * n["lanes_out"])
    t["bias_held"] = (t["bias_held"] if n["bias"] else np.ones_like(t["co"])) * (1 - n["vector"])
    t["bias_tensors"] = (biases if n["bias"] else 1) * (1 - n["vector"])
    return t


def scratchpads(n: Columns, t: Columns) -> list[IntArray]:
    """Tensors of inp, wgt, acc and uop on chip at once."""
    two = t["threads"] == 2
    inputs = t["held_groups"] * n["operands"] * n["lanes_in"] * t["h_extent"] * t["w_extent"]
    outputs = t["co"] * n["lanes_out"] * t["h_tile"] * t["w_tile"]
    taps = n["kernel_h"] * n["kernel_w"]
    depth = np.minimum(t["ci"] * n["lanes_in"], n["blocks_in"]) if n["dense"] else n["touched"]
    weights = np.minimum(t["co"] * n["lanes_out"], n["blocks_out"]) * depth * taps
    if n["shared"]:
        weights = n["weights"] + 0 * t["co"]
    kernel = kernel_uops(n, t)
    if n["vector"]:
        outputs = inputs + (outputs if n["operands"] == 1 else 0)
        return [0 * inputs, 0 * inputs, outputs * (1 + two), kernel * t["threads"]]
    inputs = inputs * (1 + (two & (t["input_loads"] > 1)))
    weights = weights * (1 + (two & (t["weight_loads"] > 1)))
    bias = t["bias_held"] * (1 + (two & (t["bias_loads"] > 1)))
    edges = 1 + (n["out_w"] % t["w_tile"] != 0)
    many = (t["reductions"] > 1) | ((t["pixel_tiles"] > 1) & (t["channel_tiles"] > 1))
    phases = np.where(two, np.where(many, 4, 2), 1)
    uops = kernel * edges * phases + (n["lanes_out"] + 1) * t["threads"]
    return [inputs, weights, outputs * (1 + two) + bias, uops]


def kernel_uops(n: Columns, t: Columns) -> IntArray:
    """Micro-ops of a kernel: all its dimensions but the two longest, which become loops."""
    lanes_out, taps = min(n["lanes_out"], n["blocks_out"]), (n["kernel_h"], n["kernel_w"])
    reduction: tuple[Any, Any] = (n["touched"], 1)
    if n["dense"]:
        reduction = (t["ci"], min(n["lanes_in"], n["blocks_in"]))
    if n["vector"]:
        lanes_out, reduction, taps = n["lanes_out"], (1, 1), (1, 1)
    pixels: tuple[Any, Any] = (t["h_tile"], t["w_tile"])
    if taps[0] * taps[1] * n["stride_h"] * n["stride_w"] == 1:
        pixels = (t["h_tile"] * t["w_tile"], 1)
    dimensions = np.stack(np.broadcast_arrays(t["co"], lanes_out, *reduction, *taps, *pixels))
    kernel = np.sort(dimensions, axis=0)[:-KERNEL_LOOPS].prod(axis=0)
    return np.asarray(kernel * (n["kernel_h"] * n["kernel_w"] if n["vector"] else n["operands"]))


def windows(total: Any, runs: Any, grain: Any, window: int) -> Any:
    """Expected beats or bursts that runs at random multiples of ``grain`` bytes touch."""
    return up(total + runs * (window - np.minimum(grain, window)), window)


def low_bit(value: Any) -> Any:
    """The largest power of two that divides a number."""
    return value & -value


def inputs(n: Columns, laws: Laws, t: Columns) -> Columns:
    """Input loads: beats, instructions, cycles, tensors."""
    pixels, full = t["h_read"] * t["w_read"], t["h_full"] * t["w_full"]
    grain = np.where(t["w_whole"], low_bit(n["in_w"]), 1) * n["pixel_in"]
    beats = t["input_groups"] * windows(pixels * n["pixel_in"], t["h_read"] * t["w_n"], grain, laws.bus)
    joined = t["w_whole"] & (n["kernel_h"] > 1 or n["stride_h"] == 1) & (n["pad_h"] + n["pad_w"] == 0)
    loads = np.where(joined, t["input_loads"] * n["operands"], t["input_groups"] * t["pixel_tiles"])
    zeros = t["input_groups"] * (full - pixels) * n["lanes_in"]
    each = laws.wide_load if n["pixel_in"] // n["lanes_in"] <= laws.bus else laws.load
    cycles = beats + loads * each + np.maximum(0, zeros - laws.padding_hidden * loads)
    return {"beats": beats, "n": loads, "cycles": cycles,
            "fill": t["input_groups"] * full * n["lanes_in"]}  # fmt: skip


def stores(n: Columns, laws: Laws, t: Columns) -> Columns:
    """Stores: beats, instructions, cycles."""
    written = n["out_h"] * n["out_w"]
    joined = t["w_n"] == 1
    runs = np.where(joined, t["h_n"], n["out_h"] * t["w_n"])
    apart = np.minimum(low_bit(n["out_w"]), low_bit(t["w_tile"]))
    together = np.minimum(low_bit(written), low_bit(t["h_tile"] * n["out_w"]))
    grain = np.where(joined, together, apart) * n["pixel_out"]
    beats, bursts = (
        n["groups_out"] * windows(written * n["pixel_out"], runs, grain, window)
        for window in (laws.bus, laws.burst)
    )
    if n["tensor_out"] <= laws.bus:
        cycles = beats + bursts * laws.wide_store
    else:
        cycles = beats + bursts * laws.store + n["groups_out"] * written * n["lanes_out"] * n["rows"]
    count = np.where(joined, t["tiles"], t["pixel_tiles"] * n["groups_out"])
    return {"beats": beats, "n": count, "cycles": cycles + count * laws.store_each}


def work(n: Columns, laws: Laws, t: Columns) -> Columns:
    """What each module does, in cycles, and what energy counts, but for micro-ops."""
    into, out = inputs(n, laws, t), stores(n, laws, t)
    weights = 0 if n["vector"] else n["weights"] * t["weight_passes"]
    weight_beats = windows(weights * n["tensor_wgt"], t["weight_loads"], n["tensor_wgt"], laws.bus)
    each = laws.wide_load if n["tensor_wgt"] <= laws.bus else laws.load
    weight_cycles = weight_beats + t["weight_loads"] * each
    acc = n["tensor_out"] * ACC_BYTES
    bias_beats = windows(t["bias_tensors"] * acc, t["bias_loads"], acc, laws.bus)
    bias_cycles = bias_beats + t["bias_loads"] * (laws.wide_load if acc <= laws.bus else laws.load)
    biases = np.maximum(1, t["bias_loads"])
    outputs = n["out_h"] * n["out_w"] * n["groups_out"] * n["lanes_out"]
    gemms = 0 if n["vector"] else t["tiles"] * t["reductions"]
    gemm = n["steps"] * n["kernel_h"] * n["kernel_w"] * n["out_h"] * n["out_w"] + gemms * laws.gemm
    start = n["start_immediates"] * (outputs * laws.alu_immediate_steps + t["tiles"] * laws.alu)
    start = start + bias_cycles - bias_cycles // biases
    alus = n["end_immediates"] + n["end_tensors"]
    steps = n["end_immediates"] * laws.alu_immediate_steps + n["end_tensors"] * laws.alu_tensor_steps
    instructions = into["n"] + t["weight_loads"] + t["bias_loads"] + 1 + gemms + out["n"]
    instructions = instructions + t["tiles"] * (n["start_immediates"] + alus)
    fetch = up(instructions * INSTRUCTION_BYTES, laws.bus)
    read = into["beats"] + weight_beats + bias_beats + fetch
    each_input = (0 if n["vector"] else into["cycles"]) // into["n"]
    return {
        "inputs": 0 * into["cycles"] if n["vector"] else into["cycles"], "weights": weight_cycles,
        "each_input": each_input, "setup": laws.wide_load + bias_cycles // biases, "gemm": gemm + 0 * fetch,
        "start": start + into["cycles"] * n["vector"], "end": outputs * steps + t["tiles"] * alus * laws.alu,
        "store": out["cycles"], "constants": bias_beats // biases, "read": read, "instructions": instructions,
        "beats": read + out["beats"], "wgt_fill": weights + 0 * fetch,
        "inp_fill": 0 * fetch if n["vector"] else into["fill"],
        "acc_fill": into["fill"] if n["vector"] else t["bias_tensors"] + 0 * fetch,
        "feed": up(instructions, laws.fetch_instructions) * laws.fetch + fetch + instructions,
    }  # fmt: skip


def share(cycles: Any, times: Any) -> Any:
    """One of so many equal turns; nothing where there is none."""
    return cycles // np.maximum(1, times) * (times > 0)


def overlapped(laws: Laws, t: Columns, c: Columns, uops: IntArray) -> IntArray:
    """Cycles of the modules side by side ("Overlap" in docs/cost-model.md)."""
    uop_beats = up(uops * UOP_BYTES, laws.bus)
    setup, before = c["setup"] + uop_beats, laws.wide_load + uop_beats
    load, steps, one = c["inputs"] + c["weights"], t["tiles"] * t["reductions"], t["threads"] == 1
    first_input = share(c["inputs"], t["input_loads"])
    first = first_input + share(c["weights"], t["weight_loads"])
    waits = np.where(first_input > before, np.minimum(first_input, before + c["each_input"]), first)
    waits = np.maximum(waits + c["constants"], setup) + c["start"] // t["tiles"]
    begin = np.maximum(first + c["constants"], waits)
    end, store = c["end"] // t["tiles"], c["store"] // t["tiles"]
    between = c["start"] + c["end"] + np.where(one, c["store"], c["gemm"])
    once = turns_without_reduction(t, c, load, between)
    part = load // t["reductions"]
    turns = np.maximum(part, between)
    single = c["gemm"] + np.where(t["reductions"] == 1, once, load - part + turns - share(turns, t["tiles"]))
    single = single + begin + end + store
    aside = np.maximum(c["start"], c["store"])
    alone = begin + c["end"] + aside - aside // t["tiles"] + store
    last = c["gemm"] // t["reductions"]
    middle = np.maximum(load - part, c["gemm"] - last) + np.maximum(part, between - c["gemm"] + last)
    middle = np.where(t["reductions"] == 1, once, middle - share(middle, steps))
    ends = c["gemm"] // steps + end
    double = np.maximum.reduce([middle + begin + ends + store, begin + ends + c["store"],
                                setup + between + store, load + ends + store])  # fmt: skip
    cycles = np.where(one, np.where(load == 0, alone, single), double)
    return np.asarray(np.maximum.reduce([cycles, c["read"] + uop_beats, c["feed"]]))


def turns_without_reduction(t: Columns, c: Columns, load: Any, between: Any) -> Any:
    """All steps but the first: those that load inputs and weights, then those where one of them stays."""
    both = np.minimum(t["input_loads"], t["weight_loads"])
    small = np.where(t["input_loads"] < t["weight_loads"], c["inputs"], c["weights"])
    load_both = small + (load - small) * both // t["tiles"]
    work_both = between * both // t["tiles"]
    turns = np.maximum(load_both, work_both)
    return np.maximum(load - load_both, between - work_both) + (turns - share(turns, both)) * (both > 0)
