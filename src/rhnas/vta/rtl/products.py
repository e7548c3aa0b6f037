"""An int8 product of look-up tables: two bits of one factor choose a multiple of the other, four times."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value, signed

OPERAND_BITS = 8
PRODUCT_BITS = 2 * OPERAND_BITS
DIGITS = OPERAND_BITS // 2


def thrice(value: Value) -> Value:
    """Three times an int8: with it, every multiple that digits of two bits ask for takes no adder."""
    return value + (value << 1)


def rows(digits: Value, value: Value, three: Value, minus: Value) -> list[Value]:
    """The multiples of ``value`` that the digits of another int8 choose; two bits of weight lie between them.

    Args:
        digits: The other factor, an int8; its upper digit counts -2 and 1.
        value: An int8.
        three: ``thrice`` of it.
        minus: ``-value``, of nine bits.
    """
    choices = [(value, value << 1, three)] * (DIGITS - 1) + [(value, minus << 1, minus)]
    return [
        Mux(digits[2 * i + 1], Mux(digits[2 * i], both, high), Mux(digits[2 * i], low, 0))
        for i, (low, high, both) in enumerate(choices)
    ]


def total(m: Module, chosen: list[Value], name: str) -> Value:
    """The product from its ``rows``: two sums at once, then a third.

    Synthesis would make one sum of four rows, slower and no smaller, were the first two not kept.
    """
    halves = [Signal(signed(OPERAND_BITS + 5), name=f"{name}_half{i}", attrs={"keep": 1}) for i in range(2)]
    m.d.comb += [half.eq(chosen[2 * i] + (chosen[2 * i + 1] << 2)) for i, half in enumerate(halves)]
    return (halves[0] + (halves[1] << 4))[:PRODUCT_BITS].as_signed()
