"""One STORE instruction: tensors of the output scratchpad as AXI write bursts, one at a time."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rhnas.vta.rtl.axi import INCREMENTING, memory_port
from rhnas.vta.rtl.loader import ADDRESS_BITS, SIZE_BITS, TRANSFER_FIELDS, RowBursts
from rhnas.vta.rtl.scratchpad import log2


class Storer(wiring.Component):
    """Writes a 2-D block of output tensors, burst by burst: address, beats, response.

    A burst of b beats that holds t tensors takes 3 + b + t cycles where memory never stalls: each tensor is
    read once from the scratchpad (one cycle) before the beat that completes with it.
    """

    def __init__(self, *, tensor_bits: int, bus_bits: int, depth: int) -> None:
        self.bursts = RowBursts(tensor_bits=tensor_bits, bus_bits=bus_bits)
        self.tensor_bits, self.bus_bits = tensor_bits, bus_bits
        self.index_bits = log2(depth)
        super().__init__(
            {
                "start": In(1),
                "done": Out(1),
                "error": Out(1),
                "base": In(ADDRESS_BITS),
                "sram_base": In(16),
                **{name: In(width) for name, width in TRANSFER_FIELDS.items()},
                "bus": Out(memory_port(bus_bits)),
                "out_index": Out(self.index_bits),
                "out_data": In(tensor_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.bursts = bursts = self.bursts
        bus = self.bus
        m.d.comb += [
            bursts.start.eq(self.start),
            bursts.base.eq(self.base),
            *(getattr(bursts, name).eq(getattr(self, name)) for name in TRANSFER_FIELDS),
            bus.awaddr.eq(bursts.address),
            bus.awlen.eq(bursts.beats - 1),
            bus.awsize.eq(log2(self.bus_bits // 8)),
            bus.awburst.eq(INCREMENTING),
            self.error.eq(bus.bvalid & bus.bready & (bus.bresp != 0)),
        ]
        beats_left, last_burst, fresh_row = Signal.like(bursts.beats), Signal(), Signal()
        addressed, read, sent, read_next = Signal(), Signal(), Signal(), Signal()
        full = self._tensors(m, fresh_row & addressed, read, sent, read_next)
        with m.If(self.start):
            m.d.sync += fresh_row.eq(1)
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
                m.d.comb += read.eq(1)
                with m.If(full):
                    m.next = "BEAT"
            with m.State("BEAT"):
                m.d.comb += [bus.wvalid.eq(1), bus.wlast.eq(beats_left == 1), sent.eq(bus.wready)]
                with m.If(sent):
                    m.d.sync += beats_left.eq(beats_left - 1)
                    with m.If(beats_left == 1):
                        m.next = "RESPONSE"
                    with m.Elif(read_next):
                        m.next = "READ"
            with m.State("RESPONSE"):
                m.d.comb += bus.bready.eq(1)
                with m.If(bus.bvalid):
                    m.d.comb += self.done.eq(last_burst)
                    m.next = "ADDRESS"
        return m

    def _tensors(self, m: Module, row: Value, read: Signal, sent: Signal, read_next: Signal) -> Signal:
        """Read tensors and lay them on the bus; returns whether the tensor read now completes a beat."""
        index = Signal(self.index_bits)
        full = Signal()
        # A tensor that was read stays on the scratchpad's output until the next read.
        m.d.comb += self.out_index.eq(Mux(read, index, index - 1))
        with m.If(self.start):
            m.d.sync += index.eq(self.sram_base)
        with m.Elif(read):
            m.d.sync += index.eq(index + 1)
        if self.bursts.lanes == 1:
            self._parts(m, sent, read_next)
            m.d.comb += full.eq(1)
        else:
            self._lanes(m, row, read, sent, full)
            m.d.comb += read_next.eq(1)
        return full

    def _parts(self, m: Module, sent: Signal, read_next: Signal) -> None:
        """A tensor fills one beat or several."""
        slices = self.bursts.slices
        part = Signal(max(1, log2(slices)))
        m.d.comb += [
            self.bus.wdata.eq(self.out_data.word_select(part, self.bus_bits)),
            self.bus.wstrb.eq(~0),
            read_next.eq(part == slices - 1),
        ]
        with m.If(sent):
            m.d.sync += part.eq(Mux(read_next, 0, part + 1))

    def _lanes(self, m: Module, row: Value, read: Signal, sent: Signal, full: Signal) -> None:
        """A beat gathers several tensors; byte strobes cover those of this row."""
        lanes, width = self.bursts.lanes, self.tensor_bits
        lane, position = Signal(log2(lanes)), Signal(SIZE_BITS)
        latest, mask, gathered = Signal.like(lane), Signal(lanes), Signal(self.bus_bits)
        arriving = Signal()
        m.d.comb += [
            full.eq((lane == lanes - 1) | (position + 1 == self.x_size)),
            self.bus.wdata.eq(gathered),
            self.bus.wdata.word_select(latest, width).eq(self.out_data),
            self.bus.wstrb.eq(Cat(*(bit.replicate(width // 8) for bit in mask))),
        ]
        m.d.sync += arriving.eq(read)
        with m.If(arriving):
            m.d.sync += gathered.word_select(latest, width).eq(self.out_data)
        with m.If(row):
            m.d.sync += [lane.eq(self.bursts.first_element), position.eq(0), mask.eq(0)]
        with m.Elif(read):
            m.d.sync += [latest.eq(lane), lane.eq(lane + 1), position.eq(position + 1)]
            m.d.sync += mask.bit_select(lane, 1).eq(1)
        with m.Elif(sent):
            m.d.sync += mask.eq(0)
