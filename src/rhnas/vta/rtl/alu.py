"""The ALU core: element-wise operations on accumulator tensors through one read and one write port."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rhnas.vta.config import AcceleratorConfig
from rhnas.vta.isa import ALU_OPCODE_BITS, IMMEDIATE_BITS, AluOp
from rhnas.vta.rtl.accumulators import ACC_BITS, delayed, forwarded
from rhnas.vta.rtl.walk import WALK_CYCLES, Walk

SHIFT_BITS = 5
"""A shift counts by the low five bits of its amount's magnitude, as upstream (``TensorAlu.scala``)."""
ALU_CYCLES = WALK_CYCLES + 2
"""From an immediate step's micro-op address to its result register; a tensor step takes one more."""


class AluLane(wiring.Component):
    """One 32-bit lane, combinational: ``result = x op y``.

    SHR shifts left where y is negative, CLP clips x to [-y, y], MOV gives y, MUL multiplies the low bytes.
    """

    opcode: In(ALU_OPCODE_BITS)
    x: In(signed(ACC_BITS))
    y: In(signed(ACC_BITS))
    result: Out(signed(ACC_BITS))

    def __init__(self) -> None:
        super().__init__()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        x, y = self.x, self.y
        low = (-y)[:SHIFT_BITS]
        right = x >> y[:SHIFT_BITS]
        left = (x.as_unsigned() << low)[:ACC_BITS]
        results: dict[AluOp, Value] = {
            AluOp.MIN: Mux(x < y, x, y),
            AluOp.MAX: Mux(x > y, x, y),
            AluOp.ADD: x + y,
            AluOp.SHR: Mux(y < 0, left.as_signed(), right),
            AluOp.MUL: x[:8].as_signed() * y[:8].as_signed(),
            AluOp.CLP: Mux(x > y, y, Mux(x < -y, -y, x)),
            AluOp.MOV: y,
        }
        with m.Switch(self.opcode):
            for operation, result in results.items():
                with m.Case(operation.value):
                    m.d.comb += self.result.eq(result)
        return m


class AluCore(wiring.Component):
    """``acc[dst] = acc[src] op imm``, one step a cycle, or ``acc[dst] = acc[dst] op acc[src]``, one in two.

    Results on their way to the scratchpad are forwarded, so that steps see all earlier steps whatever their
    indices. ``done`` is high in the cycle of the last write.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        acc = config.acc_index_bits
        self.lanes = config.batch * config.block_out
        self.walk = Walk(uop_bits=config.uop_index_bits, fields={"dst": (0, acc), "src": (acc, acc)})
        tensor = self.lanes * ACC_BITS
        super().__init__(
            {
                **self.walk.controls(),
                "opcode": In(ALU_OPCODE_BITS),
                "use_imm": In(1),
                "imm": In(signed(IMMEDIATE_BITS)),
                "acc_index": Out(acc),
                "acc_data": In(tensor),
                "write": Out(1),
                "write_index": Out(acc),
                "write_data": Out(tensor),
                "done": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.walk = walk = self.walk
        walk.connect_controls(m, self)
        m.d.comb += walk.halved.eq(~self.use_imm)
        # Cycle t: a step's indices are out and its source is read. t+1: the source is there; an immediate
        # operation is due, a tensor one reads its destination. t+2: the tensor operation is due.
        dst = delayed(m, walk.dst)
        second, second_last = Signal(), Signal()
        m.d.sync += [second.eq(walk.valid & ~self.use_imm), second_last.eq(walk.last & ~self.use_imm)]
        m.d.comb += self.acc_index.eq(Mux(second, dst, walk.src))
        valid, last = delayed(m, walk.valid), delayed(m, walk.last)
        due = Mux(self.use_imm, valid, delayed(m, second))
        due_last = Mux(self.use_imm, last, delayed(m, second_last))
        due_index = Mux(self.use_imm, dst, delayed(m, dst))
        fresh = forwarded(m, self, delayed(m, self.acc_index))
        source = delayed(m, fresh)
        m.d.sync += [self.write.eq(due), self.done.eq(due_last), self.write_index.eq(due_index)]
        results = []
        for i in range(self.lanes):
            m.submodules[f"lane_{i}"] = lane = AluLane()
            m.d.comb += [
                lane.opcode.eq(self.opcode),
                lane.x.eq(fresh.word_select(i, ACC_BITS)),
                lane.y.eq(Mux(self.use_imm, self.imm, source.word_select(i, ACC_BITS).as_signed())),
            ]
            results.append(lane.result)
        m.d.sync += self.write_data.eq(Cat(*results))
        return m
