"""The compiled search over mappings: every tiling, order and thread count that fits, pruned exactly.

What a mapping costs depends on the array and the bus; the buffers only decide whether it fits and what an
access costs. So designs are grouped by array and bus, the mappings of a layer are enumerated once per group,
and those that another beats in every respect are dropped: one that is no slower, counts no more of any event
and needs no more of any scratchpad is at least as good on every design. Each design then takes the lower hull
of what fits it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from rhnas.vta.cost_price import Laws, Price, price
from rhnas.vta.mapping_nest import BEST, FORMS, PIXELS_OUTER, UPSTREAM, Nest, ceil_div
from rhnas.vta.mapping_tiles import Axis, Streams, Tiling, axes_of, channel_groups, needs_of, streams_of
from rhnas.workload import FloatArray, IntArray

COMPARED = 11
"""First columns of a front's rows, compared for dominance: cycles, six counts, four needs."""
EVENTS_AT, NEEDS_AT, CODES_AT = 1, 7, 11
"""Where counts (beats, fills of inp, wgt and acc, instructions, micro-ops), needs (log2) and codes begin."""
COLUMNS = CODES_AT + 7
"""A row ends with the mapping's codes: form, tile_h, tile_w, tile_ci, tile_co, order, threads."""
FIXED_EVENTS = 5
"""Events before the counted ones: they depend on the form alone."""
START_ROWS = 256


@njit(cache=True)
def tile_sizes(size: int, exact: bool) -> IntArray:
    """Distinct ceil(size / k), ascending; with ``exact`` only divisors, as TVM's splits have it."""
    sizes = np.empty(size, dtype=np.int64)
    found = 0
    for tile in range(1, size + 1):
        if ceil_div(size, ceil_div(size, tile)) == tile and (not exact or size % tile == 0):
            sizes[found] = tile
            found += 1
    return sizes[:found]


@njit(cache=True)
def bits_for(need: int) -> int:
    """log2 of the smallest depth that holds ``need`` tensors."""
    bits = 0
    while (1 << bits) < need:
        bits += 1
    return bits


@njit(cache=True)
def insert(front: IntArray, count: int, row: IntArray) -> tuple[IntArray, int]:
    """Add a mapping unless another of its form dominates it; drop those it dominates."""
    kept = 0
    for index in range(count):
        other = front[index]
        if other[CODES_AT] == row[CODES_AT]:
            row_wins, other_wins = True, True
            for column in range(COMPARED):
                row_wins &= row[column] <= other[column]
                other_wins &= other[column] <= row[column]
            if other_wins:
                return front, count
            if row_wins:
                continue
        if kept < index:
            front[kept] = other
        kept += 1
    if kept == len(front):
        grown = np.empty((2 * kept, COLUMNS), dtype=np.int64)
        grown[:kept] = front
        front = grown
    front[kept] = row
    return front, kept + 1


@njit(cache=True)
def front_of(
    nests: npt.NDArray[np.void], laws: Laws, room_bits: IntArray, schedule: int, keep_needs: bool
) -> tuple[IntArray, int]:
    """Mappings of a layer that no other one dominates.

    Args:
        nests: Records of ``NEST``, (FORMS,).
        laws: Timing and bus.
        room_bits: int64 (4,): log2 depth of inp, wgt, acc and uop; what does not fit is left out.
        schedule: ``BEST`` or ``UPSTREAM``.
        keep_needs: Whether needs count in comparisons, so that the front serves smaller buffers as well.

    Returns:
        (rows int64 (>= N, COLUMNS), N).
    """
    front, count = np.empty((START_ROWS, COLUMNS), dtype=np.int64), 0
    for form in range(FORMS):
        nest = nests[form]
        if nest.valid:
            exact = schedule == UPSTREAM and nest.start_resets > 0
            own = UPSTREAM if exact else BEST
            for tile_h in tile_sizes(nest.out_h, exact):
                for tile_w in tile_sizes(nest.out_w, exact):
                    fitted, front, count = channel_tilings(
                        nest, laws, room_bits, (form, tile_h, tile_w, own, int(keep_needs)), front, count
                    )
                    if not fitted:
                        break
    return front, count


