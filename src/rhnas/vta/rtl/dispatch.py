"""What the load, compute and store modules share: one instruction at a time, tokens before and after."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import fifo, wiring
from amaranth.lib.wiring import In, Out

from rhnas.vta.rtl.accumulators import delayed
from rhnas.vta.rtl.fetch import INSTRUCTION_BITS

QUEUE_DEPTH = 512
"""Instructions each module's queue holds (main ``core/Configs.scala``, ``instQueueEntries``)."""


class Dispatch(wiring.Component):
    """Queues a module's instructions and runs them in order.

    In a cycle with an instruction at the head and its tokens at hand the tokens are taken and ``start``
    is high; that is the last cycle in which ``instruction`` shows it, so that what runs keeps a copy.
    ``done`` posts its tokens; the next one starts a cycle later at the earliest. A ``sync`` instruction has
    no work and posts a cycle after its start.

    Ports:
        pop_prev, pop_next, prev_available, next_available: To and from the token queues it takes from.
        push_prev, push_next: To the token queues it posts to.
        sync: Whether the instruction at the head only takes and posts tokens; combinational.
        current: The instruction that runs, from the cycle after its start.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "queue_valid": In(1),
                "queue_ready": Out(1),
                "queue_data": In(INSTRUCTION_BITS),
                "instruction": Out(INSTRUCTION_BITS),
                "current": Out(INSTRUCTION_BITS),
                "start": Out(1),
                "sync": In(1),
                "done": In(1),
                "busy": Out(1),
                "pop_prev": Out(1),
                "pop_next": Out(1),
                "prev_available": In(1),
                "next_available": In(1),
                "push_prev": Out(1),
                "push_next": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.queue = queue = fifo.SyncFIFOBuffered(width=INSTRUCTION_BITS, depth=QUEUE_DEPTH)
        insn, go, finish = self.instruction, Signal(), Signal()
        wants_prev, wants_next = insn[3], insn[4]
        # The head has a register of its own, since block RAM answers late in a cycle. What runs and the head
        # count as queued.
        head, waiting = Signal(), Signal(range(QUEUE_DEPTH + 1))
        # ``finish`` comes late in its cycle, so that it is counted in the next one.
        freed = delayed(m, finish)
        taken = self.queue_valid & self.queue_ready
        m.d.sync += waiting.eq(waiting + taken - freed)
        with m.If(~head | go):
            m.d.sync += [head.eq(queue.r_rdy), insn.eq(queue.r_data)]
        m.d.comb += [
            queue.w_data.eq(self.queue_data),
            queue.w_en.eq(taken),
            self.queue_ready.eq((waiting != QUEUE_DEPTH) | freed),
            queue.r_en.eq(~head | go),
            self.pop_prev.eq(go & wants_prev),
            self.pop_next.eq(go & wants_next),
            self.push_prev.eq(finish & self.current[5]),
            self.push_next.eq(finish & self.current[6]),
        ]
        with m.If(~self.busy):
            m.d.sync += self.current.eq(insn)
        # Plain sums of products: a state machine's registers would be enabled by ``done``, which comes late,
        # and later still as an enable.
        syncing = Signal()
        tokens = (~wants_prev | self.prev_available) & (~wants_next | self.next_available)
        m.d.comb += [
            go.eq(~self.busy & ~syncing & head & tokens),
            self.start.eq(go & ~self.sync),
            finish.eq(syncing | (self.busy & self.done)),
        ]
        m.d.sync += [
            syncing.eq(go & self.sync),
            self.busy.eq(self.start | (self.busy & ~self.done)),
        ]
        return m
