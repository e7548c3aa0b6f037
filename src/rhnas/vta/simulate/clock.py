"""The machine in time: fetch, three queues, three in-order modules and the tokens between them.

Time advances from event to event: an instruction handed out, begun or ended, a burst requested. A module that
begins an instruction in cycle s executes from s + 1 on; what it posts is seen the cycle after it ends. No
duration depends on data, so that time is reckoned first and the effects follow in the order of the starts.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rhnas.vta.compiled import compiled, entry
from rhnas.vta.isa import INSTRUCTION_BYTES, Opcode
from rhnas.vta.simulate.execute import Fault, fail
from rhnas.vta.simulate.port import COMPUTE, FETCH, LOAD, NEVER, ReadPort, new_port, open_stream, serve

STORE = 0
"""Modules are numbered like the streams they open: STORE opens none."""
_OP_LOAD, _OP_STORE, _OP_GEMM, _OP_FINISH = (int(op) for op in list(Opcode)[:4])

POPS_PREV, POPS_NEXT = (2, 0, -1), (-1, 3, 1)
PUSHES_PREV, PUSHES_NEXT = (3, 1, -1), (-1, 2, 0)
"""Token queue by module (store, compute, load): 0 load to compute, 1 back, 2 compute to store, 3 back."""

MODULE = np.dtype(
    [
        ("position", np.int64),  # instructions completed
        ("arrived", np.int64),  # instructions that entered the queue
        ("current", np.int64),  # the one executing, -1 if none
        ("ends_at", np.int64),  # its last cycle; NEVER where its stream will tell
    ]
)

CONTROL = np.dtype(
    [
        ("handed_out", np.int64),  # instructions
        ("batch_end", np.int64),  # first instruction beyond the fetched batch
        ("hand_out_at", np.int64),  # cycle of the next; NEVER while the batch is on its way
        ("requested_at", np.int64),  # when the batch was asked for
        ("fetch_busy", np.int64),  # cycles spent waiting for batches
        ("cycles", np.int64),  # launch to FINISH; 0 until then
    ]
)

MEMORY = np.dtype(
    [
        ("base", np.int64),  # base register, bytes
        ("tensor_bytes", np.int64),
        ("priority", np.int64),
        ("drain", np.int64),  # last beat on the bus to end of the instruction
        ("pad_delay", np.int64),  # begin of the instruction to first padding
    ]
)


class Laws(NamedTuple):
    """Constants of a timing profile for one configuration; names as in ``TimingProfile``."""

    gemm_constant: int
    reset_constant: int
    alu_constant: int
    alu_immediate_steps: int
    alu_tensor_steps: int
    memory_delay: int
    request_delay: int
    pad_row_delay: int
    padding_ahead: int
    fetch_request_delay: int
    hand_out_delay: int
    return_delay: int
    request_interval: int
    store_setup: int
    store_constant: int
    store_row_beats: int  # beats between two reads of the scratchpad; 0 where it never pauses
    dispatch: int
    sync: int
    finish: int
    burst_beats: int
    bus_bytes: int
    fetch_drain: int
    fetch_instructions: int
    queue_entries: int
    max_tokens: int
    max_cycles: int


TIMELINE = np.dtype(
    [
        ("module", np.int64),  # who executes the instruction
        ("visible", np.int64),  # first cycle in which that module sees it
        ("start", np.int64),  # first cycle of execution; 0 where it never ran
        ("end", np.int64),  # last cycle; 0 where it never ended
    ]
)


class Machine(NamedTuple):
    """A program in the machine.

    Attributes:
        table: DECODED (n,): the program.
        order: int64 (3, n): instruction indices of each module, in order.
        memories: MEMORY (6,) by memory type.
        laws: What takes how long.
        timeline: TIMELINE (n,).
        modules: MODULE (3,).
        control: CONTROL (1,).
        tokens: int64 (4,).
        read: The shared read port.
    """

    table: NDArray[np.void]
    order: NDArray[np.int64]
    memories: NDArray[np.void]
    laws: Laws
    timeline: NDArray[np.void]
    modules: NDArray[np.void]
    control: NDArray[np.void]
    tokens: NDArray[np.int64]
    read: ReadPort


def new_machine(
    table: NDArray[np.void],
    module: NDArray[np.int64],
    memories: NDArray[np.void],
    laws: Laws,
    outstanding: int,
) -> Machine:
    """The machine at launch.

    Args:
        table: DECODED (n,).
        module: int64 (n,): STORE, COMPUTE or LOAD.
        memories: MEMORY (6,).
        laws: Of the timing profile and the configuration.
        outstanding: Read requests in flight.
    """
    order = np.zeros((3, len(table)), dtype=np.int64)
    for m in range(3):
        mine = np.flatnonzero(module == m)
        order[m, : len(mine)] = mine
    timeline = np.zeros(len(table), dtype=TIMELINE)
    timeline["module"] = module
    modules, control = np.zeros(3, dtype=MODULE), np.zeros(1, dtype=CONTROL)
    modules["current"] = -1
    control["hand_out_at"] = NEVER
    tokens = np.zeros(4, dtype=np.int64)
    return Machine(table, order, memories, laws, timeline, modules, control, tokens, new_port(outstanding))


@entry
def run(machine: Machine, fault: NDArray[np.int64]) -> None:
    """Run to FINISH or to the first fault, which is noted."""
    modules, streams, laws = machine.modules, machine.read.streams, machine.laws
    now = 0
    _request_batch(machine, now)
    while True:
        for m in range(3):
            if _free_at(modules, streams, m, laws) <= now:
                _complete(machine, m, fault)
        if machine.control[0].cycles > 0:
            return
        _hand_out(machine, now)
        for m in range(3):
            if modules[m].current < 0 and modules[m].position < modules[m].arrived:
                _begin(machine, m, now)
        following = _serve(machine, now)
        if following == NEVER:
            _stuck(machine, fault)
        elif following > laws.max_cycles:
            fail(fault, Fault.TOO_LONG, machine.control[0].handed_out - 1, following, laws.max_cycles)
        if fault[0] != 0:
            return
        now = following


@compiled
def _serve(machine, now):  # type: ignore[no-untyped-def]
    """Run the read port up to the next event of modules or fetch; its cycle."""
    look, following = now, _next_event(machine, now)
    while look < following:
        look = serve(machine.read, look, following, machine.laws)
        following = _next_event(machine, now)
    return following


@compiled
def _request_batch(machine, now):  # type: ignore[no-untyped-def]
    control, laws = machine.control[0], machine.laws
    control.batch_end = min(control.handed_out + laws.fetch_instructions, len(machine.table))
    count = control.batch_end - control.handed_out
    control.hand_out_at = NEVER
    control.requested_at = now
    if count > 0:
        address = control.handed_out * INSTRUCTION_BYTES  # of an aligned stream; only the alignment matters
        stream, at = machine.read.streams[FETCH], now + laws.fetch_request_delay
        open_stream(stream, 0, at, address, count * INSTRUCTION_BYTES, laws.fetch_drain, laws)


@compiled
def _hand_out(machine, now):  # type: ignore[no-untyped-def]
    """Move one instruction from the fetched batch into its module's queue."""
    control, stream = machine.control[0], machine.read.streams[FETCH]
    if min(control.hand_out_at, stream.ends_at) > now:
        return
    if stream.ends_at != NEVER:
        control.fetch_busy += stream.ends_at - control.requested_at
        control.hand_out_at = now
        stream.ends_at = NEVER
    instruction = machine.timeline[control.handed_out]
    module = machine.modules[instruction.module]
    if module.arrived - module.position >= machine.laws.queue_entries:
        return
    module.arrived += 1
    instruction.visible = now + machine.laws.hand_out_delay
    control.handed_out += 1
    control.hand_out_at = now + 1
    if control.handed_out == control.batch_end:
        _request_batch(machine, now + 1)


