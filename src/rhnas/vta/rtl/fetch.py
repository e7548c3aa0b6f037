"""Instruction fetch: one burst of instructions at a time, dealt out to the three modules' queues."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from rhnas.vta.isa import INSTRUCTION_BYTES, Memory, Opcode
from rhnas.vta.rtl.loader import ADDRESS_BITS, BURST_BEATS
from rhnas.vta.rtl.scratchpad import log2

INSTRUCTION_BITS = 8 * INSTRUCTION_BYTES
MODULES = ("load", "compute", "store")


class Fetch(wiring.Component):
    """Reads ``count`` instructions from ``address`` and deals them out in order.

    A batch is what one burst holds (8 instructions on a 64-bit bus, 64 on 512 bits). It is read whole, then
    dealt one a cycle as long as the queues have room, and only then the next one is requested.
    ``error`` is high in the cycle after an unknown opcode or memory, which is skipped.
    """

    def __init__(self, *, bus_bits: int) -> None:
        self.bus_bits = bus_bits
        self.beats = max(1, INSTRUCTION_BITS // bus_bits)
        self.per_beat = max(1, bus_bits // INSTRUCTION_BITS)
        self.batch = BURST_BEATS * self.per_beat // self.beats
        ports: dict[str, object] = {
            "start": In(1),
            "address": In(ADDRESS_BITS),
            "count": In(32),
            "request_valid": Out(1),
            "request_ready": In(1),
            "request_address": Out(ADDRESS_BITS),
            "request_beats": Out(BURST_BEATS.bit_length()),
            "data_valid": In(1),
            "data": In(bus_bits),
            "instruction": Out(INSTRUCTION_BITS),
            "error": Out(1),
        }
        for name in MODULES:
            ports |= {f"{name}_valid": Out(1), f"{name}_ready": In(1)}
        super().__init__(ports)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        width = max(self.bus_bits, INSTRUCTION_BITS)
        m.submodules.batch = batch = memory.Memory(shape=unsigned(width), depth=BURST_BEATS, init=[])
        read, write = batch.read_port(domain="comb"), batch.write_port(granularity=self.bus_bits)
        left, here = Signal(32), Signal(range(self.batch + 1))
        address = Signal(ADDRESS_BITS)
        beat, wanted = Signal(range(BURST_BEATS + 1)), Signal(range(BURST_BEATS + 1))
        ahead, following = Signal(range(self.batch + 1)), Signal(INSTRUCTION_BITS)
        takes, dealing = Signal(), Signal()
        ready = self._deal(m, following, takes=takes, dealing=dealing)
        m.d.comb += [
            wanted.eq((here * self.beats + self.per_beat - 1) >> log2(self.per_beat)),
            self.request_address.eq(address),
            self.request_beats.eq(wanted),
            write.addr.eq(beat >> log2(self.beats)),
            write.data.eq(self.data.replicate(self.beats)),
            write.en.eq(self.data_valid << (beat & (self.beats - 1))),
            read.addr.eq(ahead >> log2(self.per_beat)),
            following.eq(read.data.word_select(ahead & (self.per_beat - 1), INSTRUCTION_BITS)),
        ]
        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += [left.eq(self.count), here.eq(self._batch_of(self.count))]
                m.d.sync += [address.eq(self.address), beat.eq(0), ahead.eq(0)]
                with m.If(self.start & (self.count != 0)):
                    m.next = "REQUEST"
            with m.State("REQUEST"):
                m.d.comb += self.request_valid.eq(1)
                with m.If(self.request_ready):
                    m.next = "RECEIVE"
            with m.State("RECEIVE"):
                # The beat that ends a short burst may be the first instruction's own.
                m.d.comb += following.eq(
                    Cat(
                        Mux(beat == part, self.data, read.data.word_select(part, self.bus_bits))
                        for part in range(self.beats)
                    )
                )
                with m.If(self.data_valid):
                    m.d.sync += beat.eq(beat + 1)
                    with m.If(beat + 1 == wanted):
                        m.d.sync += [beat.eq(0), ahead.eq(1)]
                        m.d.comb += takes.eq(1)
                        m.d.sync += [left.eq(left - here), address.eq(address + here * INSTRUCTION_BYTES)]
                        m.next = "DEAL"
            with m.State("DEAL"):
                m.d.comb += [dealing.eq(1), takes.eq(ready)]
                with m.If(ready):
                    m.d.sync += ahead.eq(ahead + 1)
                    with m.If(ahead == here):
                        m.next = "NEXT"
            with m.State("NEXT"):
                m.d.sync += [here.eq(self._batch_of(left)), ahead.eq(0)]
                with m.If(left == 0):
                    m.next = "IDLE"
                with m.Else():
                    m.next = "REQUEST"
        return m

    def _batch_of(self, left: Value) -> Value:
        """How many of the instructions left are read at once."""
        return Mux(left < self.batch, left, self.batch)

    def _deal(self, m: Module, following: Signal, *, takes: Signal, dealing: Signal) -> Value:
        """Offer an instruction to the module it is for; returns whether it is taken there, or skipped.

        Both are in registers, filled as one ``takes`` the following, since much waits for an offer.
        """
        opcode, memory_type = following[:3], following[7:10]
        is_load = opcode == Opcode.LOAD
        for_load = (memory_type == Memory.INP) | (memory_type == Memory.WGT)
        for_compute = (
            (memory_type == Memory.UOP) | (memory_type == Memory.ACC) | (memory_type == Memory.ACC_8BIT)
        )
        computes = (opcode == Opcode.GEMM) | (opcode == Opcode.ALU) | (opcode == Opcode.FINISH)
        whose = (is_load & for_load, computes | (is_load & for_compute), opcode == Opcode.STORE)
        its = [Signal(name=f"for_{name}") for name in MODULES]
        with m.If(takes):
            m.d.sync += [self.instruction.eq(following), Cat(its).eq(Cat(whose))]
        for name, mine in zip(MODULES, its, strict=True):
            m.d.comb += getattr(self, f"{name}_valid").eq(dealing & mine)
        m.d.sync += self.error.eq(dealing & ~Cat(its).any())
        return Cat(
            ~mine | getattr(self, f"{name}_ready") for name, mine in zip(MODULES, its, strict=True)
        ).all()
