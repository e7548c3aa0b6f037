"""The nested loop of GEMM and ALU instructions: one micro-op a step, indices three cycles later."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rhnas.vta.rtl.accumulators import delayed

ITERATION_BITS = 14
"""Width of the two loop counts (main ``hw_spec_const.h``)."""
WALK_CYCLES = 3
"""From a step's micro-op address to its indices: micro-op read, its register, addition."""


class Walk(wiring.Component):
    """Steps through ``for outer, for inner, for micro-op`` and adds the loop offsets to each micro-op.

    One step a cycle, or one every second cycle while ``halved`` is set (an ALU instruction that reads two
    tensors through one port). Fields must stay stable from ``start`` to ``done``.

    Args of the constructor:
        uop_bits: Width of a micro-op address.
        fields: For each of the micro-op's index fields its (offset, width); the width is also that of
            the loop factors and of the index that comes out.
    """

    def __init__(self, *, uop_bits: int, fields: dict[str, tuple[int, int]]) -> None:
        self.fields = fields
        ports: dict[str, object] = {
            "start": In(1),
            "halved": In(1),
            "uop_begin": In(uop_bits),
            "uop_end": In(uop_bits + 1),
            "iter_out": In(ITERATION_BITS),
            "iter_in": In(ITERATION_BITS),
            "uop_index": Out(uop_bits),
            "uop_data": In(32),
            "valid": Out(1),
            "last": Out(1),
        }
        for name, (_, width) in fields.items():
            ports |= {f"{name}_factor_out": In(width), f"{name}_factor_in": In(width), name: Out(width)}
        super().__init__(ports)

    def controls(self) -> dict[str, Any]:
        """Ports that a core passes through to its walk: an instruction's loop and the micro-op memory."""
        inner = ("valid", "last", "halved", *self.fields)
        return {name: port for name, port in self.signature.members.items() if name not in inner}

    def connect_controls(self, m: Module, core: Any) -> None:
        """Wire ``controls`` to the core's ports of the same names."""
        for name, member in self.controls().items():
            outer, inner = getattr(core, name), getattr(self, name)
            m.d.comb += inner.eq(outer) if member.flow is In else outer.eq(inner)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        running, idle_half = Signal(), Signal()
        outer, inner = Signal(ITERATION_BITS), Signal(ITERATION_BITS)
        uop = Signal.like(self.uop_index)
        last_uop, last_inner, last_outer = Signal(), Signal(), Signal()
        last, step = Signal(), Signal()
        # Fields are stable from ``start`` on, the first step is a cycle later. Whether a count of the loop
        # is at its end is known with the count, from the one before.
        last_index = delayed(m, (self.uop_end - 1)[: len(self.uop_end)])
        one_inner, one_outer = self.iter_in == 1, self.iter_out == 1
        inner_is_one = delayed(m, one_inner)
        before_last = [delayed(m, (count - 2)[:ITERATION_BITS]) for count in (self.iter_in, self.iter_out)]
        m.d.comb += [
            self.uop_index.eq(uop),
            step.eq(running & ~idle_half),
            last_uop.eq(uop == last_index),
            last.eq(last_uop & last_inner & last_outer),
        ]
        # What the loop starts with is taken in whenever none runs, since ``start`` comes late in its cycle.
        with m.If(~running):
            m.d.sync += [running.eq(self.start), idle_half.eq(0)]
            m.d.sync += [uop.eq(self.uop_begin), outer.eq(0), inner.eq(0)]
            m.d.sync += [last_inner.eq(one_inner), last_outer.eq(one_outer)]
        with m.Else():
            m.d.sync += idle_half.eq(self.halved & ~idle_half)
            with m.If(step):
                m.d.sync += [
                    running.eq(~last),
                    uop.eq(Mux(last_uop, self.uop_begin, uop + 1)),
                ]
                with m.If(last_uop):
                    at_last = Mux(last_inner, inner_is_one, inner == before_last[0])
                    m.d.sync += [inner.eq(Mux(last_inner, 0, inner + 1)), last_inner.eq(at_last)]
                    with m.If(last_inner):
                        m.d.sync += [outer.eq(outer + 1), last_outer.eq(outer == before_last[1])]
        m.d.sync += [
            self.valid.eq(delayed(m, step, WALK_CYCLES - 1)),
            self.last.eq(delayed(m, step & last, WALK_CYCLES - 1)),
        ]
        word = delayed(m, self.uop_data, reset_less=True)
        for name in self.fields:
            self._index(m, name, word, moves=(running, step, last_uop, last_inner))
        return m

    def _index(
        self, m: Module, name: str, word: Signal, moves: tuple[Signal, Signal, Signal, Signal]
    ) -> None:
        """Keep one field's loop offset as running sums, and add it to the micro-op once that is there."""
        offset, width = self.fields[name]
        running, step, last_uop, last_inner = moves
        row, here = (Signal(width, name=f"{name}_{part}") for part in ("row", "here"))
        next_row = row + getattr(self, f"{name}_factor_out")
        next_here = here + getattr(self, f"{name}_factor_in")
        with m.If(~running):
            m.d.sync += [row.eq(0), here.eq(0)]
        with m.Elif(step & last_uop):
            m.d.sync += here.eq(Mux(last_inner, next_row, next_here))
            with m.If(last_inner):
                m.d.sync += row.eq(next_row)
        m.d.sync += getattr(self, name).eq(
            word[offset : offset + width] + delayed(m, here, WALK_CYCLES - 1, reset_less=True)
        )
