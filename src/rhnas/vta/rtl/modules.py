"""The load and store modules: a dispatcher each, around the transfers they run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rhnas.vta.config import AcceleratorConfig
from rhnas.vta.isa import Memory, Opcode
from rhnas.vta.rtl.accumulators import delayed
from rhnas.vta.rtl.axi import memory_port
from rhnas.vta.rtl.dispatch import Dispatch
from rhnas.vta.rtl.fetch import INSTRUCTION_BITS
from rhnas.vta.rtl.fields import fields
from rhnas.vta.rtl.loader import (
    ADDRESS_BITS,
    AHEAD_FIELDS,
    BEAT_CYCLES,
    BURST_BEATS,
    PAD_FIELDS,
    TRANSFER_FIELDS,
    Loader,
)
from rhnas.vta.rtl.scratchpad import OutputScratchpad, Scratchpad, log2
from rhnas.vta.rtl.storer import STORE_FIELDS, Storer

QUEUE_PORTS = {
    "queue_valid": In(1),
    "queue_ready": Out(1),
    "queue_data": In(INSTRUCTION_BITS),
    "pop_prev": Out(1),
    "pop_next": Out(1),
    "prev_available": In(1),
    "next_available": In(1),
    "push_prev": Out(1),
    "push_next": Out(1),
}
"""How a module meets the fetch unit and its neighbours' tokens."""


def connect_queue(m: Module, module: Any, dispatch: Dispatch) -> None:
    """Wire a module's ``QUEUE_PORTS`` to its dispatcher."""
    for name, member in QUEUE_PORTS.items():
        outer, inner = getattr(module, name), getattr(dispatch, name)
        m.d.comb += inner.eq(outer) if member.flow is In else outer.eq(inner)


def reader_ports(name: str) -> dict[str, Any]:
    """Ports of one client of the read arbiter, and of its base address."""
    return {
        f"{name}_valid": Out(1),
        f"{name}_ready": In(1),
        f"{name}_address": Out(ADDRESS_BITS),
        f"{name}_beats": Out(BURST_BEATS.bit_length()),
        f"{name}_data": In(1),
        f"{name}_base": In(ADDRESS_BITS),
    }


def connect_fields(m: Module, unit: Any, names: Iterable[str], given: dict[str, Value], start: Value) -> None:
    """Start a loader or storer a cycle after its instruction, on a copy of its own of the fields named.

    Such units lie far from the dispatcher and from one another. With the first row they need not wait for the
    copy.
    """
    started = delayed(m, start)
    for name in names:
        copy = Signal.like(getattr(unit, name), name=f"copy_{name}")
        with m.If(~started & ~unit.busy):
            m.d.sync += copy.eq(given[name])
        m.d.comb += getattr(unit, name).eq(copy)
    m.d.comb += unit.start.eq(started)
    m.d.comb += [getattr(unit, name).eq(given[name.removeprefix("next_")]) for name in AHEAD_FIELDS]


def connect_loader(
    m: Module, module: Any, name: str, *, loader: Loader, load: dict[str, Value], start: Value
) -> None:
    """Wire a loader to the module's client ports ``NAME_*`` and to the fields of a LOAD."""
    connect_fields(m, loader, ("sram_base", *TRANSFER_FIELDS, *PAD_FIELDS), load, start)
    m.d.comb += [
        loader.base.eq(getattr(module, f"{name}_base")),
        getattr(module, f"{name}_valid").eq(loader.request_valid),
        loader.request_ready.eq(getattr(module, f"{name}_ready")),
        getattr(module, f"{name}_address").eq(loader.request_address),
        getattr(module, f"{name}_beats").eq(loader.request_beats),
        loader.data_valid.eq(getattr(module, f"{name}_data")),
    ]


def fill(m: Module, pad: Scratchpad, loader: Loader, data: Value, pad_value: Value) -> None:
    """Let a loader fill a scratchpad of beats as wide as its own.

    Args:
        m: Where the logic goes.
        pad: The scratchpad.
        loader: Of its tensors.
        data: The beat of ``BEAT_CYCLES`` ago.
        pad_value: A beat of pads.
    """
    if pad.lanes == 1:
        mask, whole = Cat(*(loader.beat & (loader.beat_part == part) for part in range(pad.granules))), ~0
    else:
        mask, whole = loader.beat_lanes, 1
    m.d.comb += [
        pad.beat_index.eq(Mux(loader.pad, loader.pad_index, loader.beat_index)),
        pad.beat_data.eq(Mux(loader.pad, pad_value, data)),
        pad.beat_mask.eq(Mux(loader.pad, whole, mask)),
    ]


