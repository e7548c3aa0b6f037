"""What programs compute, against a plain interpreter; what the simulator refuses, warns of and survives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rhnas.errors import ProgramError
from rhnas.vta.config import AcceleratorConfig
from rhnas.vta.isa import Alu, AluOp, Finish, Gemm, Instruction, Load, Memory, Opcode, Store, assemble
from rhnas.vta.program import Program, Segment
from rhnas.vta.simulate.run import simulate
from rhnas.vta.uops import MicroOp, encode_uops

from .reference import Interpreter, in_sequence

DEFAULT = AcceleratorConfig()
CONFIGS = [
    DEFAULT,
    AcceleratorConfig(log_block_in=3, log_block_out=5, log_inp_buff_size=12, log_wgt_buff_size=15),
    AcceleratorConfig(
        log_batch=2, log_block_in=3, log_block_out=3, log_uop_buff_size=11, log_acc_buff_size=13
    ),
    AcceleratorConfig(log_block_in=5, log_block_out=2, log_inp_buff_size=12, shl_mem_axi_data_bits=256),
]
DRAM_BYTES = 1 << 16
WORD = st.integers(0, 2**64 - 1)


def program(*instructions: Instruction, config=DEFAULT, dram=None, **options) -> Program:
    segments = () if dram is None else (Segment(name="dram.bin", address=0, content=dram),)
    words = assemble(instructions, config)
    return Program(config=config, instructions=words, segments=segments, **options)


@st.composite
def transfers(draw, config, kind, size_bytes, depth):
    """A LOAD or STORE within its scratchpad and the DRAM image."""
    room = min(depth, 24)
    loads = kind is not Memory.OUT
    pads = [draw(st.integers(0, 2)) if loads else 0 for _ in range(4)]
    width = draw(st.integers(1, max(1, min(5, room // 6 - pads[2] - pads[3]))))
    height = draw(st.integers(1, max(1, room // (width + pads[2] + pads[3]) - pads[0] - pads[1])))
    used = (width + pads[2] + pads[3]) * (height + pads[0] + pads[1])
    if used > depth:
        pads, width, height, used = [0] * 4, 1, 1, 1
    stride = draw(st.integers(0 if loads else width, width + 3))
    span = ((height - 1) * stride + width) * size_bytes
    values = {
        "memory_type": kind,
        "sram_base": draw(st.integers(0, depth - used)),
        "dram_base": draw(st.integers(0, (DRAM_BYTES - span) // size_bytes)),
        "y_size": height,
        "x_size": width,
        "x_stride": stride,
    }
    if not loads:
        return Store(**values)
    names = ("y_pad_0", "y_pad_1", "x_pad_0", "x_pad_1")
    return Load(**values, **dict(zip(names, pads, strict=True)), is_pad_min_value=draw(st.booleans()))


def sizes(config):
    """(bytes of a tensor, depth) by memory type."""
    return {
        Memory.WGT: (config.wgt_tensor_bytes, config.wgt_depth),
        Memory.INP: (config.inp_tensor_bytes, config.inp_depth),
        Memory.ACC: (config.acc_tensor_bytes, config.acc_depth),
        Memory.ACC_8BIT: (config.out_tensor_bytes, config.acc_depth),
        Memory.OUT: (config.out_tensor_bytes, config.acc_depth),
    }


@st.composite
def loops(draw, config):
    """A GEMM or ALU whose indices stay in range, given micro-ops of small indices."""
    opcode = draw(st.sampled_from([Opcode.GEMM, Opcode.ALU]))
    smallest = min(config.acc_depth, config.inp_depth, config.wgt_depth)
    reach = max(0, min(3, (smallest // 2 - 1) // 4))
    factor = st.integers(0, reach)
    names = ("dst_factor_out", "dst_factor_in", "src_factor_out", "src_factor_in")
    values = {name: draw(factor) for name in names}
    values |= {"iter_out": draw(st.integers(1, 3)), "iter_in": draw(st.integers(1, 3))}
    values |= {
        "uop_bgn": 4 * (opcode is Opcode.ALU),
        "uop_end": 4 * (opcode is Opcode.ALU) + draw(st.integers(1, 4)),
    }
    if opcode is Opcode.GEMM:
        more = {"wgt_factor_out": draw(factor), "wgt_factor_in": draw(factor), "reset": draw(st.booleans())}
        return Gemm(**values, **more)
    op, imm = draw(st.sampled_from(list(AluOp))), draw(st.integers(-32768, 32767))
    return Alu(**values, alu_opcode=op, use_imm=draw(st.booleans()), imm=imm)


def instructions(config):
    """Any legal instruction but FINISH, without tokens."""
    moves = [transfers(config, kind, *size) for kind, size in sizes(config).items()]
    return st.one_of(*moves, loops(config), loops(config))


@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from(CONFIGS), st.integers(0, 2**32 - 1))
def test_programs_leave_what_the_interpreter_leaves(data, config, seed):
    rng = np.random.default_rng(seed)
    dram = rng.integers(0, 256, DRAM_BYTES, dtype=np.uint8)
    half = min(config.acc_depth, config.inp_depth, config.wgt_depth) // 2
    indices = rng.integers(0, half, (8, 3))
    gemm = encode_uops([MicroOp(*map(int, row)) for row in indices[:4]], Opcode.GEMM, config)
    alu = encode_uops([MicroOp(int(d), int(s)) for d, s, _ in indices[4:]], Opcode.ALU, config)
    dram[:32] = np.concatenate([gemm, alu]).astype("<u4").view(np.uint8)
    one = st.one_of(
        *(transfers(config, kind, *size) for kind, size in sizes(config).items()),
        loops(config),
        loops(config),
    )
    body = [Load(memory_type=Memory.UOP, x_size=8), *data.draw(st.lists(one, min_size=1, max_size=12))]
    stored = Store(x_size=min(16, config.acc_depth), dram_base=2)
    steps = in_sequence([*body, stored])
    result = simulate(program(*steps, config=config, dram=dram))
    expected = Interpreter(config, dram).run(steps)
    np.testing.assert_array_equal(result.dram.read(0, DRAM_BYTES), expected)


def multiply(inp: np.ndarray, wgt: np.ndarray) -> np.ndarray:
    """(BATCH, BLOCK_OUT) low bytes of one default GEMM step through a program."""
    dram = np.zeros(2048, np.uint8)
    dram[16:32], dram[256:512] = inp.view(np.uint8), wgt.view(np.uint8).ravel()
    steps = in_sequence(
        [
            Load(memory_type=Memory.UOP),
            Load(memory_type=Memory.INP, dram_base=1),
            Load(memory_type=Memory.WGT, dram_base=1),
            Gemm(reset=True),
            Gemm(),
            Store(dram_base=64),
        ]
    )
    return simulate(program(*steps, dram=dram), strict=True).dram.read(1024, 16).view(np.int8)


def test_a_step_is_a_matrix_product():
    rng = np.random.default_rng(0)
    inp, wgt = rng.integers(-128, 128, 16, dtype=np.int8), rng.integers(-128, 128, (16, 16), dtype=np.int8)
    expected = wgt.astype(np.int32) @ inp.astype(np.int32)
    np.testing.assert_array_equal(multiply(inp, wgt), expected.astype(np.int8))


def test_micro_ops_of_bases_and_expectation():
    dram = np.arange(64, dtype=np.uint8)
    steps = in_sequence(
        [
            Load(memory_type=Memory.UOP),
            Load(memory_type=Memory.ACC_8BIT, dram_base=1),
            Alu(alu_opcode=AluOp.ADD, use_imm=True, imm=1),
            Store(),
        ]
    )
    bases = {"uop": 4096, "acc": 16, "out": 8192}
    good = Segment(name="out.bin", address=8192, content=np.arange(33, 49, dtype=np.uint8))
    options = {"dram": dram, "bases": bases, "expected": good}
    result = simulate(program(*steps, **options))
    assert result.matches
    assert result.first_difference is None
    assert len(result.warnings) == 1  # the micro-op was never written
    bad = replace(good, content=np.arange(33, 49, dtype=np.uint8) * (np.arange(16) < 5).astype(np.uint8))
    result = simulate(program(*steps, **options | {"expected": bad}))
    assert (result.matches, result.first_difference) == (False, 8192 + 5)


@pytest.mark.parametrize(
    ("instruction", "message"),
    [
        (
            Load(memory_type=Memory.INP, sram_base=2040, x_size=9),
            r"its scratchpad of 2048 tensors; got 2049",
        ),
        (
            Load(memory_type=Memory.WGT, dram_base=1 << 24),
            r"first 4294967296 bytes of memory; got 4294967552",
        ),
        (Store(sram_base=2047, x_size=2, x_stride=2), r"its scratchpad of 2048 tensors; got 2049"),
        (Gemm(uop_end=8193), r"the 8192 micro-ops on chip; got 8193"),
        (Gemm(iter_out=3, dst_factor_out=1024), r"must write accumulators below 2048; got 2048"),
        (Gemm(iter_in=5, src_factor_in=512), r"must read sources below 2048; got 2048"),
        (Gemm(iter_in=3, wgt_factor_in=512), r"must read weights below 1024; got 1024"),
        (Alu(alu_opcode=AluOp.MAX, iter_in=3, src_factor_in=1024), r"must read sources below 2048"),
        (Finish(pop_prev=True), r"instruction 1 \(FINISH; pop prev\) must get the token it waits for, but"),
    ],
)
def test_what_the_machine_forbids_names_the_instruction(instruction, message):
    nothing = Load(memory_type=Memory.UOP, x_size=0)
    with pytest.raises(ProgramError, match=message) as caught:
        simulate(program(nothing, instruction, *[nothing] * 40, Finish()))
    assert str(caught.value).startswith("instruction 1 (")


def test_programs_must_reach_finish_in_time_without_losing_tokens():
    nothing = Load(memory_type=Memory.UOP, x_size=0)
    with pytest.raises(ProgramError, match=r"instruction 0 .* must be or follow a FINISH"):
        simulate(program(nothing))
    with pytest.raises(ProgramError, match=r"instruction 255 .* at most 255 tokens waiting, .*; got 256"):
        simulate(program(*[replace(nothing, push_prev=True)] * 256, Finish()))
    with pytest.raises(ProgramError, match="must end within 50 cycles"):
        simulate(program(Gemm(iter_in=100), Finish()), max_cycles=50)


def test_questionable_reads_are_warnings_or_errors():
    steps = [Gemm(), Finish()]
    result = simulate(program(*steps))
    assert [line.split(") ")[1] for line in result.warnings] == [
        "runs micro-ops that were never loaded",
        "reads weights that were never loaded",
        "reads inputs that were never loaded",
        "reads accumulators that were never written",
    ]
    with pytest.raises(ProgramError, match=r"instruction 0 \(GEMM .*never loaded"):
        simulate(program(*steps), strict=True)
    running = simulate(program(Load(memory_type=Memory.INP, x_size=64), Finish()))
    assert any("still executing at FINISH" in line for line in running.warnings)


def outcome_of(fuzzed: Program) -> int | str:
    """Cycles, or the error's text."""
    try:
        return simulate(fuzzed, max_cycles=100_000).cycles
    except ProgramError as error:
        return str(error)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(WORD, WORD, st.integers(0, 4)), max_size=20))
def test_fuzzed_streams_never_crash(words):
    stream = [[low & ~7 | opcode, high] for low, high, opcode in words]
    outcome = outcome_of(Program(config=DEFAULT, instructions=np.array([*stream, [3, 0]], dtype=np.uint64)))
    assert isinstance(outcome, int) or "instruction" in outcome or "GiB" in outcome


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_fuzzed_plausible_streams_never_crash(data):
    """Legal single instructions with random tokens: what they do together may be anything."""
    tokens = ("pop_prev", "pop_next", "push_prev", "push_next")
    body = [
        replace(instruction, **{name: data.draw(st.booleans()) for name in tokens})
        for instruction in data.draw(st.lists(instructions(DEFAULT), max_size=12))
    ]
    outcome = outcome_of(program(*body, Finish()))
    assert isinstance(outcome, int) or "token" in outcome
