"""The control port: registers over AXI4-Lite, launch, cycle counter, status."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rhnas.vta.rtl.axi import control_port

REGISTERS = {
    "control": 0x00,
    "cycles": 0x04,
    "count": 0x08,
    "address": 0x0C,
    "uop_base": 0x10,
    "inp_base": 0x14,
    "wgt_base": 0x18,
    "acc_base": 0x1C,
    "out_base": 0x20,
    "status": 0x24,
}
"""Byte addresses, in the order of the public RTL's ``VCR.scala``; the status word replaces its counters.

``control``: writing bit 0 launches; bit 1 reads one after FINISH. ``cycles`` counts from launch to FINISH.
``status`` bits: 0 read error, 1 write error, 2 token overflow, 3 unknown instruction.
"""
STATUS_BITS = 4
READ_ONLY = ("control", "cycles", "status")
WRITTEN = tuple(name for name in REGISTERS if name not in READ_ONLY)
"""Registers that a host sets before a launch."""


class Control(wiring.Component):
    """Holds the registers of one accelerator; every access is answered in the following cycle."""

    def __init__(self) -> None:
        settings = {name: Out(32) for name in WRITTEN}
        super().__init__(
            {
                "bus": Out(control_port()),
                **settings,
                "launch": Out(1),
                "finished": In(1),
                "errors": In(STATUS_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bus = self.bus
        running, done = Signal(), Signal()
        cycles, status = Signal(32), Signal(STATUS_BITS)
        write = Signal()
        m.d.comb += [
            write.eq(bus.awvalid & bus.wvalid & ~bus.bvalid),
            bus.awready.eq(write),
            bus.wready.eq(write),
            self.launch.eq(write & (bus.awaddr == REGISTERS["control"]) & bus.wdata[0] & ~running),
            bus.arready.eq(~bus.rvalid),
        ]
        m.d.sync += bus.bvalid.eq(Mux(bus.bvalid, ~bus.bready, write))
        for name in WRITTEN:
            with m.If(write & (bus.awaddr == REGISTERS[name])):
                m.d.sync += getattr(self, name).eq(bus.wdata)
        readable = {"control": done << 1, "cycles": cycles, "status": status}
        with m.If(bus.rvalid):
            m.d.sync += bus.rvalid.eq(~bus.rready)
        with m.Elif(bus.arvalid):
            m.d.sync += bus.rvalid.eq(1)
            with m.Switch(bus.araddr):
                for name, address in REGISTERS.items():
                    with m.Case(address):
                        m.d.sync += bus.rdata.eq(readable.get(name, getattr(self, name, 0)))
                with m.Default():
                    m.d.sync += bus.rdata.eq(0)
        with m.If(self.launch):
            m.d.sync += [running.eq(1), done.eq(0), cycles.eq(0), status.eq(0)]
        with m.Elif(running):
            m.d.sync += [cycles.eq(cycles + 1), status.eq(status | self.errors)]
            with m.If(self.finished):
                m.d.sync += [running.eq(0), done.eq(1)]
        return m
