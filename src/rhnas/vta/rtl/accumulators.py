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


def forwarded(m: Module, core: Any, due: Value, due_index: Value) -> Value:
    """The accumulator tensor read ``ACC_CYCLES`` ago, as all earlier steps have left it.

    The scratchpad gives what was stored before the read: a write in the cycle of the read or in one of the
    two after it is newer. Which of them counts is known a cycle ahead, so that indices are never compared in
    the cycle that uses the tensor.

    Args:
        m: Where the logic goes.
        core: A component with ``acc_index``, ``acc_data``, ``write``, ``write_index`` and ``write_data``.
        due: Whether ``write`` will be high in the next cycle.
        due_index: ``write_index`` of the next cycle.
    """
    in_read = delayed(m, core.write & (core.write_index == core.acc_index))
    after_read = delayed(m, due & (due_index == core.acc_index))
    last = delayed(m, due & (due_index == delayed(m, core.acc_index)))
    older = delayed(m, core.write_data, reset_less=True)
    read = Mux(after_read, core.write_data, Mux(in_read, older, core.acc_data))
    return Mux(last, core.write_data, delayed(m, read, reset_less=True))
