"""The compiled search over mappings: every tiling, order and thread count that fits, pruned exactly.

What a mapping costs depends on the array and the bus; the buffers only decide whether it fits and what an
access costs. So designs are grouped by array and bus, and the mappings of a layer are priced once per group.
A mapping is dropped at once where a faster one that fits the smallest buffers of the group, with every access
at its dearest, needs no more energy than this one with every access at its cheapest: on no design can it be
better. The others are sorted by cycles; each design walks that list from the fastest mapping on, keeps what
fits and saves energy, and stops where a bound on the energy of all that follow says that nothing can.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rhnas.vta.cost_price import Laws, Price, price
from rhnas.vta.cost_stairs import (
    COLUMNS,
    STEPS,
    Group,
    Stairs,
    beaten,
    build,
    energy_of,
    fill_fixed,
    fits_design,
    step_at,
)
from rhnas.vta.mapping_compile import compiled, entry
from rhnas.vta.mapping_nest import BEST, FORMS, UPSTREAM, Nest, ceil_div
from rhnas.vta.mapping_tiles import Axis, Streams, Tiling, axes_of, channel_groups, needs_of, streams_of
from rhnas.workload import FloatArray, IntArray

START_ROWS = 256


@compiled
def tile_sizes(size: int, exact: bool) -> IntArray:
    """Distinct ceil(size / k), ascending; with ``exact`` only divisors, as TVM's splits have it."""
    sizes = np.empty(size, dtype=np.int64)
    found = 0
    for tile in range(1, size + 1):
        if ceil_div(size, ceil_div(size, tile)) == tile and (not exact or size % tile == 0):
            sizes[found] = tile
            found += 1
    return sizes[:found]


@compiled
def grown(rows: IntArray) -> IntArray:
    """The rows with twice the room."""
    larger = np.empty((2 * rows.shape[0], COLUMNS), dtype=np.int64)
    for index in range(rows.shape[0]):
        for column in range(COLUMNS):
            larger[index, column] = rows[index, column]
    return larger


@compiled
def splits(s: Streams, h: Axis, exact: bool) -> bool:
    """Whether two threads have work; TVM gives each the same number of channel or row tiles."""
    return s.tiles > 1 and not (exact and s.channel_tiles % 2 and h.tiles % 2)


@compiled
def fill(
    rows: IntArray,
    at: int,
    priced: Price,
    needs: tuple[int, int, int, int],
    codes: tuple[int, int, int],
    t: Tiling,
) -> None:
    """Write a mapping into a row of the table; ``codes`` are form, tile_h and tile_w."""
    rows[at, 0] = priced.cycles
    rows[at, 1] = priced.read_beats + priced.write_beats
    rows[at, 2], rows[at, 3], rows[at, 4] = priced.inp_fill, priced.wgt_fill, priced.acc_fill
    rows[at, 5], rows[at, 6] = priced.instructions, needs[3]
    rows[at, 7], rows[at, 8], rows[at, 9], rows[at, 10] = needs
    rows[at, 11], rows[at, 12], rows[at, 13] = codes
    rows[at, 14], rows[at, 15], rows[at, 16], rows[at, 17] = t.tile_ci, t.tile_co, t.order, t.threads


@compiled
def keep(rows: IntArray, at: int, group: Group, stairs: Stairs) -> bool:
    """Whether a mapping may be worth it on some design; one that fits all designs becomes a step."""
    cycles = rows[at, 0]
    if beaten(stairs, cycles, energy_of(rows, at, stairs.low_pj, group.cheapest)):
        return False
    if fits_design(rows, at, group.least_room):
        build(stairs, cycles, energy_of(rows, at, stairs.high_pj, group.dearest))
    return True


