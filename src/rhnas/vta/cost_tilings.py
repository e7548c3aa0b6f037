"""The mappings of a layer worth having on some design of a group: enumerated, bounded, pruned exactly.

What a mapping costs depends on the array and the bus; the buffers only decide whether it fits and what an
access costs. So designs are grouped by array and bus, and the mappings of a layer are priced once per group.
A mapping is dropped where another is at least as fast, fits every design that it fits, and needs no more
energy on any: on no design can it be better. Whole sets of tiles are dropped unpriced where that holds for
the least that they cycle, load and need.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rhnas.vta.compiled import compiled, inlined
from rhnas.vta.cost_price import (
    Counts,
    LawsRecord,
    Pixels,
    counts_of,
    least_cycles,
    pixels_of,
    price_of,
)
from rhnas.vta.cost_stairs import (
    COLUMNS,
    NEEDS_AT,
    Events,
    Needs,
    Search,
    beaten,
    build,
    counted_energy,
    room_measured,
    step_at,
)
from rhnas.vta.mapping_nest import BEST, CHANNELS_OUTER, FORMS, UPSTREAM, Nest, ceil_div
from rhnas.vta.mapping_tiles import (
    Axis,
    Held,
    Streams,
    Tiling,
    channel_groups,
    column_axis,
    held_of,
    needs_of,
    row_axis,
    streams_of,
)
from rhnas.workload import IntArray

Codes = tuple[int, int, int, int, int, int, int]
"""Of a mapping: form, tile_h, tile_w, tile_ci, tile_co, order, threads."""

START_ROWS = 1024
"""First guess at the mappings kept while a layer is searched; where there are more, it is searched anew."""


class Spatial(NamedTuple):
    """A tile of rows and columns.

    Attributes:
        h: Rows.
        w: Columns.
        p: Loads and stores that follow from both.
        least: What it holds under the smallest channel tiles.
    """

    h: Axis
    w: Axis
    p: Pixels
    least: Held


class Outer(NamedTuple):
    """A tile of output channels, and the order of the loops.

    Attributes:
        tile_co: Output storage groups.
        pass_groups: Input storage groups that all output tiles read, summed.
        most: Input storage groups that one of them reads at most.
        order: ``CHANNELS_OUTER`` or ``PIXELS_OUTER``.
        bounds: 1 where no smaller tile reads fewer groups, as one may where tiles cut through blocks.
    """

    tile_co: int
    pass_groups: int
    most: int
    order: int
    bounds: int


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


@inlined
def splits(s: Streams, h: Axis, exact: bool) -> bool:
    """Whether two threads have work; TVM gives each the same number of channel or row tiles."""
    return s.tiles > 1 and not (exact and s.channel_tiles % 2 and h.tiles % 2)


@inlined
def fill(rows: IntArray, at: int, cycles: int, events: Events, needs: Needs, codes: Codes) -> None:
    """Write a mapping into a row of the table."""
    rows[at, 0] = cycles
    rows[at, 1], rows[at, 2], rows[at, 3], rows[at, 4], rows[at, 5], rows[at, 6] = events
    rows[at, 7], rows[at, 8], rows[at, 9], rows[at, 10] = needs
    rows[at, 11], rows[at, 12], rows[at, 13], rows[at, 14], rows[at, 15], rows[at, 16], rows[at, 17] = codes


@compiled
def needs_at(rows: IntArray, at: int) -> Needs:
    """What a mapping needs of inp, wgt, acc and uop."""
    return rows[at, NEEDS_AT], rows[at, NEEDS_AT + 1], rows[at, NEEDS_AT + 2], rows[at, NEEDS_AT + 3]


@compiled
def events_at(rows: IntArray, at: int) -> Events:
    """What a mapping's energy is counted by."""
    return rows[at, 1], rows[at, 2], rows[at, 3], rows[at, 4], rows[at, 5], rows[at, 6]


@inlined
def fits(needs: Needs, room: IntArray) -> bool:
    """Whether inp, wgt and acc suffice; micro-ops do not grow with every tile and are asked for singly."""
    return bool(needs[0] <= room[0] and needs[1] <= room[1] and needs[2] <= room[2])


