"""Cycles of single instructions and of overlaps, against what was measured on the published RTL.

The figures are those of docs/simulator.md: default configuration, 64-bit bus, 16-beat bursts, delay 16.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rhnas.vta.config import AcceleratorConfig
from rhnas.vta.isa import Alu, AluOp, Finish, Gemm, Instruction, Load, Memory, Store, assemble
from rhnas.vta.program import Program
from rhnas.vta.simulate.run import busy_cycles, time

DEFAULT = AcceleratorConfig()
TENSOR_BYTES = {Memory.INP: 16, Memory.WGT: 256, Memory.ACC: 64, Memory.UOP: 4}


def timed(*instructions: Instruction, config: AcceleratorConfig = DEFAULT):
    """The machine after a program, and the executing cycles of each instruction."""
    machine = time(Program(config=config, instructions=assemble(instructions, config)))
    timeline = machine.timeline
    return machine, (timeline["end"] - timeline["start"] + 1).tolist()


def nop(**tokens: bool) -> Load:
    return Load(memory_type=Memory.UOP, x_size=0, **tokens)


def alone(instruction: Instruction, config: AcceleratorConfig = DEFAULT) -> int:
    """Executing cycles of one instruction; FINISH waits for its token, unless it is the compute module's."""
    return timed(instruction, finish_after(instruction), config=config)[1][0]


def finish_after(instruction: Instruction) -> Finish:
    to_load = isinstance(instruction, Load) and instruction.memory_type in (Memory.INP, Memory.WGT)
    return Finish(pop_prev=to_load, pop_next=isinstance(instruction, Store))


@pytest.mark.parametrize(("outer", "inner", "uops"), [(1, 1, 1), (1, 1, 16), (2, 8, 16), (8, 8, 16)])
def test_gemm_and_alu(outer, inner, uops):
    loops = {"iter_out": outer, "iter_in": inner, "uop_end": uops}
    steps = outer * inner * uops
    assert alone(Gemm(**loops)) == steps + 6
    assert alone(Gemm(reset=True, **loops)) == steps + 6
    assert alone(Alu(alu_opcode=AluOp.ADD, use_imm=True, **loops)) == steps + 6
    assert alone(Alu(alu_opcode=AluOp.ADD, **loops)) == 2 * steps + 6


@pytest.mark.parametrize(
    ("memory", "beats"), [(Memory.INP, 2), (Memory.WGT, 32), (Memory.ACC, 8), (Memory.ACC_8BIT, 2)]
)
@pytest.mark.parametrize(("rows", "columns", "stride"), [(1, 1, 1), (1, 16, 16), (4, 7, 9), (5, 3, 100)])
def test_loads_take_their_beats_and_22_whatever_their_rows(memory, beats, rows, columns, stride):
    load = Load(memory_type=memory, y_size=rows, x_size=columns, x_stride=stride, dram_base=3, push_next=True)
    assert alone(load) == rows * columns * beats + 22


@pytest.mark.parametrize(("base", "count", "beats"), [(0, 2, 1), (0, 512, 256), (1, 2, 2), (3, 32, 17)])
def test_micro_op_loads_take_their_beats_and_21(base, count, beats):
    assert alone(Load(memory_type=Memory.UOP, dram_base=base, x_size=count)) == beats + 21


def test_padding_hides_in_the_latency():
    tile = {"memory_type": Memory.INP, "y_size": 14, "x_size": 14, "x_stride": 56, "push_next": True}
    around = {"y_pad_0": 1, "y_pad_1": 1, "x_pad_0": 1, "x_pad_1": 1}
    assert alone(Load(**tile)) == 414
    assert alone(Load(**tile, **around)) == 454
    assert alone(Load(**tile, x_pad_1=1)) == 414  # 14 zero tensors fit the 20 idle cycles


@pytest.mark.parametrize(
    ("base", "count", "cycles"), [(0, 1, 3 + 2 + 1), (0, 8, 3 + 16 + 8), (0, 16, 2 * 27), (4, 8, 30)]
)
def test_stores_pay_for_every_burst(base, count, cycles):
    """3 + beats + tensors per burst; eight tensors from the fourth on straddle two bursts."""
    assert alone(Store(dram_base=base, x_size=count, push_prev=True)) == cycles


@pytest.mark.parametrize(
    ("instructions", "cycles"), [(1, 25), (2, 29), (5, 41), (8, 53), (9, 70), (17, 115), (65, 385)]
)
def test_launch_and_fetch(instructions, cycles):
    machine, _ = timed(*[nop()] * (instructions - 1), Finish())
    assert machine.control[0]["cycles"] == cycles