def least(minimum: Value, element_bits: int, elements: int) -> Value:
    """A tensor of zeros, or of the least signed value where ``minimum`` is set."""
    return Cat(Const(0, element_bits - 1), minimum).replicate(elements)


class LoadModule(wiring.Component):
    """Fills the input and weight scratchpads; the GEMM core reads them."""

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        inp, wgt = 8 * config.inp_tensor_bytes, 8 * config.wgt_tensor_bytes
        bus = config.bus_bits
        self.inp = Scratchpad(depth=config.inp_depth, tensor_bits=inp, beat_bits=bus)
        self.wgt = Scratchpad(depth=config.wgt_depth, tensor_bits=wgt, beat_bits=bus)
        self.inp_loader = Loader(tensor_bits=inp, bus_bits=bus, depth=config.inp_depth)
        self.wgt_loader = Loader(tensor_bits=wgt, bus_bits=bus, depth=config.wgt_depth)
        super().__init__(
            {
                **QUEUE_PORTS,
                **reader_ports("inp"),
                **reader_ports("wgt"),
                "data": In(bus),
                "inp_index": In(config.inp_index_bits),
                "inp_tensor": Out(inp),
                "wgt_index": In(config.wgt_index_bits),
                "wgt_tensor": Out(wgt),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.dispatch = dispatch = Dispatch()
        connect_queue(m, self, dispatch)
        load = fields(dispatch.instruction, Opcode.LOAD, self.config)
        is_inp = load["memory_type"] == Memory.INP
        minimum = fields(dispatch.current, Opcode.LOAD, self.config)["is_pad_min_value"]
        bus = self.config.bus_bits
        data = delayed(m, self.data, BEAT_CYCLES, reset_less=True)
        parts = (("inp", self.inp, self.inp_loader, is_inp), ("wgt", self.wgt, self.wgt_loader, ~is_inp))
        for name, pad, loader, mine in parts:
            m.submodules[name], m.submodules[f"{name}_loader"] = pad, loader
            connect_loader(m, self, name, loader=loader, load=load, start=dispatch.start & mine)
            fill(m, pad, loader, data, least(minimum, 8, bus // 8))
            m.d.comb += [
                pad.read_index.eq(getattr(self, f"{name}_index")),
                getattr(self, f"{name}_tensor").eq(pad.read_data),
            ]
        m.d.comb += [
            dispatch.sync.eq(load["x_size"] == 0),
            dispatch.done.eq(self.inp_loader.done | self.wgt_loader.done),
        ]
        return m


class StoreModule(wiring.Component):
    """Holds the output scratchpad, which compute writes, and stores from it."""

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        out = 8 * config.out_tensor_bytes
        row, bus, depth = 8 * config.block_out, config.bus_bits, config.out_depth
        self.storer = Storer(tensor_bits=out, row_bits=row, bus_bits=bus, depth=depth)
        super().__init__(
            {
                **QUEUE_PORTS,
                "base": In(ADDRESS_BITS),
                "bus": Out(memory_port(config.bus_bits)),
                "error": Out(1),
                "write": In(1),
                "write_index": In(log2(config.out_depth)),
                "write_data": In(out),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        m.submodules.dispatch = dispatch = Dispatch()
        m.submodules.out = pad = OutputScratchpad(
            depth=config.out_depth, tensor_bits=8 * config.out_tensor_bytes, bus_bits=config.bus_bits
        )
        m.submodules.storer = storer = self.storer
        connect_queue(m, self, dispatch)
        store = fields(dispatch.instruction, Opcode.STORE, config)
        connect_fields(m, storer, STORE_FIELDS, store, dispatch.start)
        for channel in ("aw", "w", "b"):
            for name, member in memory_port(config.bus_bits).members.items():
                if name.startswith(channel):
                    mine, its = getattr(self.bus, name), getattr(storer.bus, name)
                    m.d.comb += mine.eq(its) if member.flow is Out else its.eq(mine)
        m.d.comb += [
            storer.base.eq(self.base),
            dispatch.sync.eq(store["x_size"] == 0),
            dispatch.done.eq(storer.done),
            self.error.eq(storer.error),
            pad.read.eq(storer.out_read),
            pad.read_index.eq(storer.out_index),
            storer.out_data.eq(pad.read_data),
            pad.write.eq(self.write),
            pad.write_index.eq(self.write_index),
            pad.write_data.eq(self.write_data),
        ]
        return m
