"""What prunes a group's mappings: energies from counts, and the hulls that its designs reach.

Scratchpads are powers of two. A few sizes of each, its *levels*, stand for all of a group's designs. For each
combination of levels, a *room*, there is the lower hull of the mappings that fit it, its corners the *steps*.
A mapping m is measured by the largest room that every design on which m fits has at least: what that room's
steps offer all of them have.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rhnas.vta.compiled import compiled, entry, inlined
from rhnas.vta.energy import EVENTS
from rhnas.vta.mapping_nest import Nest, quotient
from rhnas.workload import FloatArray, IntArray

EVENTS_AT, NEEDS_AT, CODES_AT = 1, 7, 11
"""Where counts (beats, fills of inp, wgt and acc, instructions, micro-ops), needs and codes begin."""
COLUMNS = CODES_AT + 7
"""A row ends with the mapping's codes: form, tile_h, tile_w, tile_ci, tile_co, order, threads."""
FIXED_EVENTS = 5
"""Events before the counted ones: they depend on the form alone."""
COUNTED = len(EVENTS) - FIXED_EVENTS
STEPS = 32
"""Room for a hull; where it is full, further steps are left out."""
ROUNDING = 1e-9
"""How far below a mapping, in parts, a mixture of two others must lie to be surely cheaper."""
LEVELS = 4
"""Sizes of each scratchpad that have hulls of their own."""
ROOMS = LEVELS**4
"""Combinations of levels of inp, wgt, acc and uop."""
UNREACHABLE = np.int64(1) << 60
"""A depth that no scratchpad has."""

Needs = tuple[int, int, int, int]
"""Tensors of inp, wgt, acc and uop."""
Events = tuple[int, int, int, int, int, int]
"""Counted events of a mapping: beats, fills of inp, wgt and acc, instructions, micro-ops."""

SEARCH_FIELDS: Mapping[str, tuple[type, tuple[int, ...], str]] = {
    "most_room": (np.int64, (4,), "largest depth of inp, wgt, acc and uop among the designs"),
    "levels": (np.int64, (4, LEVELS), "depths that have hulls, ascending"),
    "cheapest": (np.float64, (len(EVENTS),), "least energy of each event among the designs, pJ"),
    "dearest": (np.float64, (len(EVENTS),), "greatest"),
    "form": (np.int64, (), "form of the layer that is searched"),
    "schedule": (np.int64, (), "BEST or UPSTREAM"),
    "count": (np.int64, (), "mappings found"),
    "overflow": (np.int64, (), "1 where there were more than the table has rows"),
    "steps": (np.int64, (ROOMS,), "steps of each room's hull"),
    "cycles": (np.int64, (ROOMS, STEPS), "of each step, ascending"),
    "energy_pj": (np.float64, (ROOMS, STEPS), "counted energy, every access at its cheapest; falling"),
    "events": (np.int64, (ROOMS, STEPS, COUNTED), "what the energy is counted by"),
    "row": (np.int64, (ROOMS, STEPS), "of the table of mappings"),
}
"""What a search for the mappings of one form of a layer knows: name, type, shape and meaning.

The energy that no mapping changes is left out of all of it: it is the same for all mappings of a form on a
design, however much it differs between designs.
"""

SEARCH = np.dtype([(name, kind, shape) for name, (kind, shape, _) in SEARCH_FIELDS.items()])
"""A search as a record: compiled code passes it by reference, where a tuple of arrays would count theirs."""

Search = Any
"""A record of ``SEARCH``."""


@entry
def fixed_energy(nest: Nest, event_pj: FloatArray) -> float:
    """Energy that does not depend on the mapping, pJ: steps of the array and the ALU, outputs read."""
    outputs = nest.out_h * nest.out_w * nest.groups_out * nest.lanes_out
    gemm_steps = nest.steps * nest.kernel_h * nest.kernel_w * nest.out_h * nest.out_w
    pj = gemm_steps * event_pj[0] + outputs * nest.start_resets * event_pj[1]
    pj += outputs * (nest.start_immediates + nest.end_immediates) * event_pj[2]
    return float(pj + outputs * nest.end_tensors * event_pj[3] + outputs * event_pj[4])


@compiled
def counted_energy(rows: IntArray, index: int, event_pj: FloatArray) -> float:
    """Energy of what a mapping's counts decide, pJ: all but ``fixed_energy``."""
    pj = 0.0
    for event in range(NEEDS_AT - EVENTS_AT):
        pj += rows[index, EVENTS_AT + event] * event_pj[FIXED_EVENTS + event]
    return pj


@compiled
def fits_design(rows: IntArray, index: int, room: IntArray) -> bool:
    """Whether a mapping fits a design's scratchpads."""
    for resource in range(4):  # noqa: SIM110 (compiled: a generator would cost more than the comparison)
        if rows[index, NEEDS_AT + resource] > room[resource]:
            return False
    return True


@compiled
def set_group(search: Search, room: IntArray, event_pj: FloatArray) -> None:
    """Tell a search its designs: depths int64 (D, 4), event energies float64 (D, len(EVENTS)).

    Depths are powers of two, and so are the levels between the least and the greatest. Where there are fewer
    sizes than levels, the last levels are out of reach.
    """
    for event in range(len(event_pj[0])):
        search.cheapest[event], search.dearest[event] = event_pj[:, event].min(), event_pj[:, event].max()
    for resource in range(4):
        least, most, bits = room[:, resource].min(), room[:, resource].max(), 0
        search.most_room[resource] = most
        while least << bits < most:
            bits += 1
        count = min(bits + 1, LEVELS)
        for level in range(LEVELS):
            depth = least << quotient(bits * level, max(1, count - 1)) if level < count else UNREACHABLE
            search.levels[resource, level] = depth