@compiled
def channel_tilings(
    nest: Nest,
    laws: Laws,
    group: Group,
    stairs: Stairs,
    codes: tuple[int, int, int],
    sizes: tuple[IntArray, IntArray],
    rows: IntArray,
    count: int,
) -> tuple[IntArray, int]:
    """Add every channel tiling, order and thread count of one spatial tile.

    Needs of inp, wgt and acc grow with every tile size, so a loop ends where its smallest tile does not fit;
    micro-ops do not (an edge tile needs its own) and only leave a mapping out.

    Returns:
        (rows, their number); the number is negative, less one, where no tile fits at all.
    """
    schedule = UPSTREAM if nest.start_resets else BEST
    exact, room = schedule == UPSTREAM, group.most_room
    h, w = axes_of(nest, codes[1], codes[2])
    fits_any = False
    for tile_co in sizes[0]:
        pass_groups, most = channel_groups(nest, tile_co)
        fits_co = False
        for tile_ci in sizes[1]:
            groups = tile_ci if nest.dense else most
            fits_ci = False
            for variant in range(2 if nest.vector or exact else 4):
                t = Tiling(tile_ci, tile_co, groups, pass_groups, variant // 2, 1 + variant % 2, schedule)
                s = streams_of(nest, h, w, t)
                needs = needs_of(nest, h, w, t, s)
                if needs[0] <= room[0] and needs[1] <= room[1] and needs[2] <= room[2]:
                    fits_ci = True
                    if needs[3] <= room[3] and (t.threads == 1 or splits(s, h, exact)):
                        if count == rows.shape[0]:
                            rows = grown(rows)
                        fill(rows, count, price(nest, laws, h, w, t, s, needs[3]), needs, codes, t)
                        count += keep(rows, count, group, stairs)
            if not fits_ci:
                break
            fits_co = True
        if not fits_co:
            break
        fits_any = True
    return rows, count if fits_any else -1 - count


@compiled
def tilings_of(nests: npt.NDArray[np.void], laws: Laws, group: Group) -> IntArray:
    """The mappings of a layer that are worth it on some design of a group, fastest first.

    Args:
        nests: Records of ``NEST``, (FORMS,).
        laws: Timing and bus.
        group: Bounds of the designs.

    Returns:
        int64 (N, COLUMNS).
    """
    rows, count = np.empty((START_ROWS, COLUMNS), dtype=np.int64), 0
    empty, pj = np.zeros(STEPS, dtype=np.int64), np.zeros(STEPS)
    stairs = Stairs(empty, pj, np.zeros(1, dtype=np.int64), np.zeros(FORMS), np.zeros(FORMS))
    fill_fixed(nests, group.cheapest, stairs.low_pj)
    fill_fixed(nests, group.dearest, stairs.high_pj)
    for form in range(FORMS):
        nest = nests[form]
        exact = nest.start_resets > 0
        sizes = tile_sizes(nest.groups_out, exact), tile_sizes(nest.groups_in if nest.dense else 1, exact)
        columns = tile_sizes(nest.out_w, exact)
        for tile_h in tile_sizes(nest.out_h if nest.valid else 0, exact):
            for tile_w in columns:
                codes = (form, tile_h, tile_w)
                rows, count = channel_tilings(nest, laws, group, stairs, codes, sizes, rows, count)
                if count < 0:
                    count = -1 - count
                    break
    return sorted_rows(rows, count, group, stairs)


@compiled
def sorted_rows(rows: IntArray, count: int, group: Group, stairs: Stairs) -> IntArray:
    """The rows that the finished staircase does not beat, by cycles."""
    kept = np.empty(count, dtype=np.int64)
    found = 0
    for index in range(count):
        pj = energy_of(rows, index, stairs.low_pj, group.cheapest)
        # A step is itself as good as the staircase: only what lies above it is beaten.
        at = step_at(stairs, rows[index, 0])
        if at < 0 or stairs.energy_pj[at] >= pj or stairs.cycles[at] == rows[index, 0]:
            kept[found] = index
            found += 1
    order = np.argsort(rows[kept[:found], 0], kind="mergesort")
    result = np.empty((found, COLUMNS), dtype=np.int64)
    for place in range(found):
        for column in range(COLUMNS):
            result[place, column] = rows[kept[order[place]], column]
    return result


@compiled
def least_to_come(rows: IntArray, fixed_pj: FloatArray, event_pj: FloatArray) -> FloatArray:
    """For each row a bound on the energy of all mappings from there on, pJ; infinite behind the last."""
    count = len(rows)
    least = np.empty(count + 1, dtype=np.float64)
    least[count] = np.inf
    for index in range(count - 1, -1, -1):
        least[index] = min(least[index + 1], energy_of(rows, index, fixed_pj, event_pj))
    return least


@compiled
def walk(
    rows: IntArray,
    least: FloatArray,
    room: IntArray,
    fixed_pj: FloatArray,
    event_pj: FloatArray,
    kept: IntArray,
    energy_pj: FloatArray,
) -> int:
    """The mappings of one design that nothing faster beats in energy, fastest first.

    Args:
        rows: int64 (N, COLUMNS), by cycles.
        least: float64 (N + 1,), as ``least_to_come`` gives it for energies no higher than the design's.
        room: int64 (4,).
        fixed_pj: float64 (FORMS,).
        event_pj: float64 (len(EVENTS),).
        kept: int64 (N,), written: rows.
        energy_pj: float64 (N,), written: their energy, descending.

    Returns:
        Number kept.
    """
    found, best = 0, np.inf
    for index in range(len(rows)):
        if least[index] >= best:
            break
        if fits_design(rows, index, room):
            pj = energy_of(rows, index, fixed_pj, event_pj)
            if pj < best:
                best = pj
                if found and rows[kept[found - 1], 0] == rows[index, 0]:
                    found -= 1
                kept[found], energy_pj[found] = index, pj
                found += 1
    return found


@compiled
def lower_hull(rows: IntArray, kept: IntArray, energy_pj: FloatArray, count: int, corners: IntArray) -> int:
    """Places in ``kept`` of the lower hull's corners, from least cycles to least energy; how many."""
    found = 0
    for place in range(count):
        x, y = rows[kept[place], 0], energy_pj[place]
        while found > 1:
            a, b = corners[found - 2], corners[found - 1]
            ax, ay, bx, by = rows[kept[a], 0], energy_pj[a], rows[kept[b], 0], energy_pj[b]
            if (bx - ax) * (y - ay) - (by - ay) * (x - ax) > 0:
                break
            found -= 1
        corners[found] = place
        found += 1
    return found


@entry
def hull_rows(
    nests: npt.NDArray[np.void], laws: Laws, room: IntArray, event_pj: FloatArray
) -> tuple[IntArray, FloatArray]:
    """The mappings on one design's lower hull: rows (K, COLUMNS) by cycles, and their energy (K,), pJ."""
    rows = tilings_of(nests, laws, Group(room, room, event_pj, event_pj))
    count, fixed = len(rows), np.zeros(FORMS)
    fill_fixed(nests, event_pj, fixed)
    kept, corners, energy = np.empty(count, dtype=np.int64), np.empty(count, dtype=np.int64), np.empty(count)
    found = walk(rows, least_to_come(rows, fixed, event_pj), room, fixed, event_pj, kept, energy)
    points = lower_hull(rows, kept, energy, found, corners)
    result, pj = np.empty((points, COLUMNS), dtype=np.int64), np.empty(points)
    for point in range(points):
        place = corners[point]
        result[point], pj[point] = rows[kept[place]], energy[place]
    return result, pj


@entry
def all_rows(
    nests: npt.NDArray[np.void], laws: Laws, room: IntArray, event_pj: FloatArray
) -> tuple[IntArray, FloatArray]:
    """Every mapping that fits one design: rows (N, COLUMNS) by cycles, and their energy (N,), pJ."""
    # Free at its cheapest, no mapping is ever beaten.
    rows = tilings_of(nests, laws, Group(room, room, np.zeros_like(event_pj), np.ones_like(event_pj)))
    fixed, pj = np.zeros(FORMS), np.empty(len(rows))
    fill_fixed(nests, event_pj, fixed)
    for index in range(len(rows)):
        pj[index] = energy_of(rows, index, fixed, event_pj)
    return rows, pj


@entry
def price_tiles(
    nests: npt.NDArray[np.void], laws: Laws, codes: IntArray
) -> tuple[Price, tuple[int, int, int, int]]:
    """Price and needs (inp, wgt, acc, uop) of a mapping given by its codes, whether or not it fits."""
    nest = nests[codes[0]]
    h, w = axes_of(nest, codes[1], codes[2])
    tile_ci, tile_co = codes[3], codes[4]
    pass_groups, most = channel_groups(nest, tile_co)
    schedule = UPSTREAM if nest.start_resets else BEST
    t = Tiling(tile_ci, tile_co, tile_ci if nest.dense else most, pass_groups, codes[5], codes[6], schedule)
    s = streams_of(nest, h, w, t)
    needs = needs_of(nest, h, w, t, s)
    return price(nest, laws, h, w, t, s, needs[3]), needs


@compiled
def group_of(room: IntArray, event_pj: FloatArray) -> Group:
    """Bounds of designs given by their depths (D, 4) and event energies (D, len(EVENTS))."""
    most, least, low, high = room[0].copy(), room[0].copy(), event_pj[0].copy(), event_pj[0].copy()
    for design in range(len(room)):
        most, least = np.maximum(most, room[design]), np.minimum(least, room[design])
        low, high = np.minimum(low, event_pj[design]), np.maximum(high, event_pj[design])
    return Group(most, least, low, high)


@entry
def evaluate_pairs(
    nests: npt.NDArray[np.void],
    laws: IntArray,
    groups: IntArray,
    room: IntArray,
    event_pj: FloatArray,
    pairs: IntArray,
    cycles: IntArray,
    energy_pj: FloatArray,
    found: IntArray,
) -> None:
    """Hulls of every design of a group on a layer, for some (group, layer) pairs.

    Legend: N arrays, G groups, D designs in the order of their groups, L layers, K points.

    Args:
        nests: Records of ``NEST``, (N, L, FORMS).
        laws: int64 (buses, len(Laws._fields)).
        groups: int64 (G, 4): array, bus, first design, design behind the last.
        room: int64 (D, 4): depths of inp, wgt, acc, uop.
        event_pj: float64 (D, len(EVENTS)).
        pairs: int64 (P,): group * L + layer.
        cycles: int64 (D, L, K), written.
        energy_pj: float64 (D, L, K), written.
        found: int64 (D, L), written: points of the hull, 0 without a mapping.
    """
    layers, fixed = nests.shape[1], np.zeros(FORMS)
    for pair in pairs:
        number, layer = pair // layers, pair % layers
        array, bus, first, end = groups[number, 0], groups[number, 1], groups[number, 2], groups[number, 3]
        r = laws[bus]
        law = Laws(
            r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7], r[8], r[9], r[10], r[11], r[12], r[13], r[14]
        )
        group = group_of(room[first:end], event_pj[first:end])
        rows = tilings_of(nests[array, layer], law, group)
        fill_fixed(nests[array, layer], group.cheapest, fixed)
        least = least_to_come(rows, fixed, group.cheapest)
        kept, corners = np.empty(len(rows), dtype=np.int64), np.empty(len(rows), dtype=np.int64)
        energy = np.empty(len(rows), dtype=np.float64)
        for design in range(first, end):
            fill_fixed(nests[array, layer], event_pj[design], fixed)
            fitting = walk(rows, least, room[design], fixed, event_pj[design], kept, energy)
            points = lower_hull(rows, kept, energy, fitting, corners)
            found[design, layer] = points
            for point in range(cycles.shape[2] if points else 0):
                place = corners[min(point, points - 1)]
                cycles[design, layer, point] = rows[kept[place], 0]
                energy_pj[design, layer, point] = energy[place]
