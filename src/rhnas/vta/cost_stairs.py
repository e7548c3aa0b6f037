"""What prunes a group's mappings: energies from counts, and the staircase that every design reaches."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rhnas.vta.mapping_compile import compiled, entry
from rhnas.vta.mapping_nest import FORMS, Nest
from rhnas.workload import FloatArray, IntArray

EVENTS_AT, NEEDS_AT, CODES_AT = 1, 7, 11
"""Where counts (beats, fills of inp, wgt and acc, instructions, micro-ops), needs and codes begin."""
COLUMNS = CODES_AT + 7
"""A row ends with the mapping's codes: form, tile_h, tile_w, tile_ci, tile_co, order, threads."""
FIXED_EVENTS = 5
"""Events before the counted ones: they depend on the form alone."""
STEPS = 2048
"""Room for the staircase that prunes a group; where it is full, further steps are left out."""


class Group(NamedTuple):
    """What the designs of a group have in common.

    Attributes:
        most_room: int64 (4,): largest depth of inp, wgt, acc and uop.
        least_room: int64 (4,): smallest.
        cheapest: float64 (len(EVENTS),): least energy of each event, pJ.
        dearest: float64 (len(EVENTS),): greatest.
    """

    most_room: IntArray
    least_room: IntArray
    cheapest: FloatArray
    dearest: FloatArray


class Stairs(NamedTuple):
    """Least energy that every design of a group reaches within some cycles: ascending cycles, falling energy.

    Attributes:
        cycles: int64 (STEPS,).
        energy_pj: float64 (STEPS,).
        steps: int64 (1,): how many there are.
        low_pj: float64 (FORMS,): energy that no mapping changes, cheapest, by form.
        high_pj: float64 (FORMS,): dearest.
    """

    cycles: IntArray
    energy_pj: FloatArray
    steps: IntArray
    low_pj: FloatArray
    high_pj: FloatArray


@entry
def fixed_energy(nest: Nest, event_pj: FloatArray) -> float:
    """Energy that does not depend on the mapping, pJ: steps of the array and the ALU, outputs read."""
    outputs = nest.out_h * nest.out_w * nest.groups_out * nest.lanes_out
    gemm_steps = nest.steps * nest.kernel_h * nest.kernel_w * nest.out_h * nest.out_w
    pj = gemm_steps * event_pj[0] + outputs * nest.start_resets * event_pj[1]
    pj += outputs * (nest.start_immediates + nest.end_immediates) * event_pj[2]
    return float(pj + outputs * nest.end_tensors * event_pj[3] + outputs * event_pj[4])


@compiled
def energy_of(rows: IntArray, index: int, fixed_pj: FloatArray, event_pj: FloatArray) -> float:
    """Energy of a mapping, pJ; ``fixed_pj`` is (FORMS,)."""
    pj = fixed_pj[rows[index, CODES_AT]]
    for event in range(NEEDS_AT - EVENTS_AT):
        pj += rows[index, EVENTS_AT + event] * event_pj[FIXED_EVENTS + event]
    return float(pj)


@compiled
def fits_design(rows: IntArray, index: int, room: IntArray) -> bool:
    """Whether a mapping fits a design's scratchpads."""
    for resource in range(4):  # noqa: SIM110 (compiled: a generator would cost more than the comparison)
        if rows[index, NEEDS_AT + resource] > room[resource]:
            return False
    return True


@compiled
def fill_fixed(nests: npt.NDArray[np.void], event_pj: FloatArray, fixed_pj: FloatArray) -> None:
    """The energy that no mapping changes, by form."""
    for form in range(FORMS):
        fixed_pj[form] = fixed_energy(nests[form], event_pj)


@compiled
def step_at(stairs: Stairs, cycles: int) -> int:
    """The last step within ``cycles``; -1 if there is none."""
    low, high = 0, stairs.steps[0]
    while low < high:
        middle = (low + high) // 2
        if stairs.cycles[middle] <= cycles:
            low = middle + 1
        else:
            high = middle
    return low - 1


@compiled
def beaten(stairs: Stairs, cycles: int, low_pj: float) -> bool:
    """Whether every design has something as fast that needs no more energy."""
    at = step_at(stairs, cycles)
    return at >= 0 and stairs.energy_pj[at] <= low_pj


@compiled
def build(stairs: Stairs, cycles: int, high_pj: float) -> None:
    """Add a step that every design has; steps that it makes useless go."""
    at = step_at(stairs, cycles)
    count = stairs.steps[0]
    if (at >= 0 and stairs.energy_pj[at] <= high_pj) or count == STEPS:
        return
    first = at if at >= 0 and stairs.cycles[at] == cycles else at + 1
    end = first
    while end < count and stairs.energy_pj[end] >= high_pj:
        end += 1
    shift = first + 1 - end
    if shift > 0:
        for step in range(count - 1, end - 1, -1):
            stairs.cycles[step + 1], stairs.energy_pj[step + 1] = stairs.cycles[step], stairs.energy_pj[step]
    elif shift < 0:
        for step in range(end, count):
            stairs.cycles[step + shift] = stairs.cycles[step]
            stairs.energy_pj[step + shift] = stairs.energy_pj[step]
    stairs.cycles[first], stairs.energy_pj[first] = cycles, high_pj
    stairs.steps[0] = count + shift
