"""One STORE instruction: tensors of the output scratchpad as AXI write bursts, one at a time."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rhnas.vta.rtl.axi import INCREMENTING, memory_port
from rhnas.vta.rtl.loader import ADDRESS_BITS, AHEAD_FIELDS, BURST_FIELDS, SIZE_BITS, RowBursts
from rhnas.vta.rtl.scratchpad import log2

STORE_FIELDS = {"sram_base": 16, "x_size": SIZE_BITS, "x_stride": SIZE_BITS}
"""Fields that a store needs beside those it starts with."""


class Storer(wiring.Component):
    """Writes a 2-D block of output tensors, burst by burst: address, beats, response.

    In the cycle after ``start`` the first row is ready. Where memory never stalls, a burst of b beats then
    takes 3 + b cycles: its address, a read of the scratchpad, the beats, the response. Where a tensor's row
    is wider than the bus, each further row in a burst takes a cycle to read, as in the public RTL.

    ``out_index`` is a register that is ahead of the beat being sent, since the scratchpad's blocks lie far
    apart: what is sent stays at the scratchpad's output until ``out_read``.

    Args of the constructor:
        row_bits: Width of one of a tensor's BATCH rows.
    """

    def __init__(self, *, tensor_bits: int, row_bits: int, bus_bits: int, depth: int) -> None:
        self.bursts = RowBursts(tensor_bits=tensor_bits, bus_bits=bus_bits)
        self.tensor_bits, self.bus_bits = tensor_bits, bus_bits
        self.row_slices = max(1, row_bits // bus_bits)
        self.index_bits = log2(depth)
        super().__init__(
            {
                "start": In(1),
                "busy": Out(1),
                "done": Out(1),
                "error": Out(1),
                "base": In(ADDRESS_BITS),
                **{name: In(width) for name, width in (AHEAD_FIELDS | STORE_FIELDS).items()},
                "bus": Out(memory_port(bus_bits)),
                "out_read": Out(1),
                "out_index": Out(signed(self.index_bits + 2)),
                "out_data": In(max(tensor_bits, bus_bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.bursts = bursts = self.bursts
        bus = self.bus
        m.d.comb += [
            bursts.start.eq(self.start),
            bursts.base.eq(self.base),
            *(getattr(bursts, name).eq(getattr(self, name)) for name in BURST_FIELDS),
            bus.awaddr.eq(bursts.address),
            bus.awlen.eq(bursts.beats - 1),
            bus.awsize.eq(log2(self.bus_bits // 8)),
            bus.awburst.eq(INCREMENTING),
            self.error.eq(bus.bvalid & bus.bready & (bus.bresp != 0)),
        ]
        beats_left = Signal(bursts.beats.shape())
        last_burst = Signal()
        fresh_row, addressed, reading, sent = Signal(), Signal(), Signal(), Signal()
        if self.bursts.lanes == 1:
            pauses = self._parts(m, reading, sent)
        else:
            pauses = self._lanes(m, fresh_row & addressed, reading, sent)
        with m.If(self.start):
            m.d.sync += [fresh_row.eq(1), self.busy.eq(1)]
        with m.Elif(self.done):
            m.d.sync += self.busy.eq(0)
        with m.FSM():
            with m.State("ADDRESS"):
                m.d.comb += [
                    bus.awvalid.eq(bursts.valid),
                    addressed.eq(bursts.valid & bus.awready),
                    bursts.ready.eq(addressed),
                ]
                with m.If(addressed):
                    m.d.sync += [
                        beats_left.eq(bursts.beats),
                        last_burst.eq(bursts.last),
                        fresh_row.eq(bursts.row_last),
                    ]
                    m.next = "READ"
            with m.State("READ"):
                m.d.comb += reading.eq(1)
                m.next = "BEAT"
            with m.State("BEAT"):
                m.d.comb += [bus.wvalid.eq(1), bus.wlast.eq(beats_left == 1), sent.eq(bus.wready)]
                with m.If(sent):
                    m.d.sync += beats_left.eq(beats_left - 1)
                    with m.If(beats_left == 1):
                        m.next = "RESPONSE"
                    with m.Elif(pauses):
                        m.next = "READ"
            with m.State("RESPONSE"):
                m.d.comb += bus.bready.eq(1)
                with m.If(bus.bvalid):
                    m.d.comb += self.done.eq(last_burst)
                    m.next = "ADDRESS"
        return m

    def _parts(self, m: Module, reading: Signal, sent: Signal) -> Value:
        """A tensor fills one beat or several; returns whether the next beat waits for a read."""
        slices = self.bursts.slices
        index, part = Signal(self.index_bits), Signal(max(1, log2(slices)))
        tensor_sent = sent & (part == slices - 1)
        self._read(m, index, restart=self.start, reading=reading, sent=tensor_sent)
        m.d.comb += [
            self.bus.wdata.eq(self.out_data.word_select(part, self.bus_bits)),
            self.bus.wstrb.eq(~0),
        ]
        with m.If(self.start):
            m.d.sync += [index.eq(self.sram_base), part.eq(0)]
        with m.Else():
            m.d.sync += index.eq(index + self.out_read)
            with m.If(sent):
                m.d.sync += part.eq(Mux(tensor_sent, 0, part + 1))
        row_end = (part & (self.row_slices - 1)) == self.row_slices - 1
        return row_end if slices > 1 else Const(0)

    def _lanes(self, m: Module, row: Value, reading: Signal, sent: Signal) -> Value:
        """A beat carries several tensors, strobed where they belong to the row; no beat waits for a read."""
        lanes = self.bursts.lanes
        row_index, position = Signal(self.index_bits), Signal(signed(SIZE_BITS + 8))
        ahead, index = Signal.like(position), Signal.like(self.out_index)  # ahead: position + lanes
        inside = [(position + lane >= 0) & (position + lane < self.x_size) for lane in range(lanes)]
        self._read(m, index, restart=row, reading=reading, sent=sent)
        m.d.comb += [
            self.bus.wdata.eq(self.out_data),
            self.bus.wstrb.eq(Cat(*(bit.replicate(self.tensor_bits // 8) for bit in inside))),
        ]
        with m.If(self.start):
            m.d.sync += row_index.eq(self.sram_base)
        with m.If(row):
            first = -self.bursts.first_element[: log2(lanes)]
            m.d.sync += [position.eq(first), ahead.eq(first + lanes), index.eq(row_index + first)]
        with m.Else():
            m.d.sync += index.eq(index + Mux(self.out_read, lanes, 0))
            with m.If(sent):
                m.d.sync += [position.eq(ahead), ahead.eq(ahead + lanes)]
                with m.If(ahead >= self.x_size):
                    m.d.sync += row_index.eq(row_index + self.x_size)
        return Const(0)

    def _read(self, m: Module, index: Signal, *, restart: Value, reading: Value, sent: Value) -> None:
        """Read at ``index`` what follows on what has been sent, and first of all what is sent first."""
        ready = Signal()
        m.d.comb += [self.out_index.eq(index), self.out_read.eq(sent | (reading & ~ready))]
        with m.If(restart):
            m.d.sync += ready.eq(0)
        with m.Elif(reading):
            m.d.sync += ready.eq(1)