@inlined
def room_measured(search: Search, needs: Needs) -> int:
    """The largest room that all designs have on which something with these needs fits."""
    room = 0
    for resource in range(4):
        level = 0
        # A depth that holds the need is at least the next power of two.
        while level + 1 < LEVELS and search.levels[resource, level + 1] < 2 * needs[resource]:
            level += 1
        room = room * LEVELS + level
    return room


@compiled
def step_at(search: Search, room: int, cycles: int) -> int:
    """The last step within ``cycles``; -1 if there is none."""
    low, high = 0, search.steps[room]
    while low < high:
        middle = (low + high) // 2
        if search.cycles[room, middle] <= cycles:
            low = middle + 1
        else:
            high = middle
    return low - 1


@inlined
def beaten(search: Search, needs: Needs, cycles: int, events: Events) -> bool:
    """Whether on every design that has room for ``needs`` it is no corner of the hull.

    So it is where the last step within its cycles is no dearer, or a mixture of that step and the next, as
    fast as it, is cheaper.
    """
    room = room_measured(search, needs)
    at = step_at(search, room, cycles)
    if at < 0:
        return False
    if dearer(search, room, at, 0.0, events) <= 0:
        return True
    if at + 1 == search.steps[room]:
        return False
    ahead, behind = search.cycles[room, at], search.cycles[room, at + 1]
    share = (cycles - ahead) / (behind - ahead)
    return bool(dearer(search, room, at, share, events) < -ROUNDING * search.energy_pj[room, at])


@inlined
def dearer(search: Search, room: int, at: int, share: float, events: Events) -> float:
    """How much more energy a step may need, mixed with a ``share`` of the next, than ``events``, pJ.

    The difference is linear in the energies per event: it is greatest where the events that the steps have
    more of are dearest and the others cheapest.
    """
    pj = 0.0
    for event in range(COUNTED):
        more = search.events[room, at, event] - float(events[event])
        if share > 0:
            more += share * (search.events[room, at + 1, event] - search.events[room, at, event])
        pj += max(more * search.dearest[FIXED_EVENTS + event], more * search.cheapest[FIXED_EVENTS + event])
    return pj


@compiled
def build(search: Search, needs: Needs, cycles: int, pj: float, events: Events) -> None:
    """Make the mapping that is about to be kept a step of every room that holds it."""
    for uop in range(LEVELS):
        if needs[3] <= search.levels[3, uop] < UNREACHABLE:
            for inp in range(LEVELS):
                if needs[0] <= search.levels[0, inp] < UNREACHABLE:
                    for wgt in range(LEVELS):
                        if needs[1] <= search.levels[1, wgt] < UNREACHABLE:
                            for acc in range(LEVELS):
                                if needs[2] <= search.levels[2, acc] < UNREACHABLE:
                                    room = ((inp * LEVELS + wgt) * LEVELS + acc) * LEVELS + uop
                                    if not add_step(search, room, cycles, pj, events):
                                        # Larger rooms have what this one has.
                                        break


@compiled
def corner(ax: float, ay: float, bx: float, by: float, cx: float, cy: float) -> bool:
    """Whether b lies below the line from a to c, with ax <= bx <= cx."""
    return bool((bx - ax) * (cy - ay) > (by - ay) * (cx - ax))


@compiled
def add_step(search: Search, room: int, cycles: int, pj: float, events: Events) -> bool:
    """Make a mapping a step of one hull unless it lies on or above it; steps that it makes useless go."""
    at, count = step_at(search, room, cycles), search.steps[room]
    x, y = search.cycles[room], search.energy_pj[room]
    if at >= 0 and y[at] <= pj:
        return False
    first = at if at >= 0 and x[at] == cycles else at + 1
    end = first
    while end < count and y[end] >= pj:
        end += 1
    if first > 0 and end < count and not corner(x[first - 1], y[first - 1], cycles, pj, x[end], y[end]):
        return False
    while end + 1 < count and not corner(cycles, pj, x[end], y[end], x[end + 1], y[end + 1]):
        end += 1
    while first > 1 and not corner(x[first - 2], y[first - 2], x[first - 1], y[first - 1], cycles, pj):
        first -= 1
    if count + first + 1 - end > STEPS:
        return False
    shift_steps(search, room, end, first + 1 - end)
    x[first], y[first], search.row[room, first] = cycles, pj, search.count
    for event in range(COUNTED):
        search.events[room, first, event] = events[event]
    return True


@compiled
def shift_steps(search: Search, room: int, end: int, shift: int) -> None:
    """Move the steps of a hull from ``end`` on by ``shift`` places."""
    count = search.steps[room]
    for place in range(count - end if shift else 0):
        step = count - 1 - place if shift > 0 else end + place
        search.cycles[room, step + shift] = search.cycles[room, step]
        search.energy_pj[room, step + shift] = search.energy_pj[room, step]
        search.row[room, step + shift] = search.row[room, step]
        for event in range(COUNTED):
            search.events[room, step + shift, event] = search.events[room, step, event]
    search.steps[room] = count + shift
