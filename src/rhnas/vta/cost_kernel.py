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

START_POINTS = 4096
"""First guess at the points of the hulls that are asked for together; where there are more, room doubles."""


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
    begins: IntArray,
    found: IntArray,
    workspace: npt.NDArray[np.void],
) -> tuple[IntArray, FloatArray]:
    """Hulls of every design of a group on a layer, for some (group, layer) pairs.

    Legend: N arrays, G groups, D designs in the order of their groups, L layers, P points.

    Args:
        nests: Records of ``NEST``, (N, L, FORMS).
        laws: Records of ``LAWS``, (buses,).
        groups: int64 (G, 4): array, bus, first design, design behind the last.
        room: int64 (D, 4): depths of inp, wgt, acc, uop.
        event_pj: float64 (D, len(EVENTS)).
        pairs: int64: group * L + layer.
        begins: int64 (D, L), written: where a hull's points begin.
        found: int64 (D, L), written: points of the hull, 0 without a mapping.
        workspace: One record of ``SEARCH``, overwritten.

    Returns:
        Points of all hulls, one hull behind the other: cycles int64 (P,) and energy float64 (P,), pJ.
    """
    layers, search, total = nests.shape[1], workspace[0], 0
    cycles, energy_pj = np.empty(START_POINTS, dtype=np.int64), np.empty(START_POINTS, dtype=np.float64)
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
            while total + points > len(cycles):
                cycles, energy_pj = np.append(cycles, cycles), np.append(energy_pj, energy_pj)
            begins[design, layer], found[design, layer] = total, points
            for point in range(points):
                place = corners[point]
                cycles[total + point], energy_pj[total + point] = rows[kept[place], 0], energy[place]
            total += points
    return cycles[:total].copy(), energy_pj[:total].copy()


@entry
def spread(
    points: tuple[IntArray, FloatArray],
    begins: IntArray,
    found: IntArray,
    designs: IntArray,
    layers: IntArray,
    cycles: IntArray,
    energy_pj: FloatArray,
) -> None:
    """Write hulls as rows of equal length that repeat their last point; where there is none, zeros.

    Legend: D distinct designs, M distinct layers, B designs, L layers, K points of a row.

    Args:
        points: As ``evaluate_pairs`` returns them.
        begins: int64 (D, M).
        found: int64 (D, M).
        designs: int64 (B,): which of the distinct designs each is.
        layers: int64 (L,): which of the distinct layers each is.
        cycles: int64 (B, L, K), written.
        energy_pj: float64 (B, L, K), written.
    """
    for row in range(len(designs)):
        for column in range(len(layers)):
            begin, count = begins[designs[row], layers[column]], found[designs[row], layers[column]]
            for point in range(cycles.shape[2]):
                at = begin + min(point, count - 1)
                cycles[row, column, point] = points[0][at] if count else 0
                energy_pj[row, column, point] = points[1][at] if count else 0.0