@inlined
def worthless(
    nest: Nest, search: Search, tile: Spatial, c: Counts, s: Streams, least: Held, most_tiles: int
) -> bool:
    """Whether all mappings of a spatial tile with at least these counts that hold ``least`` are beaten."""
    beats = c.read_beats + tile.p.write_beats
    events = (beats, c.inp_fill, c.wgt_fill, c.acc_fill, c.instructions, 0)
    for threads in range(2, 0, -1):
        needs = needs_of(nest, least, s, threads, search.schedule)
        cycles = least_cycles(c, s, threads, most_tiles)
        if fits(needs, search.most_room) and not beaten(search, needs, cycles, events):
            return False
    return True


@compiled
def add_threads(
    nest: Nest,
    laws: LawsRecord,
    search: Search,
    rows: IntArray,
    tile: Spatial,
    t: Tiling,
    s: Streams,
    c: Counts,
    held: Held,
) -> None:
    """Add a channel tiling with one thread and with two, where it fits and some design may want it."""
    for threads in range(1, 3):
        needs = needs_of(nest, held, s, threads, search.schedule)
        alone = threads == 2 and not splits(s, tile.h, search.schedule == UPSTREAM)
        if alone or not fits(needs, search.most_room) or needs[3] > search.most_room[3]:
            break
        priced = price_of(c, laws, tile.p, s, threads, needs[3])
        beats = priced.read_beats + priced.write_beats
        events = (beats, c.inp_fill, c.wgt_fill, c.acc_fill, c.instructions, needs[3])
        if not beaten(search, needs, priced.cycles, events):
            at = search.count
            if at == len(rows):
                search.overflow = 1
                return
            codes = (search.form, tile.h.tile, tile.w.tile, t.tile_ci, t.tile_co, t.order, threads)
            fill(rows, at, priced.cycles, events, needs, codes)
            build(search, needs, priced.cycles, counted_energy(rows, at, search.cheapest), events)
            search.count += 1


@inlined
def tiling_of(nest: Nest, search: Search, outer: Outer, tile_ci: int) -> Tiling:
    """A tile of channels."""
    groups = tile_ci if nest.dense else outer.most
    return Tiling(tile_ci, outer.tile_co, groups, outer.pass_groups, outer.order, search.schedule)


@compiled
def reduction_tilings(
    nest: Nest,
    laws: LawsRecord,
    search: Search,
    rows: IntArray,
    tile: Spatial,
    tiles_ci: IntArray,
    outer: Outer,
) -> bool:
    """Add every reduction tile of one spatial and output tile in one order.

    A tile that covers the reduction lets inputs or weights stay. All others load as much as each other and
    take more steps the smaller they are, so each bounds those after it, with what the smallest holds.

    Returns:
        Whether smaller output tiles may be worth anything: they take more tiles and loads, but hold less.
    """
    last = len(tiles_ci) - 1
    least = tile.least
    for place in range(last, -1, -1):
        t = tiling_of(nest, search, outer, tiles_ci[place])
        s = streams_of(nest, tile.h, tile.w, t)
        held = held_of(nest, tile.h, tile.w, t, s)
        fitting = fits(needs_of(nest, held, s, 1, search.schedule), search.most_room)
        if not fitting and place < last:
            continue
        c = counts_of(nest, laws, tile.p, s)
        if place == last:
            most_tiles = s.pixel_tiles * nest.groups_out
            if outer.bounds and worthless(nest, search, tile, c, s, least, most_tiles):
                return False
            least = held_of(nest, tile.h, tile.w, tiling_of(nest, search, outer, 1), s)
        elif worthless(nest, search, tile, c, s, least, s.tiles):
            break
        if fitting:
            add_threads(nest, laws, search, rows, tile, t, s, c, held)
    return True


@compiled
def spatial_of(nest: Nest, laws: LawsRecord, search: Search, h: Axis, w: Axis) -> Spatial:
    """A spatial tile, with what it holds under the smallest channel tiles."""
    pass_groups, most = channel_groups(nest, 1)
    t = tiling_of(nest, search, Outer(1, pass_groups, most, CHANNELS_OUTER, 1), 1)
    least = held_of(nest, h, w, t, streams_of(nest, h, w, t))
    return Spatial(h, w, pixels_of(nest, laws, h, w), least)


