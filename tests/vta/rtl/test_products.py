"""The product of look-up tables is the product."""

import numpy as np
import pytest

pytest.importorskip("amaranth", reason="the hardware extra is not installed")

from amaranth.hdl import Module, Signal, signed
from amaranth.sim import Simulator

from rhnas.vta.rtl.products import rows, thrice, total

INT8 = np.arange(-128, 128)


def test_products_of_all_int8_with_a_sixth_of_them_are_exact():
    m = Module()
    a, b, product = Signal(signed(8)), Signal(signed(8)), Signal(signed(16))
    m.d.comb += product.eq(total(m, rows(b, a, thrice(a), -a), "product"))

    async def multiply(ctx):
        for first in {*INT8[::6].tolist(), -1, 0, 1, 127}:
            ctx.set(a, first)
            for second in INT8.tolist():
                ctx.set(b, second)
                assert ctx.get(product) == first * second, (first, second)

    simulator = Simulator(m)
    simulator.add_testbench(multiply)
    simulator.run()
