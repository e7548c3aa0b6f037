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

from rhnas.vta.compiled import compiled
from rhnas.vta.cost_price import (
    Counts,
    LawsRecord,
    Pixels,
    Price,
    counts_of,
    least_cycles,
    least_cycles_of,
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
    Streams,
    Tiling,
    channel_groups,
    column_axis,
    needs_of,
    row_axis,
    streams_of,
)
from rhnas.workload import IntArray

START_ROWS = 1024
"""First guess at the mappings kept while a layer is searched; where there are more, it is searched anew."""


class Spatial(NamedTuple):
    """A tile of rows and columns.

    Attributes:
        h: Rows.
        w: Columns.
        p: Loads and stores that follow from both.
        least: What it needs under the smallest channel tiles.
    """

    h: Axis
    w: Axis
    p: Pixels
    least: Needs


class Outer(NamedTuple):
    """A tile of output channels, and the order of the loops.

    Attributes:
        tile_co: Output storage groups.
        pass_groups: Input storage groups that all output tiles read, summed.
        most: Input storage groups that one of them reads at most.
        order: ``CHANNELS_OUTER`` or ``PIXELS_OUTER``.
    """

    tile_co: int
    pass_groups: int
    most: int
    order: int


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
def splits(s: Streams, h: Axis, exact: bool) -> bool:
    """Whether two threads have work; TVM gives each the same number of channel or row tiles."""
    return s.tiles > 1 and not (exact and s.channel_tiles % 2 and h.tiles % 2)


@compiled
def fill(
    rows: IntArray, at: int, priced: Price, needs: Needs, codes: tuple[int, int, int], t: Tiling
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
def needs_at(rows: IntArray, at: int) -> Needs:
    """What a mapping needs of inp, wgt, acc and uop."""
    return rows[at, NEEDS_AT], rows[at, NEEDS_AT + 1], rows[at, NEEDS_AT + 2], rows[at, NEEDS_AT + 3]


@compiled
def events_at(rows: IntArray, at: int) -> Events:
    """What a mapping's energy is counted by."""
    return rows[at, 1], rows[at, 2], rows[at, 3], rows[at, 4], rows[at, 5], rows[at, 6]


@compiled
def fits(needs: Needs, room: IntArray) -> bool:
    """Whether inp, wgt and acc suffice; micro-ops do not grow with every tile and are asked for singly."""
    return bool(needs[0] <= room[0] and needs[1] <= room[1] and needs[2] <= room[2])


@compiled
def worthless(search: Search, c: Counts, p: Pixels, needs: Needs, cycles: int) -> bool:
    """Whether all mappings with at least these counts, needs and cycles are beaten."""
    beats = c.read_beats + p.write_beats
    events = (beats, c.inp_fill, c.wgt_fill, c.acc_fill, c.instructions, 0)
    return beaten(search, needs, cycles, events)


@compiled
def keep(search: Search, rows: IntArray, needs: Needs) -> None:
    """Count the mapping behind the last kept one in, unless no design can want it."""
    at = search.count
    cycles, events = rows[at, 0], events_at(rows, at)
    if not beaten(search, needs, cycles, events):
        build(search, needs, cycles, counted_energy(rows, at, search.cheapest), events)
        search.count += 1


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
) -> None:
    """Add a channel tiling with one thread and with two, where it fits and may be worth it."""
    for threads in range(1, 3):
        if threads == 2 and not splits(s, tile.h, search.schedule == UPSTREAM):
            break
        both = Tiling(t.tile_ci, t.tile_co, t.tile_groups, t.pass_groups, t.order, threads, t.schedule)
        needs = needs_of(nest, tile.h, tile.w, both, s)
        if fits(needs, search.most_room) and needs[3] <= search.most_room[3]:
            if search.count == len(rows):
                search.overflow = 1
                return
            priced = price_of(c, laws, tile.p, s, threads, needs[3])
            fill(rows, search.count, priced, needs, (search.form, tile.h.tile, tile.w.tile), both)
            keep(search, rows, needs)


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
    take more steps the smaller they are, so each bounds those after it, with the needs of the smallest.

    Returns:
        Whether smaller output tiles may be worth anything: they take more tiles and loads, but need less.
    """
    last = len(tiles_ci) - 1
    for place in range(last, -1, -1):
        tile_ci = tiles_ci[place]
        groups = tile_ci if nest.dense else outer.most
        t = Tiling(tile_ci, outer.tile_co, groups, outer.pass_groups, outer.order, 1, search.schedule)
        s = streams_of(nest, tile.h, tile.w, t)
        needs = needs_of(nest, tile.h, tile.w, t, s)
        fitting = fits(needs, search.most_room)
        if not fitting and place < last - 1:
            continue
        c = counts_of(nest, laws, tile.p, s)
        if place == last and worthless(search, c, tile.p, tile.least, least_cycles(c)):
            return False
        if place < last:
            single = Tiling(1, outer.tile_co, 1, outer.pass_groups, outer.order, 1, search.schedule)
            smallest = needs_of(nest, tile.h, tile.w, single, s)
            if not fits(smallest, search.most_room):
                break
            if worthless(search, c, tile.p, smallest, least_cycles(c)):
                break
        if fitting and not worthless(search, c, tile.p, needs, least_cycles_of(c, s)):
            add_threads(nest, laws, search, rows, tile, t, s, c)
    return True


@compiled
def spatial_of(nest: Nest, laws: LawsRecord, search: Search, h: Axis, w: Axis, least_co: int) -> Spatial:
    """A spatial tile, with what it needs under the smallest channel tiles, ``least_co`` output groups."""
    pass_groups, most = channel_groups(nest, least_co)
    groups = 1 if nest.dense else most
    t = Tiling(1, least_co, groups, pass_groups, CHANNELS_OUTER, 1, search.schedule)
    needs = needs_of(nest, h, w, t, streams_of(nest, h, w, t))
    return Spatial(h, w, pixels_of(nest, laws, h, w), needs)


@compiled
def form_tilings(nest: Nest, laws: LawsRecord, search: Search, rows: IntArray) -> None:
    """Add the mappings of one form that are worth it on some design of a group, fastest first."""
    search.schedule = UPSTREAM if nest.start_resets else BEST
    search.steps[:] = 0
    exact, first = search.schedule == UPSTREAM, search.count
    tiles_ci = tile_sizes(nest.groups_in if nest.dense else 1, exact)
    tiles_co = tile_sizes(nest.groups_out, exact)
    columns = [column_axis(nest, tile_w) for tile_w in tile_sizes(nest.out_w, exact)[::-1]]
    # Large tiles first: the good mappings among them make the staircases that leave the small ones out.
    for tile_h in tile_sizes(nest.out_h, exact)[::-1]:
        h = row_axis(nest, tile_h)
        for w in columns:
            tile = spatial_of(nest, laws, search, h, w, tiles_co[0])
            if fits(tile.least, search.most_room):
                for order in range(1 if nest.vector or exact else 2):
                    for tile_co in tiles_co[::-1]:
                        pass_groups, most = channel_groups(nest, tile_co)
                        outer = Outer(tile_co, pass_groups, most, order)
                        if not reduction_tilings(nest, laws, search, rows, tile, tiles_ci, outer):
                            break
    sort_rows(search, rows, first)


@compiled
def sort_rows(search: Search, rows: IntArray, first: int) -> None:
    """Of the rows from ``first`` on keep, by cycles, those that the finished staircases do not beat."""
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
