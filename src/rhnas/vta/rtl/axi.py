"""AXI4 and AXI4-Lite as Amaranth signatures, and the arbiter of the one read channel."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import fifo, wiring
from amaranth.lib.wiring import In, Out, Signature

from rhnas.vta.rtl.loader import ADDRESS_BITS, BURST_BEATS, LENGTH_BITS
from rhnas.vta.rtl.scratchpad import log2

OUTSTANDING = 16
"""Read bursts that may be under way at once (as upstream's tag table, VTA facts section 3)."""
INCREMENTING = 1
"""AXI burst type."""


def memory_port(bus_bits: int) -> Signature:
    """The AXI4 master port: 32-bit addresses, one ID, incrementing bursts of full-width beats."""
    address = {
        "valid": Out(1),
        "ready": In(1),
        "addr": Out(ADDRESS_BITS),
        "len": Out(LENGTH_BITS),
        "size": Out(3),
        "burst": Out(2),
    }
    ports: dict[str, object] = {
        f"{channel}{name}": p for channel in ("ar", "aw") for name, p in address.items()
    }
    ports |= {
        "rvalid": In(1),
        "rready": Out(1),
        "rdata": In(bus_bits),
        "rresp": In(2),
        "rlast": In(1),
        "wvalid": Out(1),
        "wready": In(1),
        "wdata": Out(bus_bits),
        "wstrb": Out(bus_bits // 8),
        "wlast": Out(1),
        "bvalid": In(1),
        "bready": Out(1),
        "bresp": In(2),
    }
    return Signature(ports)


def control_port() -> Signature:
    """The AXI4-Lite slave port: 32-bit registers in 64 bytes."""
    return Signature(
        {
            "awvalid": In(1),
            "awready": Out(1),
            "awaddr": In(6),
            "wvalid": In(1),
            "wready": Out(1),
            "wdata": In(32),
            "bvalid": Out(1),
            "bready": In(1),
            "bresp": Out(2),
            "arvalid": In(1),
            "arready": Out(1),
            "araddr": In(6),
            "rvalid": Out(1),
            "rready": In(1),
            "rdata": Out(32),
            "rresp": Out(2),
        }
    )


class ReadArbiter(wiring.Component):
    """Lets several readers share the read channel; earlier ones win, data come back in order of request.

    Args of the constructor:
        clients: Names, highest priority first.
        bus_bits: Width of a beat.

    Ports per client: ``NAME_valid``, ``NAME_ready``, ``NAME_address``, ``NAME_beats`` and, for its data,
    ``NAME_data``. ``error`` is high in a cycle whose beat carries an AXI error.
    """

    def __init__(self, *, clients: Sequence[str], bus_bits: int) -> None:
        self.clients = tuple(clients)
        self.bus_bits = bus_bits
        ports: dict[str, object] = {"bus": Out(memory_port(bus_bits)), "error": Out(1)}
        for name in self.clients:
            ports |= {
                f"{name}_valid": In(1),
                f"{name}_ready": Out(1),
                f"{name}_address": In(ADDRESS_BITS),
                f"{name}_beats": In(BURST_BEATS.bit_length()),
                f"{name}_data": Out(1),
            }
        super().__init__(ports)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bus = self.bus
        count = len(self.clients)
        # One bit a client, so that each knows from a register of its own whether a beat is for it.
        m.submodules.owners = owners = fifo.SyncFIFOBuffered(width=count, depth=OUTSTANDING)
        offered = Cat(*(getattr(self, f"{name}_valid") for name in self.clients))
        # AXI: an offered address must not change before it is taken.
        held, holder, chosen = Signal(), Signal(count), Signal(count)
        winner = Cat(*(offered[i] & ~offered[:i].any() for i in range(count)))
        m.d.comb += chosen.eq(Mux(held, holder, winner))
        m.d.sync += [held.eq(bus.arvalid & ~bus.arready), holder.eq(chosen)]
        m.d.comb += [
            bus.arsize.eq(log2(self.bus_bits // 8)),
            bus.arburst.eq(INCREMENTING),
            bus.rready.eq(1),
            bus.arvalid.eq(offered.any() & owners.w_rdy),
            owners.w_en.eq(bus.arvalid & bus.arready),
            owners.w_data.eq(chosen),
            owners.r_en.eq(bus.rvalid & bus.rlast),
            self.error.eq(bus.rvalid & (bus.rresp != 0)),
        ]
        for number, name in enumerate(self.clients):
            with m.If(chosen[number]):
                m.d.comb += [
                    bus.araddr.eq(getattr(self, f"{name}_address")),
                    bus.arlen.eq(getattr(self, f"{name}_beats") - 1),
                ]
            m.d.comb += [
                getattr(self, f"{name}_ready").eq(chosen[number] & owners.w_rdy & bus.arready),
                getattr(self, f"{name}_data").eq(bus.rvalid & owners.r_data[number]),
            ]
        return m
