"""The GEMM core against NumPy, with destinations that repeat at every distance."""

import numpy as np
import pytest

pytest.importorskip("amaranth", reason="the hardware extra is not installed")

from amaranth.hdl import Module, unsigned
from amaranth.lib import memory
from amaranth.sim import Simulator

from rhnas.vta.config import AcceleratorConfig
from rhnas.vta.rtl.accumulators import delayed
from rhnas.vta.rtl.gemm import GEMM_CYCLES, GemmCore


def small(batch: int, block_in: int, block_out: int) -> AcceleratorConfig:
    return AcceleratorConfig(
        log_batch=batch,
        log_block_in=block_in,
        log_block_out=block_out,
        log_uop_buff_size=10,
        log_inp_buff_size=10,
        log_wgt_buff_size=10,
        log_acc_buff_size=10,
    )


def words(array: np.ndarray) -> list[int]:
    return [int.from_bytes(row.tobytes(), "little") for row in np.ascontiguousarray(array)]


def reference(acc, inp, wgt, uops, loop, reset):
    acc = acc.copy()
    for o in range(loop["iter_out"]):
        for i in range(loop["iter_in"]):
            for dst, src, w in uops:
                d, s, k = (
                    base + o * loop[f"{name}_factor_out"] + i * loop[f"{name}_factor_in"]
                    for name, base in (("dst", dst), ("src", src), ("wgt", w))
                )
                product = inp[s].astype(np.int64) @ wgt[k].astype(np.int64).T
                acc[d] = 0 if reset else (acc[d] + product).astype(np.int32)
    return acc


@pytest.mark.parametrize("shape", [(0, 2, 2), (1, 1, 3), (0, 3, 1)])
@pytest.mark.parametrize("reset", [False, True])
def test_the_core_is_numpy_and_takes_n_plus_a_constant(shape, reset):
    config = small(*shape)
    rng = np.random.default_rng(sum(shape) + reset)
    inp = rng.integers(-128, 128, (config.inp_depth, config.batch, config.block_in), dtype=np.int8)
    wgt = rng.integers(-128, 128, (config.wgt_depth, config.block_out, config.block_in), dtype=np.int8)
    acc = rng.integers(-(2**31), 2**31, (config.acc_depth, config.batch, config.block_out)).astype(np.int32)
    uops = [(int(rng.integers(3)), int(rng.integers(4)), int(rng.integers(4))) for _ in range(5)]
    loop = {"iter_out": 3, "iter_in": 4}
    loop |= {
        f"{n}_factor_{level}": int(rng.integers(3)) for n in ("dst", "src", "wgt") for level in ("out", "in")
    }
    a, i = config.acc_index_bits, config.inp_index_bits
    uop_words = [dst | src << a | w << (a + i) for dst, src, w in uops]

    m = Module()
    m.submodules.core = core = GemmCore(config)

    def store(name, init, width):
        depth = 1 << (len(init) - 1).bit_length() if init else 1
        mem = memory.Memory(shape=unsigned(width), depth=depth, init=init)
        m.submodules[name] = mem
        return mem

    late = delayed(m, core.acc_index)  # reads and writes reach the accumulators a cycle later
    memories = {
        "uop": (store("uop", uop_words, 32), core.uop_index, core.uop_data),
        "inp": (store("inp", words(inp), 8 * config.inp_tensor_bytes), core.src, core.inp_data),
        "wgt": (store("wgt", words(wgt), 8 * config.wgt_tensor_bytes), core.wgt, core.wgt_data),
        "acc": (store("acc", words(acc), 8 * config.acc_tensor_bytes), late, core.acc_data),
    }
    for mem, index, data in memories.values():
        port = mem.read_port()
        m.d.comb += [port.addr.eq(index), port.en.eq(1), data.eq(port.data)]
    accumulators = memories["acc"][0]
    port = accumulators.write_port()
    m.d.sync += [port.addr.eq(core.write_index), port.data.eq(core.write_data), port.en.eq(core.write)]
    cycles = 0

    async def bench(ctx) -> None:
        nonlocal cycles
        for name, value in {**loop, "uop_begin": 0, "uop_end": len(uops), "reset": reset}.items():
            ctx.set(getattr(core, name), value)
        ctx.set(core.start, 1)
        await ctx.tick()
        ctx.set(core.start, 0)
        while not ctx.get(core.done):
            await ctx.tick()
            cycles += 1
            assert cycles < 1000
        await ctx.tick().repeat(2)
        got = [ctx.get(accumulators.data[d]) for d in range(config.acc_depth)]
        assert got == words(reference(acc, inp, wgt, uops, loop, reset))

    simulator = Simulator(m)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    assert cycles == 3 * 4 * 5 - 1 + GEMM_CYCLES
