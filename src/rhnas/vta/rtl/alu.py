"""The ALU core: element-wise operations on accumulator tensors through one read and one write port."""

from collections.abc import Mapping
from typing import ClassVar

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Member, Out

from rhnas.vta.config import AcceleratorConfig
from rhnas.vta.isa import ALU_OPCODE_BITS, IMMEDIATE_BITS, AluOp
from rhnas.vta.rtl.accumulators import ACC_BITS, ACC_CYCLES, delayed, forwarded
from rhnas.vta.rtl.instances import Repeated
from rhnas.vta.rtl.products import OPERAND_BITS, rows, thrice, total
from rhnas.vta.rtl.walk import WALK_CYCLES, Walk

SHIFT_BITS = 5
"""A shift counts by the low five bits of its amount's magnitude, as upstream (``TensorAlu.scala``)."""
FIELD_COPIES = 6
"""An instruction's fields reach the lanes in as many groups, one a cycle after another, since lanes lie far
apart; the last copy is there before the first step is."""
ALU_CYCLES = WALK_CYCLES + ACC_CYCLES + 1
"""From an immediate step's micro-op address to its result register; a tensor step takes one more."""


class AluLane(wiring.Component):
    """One 32-bit lane: ``result = x op y``, with the ``next_y`` of the cycle before as y.

    SHR shifts left where y is negative, CLP clips x to [-y, y], MOV gives y, MUL multiplies the low bytes.
    Only x may come from the result of the cycle before, so that what depends on y alone is ready.
    """

    PORTS: ClassVar[Mapping[str, Member]] = {
        "opcode": In(ALU_OPCODE_BITS),
        "x": In(ACC_BITS),
        "next_y": In(ACC_BITS),
        "result": Out(ACC_BITS),
    }

    def __init__(self) -> None:
        super().__init__(dict(self.PORTS))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        x, next_y = self.x.as_signed(), self.next_y.as_signed()
        y, next_minus_y = delayed(m, next_y, reset_less=True), (-next_y)[:ACC_BITS].as_signed()
        minus_y = delayed(m, next_minus_y, reset_less=True)
        # -y of the least y has no 32 bits: no x is below it.
        has_minus_y = delayed(m, self.next_y != 1 << (ACC_BITS - 1))
        adds, shifts, largest, moves, clips, multiplies = (
            delayed(m, self.opcode == op.value)
            for op in (AluOp.ADD, AluOp.SHR, AluOp.MAX, AluOp.MOV, AluOp.CLP, AluOp.MUL)
        )
        picks = delayed(m, Cat(*(self.opcode == op.value for op in (AluOp.MIN, AluOp.MAX, AluOp.CLP))).any())
        # A comparison decides between y, -y and what the other operations give: it is as late as a sum and
        # reaches every bit. A product is later still: it joins at the end, where all else is zero for MUL.
        # Synthesis would put the product first again, were the rest not kept.
        other = Mux(adds, x + y, Mux(shifts, self._shifted(m, y, next_minus_y), Mux(picks, x, 0)))
        takes_y = moves | (picks & (above(x, y) ^ largest))
        takes_minus_y = clips & has_minus_y & above(minus_y, x)
        rest = Signal(ACC_BITS, name="rest", attrs={"keep": 1})
        m.d.comb += rest.eq(Mux(takes_y, y, Mux(takes_minus_y, minus_y, other)))
        product = Mux(multiplies, self._product(m), 0).as_signed()
        m.d.comb += self.result.eq(rest | product)
        return m

    def _product(self, m: Module) -> Value:
        """Of the low bytes. The multiples of y are ready, so that x meets one choice and two sums."""
        byte = self.next_y[:OPERAND_BITS].as_signed()
        y, three, minus = (delayed(m, value, reset_less=True) for value in (byte, thrice(byte), -byte))
        return total(m, rows(self.x[:OPERAND_BITS], y, three, minus), "product")

    def _shifted(self, m: Module, y: Signal, next_minus_y: Value) -> Value:
        """One rotation for both directions: right by y or left by -y is right by y modulo 32; then a mask."""
        ones = Const((1 << ACC_BITS) - 1, ACC_BITS)
        right, left = ones >> self.next_y[:SHIFT_BITS], (ones << next_minus_y[:SHIFT_BITS])[:ACC_BITS]
        mask = delayed(m, Mux(self.next_y[-1], left, right), reset_less=True)
        rotated = self.x.rotate_right(0)
        for bit in range(SHIFT_BITS):
            rotated = Mux(y[bit], rotated.rotate_right(1 << bit), rotated)
        sign = self.x[-1] & ~y[-1]
        return Value.cast(rotated & mask | ~mask & sign.replicate(ACC_BITS))


def above(a: Value, b: Value) -> Value:
    """Whether a > b, both signed and of ACC_BITS: a borrow of what lies as far above the least number.

    A signed comparison would add the overflow's levels behind the carry chain.
    """
    least = 1 << (ACC_BITS - 1)
    return ((b.as_unsigned() ^ least) - (a.as_unsigned() ^ least))[-1]


LANE = Repeated("alu_lane", AluLane.PORTS, AluLane)
"""What the ALU consists of."""


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
        copies = [(self.opcode, self.use_imm, self.imm)]
        for _ in range(FIELD_COPIES):
            opcode, use_imm, imm = (delayed(m, field) for field in copies[-1])
            copies.append((opcode, use_imm, imm))
        _, use_imm, _ = copies[1]
        m.d.comb += walk.halved.eq(~use_imm)
        # Cycle t: a step's indices are out and its source is read. t+1: a tensor operation reads its
        # destination. t+4: the source is there; an immediate operation is due. t+5: the tensor one is.
        second, second_last = Signal(), Signal()
        m.d.sync += [second.eq(walk.valid & ~use_imm), second_last.eq(walk.last & ~use_imm)]
        first_dst = delayed(m, walk.dst)
        m.d.comb += self.acc_index.eq(Mux(second, first_dst, walk.src))
        due = delayed(m, Mux(use_imm, walk.valid, second))
        due_last = delayed(m, Mux(use_imm, walk.last, second_last))
        due_index = delayed(m, Mux(use_imm, walk.dst, first_dst))
        m.d.comb += self.done.eq(delayed(m, due_last, ACC_CYCLES))
        result = Signal.like(self.write_data)
        fresh = forwarded(m, self, due=due, due_index=due_index, result=result)
        results = []
        for i in range(self.lanes):
            opcode, use_imm, imm = copies[1 + i * FIELD_COPIES // self.lanes]
            source = fresh.word_select(i, ACC_BITS)
            inputs = {
                "opcode": opcode,
                "x": source,
                "next_y": Mux(use_imm, imm, source)[:ACC_BITS],
            }
            lane = LANE.place(m, platform, f"lane_{i}", **inputs)
            results.append(lane["result"])
        m.d.comb += result.eq(Cat(*results))
        return m
