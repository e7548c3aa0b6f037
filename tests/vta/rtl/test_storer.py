"""The storer against NumPy and the STORE law, also where one tensor spans several bursts."""

import numpy as np
import pytest

pytest.importorskip("amaranth", reason="the hardware extra is not installed")

from amaranth.hdl import Module
from amaranth.sim import Simulator

from rhnas.vta.rtl.loader import AHEAD_FIELDS
from rhnas.vta.rtl.scratchpad import OutputScratchpad
from rhnas.vta.rtl.storer import Storer
from rhnas.vta.timing import profile_named

BUS_BYTES, DEPTH = 8, 32


def row_cycles(start: int, row_bytes: int, pause_beats: int) -> int:
    """The law of one row's bursts; ``pause_beats`` is 0 where no beat waits for a read."""
    laws, cycles = profile_named("rhnas"), 0
    beat, end = start // BUS_BYTES, -(-(start + row_bytes) // BUS_BYTES)
    while beat < end:
        beats = min(end - beat, laws.burst_beats - beat % laws.burst_beats)
        cycles += beats + (laws.store_constant if pause_beats else laws.wide_store_constant)
        cycles += -(-beats // pause_beats) if pause_beats else 0
        beat += beats
    return cycles


class Memory:
    """Takes bursts without ever stalling."""

    def __init__(self) -> None:
        self.content = np.full(1 << 16, 7, dtype=np.uint8)
        self.address, self.responding = 0, False

    async def cycle(self, ctx, storer: Storer) -> bool:
        """One cycle; whether the storer is done in it."""
        bus = storer.bus
        ctx.set(bus.bvalid, self.responding)
        done, self.responding = bool(ctx.get(storer.done)), False
        if ctx.get(bus.awvalid):
            self.address = ctx.get(bus.awaddr)
        if ctx.get(bus.wvalid):
            beat = np.frombuffer(ctx.get(bus.wdata).to_bytes(BUS_BYTES, "little"), dtype=np.uint8)
            strobes = [bool(ctx.get(bus.wstrb) >> i & 1) for i in range(BUS_BYTES)]
            self.content[self.address : self.address + BUS_BYTES][strobes] = beat[strobes]
            self.address += BUS_BYTES
            self.responding = bool(ctx.get(bus.wlast))
        await ctx.tick()
        return done


def random_store(rng: np.random.Generator) -> dict[str, int]:
    y_size, x_size = int(rng.integers(1, 4)), int(rng.integers(1, 11))
    return {
        "y_size": y_size,
        "x_size": x_size,
        "x_stride": x_size + int(rng.integers(3)),
        "sram_base": int(rng.integers(DEPTH - x_size * y_size + 1)),
        "dram_base": int(rng.integers(50)),
    }


@pytest.mark.parametrize(
    ("tensor_bytes", "row_bytes"), [(256, 64), (32, 32), (32, 16), (8, 8), (4, 2), (1, 1)]
)
def test_rows_land_in_memory_in_the_cycles_of_the_law(tensor_bytes, row_bytes):
    rng = np.random.default_rng(tensor_bytes)
    tensors = rng.integers(256, size=(DEPTH, tensor_bytes), dtype=np.uint8)
    memory = Memory()
    expected = memory.content.copy()
    storer = Storer(tensor_bits=8 * tensor_bytes, row_bits=8 * row_bytes, bus_bits=64, depth=DEPTH)
    pad = OutputScratchpad(depth=DEPTH, tensor_bits=8 * tensor_bytes, bus_bits=64)
    m = Module()
    m.submodules += [storer, pad]
    m.d.comb += [pad.read.eq(storer.out_read), pad.read_index.eq(storer.out_index)]
    m.d.comb += storer.out_data.eq(pad.read_data)
    names = {name.removeprefix("next_"): name for name in AHEAD_FIELDS}
    pause_beats = row_bytes // BUS_BYTES if tensor_bytes > BUS_BYTES else 0

    async def bench(ctx) -> None:
        ctx.set(pad.write, 1)
        for index, tensor in enumerate(tensors):
            ctx.set(pad.write_index, index)
            ctx.set(pad.write_data, int.from_bytes(tensor.tobytes(), "little"))
            await ctx.tick()
        ctx.set(pad.write, 0)
        ctx.set(storer.bus.awready, 1)
        ctx.set(storer.bus.wready, 1)
        for _ in range(8):
            store = random_store(rng)
            wanted = profile_named("rhnas").store_setup - 1  # the storer starts a cycle after its instruction
            for y in range(store["y_size"]):
                start = (store["dram_base"] + y * store["x_stride"]) * tensor_bytes
                row = tensors[store["sram_base"] + y * store["x_size"] :][: store["x_size"]]
                expected[start : start + row.size] = row.reshape(-1)
                wanted += row_cycles(start, row.size, pause_beats)
            for name, value in store.items():
                ctx.set(getattr(storer, names.get(name, name)), value)
            await ctx.tick()
            ctx.set(storer.start, 1)
            await ctx.tick()
            ctx.set(storer.start, 0)
            cycles = 1
            while not await memory.cycle(ctx, storer):
                cycles += 1
                assert cycles <= wanted
            assert cycles == wanted
            assert np.array_equal(memory.content, expected)

    simulator = Simulator(m)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
