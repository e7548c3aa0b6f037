"""What the GEMM and ALU cores share: read-modify-write of accumulators without waiting for the write."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Signal, Value

ACC_BITS = 32


def delayed(m: Module, value: Value, cycles: int = 1) -> Signal:
    """``value`` as it was ``cycles`` cycles ago."""
    for _ in range(cycles):
        later = Signal.like(value, name=f"{getattr(value, 'name', 'value')}_later")
        m.d.sync += later.eq(value)
        value = later
    return value


def forwarded(m: Module, core: Any, index: Value) -> Signal:
    """The accumulator tensor at ``index``, read a cycle ago, as all earlier steps have left it.

    The scratchpad gives what was stored before the read: a write in the cycle of the read, or one still in
    the result register, is newer.

    Args:
        m: Where the logic goes.
        core: A component with the ports ``acc_data``, ``write``, ``write_index`` and ``write_data``.
        index: The index that was read in the previous cycle.
    """
    write, write_index, write_data = core.write, core.write_index, core.write_data
    older_write, older_index, older_data = (delayed(m, port) for port in (write, write_index, write_data))
    fresh = Signal.like(core.acc_data)
    with m.If(write & (write_index == index)):
        m.d.comb += fresh.eq(write_data)
    with m.Elif(older_write & (older_index == index)):
        m.d.comb += fresh.eq(older_data)
    with m.Else():
        m.d.comb += fresh.eq(core.acc_data)
    return fresh
