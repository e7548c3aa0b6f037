"""Proofs, for every sequence of inputs, of what simulation can only sample."""

import pytest

pytest.importorskip("amaranth", reason="the hardware extra is not installed")

from amaranth.hdl import Assert, Assume, Module, Mux, Signal

from rhnas.errors import ToolFailedError
from rhnas.vta.rtl import target
from rhnas.vta.rtl.accumulators import delayed
from rhnas.vta.rtl.storer import Storer
from rhnas.vta.rtl.target import Geometry
from rhnas.vta.rtl.tokens import MAX_TOKENS, TokenQueue
from rhnas.vta.yosys import run_tool
from tests.tools import needs_yosys

from .formal import prove

pytestmark = [pytest.mark.hardware, needs_yosys]

BOUNDARY_BYTES = 4_096
BUS_BYTES, DEPTH = 8, 32


def counted_tokens(wrong: int = 0) -> tuple[Module, list[Signal]]:
    """A token queue beside the balance of all that was pushed, lost and granted; what is too many is lost."""
    m = Module()
    m.submodules.queue = queue = TokenQueue()
    push, pop = Signal(), Signal()
    pushed = delayed(m, push)
    counted = Signal(range(2 * MAX_TOKENS))
    balance = counted + pushed
    granted = pop & queue.available
    lost = ~pop & (balance > MAX_TOKENS + wrong)
    some = Signal(attrs={"keep": 1})
    m.d.comb += [queue.push.eq(push), queue.pop.eq(pop), some.eq(counted != 0)]
    m.d.sync += counted.eq(balance - lost - granted)
    m.d.comb += [
        Assert(queue.available == (balance != 0)),
        Assert(queue.overflow == delayed(m, lost)),
        Assert(counted <= MAX_TOKENS),
    ]
    return m, [push, pop]


def test_a_token_queue_loses_and_invents_no_token(tmp_path):
    m, inputs = counted_tokens()
    prove(m, inputs, tmp_path, steps=2, invariants={"queue.count": "counted", "queue.counted": "some"})


def test_a_false_property_is_not_proved(tmp_path):
    m, inputs = counted_tokens(wrong=-1)
    with pytest.raises(ToolFailedError, match="proof did fail"):
        prove(m, inputs, tmp_path, steps=2, invariants={"queue.count": "counted", "queue.counted": "some"})


def stays(m: Module, valid: Signal, ready: Signal, payload: list[Signal]) -> None:
    """AXI: what is offered and not taken is offered unchanged in the next cycle."""
    waits = delayed(m, valid & ~ready)
    m.d.comb += Assert(~waits | valid)
    for signal in payload:
        m.d.comb += Assert(~waits | (signal == delayed(m, signal)))


def watched_writes(tensor_bytes: int, row_bytes: int) -> tuple[Module, list[Signal]]:
    """A storer, a memory that may stall and answer as it likes, and what AXI4 asks of a write channel."""
    m = Module()
    m.submodules.storer = storer = Storer(
        tensor_bits=8 * tensor_bytes, row_bits=8 * row_bytes, bus_bits=8 * BUS_BYTES, depth=DEPTH
    )
    bus = storer.bus
    fields = [storer.base, storer.sram_base, storer.x_size, storer.x_stride]
    ahead = [storer.next_dram_base, storer.next_y_size]
    inputs = [storer.start, *fields, *ahead, bus.awready, bus.wready, bus.bvalid, bus.bresp, storer.out_data]
    busy = storer.busy
    m.d.comb += Assume(~(storer.start & busy) & (storer.x_size != 0) & (storer.next_y_size != 0))
    m.d.comb += [Assume(~busy | (field == delayed(m, field))) for field in fields]
    # What the scratchpad gives stays until it is read again.
    m.d.comb += Assume(delayed(m, storer.out_read) | (storer.out_data == delayed(m, storer.out_data)))

    left = Signal(5)
    last = Signal()
    answer_due, pause = Signal(), Signal()
    addressed, sent = bus.awvalid & bus.awready, bus.wvalid & bus.wready
    under_way = (left != 0) | answer_due
    with m.If(addressed):
        m.d.sync += last.eq(storer.bursts.last)
    m.d.sync += [
        left.eq(Mux(addressed, bus.awlen + 1, left - sent)),
        answer_due.eq(Mux(answer_due, ~bus.bvalid, sent & bus.wlast)),
        pause.eq(addressed | sent),
    ]
    stays(m, bus.awvalid, bus.awready, [bus.awaddr, bus.awlen])
    stays(m, bus.wvalid, bus.wready, [bus.wdata, bus.wstrb, bus.wlast])
    inside = bus.awaddr[: BOUNDARY_BYTES.bit_length() - 1]
    m.d.comb += [
        Assume(~bus.bvalid | answer_due),
        Assert(~bus.awvalid | ~under_way),
        Assert(busy | ~(bus.awvalid | under_way)),
        Assert(~(under_way & last) | ~storer.bursts.valid),
        Assert(~storer.bursts.valid | (storer.bursts.beats != 0)),
        Assert(~bus.awvalid | (inside + BUS_BYTES * (bus.awlen + 1) <= BOUNDARY_BYTES)),
        Assert(~bus.awvalid | (bus.awaddr % BUS_BYTES == 0)),
        Assert(~bus.wvalid | (left != 0)),
        Assert(~bus.wvalid | (bus.wlast == (left == 1))),
        Assert((left == 0) | bus.wvalid | pause),
        Assert(bus.bready == answer_due),
        Assert(storer.done == (last & answer_due & bus.bvalid)),
    ]
    return m, inputs


@pytest.mark.parametrize(("tensor_bytes", "row_bytes"), [(8, 8), (32, 16), (2, 2)])
def test_the_write_channel_keeps_to_axi_whatever_the_memory_does(tensor_bytes, row_bytes, tmp_path):
    m, inputs = watched_writes(tensor_bytes, row_bytes)
    equal = {"storer.beats_left": "left", "storer.last_burst": "last"}
    prove(m, inputs, tmp_path, steps=4, invariants=equal)


SAME = """
read_verilog memories.v
hierarchy
proc
memory_map
flatten
miter -equiv -make_assert -flatten whole sliced miter
sat -verify -prove-asserts -set-init-zero -seq 6 miter
"""


@pytest.mark.parametrize("granules", [1, 2, 4, 8])
@pytest.mark.parametrize("clocked", [True, False])
def test_a_memory_in_slices_is_the_same_memory(granules, clocked, tmp_path, monkeypatch):
    geometry = Geometry(width=8, depth=2, granules=granules, clocked=clocked)
    whole = geometry.verilog().replace(geometry.module, "whole")
    monkeypatch.setattr(target, "SLICE_BITS", 2)
    sliced = geometry.verilog().replace(geometry.module, "sliced")
    (tmp_path / "memories.v").write_text(whole + sliced + geometry.slice.verilog())
    (tmp_path / "same.ys").write_text(SAME)
    assert sliced.count(f"{geometry.slice.module} slice_") == 4
    run_tool("yosys", ["same.ys"], tmp_path)
