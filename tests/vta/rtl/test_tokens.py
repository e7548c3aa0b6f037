"""The token queue against a counter."""

import numpy as np
import pytest

pytest.importorskip("amaranth", reason="the hardware extra is not installed")

from amaranth.sim import Simulator

from rhnas.vta.rtl.tokens import MAX_TOKENS, TokenQueue


@pytest.mark.parametrize("push_rate", [0.3, 0.95])
def test_the_queue_counts_saturates_and_tells(push_rate):
    queue = TokenQueue()
    rng = np.random.default_rng(1)
    tokens, lost = 0, False

    async def bench(ctx) -> None:
        nonlocal tokens, lost
        for _ in range(600):
            push, pop = rng.random() < push_rate, rng.random() < 0.4
            ctx.set(queue.push, push)
            ctx.set(queue.pop, pop)
            await ctx.delay(0)
            assert ctx.get(queue.available) == (tokens > 0)
            losing = not pop and tokens > MAX_TOKENS
            lost |= losing
            tokens += push - (pop and tokens > 0) - losing
            await ctx.tick()
            assert ctx.get(queue.overflow) == losing

    simulator = Simulator(queue)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    assert lost == (push_rate > 0.9)
