"""The whole accelerator: control, fetch, load, compute, store, and the token queues between them."""

from __future__ import annotations

from amaranth.hdl import Cat, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from rhnas.vta.config import AcceleratorConfig
from rhnas.vta.rtl.axi import ReadArbiter, control_port, memory_port
from rhnas.vta.rtl.compute import ComputeModule
from rhnas.vta.rtl.control import Control
from rhnas.vta.rtl.fetch import MODULES, Fetch
from rhnas.vta.rtl.modules import LoadModule, StoreModule
from rhnas.vta.rtl.tokens import TokenQueue

READERS = ("fetch", "uop", "inp", "wgt", "acc", "acc_8bit")
"""Clients of the read channel, highest priority first."""
SHARED_BASE = {"acc_8bit": "acc"}
"""Clients that read from another memory's base address."""


class Accelerator(wiring.Component):
    """One realizable accelerator with an AXI4 memory master and an AXI4-Lite control port.

    Example:
        >>> sorted(Accelerator(AcceleratorConfig()).signature.members)
        ['control', 'memory']
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__({"memory": Out(memory_port(config.bus_bits)), "control": Out(control_port())})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bus = self.config.bus_bits
        m.submodules.control = control = Control()
        m.submodules.fetch = fetch = Fetch(bus_bits=bus)
        m.submodules.load = load = LoadModule(self.config)
        m.submodules.compute = compute = ComputeModule(self.config)
        m.submodules.store = store = StoreModule(self.config)
        m.submodules.arbiter = arbiter = ReadArbiter(clients=READERS, bus_bits=bus)
        wiring.connect(m, wiring.flipped(self.control), control.bus)
        self._memory(m, arbiter, store)
        self._fetch(m, control, fetch, arbiter)
        readers: tuple[tuple[LoadModule | ComputeModule, tuple[str, ...]], ...] = (
            (load, ("inp", "wgt")),
            (compute, ("uop", "acc", "acc_8bit")),
        )
        for module, names in readers:
            m.d.comb += module.data.eq(self.memory.rdata)
            for name in names:
                base = getattr(control, f"{SHARED_BASE.get(name, name)}_base")
                m.d.comb += [getattr(module, f"{name}_base").eq(base)]
                _connect_reader(m, arbiter, module, name)
        m.d.comb += [
            store.base.eq(control.out_base),
            control.finished.eq(compute.finished),
            load.inp_index.eq(compute.inp_index),
            load.wgt_index.eq(compute.wgt_index),
            compute.inp_tensor.eq(load.inp_tensor),
            compute.wgt_tensor.eq(load.wgt_tensor),
            store.write.eq(compute.out_write),
            store.write_index.eq(compute.out_index),
            store.write_data.eq(compute.out_data),
        ]
        queues: tuple[LoadModule | ComputeModule | StoreModule, ...] = (load, compute, store)
        for name, queued in zip(MODULES, queues, strict=True):
            m.d.comb += [
                queued.queue_valid.eq(getattr(fetch, f"{name}_valid")),
                getattr(fetch, f"{name}_ready").eq(queued.queue_ready),
                queued.queue_data.eq(fetch.instruction),
            ]
        overflow = _tokens(m, load, compute, store)
        m.d.comb += control.errors.eq(Cat(arbiter.error, store.error, overflow, fetch.error))
        return m

    def _memory(self, m: Module, arbiter: ReadArbiter, store: StoreModule) -> None:
        """Reads belong to the arbiter, writes to the store module."""
        for name, member in memory_port(self.config.bus_bits).members.items():
            inner = arbiter.bus if name.startswith(("ar", "r")) else store.bus
            mine, its = getattr(self.memory, name), getattr(inner, name)
            m.d.comb += mine.eq(its) if member.flow is Out else its.eq(mine)

    def _fetch(self, m: Module, control: Control, fetch: Fetch, arbiter: ReadArbiter) -> None:
        m.d.comb += [
            fetch.start.eq(control.launch),
            fetch.address.eq(control.address),
            fetch.count.eq(control.count),
            fetch.data.eq(self.memory.rdata),
            fetch.data_valid.eq(arbiter.fetch_data),
            arbiter.fetch_valid.eq(fetch.request_valid),
            fetch.request_ready.eq(arbiter.fetch_ready),
            arbiter.fetch_address.eq(fetch.request_address),
            arbiter.fetch_beats.eq(fetch.request_beats),
        ]


def _connect_reader(m: Module, arbiter: ReadArbiter, module: LoadModule | ComputeModule, name: str) -> None:
    for port in ("valid", "address", "beats"):
        m.d.comb += getattr(arbiter, f"{name}_{port}").eq(getattr(module, f"{name}_{port}"))
    for port in ("ready", "data"):
        m.d.comb += getattr(module, f"{name}_{port}").eq(getattr(arbiter, f"{name}_{port}"))


def _tokens(m: Module, load: LoadModule, compute: ComputeModule, store: StoreModule) -> object:
    """Four queues between neighbours, one for each direction; returns whether any has overflowed."""
    overflows = []
    for before, after, name in ((load, compute, "load_compute"), (compute, store, "compute_store")):
        m.submodules[f"{name}_forward"] = forward = TokenQueue()
        m.submodules[f"{name}_back"] = back = TokenQueue()
        m.d.comb += [
            forward.push.eq(before.push_next),
            forward.pop.eq(after.pop_prev),
            after.prev_available.eq(forward.available),
            back.push.eq(after.push_prev),
            back.pop.eq(before.pop_next),
            before.next_available.eq(back.available),
        ]
        overflows += [forward.overflow, back.overflow]
    return Cat(*overflows).any()