@njit(cache=True)
def splits(s: Streams, h: Axis, exact: bool) -> bool:
    """Whether two threads have work; TVM gives each the same number of channel or row tiles."""
    return s.tiles > 1 and not (exact and s.channel_tiles % 2 and h.tiles % 2)


@njit(cache=True)
def channel_tilings(
    nest: Nest,
    laws: Laws,
    room_bits: IntArray,
    fixed: tuple[int, int, int, int, int],
    front: IntArray,
    count: int,
) -> tuple[bool, IntArray, int]:
    """Add every channel tiling, order and thread count of one spatial tile.

    Needs of inp, wgt and acc grow with every tile size, so a loop ends where its smallest tile does not fit;
    micro-ops do not (an edge tile needs its own) and only leave a mapping out.
    """
    form, tile_h, tile_w, schedule, keep_needs = fixed
    h, w = axes_of(nest, tile_h, tile_w)
    inp_room, wgt_room, acc_room, uop_room = room_bits
    row = np.zeros(COLUMNS, dtype=np.int64)
    exact = schedule == UPSTREAM
    fitted_any = False
    for tile_co in tile_sizes(nest.groups_out, exact):
        pass_groups, most = channel_groups(nest, tile_co)
        fitted_co = False
        for tile_ci in tile_sizes(nest.groups_in if nest.dense else 1, exact):
            groups = tile_ci if nest.dense else most
            fitted_ci = False
            for variant in range(4):
                order, threads = variant % 2, 1 + variant // 2
                if order == PIXELS_OUTER and (nest.vector or exact):
                    continue
                t = Tiling(tile_ci, tile_co, groups, pass_groups, order, threads, schedule)
                s = streams_of(nest, h, w, t)
                if threads > 1 and not splits(s, h, exact):
                    continue
                inp, wgt, acc, uop = needs_of(nest, h, w, t, s)
                if inp > 1 << inp_room or wgt > 1 << wgt_room or acc > 1 << acc_room:
                    continue
                fitted_ci = True
                if uop > 1 << uop_room:
                    continue
                p = price(nest, laws, h, w, t, s, uop)
                row[0], row[1], row[2] = p.cycles, p.read_beats + p.write_beats, p.inp_fill
                row[3], row[4], row[5], row[6] = p.wgt_fill, p.acc_fill, p.instructions, uop
                if keep_needs:
                    row[7], row[8], row[9], row[10] = (
                        bits_for(inp),
                        bits_for(wgt),
                        bits_for(acc),
                        bits_for(uop),
                    )
                row[11], row[12], row[13], row[14] = form, tile_h, tile_w, tile_ci
                row[15], row[16], row[17] = tile_co, order, threads
                front, count = insert(front, count, row)
            if not fitted_ci:
                break
            fitted_co = True
        if not fitted_co:
            break
        fitted_any = True
    return fitted_any, front, count


@njit(cache=True)
def price_tiles(nest: Nest, laws: Laws, tiles: tuple[int, int, int, int, int, int, int]) -> tuple[Price, int]:
    """Price of given tiles and their micro-ops.

    Args:
        nest: The loop nest.
        laws: Timing and bus.
        tiles: tile_h, tile_w, tile_ci, tile_co, order, threads, schedule.
    """
    tile_h, tile_w, tile_ci, tile_co, order, threads, schedule = tiles
    h, w = axes_of(nest, tile_h, tile_w)
    pass_groups, most = channel_groups(nest, tile_co)
    t = Tiling(tile_ci, tile_co, tile_ci if nest.dense else most, pass_groups, order, threads, schedule)
    s = streams_of(nest, h, w, t)
    uops = needs_of(nest, h, w, t, s)[3]
    return price(nest, laws, h, w, t, s, uops), uops


@njit(cache=True)
def fixed_energy(nest: Nest, event_pj: FloatArray) -> float:
    """Energy that does not depend on the mapping, pJ: steps of the array and the ALU, outputs read."""
    outputs = nest.out_h * nest.out_w * nest.groups_out * nest.lanes_out
    gemm_steps = nest.steps * nest.kernel_h * nest.kernel_w * nest.out_h * nest.out_w
    pj = gemm_steps * event_pj[0] + outputs * nest.start_resets * event_pj[1]
    pj += outputs * (nest.start_immediates + nest.end_immediates) * event_pj[2]
    return float(pj + outputs * nest.end_tensors * event_pj[3] + outputs * event_pj[4])


