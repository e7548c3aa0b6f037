"""Run a program: what it leaves in memory, how many cycles it takes, and who was busy when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rhnas.errors import ProgramError
from rhnas.vta.config import AcceleratorConfig
from rhnas.vta.disassemble import describe
from rhnas.vta.isa import WORD_BITS, Memory, Opcode, decode, decode_table, layout
from rhnas.vta.program import Program
from rhnas.vta.simulate.clock import MEMORY, STORE, Laws, Machine, new_machine, run
from rhnas.vta.simulate.execute import Doubt, Fault, Indices, Report, execute
from rhnas.vta.simulate.memory import PAGES, Dram, Scratchpads, mark_stores
from rhnas.vta.simulate.port import COMPUTE, LOAD
from rhnas.vta.timing import UOP_BYTES, TimingProfile, profile_named

MAX_CYCLES = 10**10
"""Where a run gives up: 100 s of the default's clock."""
_PRIORITY = {Memory.UOP: 1, Memory.INP: 2, Memory.WGT: 3, Memory.ACC: 4, Memory.ACC_8BIT: 4, Memory.OUT: 5}
"""Of the read port after instruction fetch, 0 (Core.scala)."""
_BASE = {Memory.ACC_8BIT: "acc"}
"""Memories that use another's base register."""

_FAULTS = {
    Fault.SRAM_RANGE: "must stay within its scratchpad of {limit} tensors",
    Fault.DRAM_RANGE: "must stay within the first {limit} bytes of memory",
    Fault.UOP_BOUNDS: "must stay within the {limit} micro-ops on chip",
    Fault.UOP_DST: "must write accumulators below {limit}",
    Fault.UOP_SRC: "must read sources below {limit}",
    Fault.UOP_WGT: "must read weights below {limit}",
    Fault.TOKEN_OVERFLOW: "must leave at most {limit} tokens waiting, or the hardware loses them",
    Fault.DEADLOCK: "must get the token it waits for, but nothing posts it any more",
    Fault.NO_FINISH: "must be or follow a FINISH, but the program ends",
    Fault.TOO_LONG: "must end within {limit} cycles",
}
_SPARE = "sets bits that no field of this accelerator has: is it made for another?"
_WITHOUT_DETAIL = (Fault.DEADLOCK, Fault.NO_FINISH)
_DOUBTS = {
    Doubt.UOP: "runs micro-ops that were never loaded",
    Doubt.WGT: "reads weights that were never loaded",
    Doubt.INP: "reads inputs that were never loaded",
    Doubt.ACC: "reads accumulators that were never written",
    Doubt.OUT: "stores outputs that GEMM and ALU never wrote",
    Doubt.DRAM: "loads memory that was never written",
    Doubt.UNFINISHED: "was still executing at FINISH",
}


@dataclass(frozen=True)
class Simulation:
    """What a run left.

    Attributes:
        cycles: Launch to FINISH.
        matches: Whether memory is as expected; None without an expectation.
        first_difference: Address of the first byte that is not, None if there is none.
        start: int64 (n,): first cycle in which each instruction executed, counted from the launch; 0 where
            it never did.
        end: int64 (n,): last such cycle.
        busy_cycles: Cycles each part worked: ``fetch`` (waiting for instructions), ``load`` (inputs and
            weights), ``uop``, ``acc`` (loads), ``gemm``, ``alu``, ``store``. ``compute`` is the sum of the
            compute module's four; parts overlap each other.
        warnings: Questionable things the program did, one line each.
        dram: Memory after the run.
    """

    cycles: int
    matches: bool | None
    first_difference: int | None
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    busy_cycles: Mapping[str, int]
    warnings: tuple[str, ...]
    dram: Dram


def simulate(
    program: Program, *, timing: str | None = None, strict: bool = False, max_cycles: int = MAX_CYCLES
) -> Simulation:
    """Run a program from launch to FINISH.

    Args:
        program: What to run.
        timing: Profile of timing laws; the program's own if None, ``public`` if that has none either.
        strict: Questionable reads are errors, not warnings.
        max_cycles: Where to give up.

    Raises:
        ProgramError: The program does what the machine forbids; names the instruction.

    Example:
        >>> from rhnas.vta.isa import Finish, assemble
        >>> words = assemble([Finish()], AcceleratorConfig())
        >>> simulate(Program(config=AcceleratorConfig(), instructions=words)).cycles
        25
    """
    machine = time(program, timing=timing, max_cycles=max_cycles)
    dram, warnings = _compute(program, machine, strict)
    difference = _difference(program, dram)
    return Simulation(
        cycles=int(machine.control[0]["cycles"]),
        matches=None if program.expected is None else difference is None,
        first_difference=difference,
        start=machine.timeline["start"],
        end=machine.timeline["end"],
        busy_cycles=busy_cycles(machine),
        warnings=warnings,
        dram=dram,
    )


