"""From the mappings of a group of designs to each design's hull of cycles and energy.

Each design walks the group's mappings (``cost_tilings``) from the fastest on, keeps what fits and saves
energy, and stops where a bound on the energy of all that follow says that nothing can.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rhnas.vta.compiled import compiled, entry
from rhnas.vta.cost_price import LawsRecord, Price, counts_of, pixels_of, price_of
from rhnas.vta.cost_stairs import (
    COLUMNS,
    UNREACHABLE,
    Needs,
    corner,
    counted_energy,
    fits_design,
    fixed_energy,
    set_group,
)
from rhnas.vta.cost_tilings import tilings_of
from rhnas.vta.mapping_nest import BEST, FORMS, UPSTREAM
from rhnas.vta.mapping_tiles import (
    Tiling,
    channel_groups,
    column_axis,
    held_of,
    needs_of,
    row_axis,
    streams_of,
)
from rhnas.workload import FloatArray, IntArray


@compiled
def least_to_come(rows: IntArray, starts: IntArray, event_pj: FloatArray) -> FloatArray:
    """For each row a bound on the counted energy of all mappings of its form from there on, pJ."""
    least = np.empty(len(rows), dtype=np.float64)
    for form in range(FORMS):
        lowest = np.inf
        for index in range(starts[form + 1] - 1, starts[form] - 1, -1):
            lowest = min(lowest, counted_energy(rows, index, event_pj))
            least[index] = lowest
    return least


@compiled
def walk(
    rows: IntArray,
    span: tuple[int, int],
    least: FloatArray,
    room: IntArray,
    event_pj: FloatArray,
    kept: IntArray,
    energy_pj: FloatArray,
    found: int,
) -> int:
    """The mappings of one form that nothing faster of that form beats in energy on one design, fastest first.

    Args:
        rows: int64 (N, COLUMNS).
        span: First row of the form, and the one behind its last.
        least: float64 (N,), as ``least_to_come`` gives it for energies no higher than the design's.
        room: int64 (4,).
        event_pj: float64 (len(EVENTS),).
        kept: int64 (N,), written from ``found`` on: rows.
        energy_pj: float64 (N,), written from ``found`` on: their counted energy, descending.
        found: Number kept before.

    Returns:
        Number kept.
    """
    first, best = found, np.inf
    for index in range(span[0], span[1]):
        if least[index] >= best:
            break
        if fits_design(rows, index, room):
            pj = counted_energy(rows, index, event_pj)
            if pj < best:
                best = pj
                if found > first and rows[kept[found - 1], 0] == rows[index, 0]:
                    found -= 1
                kept[found], energy_pj[found] = index, pj
                found += 1
    return found


@compiled
def best_rows(
    nests: npt.NDArray[np.void],
    rows: IntArray,
    starts: IntArray,
    least: FloatArray,
    room: IntArray,
    event_pj: FloatArray,
    kept: IntArray,
    energy_pj: FloatArray,
) -> int:
    """The mappings of all forms that nothing faster beats in energy on one design, by cycles; how many.

    ``kept`` and ``energy_pj``, as for ``walk``, are written from 0 on; the energy is the whole now.
    """
    found, forms = 0, 0
    for form in range(FORMS):
        first = found
        found = walk(rows, (starts[form], starts[form + 1]), least, room, event_pj, kept, energy_pj, found)
        if found > first:
            forms += 1
            energy_pj[first:found] += fixed_energy(nests[form], event_pj)
    if forms < 2:
        return found
    order = np.argsort(rows[kept[:found], 0], kind="mergesort")
    kept[:found], energy_pj[:found] = kept[:found][order], energy_pj[:found][order]
    return unbeaten(rows, kept, energy_pj, found)


@compiled
def unbeaten(rows: IntArray, kept: IntArray, energy_pj: FloatArray, count: int) -> int:
    """Of mappings by cycles, move those that nothing as fast beats to the front; how many."""
    found = 0
    for place in range(count):
        if found and energy_pj[place] >= energy_pj[found - 1]:
            continue
        if found and rows[kept[found - 1], 0] == rows[kept[place], 0]:
            found -= 1
        kept[found], energy_pj[found] = kept[place], energy_pj[place]
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
            if corner(ax, ay, bx, by, x, y):
                break
            found -= 1
        corners[found] = place
        found += 1
    return found


@entry
def hull_rows(
    nests: npt.NDArray[np.void],
    laws: LawsRecord,
    room: IntArray,
    event_pj: FloatArray,
    workspace: npt.NDArray[np.void],
) -> tuple[IntArray, FloatArray]:
    """The mappings on one design's lower hull: rows (K, COLUMNS) by cycles, and their energy (K,), pJ.

    ``workspace`` is one record of ``SEARCH``, as for ``evaluate_pairs``.
    """
    search = workspace[0]
    set_group(search, room.reshape(1, -1), event_pj.reshape(1, -1))
    rows, starts = tilings_of(nests, laws, search)
    count = len(rows)
    kept, corners, energy = np.empty(count, dtype=np.int64), np.empty(count, dtype=np.int64), np.empty(count)
    least = least_to_come(rows, starts, event_pj)
    found = best_rows(nests, rows, starts, least, room, event_pj, kept, energy)
    points = lower_hull(rows, kept, energy, found, corners)
    result, pj = np.empty((points, COLUMNS), dtype=np.int64), np.empty(points)
    for point in range(points):
        place = corners[point]
        result[point], pj[point] = rows[kept[place]], energy[place]
    return result, pj


@entry
def all_rows(
    nests: npt.NDArray[np.void],
    laws: LawsRecord,
    room: IntArray,
    event_pj: FloatArray,
    workspace: npt.NDArray[np.void],
) -> tuple[IntArray, FloatArray]:
    """Every mapping that fits one design: rows (N, COLUMNS) by form and cycles, and their energy (N,), pJ.

    ``workspace`` is one record of ``SEARCH``, as for ``evaluate_pairs``.
    """
    search = workspace[0]
    set_group(search, room.reshape(1, -1), event_pj.reshape(1, -1))
    # Where no room has a hull, no mapping is ever beaten.
    search.levels[:] = UNREACHABLE
    rows, starts = tilings_of(nests, laws, search)
    pj = np.empty(len(rows))
    for form in range(FORMS):
        fixed = fixed_energy(nests[form], event_pj)
        for index in range(starts[form], starts[form + 1]):
            pj[index] = fixed + counted_energy(rows, index, event_pj)
    return rows, pj


@entry
def price_tiles(nests: npt.NDArray[np.void], laws: LawsRecord, codes: IntArray) -> tuple[Price, Needs]:
    """Price and needs (inp, wgt, acc, uop) of a mapping given by its codes, whether or not it fits."""
    nest = nests[codes[0]]
    h, w = row_axis(nest, codes[1]), column_axis(nest, codes[2])
    tile_ci, tile_co = codes[3], codes[4]
    pass_groups, most = channel_groups(nest, tile_co)
    schedule = UPSTREAM if nest.start_resets else BEST
    t = Tiling(tile_ci, tile_co, tile_ci if nest.dense else most, pass_groups, codes[5], schedule)
    s = streams_of(nest, h, w, t)
    needs = needs_of(nest, held_of(nest, h, w, t, s), s, codes[6], schedule)
    p = pixels_of(nest, laws, h, w)
    return price_of(counts_of(nest, laws, p, s), laws, p, s, codes[6], needs[3]), needs


@entry
def evaluate_pairs(
    nests: npt.NDArray[np.void],
    laws: npt.NDArray[np.void],
    groups: IntArray,
    room: IntArray,
    event_pj: FloatArray,
    pairs: IntArray,
    cycles: IntArray,
    energy_pj: FloatArray,
    found: IntArray,
    workspace: npt.NDArray[np.void],
) -> None:
    """Hulls of every design of a group on a layer, for some (group, layer) pairs.

    Legend: N arrays, G groups, D designs in the order of their groups, L layers, K points.

    Args:
        nests: Records of ``NEST``, (N, L, FORMS).
        laws: Records of ``LAWS``, (buses,).
        groups: int64 (G, 4): array, bus, first design, design behind the last.
        room: int64 (D, 4): depths of inp, wgt, acc, uop.
        event_pj: float64 (D, len(EVENTS)).
        pairs: int64 (P,): group * L + layer.
        cycles: int64 (D, L, K), written.
        energy_pj: float64 (D, L, K), written.
        found: int64 (D, L), written: points of the hull, 0 without a mapping.
        workspace: One record of ``SEARCH``, overwritten.
    """
    layers, search = nests.shape[1], workspace[0]
    for pair in pairs:
        number, layer = pair // layers, pair % layers
        array, bus, first, end = groups[number, 0], groups[number, 1], groups[number, 2], groups[number, 3]
        set_group(search, room[first:end], event_pj[first:end])
        forms = nests[array, layer]
        rows, starts = tilings_of(forms, laws[bus], search)
        least = least_to_come(rows, starts, search.cheapest)
        kept, corners = np.empty(len(rows), dtype=np.int64), np.empty(len(rows), dtype=np.int64)
        energy = np.empty(len(rows), dtype=np.float64)
        for design in range(first, end):
            fitting = best_rows(forms, rows, starts, least, room[design], event_pj[design], kept, energy)
            points = lower_hull(rows, kept, energy, fitting, corners)
            found[design, layer] = points
            for point in range(cycles.shape[2] if points else 0):
                place = corners[min(point, points - 1)]
                cycles[design, layer, point] = rows[kept[place], 0]
                energy_pj[design, layer, point] = energy[place]