@njit(cache=True)
def row_energy(row: IntArray, fixed_pj: float, event_pj: FloatArray) -> float:
    """Energy of a mapping, pJ."""
    pj = fixed_pj
    for event in range(NEEDS_AT - EVENTS_AT):
        pj += row[EVENTS_AT + event] * event_pj[FIXED_EVENTS + event]
    return pj


@njit(cache=True)
def lower_hull(
    cycles: IntArray, energy_pj: FloatArray, hull_cycles: IntArray, hull_energy: FloatArray
) -> int:
    """Walk the lower hull from least cycles to least energy, steepest descent first; pad with the last.

    Returns:
        Points of the hull; more than fit into ``hull_cycles`` means it must be longer.
    """
    found = 0
    at, best = 0, 0.0
    for index in range(len(cycles)):
        if cycles[index] < cycles[at] or (cycles[index] == cycles[at] and energy_pj[index] < energy_pj[at]):
            at = index
    while at >= 0:
        if found < len(hull_cycles):
            hull_cycles[found:], hull_energy[found:] = cycles[at], energy_pj[at]
        found += 1
        following, best = -1, 0.0
        for index in range(len(cycles)):
            saved, paid = energy_pj[at] - energy_pj[index], cycles[index] - cycles[at]
            if saved > 0 and paid > 0:
                rate = saved / paid
                if rate > best or (rate == best and cycles[index] > cycles[following]):
                    following, best = index, rate
        at = following
    return found


@njit(cache=True, parallel=True)
def evaluate_groups(
    nests: npt.NDArray[np.void],
    laws: IntArray,
    groups: IntArray,
    room_bits: IntArray,
    event_pj: FloatArray,
    schedule: int,
    points: int,
) -> tuple[IntArray, FloatArray, IntArray]:
    """Hulls of D designs x L layers; legend: N arrays, G groups, K points.

    Args:
        nests: Records of ``NEST``, (N, L, FORMS).
        laws: int64 (buses, len(Laws._fields)).
        groups: int64 (G, 4): array, bus, first design, design behind the last.
        room_bits: int64 (D, 4): log2 depths of inp, wgt, acc, uop.
        event_pj: float64 (D, len(EVENTS)).
        schedule: ``BEST`` or ``UPSTREAM``.
        points: K, room for the hulls.

    Returns:
        cycles int64 (D, L, K), energy_pj float64 (D, L, K), found int64 (D, L): points of the hull, 0 without
        a mapping.
    """
    layers, designs = nests.shape[1], len(room_bits)
    cycles = np.zeros((designs, layers, points), dtype=np.int64)
    energy = np.zeros((designs, layers, points), dtype=np.float64)
    found = np.zeros((designs, layers), dtype=np.int64)
    for pair in prange(len(groups) * layers):
        array, bus, first, end = groups[pair // layers]
        layer = pair % layers
        r = laws[bus]
        law = Laws(r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7], r[8], r[9], r[10], r[11], r[12])
        room = np.empty(4, dtype=np.int64)
        for resource in range(4):
            room[resource] = room_bits[first:end, resource].max()
        front, count = front_of(nests[array, layer], law, room, schedule, end - first > 1)
        c, e = np.empty(count, dtype=np.int64), np.empty(count, dtype=np.float64)
        fixed = np.zeros(FORMS)
        for design in range(first, end):
            for form in range(FORMS):
                fixed[form] = fixed_energy(nests[array, layer, form], event_pj[design])
            fitting = 0
            for index in range(count):
                row = front[index]
                fits = True
                for resource in range(4):
                    fits &= row[NEEDS_AT + resource] <= room_bits[design, resource]
                if fits:
                    c[fitting] = row[0]
                    e[fitting] = row_energy(row, fixed[row[CODES_AT]], event_pj[design])
                    fitting += 1
            if fitting:
                found[design, layer] = lower_hull(
                    c[:fitting], e[:fitting], cycles[design, layer], energy[design, layer]
                )
    return cycles, energy, found
