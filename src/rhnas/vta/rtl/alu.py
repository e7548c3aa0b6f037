"""The ALU core: element-wise operations on accumulator tensors through one read and one write port."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rhnas.vta.config import AcceleratorConfig
from rhnas.vta.isa import ALU_OPCODE_BITS, IMMEDIATE_BITS, AluOp
from rhnas.vta.rtl.accumulators import ACC_BITS, ACC_CYCLES, delayed, forwarded
from rhnas.vta.rtl.instances import ALU_MODULE, instance
from rhnas.vta.rtl.walk import WALK_CYCLES, Walk

SHIFT_BITS = 5
"""A shift counts by the low five bits of its amount's magnitude, as upstream (``TensorAlu.scala``)."""
ALU_CYCLES = WALK_CYCLES + ACC_CYCLES + 1
"""From an immediate step's micro-op address to its result register; a tensor step takes one more."""


class AluLane(wiring.Component):
    """One 32-bit lane: ``result = x op y``, with the ``next_y`` of the cycle before as y.

    SHR shifts left where y is negative, CLP clips x to [-y, y], MOV gives y, MUL multiplies the low bytes.
    Only x may come from the result of the cycle before, so that what depends on y alone is ready.
    """

    opcode: In(ALU_OPCODE_BITS)
    x: In(ACC_BITS)
    next_y: In(ACC_BITS)
    result: Out(ACC_BITS)

    def __init__(self) -> None:
        super().__init__()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        x = self.x.as_signed()
        y = delayed(m, self.next_y.as_signed(), reset_less=True)
        minus_y = delayed(m, (-self.next_y.as_signed())[:ACC_BITS].as_signed(), reset_less=True)
        least_y = delayed(m, self.next_y == 1 << (ACC_BITS - 1))
        right = x >> y[:SHIFT_BITS]
        left = (x.as_unsigned() << minus_y[:SHIFT_BITS])[:ACC_BITS]
        # -y of the least y has no 32 bits: no x is below it.
        below = (x < minus_y) & ~least_y
        less = x < y
        results: dict[AluOp, Value] = {
            AluOp.MIN: Mux(less, x, y),
            AluOp.MAX: Mux(less, y, x),
            AluOp.ADD: x + y,
            AluOp.SHR: Mux(y[-1], left.as_signed(), right),
            AluOp.MUL: x[:8].as_signed() * y[:8].as_signed(),
            AluOp.CLP: Mux(x > y, y, Mux(below, minus_y, x)),
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
        # Cycle t: a step's indices are out and its source is read. t+1: a tensor operation reads its
        # destination. t+2: the source is there; an immediate operation is due. t+3: the tensor one is.
        second, second_last = Signal(), Signal()
        m.d.sync += [second.eq(walk.valid & ~self.use_imm), second_last.eq(walk.last & ~self.use_imm)]
        m.d.comb += self.acc_index.eq(Mux(second, delayed(m, walk.dst), walk.src))
        dst = delayed(m, walk.dst, ACC_CYCLES)
        valid, last = delayed(m, walk.valid, ACC_CYCLES), delayed(m, walk.last, ACC_CYCLES)
        due = Mux(self.use_imm, valid, delayed(m, second, ACC_CYCLES))
        due_last = Mux(self.use_imm, last, delayed(m, second_last, ACC_CYCLES))
        due_index = Mux(self.use_imm, dst, delayed(m, dst))
        fresh = forwarded(m, self, due, due_index)
        m.d.sync += [self.write.eq(due), self.done.eq(due_last), self.write_index.eq(due_index)]
        results = []
        for i in range(self.lanes):
            source = fresh.word_select(i, ACC_BITS)
            inputs = {"opcode": self.opcode, "x": source, "next_y": Mux(self.use_imm, self.imm, source)}
            results.append(instance(m, platform, ALU_MODULE, f"lane_{i}", AluLane(), **inputs)["result"])
        m.d.comb += self.write_data.eq(delayed(m, Cat(*results), reset_less=True))
        return m
