"""The ALU core against NumPy: every operation, immediate and tensor, with the worst index patterns."""

import numpy as np
import pytest

pytest.importorskip("amaranth", reason="the hardware extra is not installed")

from amaranth.hdl import Module, unsigned
from amaranth.lib import memory
from amaranth.sim import Simulator

from rhnas.vta.isa import AluOp
from rhnas.vta.rtl.accumulators import delayed
from rhnas.vta.rtl.alu import ALU_CYCLES, AluCore, AluLane

from .test_gemm import small, words


def operate(op: AluOp, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x, y = x.astype(np.int64), y.astype(np.int64)
    if op is AluOp.SHR:
        result = np.where(y < 0, x << (-y & 31), x >> (y & 31))
    elif op is AluOp.CLP:
        result = np.where(x > y, y, np.where(x < -y, -y, x))
    else:
        result = {
            AluOp.MIN: np.minimum(x, y),
            AluOp.MAX: np.maximum(x, y),
            AluOp.ADD: x + y,
            AluOp.MUL: x.astype(np.int8).astype(np.int64) * y.astype(np.int8),
            AluOp.MOV: y,
        }[op]
    return result.astype(np.int32)


EDGES = (0, 1, 2, 3, 30, 31, 32, 33, 127, 128, 255, 256, 2**15 - 1, 2**15, 2**31 - 1)
BOTH_SIGNS = sorted({-(2**31), *EDGES, *(-edge for edge in EDGES)})


@pytest.mark.parametrize("use_imm", [True, False])
@pytest.mark.parametrize("op", list(AluOp))
def test_a_lane_is_numpy_at_the_ends_of_the_numbers(op, use_imm):
    immediates = [edge for edge in BOTH_SIGNS if -(2**15) <= edge < 2**15]
    lane, found = AluLane(), []
    pairs = [(x, y) for x in BOTH_SIGNS for y in (immediates if use_imm else BOTH_SIGNS)]

    async def bench(ctx) -> None:
        ctx.set(lane.opcode, int(op))
        ctx.set(lane.use_imm, use_imm)
        for x, y in pairs:
            if use_imm:
                ctx.set(lane.imm, y)
                ctx.set(lane.minus_imm, -y)
            ctx.set(lane.x, y % 2**32)
            await ctx.tick()
            ctx.set(lane.x, x % 2**32)
            found.append(ctx.get(lane.result))

    simulator = Simulator(lane)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    x, y = np.array(pairs, np.int64).astype(np.int32).T
    np.testing.assert_array_equal(np.array(found, np.uint32).view(np.int32), operate(op, x, y))


@pytest.mark.parametrize("use_imm", [True, False])
@pytest.mark.parametrize("op", list(AluOp))
def test_the_core_is_numpy(op, use_imm):
    config = small(1, 1, 1)
    rng = np.random.default_rng(int(op) * 2 + use_imm)
    values = rng.integers(-(2**31), 2**31, (config.acc_depth, 2, 2))
    values[::3] = rng.integers(-40, 40, values[::3].shape)
    acc = values.astype(np.int32)
    # Few indices, so that steps read what steps just before them write.
    uops = [(int(rng.integers(3)), int(rng.integers(3))) for _ in range(7)]
    loop = {"iter_out": 2, "iter_in": 3}
    loop |= {f"{n}_factor_{level}": int(rng.integers(3)) for n in ("dst", "src") for level in ("out", "in")}
    imm = int(rng.integers(-20, 20))

    expected = acc.copy()
    for o in range(2):
        for i in range(3):
            for dst, src in uops:
                d = dst + o * loop["dst_factor_out"] + i * loop["dst_factor_in"]
                s = src + o * loop["src_factor_out"] + i * loop["src_factor_in"]
                pair = (expected[s], np.full((2, 2), imm)) if use_imm else (expected[d], expected[s])
                expected[d] = operate(op, *pair)

    m = Module()
    m.submodules.core = core = AluCore(config)
    packed = [dst | src << config.acc_index_bits for dst, src in uops]
    m.submodules.uop = uop = memory.Memory(shape=unsigned(32), depth=8, init=packed)
    m.submodules.acc = pad = memory.Memory(shape=unsigned(128), depth=config.acc_depth, init=words(acc))
    late = delayed(m, core.acc_index)  # reads and writes reach the accumulators a cycle later
    for mem, index, data in ((uop, core.uop_index, core.uop_data), (pad, late, core.acc_data)):
        port = mem.read_port()
        m.d.comb += [port.addr.eq(index), port.en.eq(1), data.eq(port.data)]
    port = pad.write_port()
    m.d.sync += [port.addr.eq(core.write_index), port.data.eq(core.write_data), port.en.eq(core.write)]
    cycles = 0

    async def bench(ctx) -> None:
        nonlocal cycles
        fields = {**loop, "uop_begin": 0, "uop_end": 7, "opcode": int(op), "use_imm": use_imm, "imm": imm}
        for name, value in fields.items():
            ctx.set(getattr(core, name), value)
        ctx.set(core.start, 1)
        await ctx.tick()
        ctx.set(core.start, 0)
        while not ctx.get(core.done):
            await ctx.tick()
            cycles += 1
            assert cycles < 500
        await ctx.tick().repeat(2)
        assert [ctx.get(pad.data[d]) for d in range(config.acc_depth)] == words(expected)

    simulator = Simulator(m)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    steps = 2 * 3 * 7
    assert cycles == (steps - 1 + ALU_CYCLES if use_imm else 2 * (steps - 1) + ALU_CYCLES + 1)
