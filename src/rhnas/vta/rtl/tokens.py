"""Dependency tokens between the load, compute and store modules."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

MAX_TOKENS = 255
"""Most tokens that may be outstanding in one queue (8-bit counter, main ``Semaphore.scala``)."""


class TokenQueue(wiring.Component):
    """Counts tokens pushed by one module and not yet popped by its neighbour.

    ``available`` says, in the same cycle, whether a pop would succeed; a token may be popped a cycle after
    its push. One that would be the 256th a cycle after its push is lost, as upstream loses what is more than
    ``MAX_TOKENS``, and raises ``overflow`` in the next cycle: the program is wrong and the control port
    reports it.
    """

    push: In(1)
    pop: In(1)
    available: Out(1)
    overflow: Out(1)

    def __init__(self) -> None:
        super().__init__()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # A push comes late in its cycle, from the far end of the chip: it is counted in the next one. Whether
        # any is counted is kept beside the count: a comparison would come late in the cycle of a pop.
        count = Signal(range(MAX_TOKENS + 1))
        counted = Signal()
        pushed = Signal()
        full = count == MAX_TOKENS
        m.d.sync += [pushed.eq(self.push), self.overflow.eq(pushed & ~self.pop & full)]
        m.d.comb += self.available.eq(counted | pushed)
        with m.If(pushed & ~self.pop):
            m.d.sync += [count.eq(Mux(full, count, count + 1)), counted.eq(1)]
        with m.Elif(self.pop & ~pushed & counted):
            m.d.sync += [count.eq(count - 1), counted.eq(count != 1)]
        return m