@compiled
def _free_at(modules, streams, m, laws):  # type: ignore[no-untyped-def]
    """When a module has completed its instruction, NEVER where it has none or the end is not known yet."""
    module = modules[m]
    if module.current < 0:
        return NEVER
    end = streams[m].ends_at if module.ends_at == NEVER else module.ends_at
    return NEVER if end == NEVER else end + laws.dispatch


@compiled
def _complete(machine, m, fault):  # type: ignore[no-untyped-def]
    module, index = machine.modules[m], machine.modules[m].current
    insn = machine.table[index]
    end = _free_at(machine.modules, machine.read.streams, m, machine.laws) - machine.laws.dispatch
    machine.timeline[index].end = end
    module.current = -1
    module.position += 1
    for queue, wanted in ((PUSHES_PREV[m], insn.push_prev), (PUSHES_NEXT[m], insn.push_next)):
        if wanted != 0 and queue >= 0:
            machine.tokens[queue] += 1
            if machine.tokens[queue] > machine.laws.max_tokens:
                fail(fault, Fault.TOKEN_OVERFLOW, index, machine.tokens[queue], machine.laws.max_tokens)
    if insn.opcode == _OP_FINISH:
        machine.control[0].cycles = end


@compiled
def _begin(machine, m, now):  # type: ignore[no-untyped-def]
    """Begin the module's next instruction if it is there and so are its tokens."""
    module = machine.modules[m]
    index = machine.order[m, module.position]
    insn, instruction, tokens = machine.table[index], machine.timeline[index], machine.tokens
    prev, following = POPS_PREV[m], POPS_NEXT[m]
    takes_prev, takes_next = insn.pop_prev != 0 and prev >= 0, insn.pop_next != 0 and following >= 0
    if instruction.visible > now:
        return
    if (takes_prev and tokens[prev] == 0) or (takes_next and tokens[following] == 0):
        return
    if takes_prev:
        tokens[prev] -= 1
    if takes_next:
        tokens[following] -= 1
    module.current = index
    instruction.start = now + 1
    module.ends_at = _duration(insn, machine.memories, machine.laws)
    if module.ends_at == NEVER:
        _open_load(insn, machine.memories[insn.memory_type], machine.read.streams[m], now, machine.laws)
    else:
        module.ends_at += now


