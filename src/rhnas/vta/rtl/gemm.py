"""The GEMM core: a matrix of dot products behind one accumulator port, one micro-op a cycle."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rhnas.vta.config import AcceleratorConfig
from rhnas.vta.rtl.accumulators import ACC_BITS, delayed, forwarded
from rhnas.vta.rtl.walk import WALK_CYCLES, Walk

OPERAND_BITS = 8
DOT_CYCLES = 4
"""Operand registers, product registers, and two registers in the adder tree."""
GEMM_CYCLES = WALK_CYCLES + 1 + DOT_CYCLES + 1
"""From a step's micro-op address to its result register: indices, operand read, dot product, accumulation."""


class DotProduct(wiring.Component):
    """The dot product of two int8 vectors, ``DOT_CYCLES`` later; one a cycle.

    Operands and products are registered, as a DSP block wants it; the adder tree has one register half way
    and one at its end, whatever the length.
    """

    def __init__(self, length: int) -> None:
        self.length = length
        self.sum_bits = 2 * OPERAND_BITS + length.bit_length()
        super().__init__(
            {
                "a": In(length * OPERAND_BITS),
                "b": In(length * OPERAND_BITS),
                "sum": Out(signed(self.sum_bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        products: list[Value] = []
        for i in range(self.length):
            a, b = (Signal(signed(OPERAND_BITS), name=f"{port}{i}") for port in "ab")
            product = Signal(signed(2 * OPERAND_BITS), name=f"product{i}")
            m.d.sync += [
                a.eq(self.a.word_select(i, OPERAND_BITS)),
                b.eq(self.b.word_select(i, OPERAND_BITS)),
                product.eq(a * b),
            ]
            products.append(product)
        levels = (self.length - 1).bit_length()
        half = _tree(products, levels - levels // 2)
        registered = []
        for i, value in enumerate(half):
            partial = Signal(signed(self.sum_bits), name=f"partial{i}")
            m.d.sync += partial.eq(value)
            registered.append(partial)
        m.d.sync += self.sum.eq(_tree(registered, levels // 2)[0])
        return m


def _tree(values: list[Value], levels: int) -> list[Value]:
    for _ in range(levels):
        values = [a + b for a, b in zip(values[::2], values[1::2], strict=True)]
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
        # Step t: indices are out. t+1: operands are out. t+5: sums are out; the accumulator is read at t+4.
        signals = (walk.valid, walk.last, walk.dst)
        valid, last, index = (delayed(m, signal, DOT_CYCLES) for signal in signals)
        m.d.comb += [self.src.eq(walk.src), self.wgt.eq(walk.wgt), self.acc_index.eq(index)]
        due_index = delayed(m, index)
        m.d.sync += [
            self.write.eq(delayed(m, valid)),
            self.done.eq(delayed(m, last)),
            self.write_index.eq(due_index),
        ]
        self._lanes(m, forwarded(m, self, due_index))
        return m

    def _lanes(self, m: Module, fresh: Signal) -> None:
        results = []
        config = self.config
        for row in range(config.batch):
            for column in range(config.block_out):
                lane = DotProduct(config.block_in)
                m.submodules[f"lane_{row}_{column}"] = lane
                total = fresh.word_select(row * config.block_out + column, ACC_BITS).as_signed() + lane.sum
                results.append(Mux(self.reset, Const(0, ACC_BITS), total[:ACC_BITS]))
                m.d.comb += [
                    lane.a.eq(self.inp_data.word_select(row, config.block_in * OPERAND_BITS)),
                    lane.b.eq(self.wgt_data.word_select(column, config.block_in * OPERAND_BITS)),
                ]
        m.d.sync += self.write_data.eq(Cat(*results))
