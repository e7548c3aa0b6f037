"""What the GEMM and ALU cores share: read-modify-write of accumulators without waiting for the write."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value

ACC_BITS = 32
ACC_CYCLES = 2
"""From a read's index to the tensor: block RAM, then a register, since block RAM answers late in a cycle."""


def delayed(m: Module, value: Value, cycles: int = 1, *, reset_less: bool = False) -> Signal:
    """``value`` as it was ``cycles`` cycles ago; data need no reset."""
    for _ in range(cycles):
        later = Signal(value.shape(), name=f"{getattr(value, 'name', 'value')}_later", reset_less=reset_less)
        m.d.sync += later.eq(value)
        value = later
    return value


def forwarded(m: Module, core: Any, *, due: Value, due_index: Value, result: Value) -> Signal:
    """The accumulator tensor read ``ACC_CYCLES`` ago, as all earlier steps have left it; writes the results.

    The scratchpad gives what was stored before the read: a write in the cycle of the read or in one of the
    two after it is newer. Which of them counts is known a cycle ahead, so that indices are never compared in
    the cycle that uses the tensor; and the newest is taken on its way into its own register, so that a step
    that follows on itself has a whole cycle.

    Args:
        m: Where the logic goes.
        core: A component with ``acc_index`` and ``acc_data``, and with ``write``, ``write_index`` and
            ``write_data``, which are driven here.
        due: Whether ``write`` will be high in the cycle after the next.
        due_index: ``write_index`` of that cycle.
        result: ``write_data`` of the next cycle, made from what is returned here.
    """
    next_due, next_index = delayed(m, due), delayed(m, due_index)
    m.d.sync += [core.write.eq(next_due), core.write_index.eq(next_index)]
    m.d.comb += core.write_data.eq(delayed(m, result, reset_less=True))
    in_read = delayed(m, core.write & (core.write_index == core.acc_index))
    after_read = delayed(m, next_due & (next_index == core.acc_index))
    last = delayed(m, due & (due_index == core.acc_index))
    older = delayed(m, core.write_data, reset_less=True)
    read = Mux(after_read, core.write_data, Mux(in_read, older, core.acc_data))
    return delayed(m, Mux(last, result, read), reset_less=True)