@compiled
def channel_tilings(
    nest: Nest,
    laws: LawsRecord,
    search: Search,
    rows: IntArray,
    tile: Spatial,
    tiles_ci: IntArray,
    outers: list[Outer],
) -> None:
    """Add the mappings of one spatial tile."""
    dropped = -1
    for outer in outers:
        if outer.order != dropped and not reduction_tilings(nest, laws, search, rows, tile, tiles_ci, outer):
            if outer.tile_co == nest.groups_out:
                break
            dropped = outer.order


@compiled
def outers_of(nest: Nest, exact: bool) -> list[Outer]:
    """Tiles of output channels in both orders, the largest first; one alone runs alike in both."""
    sizes = tile_sizes(nest.groups_out, exact)
    read = [channel_groups(nest, tile_co) for tile_co in sizes]
    outers = []
    for order in range(1 if nest.vector or exact else 2):
        for place in range(len(sizes) - 1 - order, -1, -1):
            groups, most = read[place]
            least = groups
            for smaller in range(place):
                least = min(least, read[smaller][0])
            outers.append(Outer(sizes[place], groups, most, order, int(groups == least)))
    return outers


@compiled
def form_tilings(nest: Nest, laws: LawsRecord, search: Search, rows: IntArray) -> None:
    """Add the mappings of one form that are worth it on some design of a group, fastest first."""
    search.schedule = UPSTREAM if nest.start_resets else BEST
    search.steps[:] = 0
    exact, first = search.schedule == UPSTREAM, search.count
    tiles_ci = tile_sizes(nest.groups_in if nest.dense else 1, exact)
    outers = outers_of(nest, exact)
    columns = [column_axis(nest, tile_w) for tile_w in tile_sizes(nest.out_w, exact)[::-1]]
    # Large tiles first: the good mappings among them make the hulls that leave the small ones out.
    for tile_h in tile_sizes(nest.out_h, exact)[::-1]:
        h = row_axis(nest, tile_h)
        for w in columns:
            tile = spatial_of(nest, laws, search, h, w)
            if tile.least.inputs <= search.most_room[0] and tile.least.outputs <= search.most_room[2]:
                channel_tilings(nest, laws, search, rows, tile, tiles_ci, outers)
    sort_rows(search, rows, first)


@compiled
def sort_rows(search: Search, rows: IntArray, first: int) -> None:
    """Of the rows from ``first`` on keep, by cycles, those that the finished hulls do not beat."""
    kept = np.empty(search.count - first, dtype=np.int64)
    found = 0
    for index in range(first, search.count):
        needs, cycles = needs_at(rows, index), rows[index, 0]
        room = room_measured(search, needs)
        at = step_at(search, room, cycles)
        # A step is as good as itself.
        itself = at >= 0 and search.row[room, at] == index
        if itself or not beaten(search, needs, cycles, events_at(rows, index)):
            kept[found] = index
            found += 1
    order = np.argsort(rows[kept[:found], 0], kind="mergesort")
    rows[first : first + found] = rows[kept[order]]
    search.count = first + found


@compiled
def tilings_of(nests: npt.NDArray[np.void], laws: LawsRecord, search: Search) -> tuple[IntArray, IntArray]:
    """The mappings of a layer that are worth it on some design of a group.

    Args:
        nests: Records of ``NEST``, (FORMS,).
        laws: Timing and bus.
        search: Told its group.

    Returns:
        Rows int64 (N, COLUMNS), form by form, fastest first within each; and where each form begins, with
        the end behind the last, int64 (FORMS + 1,).
    """
    room, starts = START_ROWS, np.zeros(FORMS + 1, dtype=np.int64)
    while True:
        rows = np.empty((room, COLUMNS), dtype=np.int64)
        search.count = search.overflow = 0
        for form in range(FORMS):
            search.form = form
            if nests[form].valid:
                form_tilings(nests[form], laws, search, rows)
            starts[form + 1] = search.count
        if not search.overflow:
            return rows[: search.count], starts
        room *= 2
