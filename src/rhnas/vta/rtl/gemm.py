"""The GEMM core: a matrix of dot products behind one accumulator port, one micro-op a cycle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Member, Out

from rhnas.vta.config import AcceleratorConfig
from rhnas.vta.rtl.accumulators import ACC_BITS, ACC_CYCLES, delayed, forwarded
from rhnas.vta.rtl.instances import Repeated
from rhnas.vta.rtl.products import OPERAND_BITS, PRODUCT_BITS
from rhnas.vta.rtl.target import GENERIC, Product, Target, hard_products, soft_products
from rhnas.vta.rtl.walk import WALK_CYCLES, Walk

DOT_MODULE = "dot_products"
"""Verilog module of a lane of the array."""
DOT_CYCLES = 6
"""Two operand registers, two of a product, and two in the adder tree."""
GEMM_CYCLES = WALK_CYCLES + 1 + DOT_CYCLES + 1
"""From a step's micro-op address to its result register: indices, operand read, dot product, accumulation."""


@dataclass(frozen=True)
class Lanes:
    """How the array is made of equal lanes, each ``outputs`` dot products that share a vector.

    Two columns share an input row; where there is one column, two rows share its weights.
    """

    batch: int
    block_out: int

    @property
    def outputs(self) -> int:
        """Dot products in a lane."""
        return min(2, self.batch * self.block_out)

    @property
    def by_column(self) -> bool:
        """Whether the dot products of a lane share an input row, not a weight column."""
        return self.block_out > 1

    def members(self) -> list[list[tuple[int, int]]]:
        """For each lane the (row, column) of its dot products.

        Example:
            >>> Lanes(2, 2).members()
            [[(0, 0), (0, 1)], [(1, 0), (1, 1)]]
            >>> Lanes(2, 1).members()
            [[(0, 0), (1, 0)]]
        """
        places = [(row, column) for row in range(self.batch) for column in range(self.block_out)]
        return [places[i : i + self.outputs] for i in range(0, len(places), self.outputs)]


def dot_bits(length: int) -> int:
    """Width of a dot product of int8 vectors.

    Example:
        >>> dot_bits(16)
        20
    """
    return PRODUCT_BITS + (length - 1).bit_length()


