"""Dependency tokens between the load, compute and store modules."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

MAX_TOKENS = 255
"""Most tokens that may be outstanding in one queue (8-bit counter, main ``Semaphore.scala``)."""


class TokenQueue(wiring.Component):
    """Counts tokens pushed by one module and not yet popped by its neighbour.

    ``available`` says, in the same cycle, whether a pop would succeed. A push and a pop in one cycle
    cancel. A push beyond ``MAX_TOKENS`` is lost, as upstream loses it, and raises ``overflow`` in the next
    cycle: the program is wrong and the control port reports it.
    """

    push: In(1)
    pop: In(1)
    available: Out(1)
    overflow: Out(1)

    def __init__(self) -> None:
        super().__init__()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        count = Signal(range(MAX_TOKENS + 1))
        full = count == MAX_TOKENS
        m.d.sync += self.overflow.eq(self.push & ~self.pop & full)
        # Whether there is any is kept beside the count: a comparison would come late in the cycle of a pop.
        with m.If(self.push & ~self.pop):
            m.d.sync += [count.eq(Mux(full, count, count + 1)), self.available.eq(1)]
        with m.Elif(self.pop & ~self.push & self.available):
            m.d.sync += [count.eq(count - 1), self.available.eq(count != 1)]
        return m
