"""The scratchpads against NumPy arrays of bytes, for tensors wider and narrower than the bus."""

import numpy as np
import pytest

pytest.importorskip("amaranth", reason="the hardware extra is not installed")

from amaranth.sim import Simulator

from rhnas.vta.rtl.scratchpad import OutputScratchpad, Scratchpad


def as_int(values: np.ndarray) -> int:
    return int.from_bytes(values.astype(np.uint8).tobytes(), "little")


@pytest.mark.parametrize(
    ("tensor_bytes", "bus_bytes", "depth"), [(32, 8, 16), (8, 8, 16), (2, 8, 32), (4, 64, 64), (2, 64, 8)]
)
def test_beats_of_any_alignment_land_where_they_belong(tensor_bytes, bus_bytes, depth):
    rng = np.random.default_rng(0)
    slices = max(1, tensor_bytes // bus_bytes)
    pad = Scratchpad(depth=depth, tensor_bits=8 * tensor_bytes, beat_bits=8 * bus_bytes)
    expected = np.zeros((depth, tensor_bytes), dtype=np.uint8)

    async def write_slices(ctx) -> None:
        index, part = int(rng.integers(depth)), int(rng.integers(slices))
        beat = rng.integers(256, size=bus_bytes)
        ctx.set(pad.beat_index, index)
        ctx.set(pad.beat_mask, 1 << part)
        ctx.set(pad.beat_data, as_int(beat))
        expected[index, part * bus_bytes :][:bus_bytes] = beat

    async def write_lanes(ctx) -> None:
        first, count = int(rng.integers(pad.lanes)), int(rng.integers(1, pad.lanes + 1))
        count = min(count, pad.lanes - first, depth)
        index = int(rng.integers(depth - count + 1))
        beat = rng.integers(256, size=(pad.lanes, tensor_bytes))
        ctx.set(pad.beat_index, index - first)
        ctx.set(pad.beat_mask, ((1 << count) - 1) << first)
        ctx.set(pad.beat_data, as_int(beat))
        expected[index : index + count] = beat[first : first + count]

    async def bench(ctx) -> None:
        for _ in range(60):
            if rng.random() < 0.3:
                index, tensor = int(rng.integers(depth)), rng.integers(256, size=tensor_bytes)
                ctx.set(pad.write, 1)
                ctx.set(pad.write_index, index)
                ctx.set(pad.write_data, as_int(tensor))
                ctx.set(pad.beat_mask, 0)
                expected[index] = tensor
            else:
                ctx.set(pad.write, 0)
                await (write_slices if pad.lanes == 1 else write_lanes)(ctx)
            await ctx.tick()
        ctx.set(pad.write, 0)
        ctx.set(pad.beat_mask, 0)
        await ctx.tick()
        for index in range(depth):
            ctx.set(pad.read_index, index)
            await ctx.tick()
            assert ctx.get(pad.read_data) == as_int(expected[index]), index

    simulator = Simulator(pad)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize(
    ("tensor_bytes", "bus_bytes", "depth"), [(32, 8, 8), (8, 8, 8), (2, 8, 32), (2, 64, 8)]
)
def test_outputs_are_read_a_beat_at_a_time_from_any_index(tensor_bytes, bus_bytes, depth):
    rng = np.random.default_rng(0)
    pad = OutputScratchpad(depth=depth, tensor_bits=8 * tensor_bytes, bus_bits=8 * bus_bytes)
    expected = rng.integers(256, size=(depth, tensor_bytes))

    async def bench(ctx) -> None:
        ctx.set(pad.write, 1)
        for index in range(depth):
            ctx.set(pad.write_index, index)
            ctx.set(pad.write_data, as_int(expected[index]))
            await ctx.tick()
        ctx.set(pad.write, 0)
        for first in range(1 - pad.lanes, depth):
            ctx.set(pad.read, 1)
            ctx.set(pad.read_index, first)
            await ctx.tick()
            ctx.set(pad.read, 0)
            ctx.set(pad.read_index, 0)
            await ctx.tick()
            data = ctx.get(pad.read_data)
            for lane in range(max(0, -first), min(pad.lanes, depth - first)):
                got = data >> 8 * tensor_bytes * lane & ((1 << 8 * tensor_bytes) - 1)
                assert got == as_int(expected[first + lane]), (first, lane)

    simulator = Simulator(pad)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