@compiled
def _duration(insn, memories, laws):  # type: ignore[no-untyped-def]
    """Cycles from the begin to the last one; NEVER for a LOAD, whose stream will tell."""
    if insn.opcode == _OP_FINISH:
        return laws.finish
    if insn.opcode in (_OP_LOAD, _OP_STORE):
        if insn.x_size == 0:
            return laws.sync - 1
        if insn.opcode == _OP_LOAD:
            return NEVER
        memory = memories[insn.memory_type]
        return _store_cycles(insn, memory.base, memory.tensor_bytes, laws)
    steps = insn.iter_out * insn.iter_in * (insn.uop_end - insn.uop_bgn)
    if insn.opcode == _OP_GEMM:
        return steps + (laws.reset_constant if insn.reset else laws.gemm_constant)
    return steps * (laws.alu_immediate_steps if insn.use_imm else laws.alu_tensor_steps) + laws.alu_constant


@compiled
def _open_load(insn, memory, stream, now, laws):  # type: ignore[no-untyped-def]
    address = memory.base + insn.dram_base * memory.tensor_bytes
    request_at = now + laws.request_delay + insn.y_pad_0 * laws.pad_row_delay
    row_bytes = insn.x_size * memory.tensor_bytes
    open_stream(stream, memory.priority, request_at, address, row_bytes, memory.drain, laws)
    stream.rows, stream.stride_bytes = insn.y_size, insn.x_stride * memory.tensor_bytes
    sides = insn.x_pad_0 + insn.x_pad_1
    width = insn.x_size + sides
    stream.pad_from = now + memory.pad_delay
    stream.pads_before = insn.y_pad_0 * width + insn.y_size * sides
    stream.pads_after = insn.y_pad_1 * width
    if sides == 0 and insn.y_pad_1 > 0:
        stream.pads_skip = insn.y_size


@compiled
def _store_cycles(insn, base, tensor_bytes, laws):  # type: ignore[no-untyped-def]
    """Bursts one after the other: command, beats with a pause per row read from the scratchpad, answer."""
    cycles = laws.store_setup
    for y in range(insn.y_size):
        start = base + (insn.dram_base + y * insn.x_stride) * tensor_bytes
        end = start + insn.x_size * tensor_bytes
        beat = start // laws.bus_bytes
        left = (end + laws.bus_bytes - 1) // laws.bus_bytes - beat
        while left > 0:
            beats = min(left, laws.burst_beats - beat % laws.burst_beats)
            cycles += laws.store_constant + beats
            if laws.store_row_beats > 0:
                cycles += (beats + laws.store_row_beats - 1) // laws.store_row_beats
            beat += beats
            left -= beats
    return cycles


@compiled
def _next_event(machine, now):  # type: ignore[no-untyped-def]
    """First later cycle in which a module or the fetch can do something; NEVER if they only wait."""
    modules, streams = machine.modules, machine.read.streams
    following = NEVER
    for at in (machine.control[0].hand_out_at, streams[FETCH].ends_at):
        if at > now:  # otherwise it waits for room in a queue
            following = min(following, at)
    for m in range(3):
        module = modules[m]
        following = min(following, _free_at(modules, streams, m, machine.laws))
        if module.current < 0 and module.position < module.arrived:
            visible = machine.timeline[machine.order[m, module.position]].visible
            if visible > now:
                following = min(following, visible)
    return following


@compiled
def _stuck(machine, fault):  # type: ignore[no-untyped-def]
    """Nothing will ever happen: name the first instruction that waits, or that FINISH is missing."""
    first = len(machine.table)
    for m in (COMPUTE, LOAD, STORE):
        module = machine.modules[m]
        if module.position < module.arrived:
            first = min(first, machine.order[m, module.position])
    if first < len(machine.table):
        fail(fault, Fault.DEADLOCK, first, 0, 0)
    else:
        fail(fault, Fault.NO_FINISH, first - 1, 0, 0)