def test_gemm_and_weight_load_do_not_interfere():
    load = Load(memory_type=Memory.WGT, x_size=16, push_next=True)
    gemm = Gemm(iter_in=64, uop_end=16)
    machine, cycles = timed(load, gemm, Finish(pop_prev=True))
    assert cycles[:2] == [512 + 22, 1024 + 6]
    without, _ = timed(Load(memory_type=Memory.WGT, x_size=0), gemm, Finish())
    assert machine.control[0]["cycles"] == without.control[0]["cycles"]


def test_input_and_accumulator_loads_share_the_port():
    """Eight bursts of each get in before the port's sixteen requests are out; then the inputs go first."""
    inputs = Load(memory_type=Memory.INP, x_size=128, push_next=True)
    accumulators = Load(memory_type=Memory.ACC, x_size=32)
    _, cycles = timed(inputs, accumulators, Finish(pop_prev=True))
    assert cycles[:2] == [406, 533]


def test_loads_of_one_module_are_serial():
    inputs = Load(memory_type=Memory.INP, x_size=128)
    weights = Load(memory_type=Memory.WGT, x_size=8, push_next=True)
    machine, cycles = timed(inputs, weights, Finish(pop_prev=True))
    assert cycles[:2] == [278, 278]
    assert machine.timeline["start"][1] - machine.timeline["end"][0] == 2  # one idle cycle between


def test_a_module_is_idle_one_cycle_between_two_instructions():
    machine, _ = timed(*[Gemm(uop_end=4)] * 3, Finish())
    gaps = machine.timeline["start"][1:] - machine.timeline["end"][:-1]
    assert gaps.tolist() == [2, 2, 2]


def test_upstream_waits_for_stores_with_a_store_of_nothing():
    """Its runtime ends programs so; the memory such a STORE names is UOP."""
    waiting = Store(memory_type=Memory.UOP, x_size=0, y_size=0, x_stride=0, pop_prev=True, push_prev=True)
    machine, cycles = timed(nop(push_next=True), waiting, Finish(pop_next=True))
    assert cycles == [1, 1, 1]
    assert machine.timeline["start"].tolist() == [29, 31, 33]


def test_tokens_order_modules():
    load = Load(memory_type=Memory.INP, x_size=4, push_next=True)
    gemm = Gemm(pop_prev=True, push_next=True)
    store = Store(pop_prev=True, push_prev=True)
    machine, _ = timed(load, gemm, store, Finish(pop_next=True))
    start, end = machine.timeline["start"], machine.timeline["end"]
    assert (start[1:] - end[:-1] == 2).all()  # seen a cycle after, executing one later
    assert machine.control[0]["cycles"] == end[3] == start[3]
    busy = busy_cycles(machine)
    assert (busy["load"], busy["gemm"], busy["store"], busy["alu"]) == (8 + 22, 7, 6, 0)


def test_full_queues_hold_the_fetch_back():
    """The 513th GEMM enters the queue when the first leaves it."""
    machine, _ = timed(*[Gemm(iter_out=100)] * 600, Finish())
    visible, end = machine.timeline["visible"], machine.timeline["end"]
    assert (visible[512:600] > end[: 600 - 512]).all()
    assert visible[511] < end[60]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(list(TENSOR_BYTES)), st.integers(1, 40)), max_size=12))
def test_the_port_moves_a_beat_a_cycle_at_most(loads):
    instructions = [Load(memory_type=memory, x_size=size) for memory, size in loads]
    machine, _ = timed(*instructions, nop(), Finish())
    ended = machine.timeline["end"] > 0
    moved = sum(size * TENSOR_BYTES[memory] for (memory, size), e in zip(loads, ended, strict=False) if e)
    assert machine.control[0]["cycles"] >= moved / 8


def test_wider_buses_take_fewer_beats():
    """Assumed, not measured: tensors no wider than the bus load like micro-ops, and stores do not pause."""
    wide = AcceleratorConfig(shl_mem_axi_data_bits=256)
    assert alone(Load(memory_type=Memory.INP, x_size=16, push_next=True), wide) == 8 + 21
    assert alone(Load(memory_type=Memory.WGT, x_size=2, push_next=True), wide) == 16 + 22
    assert alone(Store(x_size=16, push_prev=True), wide) == 4 + 8
    fetched, _ = timed(*[nop()] * 16, Finish(), config=wide)
    assert np.diff(fetched.timeline["visible"])[-1] == 24 + 1 + 1  # one more batch of one instruction