class DotProducts(wiring.Component):
    """One or two dot products of int8 vectors with a shared one, ``DOT_CYCLES`` later; one a cycle.

    Operands are registered twice: block RAM answers late, and a multiplier wants a register of its own.
    Products are registered twice, since the multipliers of a lane may lie far apart; the adder trees have one
    register half way and one at their ends, whatever the length.

    Args of the constructor:
        length: Of the vectors.
        outputs: Dot products.
        hard: Positions that are multiplied by the target's multipliers.
    """

    def __init__(self, length: int, outputs: int, target: Target = GENERIC, hard: int = 0) -> None:
        self.length, self.outputs = length, outputs
        self.target, self.hard = target, hard
        self.sum_bits = dot_bits(length)
        super().__init__(dict(self.ports(length, outputs)))

    @staticmethod
    def ports(length: int, outputs: int) -> Mapping[str, Member]:
        """Vectors and sums, those of one kind side by side."""
        vector = length * OPERAND_BITS
        return {"shared": In(vector), "others": In(outputs * vector), "sums": Out(outputs * dot_bits(length))}

    def elaborate(self, platform: object) -> Module:
        m = Module()
        columns: list[list[Product]] = [[] for _ in range(self.outputs)]
        shared, others = (delayed(m, port, reset_less=True) for port in (self.shared, self.others))
        for i in range(self.length):
            a = shared.word_select(i, OPERAND_BITS).as_signed()
            bs: list[Value] = [
                others.word_select(k * self.length + i, OPERAND_BITS).as_signed() for k in range(self.outputs)
            ]
            name = f"at{i}"
            hard = i < self.hard
            made = (
                hard_products(m, self.target, name, a, bs)
                if hard
                else soft_products(m, self.target, name, a, bs)
            )
            for column, product in zip(columns, made, strict=True):
                column.append(product)
        totals = Cat(*(self._total(m, column)[: self.sum_bits] for column in columns))
        m.d.comb += self.sums.eq(delayed(m, totals, reset_less=True))
        return m

    def _total(self, m: Module, products: list[Product]) -> Value:
        levels = (self.length - 1).bit_length()
        partials = _tree([product for product, _ in products], levels - levels // 2)
        total = _tree([delayed(m, partial, reset_less=True) for partial in partials], levels // 2)[0]
        carries = [carry for _, carry in products if carry is not None]
        if carries:
            total += delayed(m, _tree(carries, len(carries).bit_length())[0], reset_less=True)
        return total.as_signed()


def _tree(values: list[Value], levels: int) -> list[Value]:
    for _ in range(levels):
        pairs = [a + b for a, b in zip(values[::2], values[1::2], strict=False)]
        values = pairs + values[2 * len(pairs) :]
    return values


class GemmCore(wiring.Component):
    """``acc[dst][b][o] += sum_i inp[src][b][i] * wgt[wgt][o][i]`` over the loop of an instruction.

    Reads one micro-op, input, weight and accumulator tensor a cycle and writes one accumulator tensor;
    results still on their way to the scratchpad are forwarded, so steps may repeat a destination at any
    distance. With ``reset`` it writes zeros instead. ``done`` is high in the cycle of the last write.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        acc, inp, wgt = config.acc_index_bits, config.inp_index_bits, config.wgt_index_bits
        self.walk = Walk(
            uop_bits=config.uop_index_bits,
            fields={"dst": (0, acc), "src": (acc, inp), "wgt": (acc + inp, wgt)},
        )
        rows, inputs, outputs = config.batch, config.block_in, config.block_out
        super().__init__(
            {
                **self.walk.controls(),
                "src": Out(inp),
                "wgt": Out(wgt),
                "reset": In(1),
                "inp_data": In(rows * inputs * OPERAND_BITS),
                "wgt_data": In(outputs * inputs * OPERAND_BITS),
                "acc_index": Out(acc),
                "acc_data": In(rows * outputs * ACC_BITS),
                "write": Out(1),
                "write_index": Out(acc),
                "write_data": Out(rows * outputs * ACC_BITS),
                "done": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.walk = walk = self.walk
        walk.connect_controls(m, self)
        # Step t: indices are out. t+1: operands are out. t+7: sums are out; the accumulator is read at t+3.
        read = DOT_CYCLES + 1 - ACC_CYCLES
        due, last = (delayed(m, signal, read + 1) for signal in (walk.valid, walk.last))
        index = delayed(m, walk.dst, read)
        due_index = delayed(m, index)
        m.d.comb += [self.src.eq(walk.src), self.wgt.eq(walk.wgt), self.acc_index.eq(index)]
        m.d.comb += self.done.eq(delayed(m, last, ACC_CYCLES))
        result = Signal.like(self.write_data)
        fresh = forwarded(m, self, due=due, due_index=due_index, result=result)
        results = [
            Mux(
                self.reset, Const(0, ACC_BITS), (fresh.word_select(i, ACC_BITS).as_signed() + lane)[:ACC_BITS]
            )
            for i, lane in enumerate(self._sums(m, platform))
        ]
        m.d.comb += result.eq(Cat(*results))
        return m

    def _sums(self, m: Module, platform: object) -> list[Value]:
        """The dot products, row by row, from lanes that are instances of one module where Verilog is made."""
        config = self.config
        lanes = Lanes(config.batch, config.block_out)
        members = lanes.members()
        shape = config.block_in, lanes.outputs
        lane = Repeated(DOT_MODULE, DotProducts.ports(*shape), partial(DotProducts, *shape))
        vector = config.block_in * OPERAND_BITS
        sums: dict[tuple[int, int], Value] = {}
        for places in members:
            row, column = places[0]
            rows = Cat(*(self.inp_data.word_select(r, vector) for r in dict.fromkeys(r for r, _ in places)))
            columns = Cat(
                *(self.wgt_data.word_select(c, vector) for c in dict.fromkeys(c for _, c in places))
            )
            shared, others = (rows, columns) if lanes.by_column else (columns, rows)
            made = lane.place(m, platform, f"lane_{row}_{column}", shared=shared, others=others)
            for k, place in enumerate(places):
                sums[place] = made["sums"].word_select(k, dot_bits(config.block_in)).as_signed()
        return [sums[row, column] for row in range(config.batch) for column in range(config.block_out)]


def array_lane(config: AcceleratorConfig, target: Target) -> DotProducts:
    """The lane that the array of a configuration consists of."""
    lanes = Lanes(config.batch, config.block_out)
    hard = 0
    if target.dsps:
        hard = target.hard_positions(
            length=config.block_in, outputs=lanes.outputs, arrays=len(lanes.members())
        )
    return DotProducts(config.block_in, lanes.outputs, target, hard)
