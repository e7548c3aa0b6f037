"""The compute module: micro-op and accumulator loads, GEMM and ALU, one instruction at a time."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rhnas.vta.config import AcceleratorConfig
from rhnas.vta.isa import UOP_BYTES, Memory, Opcode
from rhnas.vta.rtl.accumulators import ACC_BITS, delayed
from rhnas.vta.rtl.alu import AluCore
from rhnas.vta.rtl.dispatch import Dispatch
from rhnas.vta.rtl.fields import fields
from rhnas.vta.rtl.gemm import GemmCore
from rhnas.vta.rtl.loader import BEAT_CYCLES, Loader
from rhnas.vta.rtl.modules import QUEUE_PORTS, connect_loader, connect_queue, fill, least, reader_ports
from rhnas.vta.rtl.scratchpad import Scratchpad

EXPANSION = 4
"""Accumulator bits per bit of an int8 accumulator load."""


class ComputeModule(wiring.Component):
    """Holds the micro-op and accumulator scratchpads and the two cores that work on them.

    Every result is also written, low byte of each lane, to the output scratchpad at the same index; a GEMM
    reset is not, as in upstream's RTL. ``finished`` is high in the cycle in which a FINISH completes.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        acc, out, bus = 8 * config.acc_tensor_bytes, 8 * config.out_tensor_bytes, config.bus_bits
        uop = 8 * UOP_BYTES
        self.uop = Scratchpad(depth=config.uop_depth, tensor_bits=uop, beat_bits=bus)
        self.acc = Scratchpad(
            depth=config.acc_depth, tensor_bits=acc, beat_bits=EXPANSION * bus, granule_bits=bus
        )
        self.loaders = {
            Memory.UOP: Loader(tensor_bits=uop, bus_bits=bus, depth=config.uop_depth),
            Memory.ACC: Loader(tensor_bits=acc, bus_bits=bus, depth=config.acc_depth),
            Memory.ACC_8BIT: Loader(tensor_bits=out, bus_bits=bus, depth=config.acc_depth),
        }
        self.gemm, self.alu = GemmCore(config), AluCore(config)
        super().__init__(
            {
                **QUEUE_PORTS,
                **reader_ports("uop"),
                **reader_ports("acc"),
                **reader_ports("acc_8bit"),
                "data": In(bus),
                "inp_index": Out(config.inp_index_bits),
                "inp_tensor": In(8 * config.inp_tensor_bytes),
                "wgt_index": Out(config.wgt_index_bits),
                "wgt_tensor": In(8 * config.wgt_tensor_bytes),
                "out_write": Out(1),
                "out_index": Out(config.acc_index_bits),
                "out_data": Out(out),
                "finished": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.dispatch = dispatch = Dispatch()
        m.submodules.uop, m.submodules.acc = self.uop, self.acc
        m.submodules.gemm, m.submodules.alu = self.gemm, self.alu
        connect_queue(m, self, dispatch)
        insn = dispatch.instruction
        load = fields(insn, Opcode.LOAD, self.config)
        opcode = load["opcode"]
        is_load = opcode == Opcode.LOAD
        for memory_type, loader in self.loaders.items():
            name = memory_type.name.lower()
            mine = dispatch.start & is_load & (load["memory_type"] == memory_type)
            m.submodules[f"{name}_loader"] = loader
            connect_loader(m, self, name, loader=loader, load=load, start=mine)
        finish = Signal()
        m.d.sync += finish.eq(dispatch.start & (opcode == Opcode.FINISH))
        dones = [loader.done for loader in self.loaders.values()]
        m.d.comb += [
            dispatch.sync.eq(is_load & (load["x_size"] == 0)),
            dispatch.done.eq(Cat(*dones, self.gemm.done, self.alu.done, finish).any()),
            self.finished.eq(finish),
        ]
        running = fields(dispatch.current, Opcode.LOAD, self.config)
        is_alu, minimum = running["opcode"] == Opcode.ALU, running["is_pad_min_value"]
        self._start_cores(m, dispatch, opcode, is_alu)
        self._fill(m, minimum)
        self._accumulate(m, is_alu)
        return m

    def _start_cores(self, m: Module, dispatch: Dispatch, opcode: Value, is_alu: Value) -> None:
        """Hand the fields of what runs to both cores and start the one it is for, a cycle after it."""
        renamed = {"uop_bgn": "uop_begin", "alu_opcode": "opcode"}
        for core, kind in ((self.gemm, Opcode.GEMM), (self.alu, Opcode.ALU)):
            for name, value in fields(dispatch.current, kind, self.config).items():
                port = renamed.get(name, name)
                if port in core.signature.members and name != "opcode":
                    m.d.comb += getattr(core, port).eq(value)
            m.d.comb += [
                core.start.eq(delayed(m, dispatch.start & (opcode == kind))),
                core.uop_data.eq(self.uop.read_data),
            ]
        m.d.comb += [
            self.uop.read_index.eq(Mux(is_alu, self.alu.uop_index, self.gemm.uop_index)),
            self.inp_index.eq(self.gemm.src),
            self.wgt_index.eq(self.gemm.wgt),
            self.gemm.inp_data.eq(self.inp_tensor),
            self.gemm.wgt_data.eq(self.wgt_tensor),
        ]

    def _fill(self, m: Module, minimum: Value) -> None:
        """Let the loaders fill the micro-op and accumulator scratchpads."""
        acc, bus = self.acc, self.config.bus_bits
        data = delayed(m, self.data, BEAT_CYCLES, reset_less=True)
        fill(
            m, self.uop, self.loaders[Memory.UOP], data, least(minimum, 8 * UOP_BYTES, bus // (8 * UOP_BYTES))
        )
        wide, narrow = self.loaders[Memory.ACC], self.loaders[Memory.ACC_8BIT]
        if wide.bursts.lanes > 1:
            wide_mask = wide.beat_lanes
        else:
            wide_mask = Cat(*(wide.beat & (wide.beat_part == part) for part in range(acc.granules)))
        if narrow.bursts.lanes > 1:
            narrow_mask = Cat(*(lane.replicate(acc.granules) for lane in narrow.beat_lanes))
        else:
            parts = range(acc.granules // EXPANSION)
            narrow_mask = Cat(*((narrow.beat & (narrow.beat_part == p)).replicate(EXPANSION) for p in parts))
        pads, whole = wide.pad | narrow.pad, (1 << acc.granules) - 1
        beat = Mux(wide.pad, least(minimum, ACC_BITS, bus // ACC_BITS), data)
        bytes_ = Mux(narrow.pad, least(minimum, 8, bus // 8), data)
        expanded = Cat(*(extended(bytes_[i : i + 8]) for i in range(0, bus, 8)))
        pad_index = Mux(narrow.pad, narrow.pad_index, wide.pad_index)
        beat_index = Mux(narrow.beat, narrow.beat_index, wide.beat_index)
        beat_mask = Mux(narrow.beat, narrow_mask, Mux(wide.beat, wide_mask, 0))
        m.d.comb += [
            acc.beat_index.eq(Mux(pads, pad_index, beat_index)),
            acc.beat_mask.eq(Mux(pads, whole, beat_mask)),
            acc.beat_data.eq(Mux(narrow.beat | narrow.pad, expanded, beat.replicate(EXPANSION))),
        ]

    def _accumulate(self, m: Module, is_alu: Value) -> None:
        """Share the accumulators between the cores, and copy results to the output scratchpad.

        The output scratchpad is written, and the accumulators read, a cycle later, since their memories lie
        wide apart; that is before any later instruction can read.
        """
        acc, gemm, alu = self.acc, self.gemm, self.alu
        lanes = self.config.batch * self.config.block_out
        index = Mux(alu.write, alu.write_index, gemm.write_index)
        result = Mux(alu.write, alu.write_data, gemm.write_data)
        m.d.comb += [
            gemm.acc_data.eq(acc.read_data),
            alu.acc_data.eq(acc.read_data),
            acc.write.eq(gemm.write | alu.write),
            acc.write_index.eq(index),
            acc.write_data.eq(result),
        ]
        m.d.sync += [
            acc.read_index.eq(Mux(is_alu, alu.acc_index, gemm.acc_index)),
            self.out_write.eq(alu.write | (gemm.write & ~gemm.reset)),
            self.out_index.eq(index),
            self.out_data.eq(Cat(*(result[ACC_BITS * i : ACC_BITS * i + 8] for i in range(lanes)))),
        ]


def extended(byte: Value) -> Value:
    """A byte as a 32-bit signed number."""
    return Cat(byte, byte[7].replicate(ACC_BITS - 8))