def time(program: Program, *, timing: str | None = None, max_cycles: int = MAX_CYCLES) -> Machine:
    """When every instruction runs, without computing anything; several hundred million cycles a second.

    Args:
        program: What to run; only its instructions, bases and configuration matter.
        timing: As ``simulate``.
        max_cycles: As ``simulate``.

    Returns:
        The machine after FINISH: ``timeline`` and ``control``.

    Raises:
        ProgramError: A token never comes, FINISH is missing, or it takes too long.
    """
    profile = profile_named(timing or program.timing or "public")
    table = decode_table(program.instructions, program.config)
    _check_stream(program, table)
    laws = laws_of(profile, program.config, max_cycles)
    memories = _memories(program, profile)
    machine = new_machine(table, _routes(table), memories, laws, profile.outstanding_reads)
    fault = np.zeros(4, dtype=np.int64)
    run(machine, fault)
    _raise_fault(program, fault)
    return machine


def laws_of(profile: TimingProfile, config: AcceleratorConfig, max_cycles: int = MAX_CYCLES) -> Laws:
    """The profile's constants for one configuration, as compiled code reads them."""
    wide_store = config.out_tensor_bytes <= config.bus_bytes
    fetch = profile.fetch_latency(config.bus_bits)
    return Laws(
        gemm_constant=profile.gemm_constant,
        reset_constant=profile.reset_constant,
        alu_constant=profile.alu_constant,
        alu_immediate_steps=profile.alu_immediate_steps,
        alu_tensor_steps=profile.alu_tensor_steps,
        memory_delay=profile.memory_delay,
        request_delay=profile.request_delay,
        pad_row_delay=profile.pad_row_delay,
        padding_ahead=profile.padding_ahead,
        fetch_request_delay=profile.fetch_request_delay,
        hand_out_delay=profile.hand_out_delay,
        return_delay=profile.return_delay,
        request_interval=profile.request_interval,
        store_setup=profile.store_setup,
        store_constant=profile.wide_store_constant if wide_store else profile.store_constant,
        store_row_beats=0 if wide_store else max(1, config.block_out // config.bus_bytes),
        dispatch=profile.dispatch,
        sync=profile.sync,
        finish=profile.finish,
        burst_beats=profile.burst_bytes(config.bus_bits) // config.bus_bytes,
        bus_bytes=config.bus_bytes,
        fetch_drain=fetch - profile.fetch_request_delay - profile.memory_delay - 1,
        fetch_instructions=profile.fetch_instructions(config.bus_bits),
        queue_entries=profile.queue_entries,
        max_tokens=profile.max_tokens,
        max_cycles=max_cycles,
    )


def _memories(program: Program, profile: TimingProfile) -> NDArray[np.void]:
    config = program.config
    sizes = {
        Memory.UOP: UOP_BYTES,
        Memory.WGT: config.wgt_tensor_bytes,
        Memory.INP: config.inp_tensor_bytes,
        Memory.ACC: config.acc_tensor_bytes,
        Memory.OUT: config.out_tensor_bytes,
        Memory.ACC_8BIT: config.out_tensor_bytes,
    }
    table = np.zeros(len(Memory), dtype=MEMORY)
    for memory, size in sizes.items():
        wide = size <= config.bus_bytes
        constant = profile.uop_load_constant if wide else profile.load_constant
        drain = constant - profile.request_delay - 1
        first_write = profile.request_delay + profile.memory_delay + 1 + drain
        base = program.base(_BASE.get(memory, memory.name.lower()))
        pad_delay = first_write - profile.padding_hidden + profile.padding_ahead
        table[memory] = base, size, _PRIORITY[memory], drain, pad_delay
    return table


def _compute(program: Program, machine: Machine, strict: bool) -> tuple[Dram, tuple[str, ...]]:
    """Memory after the run, and what was questionable."""
    config, table, timeline = program.config, machine.table, machine.timeline
    pages = np.zeros(PAGES, dtype=np.bool_)
    mark_stores(table, machine.memories[Memory.OUT], pages)
    dram = Dram.holding([(s.address, s.content) for s in program.segments], pages)
    doubts = np.zeros((len(Doubt), 2), dtype=np.int64)
    report = Report(np.zeros(4, dtype=np.int64), doubts)
    shape = Indices(
        *(config.acc_index_bits, config.inp_index_bits, config.wgt_index_bits),
        *(config.batch, config.block_in, config.block_out),
    )
    ran = np.flatnonzero(timeline["start"] > 0)
    sequence = ran[np.argsort(timeline["start"][ran], kind="stable")]
    execute(table, sequence, machine.memories, shape, Scratchpads.of(config), dram, report)
    _raise_fault(program, report.fault)
    running = ran[timeline["end"][ran] == 0]
    if len(running):
        doubts[Doubt.UNFINISHED] = running[0], len(running)
    warnings = (*_spare_bits(program, table["opcode"]), *_warnings(program, doubts))
    if strict and warnings:
        raise ProgramError(warnings[0], fix="run without --strict to have it as a warning")
    return dram, warnings


def _routes(table: NDArray[np.void]) -> NDArray[np.int64]:
    """Which module executes each instruction, int64 (n,)."""
    to_load = np.isin(table["memory_type"], (Memory.INP, Memory.WGT)) & (table["opcode"] == Opcode.LOAD)
    return np.where(to_load, LOAD, np.where(table["opcode"] == Opcode.STORE, STORE, COMPUTE)).astype(np.int64)


def _check_stream(program: Program, table: NDArray[np.void]) -> None:
    """Refuse instructions that are none, or that would make the hardware's counters wrap."""
    opcode = table["opcode"]
    loops = (opcode == Opcode.GEMM) | (opcode == Opcode.ALU)
    empty = (table["iter_out"] == 0) | (table["iter_in"] == 0) | (table["uop_bgn"] >= table["uop_end"])
    moves = (opcode == Opcode.LOAD) | (opcode == Opcode.STORE)
    out = table["memory_type"] == Memory.OUT
    stores = opcode == Opcode.STORE
    misplaced = (out != stores) & ((table["x_size"] > 0) | ~stores)
    wrong_memory = misplaced | (table["memory_type"] > max(Memory))
    no_rows = (table["x_size"] > 0) & (table["y_size"] == 0)
    unknown = (opcode > max(Opcode)) | ((opcode == Opcode.ALU) & (table["alu_opcode"] > 6))
    for index in np.flatnonzero(unknown | (loops & empty) | (moves & (wrong_memory | no_rows))):
        low, high = program.instructions[index].tolist()
        try:
            decode(low | high << WORD_BITS, program.config)
        except ProgramError as error:
            raise ProgramError(f"instruction {index}: {error.what}", got=error.got, fix=error.fix) from None


def _name(program: Program, index: int) -> str:
    low, high = program.instructions[index].tolist()
    return f"instruction {index} ({describe(low | high << WORD_BITS, program.config)})"


def _raise_fault(program: Program, fault: NDArray[np.int64]) -> None:
    code, index, detail, limit = fault.tolist()
    if code == Fault.NONE:
        return
    what = f"{_name(program, index)} {_FAULTS[Fault(code)].format(limit=limit)}"
    raise ProgramError(what, got=None if code in _WITHOUT_DETAIL else detail)


def _warnings(program: Program, doubts: NDArray[np.int64]) -> list[str]:
    lines = []
    for kind in Doubt:
        first, count = doubts[kind].tolist()
        if count:
            lines.append(f"{_name(program, first)} {_DOUBTS[kind]}{_times(count)}")
    return lines


def _times(count: int) -> str:
    return "" if count == 1 else f" ({count} times in the program)"


def _spare_bits(program: Program, opcodes: NDArray[np.int64]) -> list[str]:
    """Whether instructions set bits that the hardware ignores, one line."""
    masks = np.zeros((len(Opcode), 2), np.uint64)
    for opcode in Opcode:
        for field in layout(opcode, program.config):
            word, low = divmod(field.low, WORD_BITS)
            masks[opcode, word] |= np.uint64(((1 << field.width) - 1) << low)
    spare = np.flatnonzero((program.instructions & ~masks[opcodes]).any(axis=1))
    return [f"{_name(program, int(spare[0]))} {_SPARE}{_times(len(spare))}"] if len(spare) else []


def _difference(program: Program, dram: Dram) -> int | None:
    expected = program.expected
    if expected is None:
        return None
    got = dram.read(expected.address, len(expected.content))
    wrong = np.flatnonzero(got != expected.content)
    return expected.address + int(wrong[0]) if len(wrong) else None


def busy_cycles(machine: Machine) -> dict[str, int]:
    """Cycles each part of the machine worked; see ``Simulation``."""
    timeline = machine.timeline
    spent = np.where(timeline["end"] > 0, timeline["end"] - timeline["start"] + 1, 0)
    opcode, memory, module = machine.table["opcode"], machine.table["memory_type"], timeline["module"]
    in_compute = (opcode == Opcode.LOAD) & (module == COMPUTE)
    parts = {
        "load": module == LOAD,
        "uop": in_compute & (memory == Memory.UOP),
        "acc": in_compute & (memory != Memory.UOP),
        "gemm": opcode == Opcode.GEMM,
        "alu": opcode == Opcode.ALU,
        "store": opcode == Opcode.STORE,
    }
    busy = {name: int(spent[rows].sum()) for name, rows in parts.items()}
    compute = busy["uop"] + busy["acc"] + busy["gemm"] + busy["alu"]
    return {"fetch": int(machine.control[0]["fetch_busy"]), **busy, "compute": compute}
