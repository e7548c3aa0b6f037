"""What the GEMM and ALU cores share: read-modify-write of accumulators without waiting for the write."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value

ACC_BITS = 32
ACC_CYCLES = 4
"""From a read's index to the tensor: a register on the way to the block RAM, the block RAM, a register beside
it, since it answers late in a cycle, and one in front of the operation."""


def delayed(m: Module, value: Value, cycles: int = 1, *, reset_less: bool = False) -> Signal:
    """``value`` as it was ``cycles`` cycles ago; data need no reset."""
    for _ in range(cycles):
        later = Signal(value.shape(), name=f"{getattr(value, 'name', 'value')}_later", reset_less=reset_less)
        m.d.sync += later.eq(value)
        value = later
    return value


def forwarded(m: Module, core: Any, *, due: Value, due_index: Value, result: Value) -> Signal:
    """The accumulator tensor read ``ACC_CYCLES`` ago, as all earlier steps have left it; writes the results.

    Reads and writes reach the scratchpad a cycle after they are given out, and it gives what was stored
    before the read: a write in the cycle before the one in which the index arrives, in that cycle or in one
    of the three after it is newer. Which of them counts is known ahead, so that indices are never compared in
    the cycle that uses the tensor; and the newest is taken on its way into its own register, so that a step
    that follows on itself has a whole cycle.

    Args:
        m: Where the logic goes.
        core: A component with ``acc_index`` and ``acc_data``, and with ``write``, ``write_index`` and
            ``write_data``, which are driven here.
        due: Whether ``write`` will be high ``ACC_CYCLES`` from now. For the step that reads that is the cycle
            after its index.
        due_index: ``write_index`` of that cycle.
        result: ``write_data`` of the next cycle, made from what is returned here.
    """
    acc_index, due, due_index = (delayed(m, value) for value in (core.acc_index, due, due_index))
    soon, soon_index = delayed(m, due), delayed(m, due_index)
    after, after_index = delayed(m, soon), delayed(m, soon_index)
    m.d.sync += [core.write.eq(after), core.write_index.eq(after_index)]
    m.d.comb += core.write_data.eq(delayed(m, result, reset_less=True))
    # Of the writes, the one before the index arrives, that in its cycle, and those in the three after it.
    wrote, wrote_index = delayed(m, core.write), delayed(m, core.write_index)
    before_read = delayed(m, wrote & (wrote_index == acc_index))
    in_read = delayed(m, core.write & (core.write_index == acc_index))
    next_to_read = delayed(m, after & (after_index == acc_index))
    second = delayed(m, soon & (soon_index == acc_index), 2)
    last = delayed(m, due & (due_index == acc_index), 2)
    previous = delayed(m, core.write_data, reset_less=True)
    earlier = delayed(m, previous, reset_less=True)
    old = Mux(next_to_read, core.write_data, Mux(in_read, previous, earlier))
    is_old = delayed(m, before_read | in_read | next_to_read)
    stored = delayed(m, core.acc_data, reset_less=True)
    read = Mux(second, core.write_data, Mux(is_old, delayed(m, old, reset_less=True), stored))
    return delayed(m, Mux(last, result, read), reset_less=True)
