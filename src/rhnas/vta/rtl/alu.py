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
    """One 32-bit lane: ``result = x op y``, where y is the immediate or the x of the cycle before.

    SHR shifts left where y is negative, CLP clips x to [-y, y], MOV gives y, MUL multiplies the low bytes.
    Only x may come from the result of the cycle before, so that what depends on y alone is ready.
    """

    PORTS: ClassVar[Mapping[str, Member]] = {
        "opcode": In(ALU_OPCODE_BITS),
        "use_imm": In(1),
        "imm": In(signed(IMMEDIATE_BITS)),
        "minus_imm": In(signed(IMMEDIATE_BITS + 1)),
        "x": In(ACC_BITS),
        "result": Out(ACC_BITS),
    }

    def __init__(self) -> None:
        super().__init__(dict(self.PORTS))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        is_op = {op: self.opcode == op.value for op in AluOp}
        x = self.x.as_signed()
        next_y = Mux(self.use_imm, self.imm, x)[:ACC_BITS].as_signed()
        # Chosen behind the negation: what chooses comes from afar.
        next_minus_y = Mux(self.use_imm, self.minus_imm, (-x)[:ACC_BITS].as_signed())
        y, minus_y = (delayed(m, value, reset_less=True) for value in (next_y, next_minus_y))
        added = x + y
        takes_x, takes_y, takes_minus_y = self._compared(m, is_op, above(x, y), added[-1])
        moves, adds = delayed(m, is_op[AluOp.MOV]), delayed(m, is_op[AluOp.ADD])
        # Comparisons, sums and products are late: each meets one table, then the union of all, of which all
        # but one are zero. Synthesis would put others behind them, were these not kept.
        parts = {
            "y_or_minus_y": Mux(takes_y | moves, y, 0) | Mux(takes_minus_y, minus_y, 0),
            "x_or_sum": Mux(takes_x, x, 0) | Mux(adds, added, 0),
            "shifted": self._shifted(m, is_op[AluOp.SHR], next_y, y),
            "product": self._product(m, Mux(is_op[AluOp.MUL], next_y[:OPERAND_BITS].as_signed(), 0)),
        }
        result = Const(0, ACC_BITS)
        for name, value in parts.items():
            part = Signal(ACC_BITS, name=name, attrs={"keep": 1})
            m.d.comb += part.eq(value)
            result |= part
        m.d.comb += self.result.eq(result)
        return m

    def _compared(
        self, m: Module, is_op: Mapping[AluOp, Value], x_above_y: Value, sum_below_zero: Value
    ) -> tuple[Value, Value, Value]:
        """Whether MIN, MAX or CLP gives x, y or -y; two registers tell which of them it is, if any."""
        low = delayed(m, is_op[AluOp.MIN] | is_op[AluOp.CLP])
        high = delayed(m, is_op[AluOp.MAX] | is_op[AluOp.CLP])
        takes_y = Mux(x_above_y, low, high & ~low)
        # Every x but itself is above the least y, whose -y in 32 bits is y again.
        takes_minus_y = low & high & ~x_above_y & sum_below_zero
        return (low | high) & ~takes_y & ~takes_minus_y, takes_y, takes_minus_y

    def _product(self, m: Module, byte: Value) -> Value:
        """Of the low bytes. The multiples of y are ready, so that x meets one choice and two sums."""
        y, three, minus = (delayed(m, value, reset_less=True) for value in (byte, thrice(byte), -byte))
        return total(m, rows(self.x[:OPERAND_BITS], y, three, minus), "product")

    def _shifted(self, m: Module, is_due: Value, next_y: Value, y: Signal) -> Value:
        """One rotation for both directions: right by y or left by -y is right by y modulo 32; then a mask.

        The bits that a shift to the left keeps are those that one to the right by 32 - y does not.
        """
        amount, is_left = next_y[:SHIFT_BITS], next_y[-1]
        kept = Const((1 << ACC_BITS) - 1, ACC_BITS) >> amount
        mask = delayed(m, Mux(is_due, kept, 0), reset_less=True)
        inverts = delayed(m, is_due & is_left & amount.any())
        fills = delayed(m, is_due & ~is_left)
        rotated = self.x.rotate_right(0)
        for bit in range(SHIFT_BITS):
            rotated = Mux(y[bit], rotated.rotate_right(1 << bit), rotated)
        keeps = mask ^ inverts.replicate(ACC_BITS)
        return Value.cast(rotated & keeps | ~keeps & (self.x[-1] & fills).replicate(ACC_BITS))


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
        fields = (self.opcode, self.use_imm, self.imm, -self.imm)
        copies = []
        for _ in range(FIELD_COPIES):
            opcode, use_imm, imm, minus_imm = fields = tuple(delayed(m, field) for field in fields)
            copies.append({"opcode": opcode, "use_imm": use_imm, "imm": imm, "minus_imm": minus_imm})
        use_imm = copies[0]["use_imm"]
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
            copy = copies[i * FIELD_COPIES // self.lanes]
            lane = LANE.place(m, platform, f"lane_{i}", **copy, x=fresh.word_select(i, ACC_BITS))
            results.append(lane["result"])
        m.d.comb += result.eq(Cat(*results))
        return m
