"""One LOAD instruction: bursts out, beats in, pads in between."""

from __future__ import annotations

from typing import NamedTuple

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rhnas.vta.rtl.accumulators import delayed
from rhnas.vta.rtl.scratchpad import log2

ADDRESS_BITS = 32
BURST_BEATS = 16
"""Beats of the longest burst; bursts never cross a multiple of as many beats, hence never 4 KB."""
LENGTH_BITS = 8
SIZE_BITS, PAD_BITS = 16, 4
TRANSFER_FIELDS = {"dram_base": 32, "y_size": SIZE_BITS, "x_size": SIZE_BITS, "x_stride": SIZE_BITS}
PAD_FIELDS = {"y_pad_0": PAD_BITS, "y_pad_1": PAD_BITS, "x_pad_0": PAD_BITS, "x_pad_1": PAD_BITS}
BEAT_BITS = SIZE_BITS + 12
"""Width of beat counts within a row: 65,535 tensors of up to 2^11 beats."""
BEAT_CYCLES = 2
"""From a beat's arrival to its way into the scratchpad: known to be the loader's, placed."""
AHEAD_FIELDS = {"next_dram_base": 32, "next_y_size": SIZE_BITS}
"""What the next transfer starts with, a cycle before its ``start``."""
BURST_FIELDS = (*AHEAD_FIELDS, "x_size", "x_stride")
"""Fields that ``RowBursts`` takes."""


class RowBursts(wiring.Component):
    """Cuts the rows of a 2-D transfer into aligned bursts, one a cycle from the cycle after ``start``.

    The first row and the number of rows are taken in whenever no transfer runs.

    Args of the constructor:
        tensor_bits: Width of an element in DRAM.
        bus_bits: Width of a beat.
    """

    def __init__(self, *, tensor_bits: int, bus_bits: int) -> None:
        self.slices = max(1, tensor_bits // bus_bits)
        self.lanes = max(1, bus_bits // tensor_bits)
        self.beat_shift = log2(bus_bits // 8)
        super().__init__(
            {
                "start": In(1),
                "base": In(ADDRESS_BITS),
                **{name: In(width) for name, width in AHEAD_FIELDS.items()},
                "x_size": In(SIZE_BITS),
                "x_stride": In(SIZE_BITS),
                "valid": Out(1),
                "ready": In(1),
                "address": Out(ADDRESS_BITS),
                "beats": Out(BURST_BEATS.bit_length()),
                "first_element": Out(32),
                "row_last": Out(1),
                "last": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        element, rows = Signal(32), Signal(SIZE_BITS)
        next_rows = Signal(SIZE_BITS)
        beat, left = Signal(ADDRESS_BITS), Signal(BEAT_BITS)
        aligned = beat[: log2(BURST_BEATS)]
        room = BURST_BEATS - aligned
        taken, free, running = Signal(), Signal(), Signal()
        m.d.comb += [
            self.beats.eq(Mux(left < room, left, room)),
            self.row_last.eq(left <= room),
            self.last.eq(self.row_last & (rows == 0)),
            self.address.eq(beat << self.beat_shift),
            taken.eq(self.valid & self.ready),
            free.eq(~self.valid | (taken & self.row_last)),
            next_rows.eq(rows - 1),
        ]
        active = self.start | running
        m.d.sync += running.eq(active & ~(free & (rows == 0)))
        with m.If(~active):
            m.d.sync += [element.eq(self.next_dram_base), rows.eq(self.next_y_size)]
        with m.Elif(free & (rows != 0)):
            first, count = self._row(element)
            m.d.sync += [
                beat.eq((self.base >> self.beat_shift) + first),
                left.eq(count),
                self.first_element.eq(element),
                element.eq(element + self.x_stride),
                rows.eq(next_rows),
                self.valid.eq(1),
            ]
        with m.Elif(taken):
            # A burst that is not its row's last ends where the next one may begin.
            m.d.sync += [
                beat.eq(Cat(Const(0, len(aligned)), beat[len(aligned) :] + 1)),
                left.eq(left - room),
                self.valid.eq(~self.row_last),
            ]
        return m

    def _row(self, element: Signal) -> tuple[Value, Value]:
        """First beat and number of beats of the row that starts at ``element``."""
        if self.lanes == 1:
            shift = log2(self.slices)
            return (element << shift)[:ADDRESS_BITS], (self.x_size << shift)[:BEAT_BITS]
        bits = log2(self.lanes)
        return element[bits:], (element[:bits] + self.x_size + (self.lanes - 1)) >> bits


class Run(NamedTuple):
    """Pads that follow one another: how many, whether there is none, whether there is one."""

    tensors: Value
    over: Value
    one: Value


def chosen(condition: Value, yes: Run, no: Run) -> Run:
    """One of two runs."""
    return Run(*(Mux(condition, a, b) for a, b in zip(yes, no, strict=True)))


class Loader(wiring.Component):
    """Runs one padded 2-D load of ``tensor_bits`` elements into a scratchpad of ``depth`` tensors.

    A beat is taken whenever it comes. Pads are written in the cycles without a beat. What is for the
    scratchpad comes out of registers, ``BEAT_CYCLES`` after its beat. ``done`` is high for one cycle, that of
    the last write or the one before; ``start`` may follow at once. Fields must stay stable from ``start`` to
    ``done``, between which ``busy`` is high.

    Ports:
        request_*: To the read port; ``request_beats`` is the length of the burst.
        data_valid, data: Beats, in order.
        beat, beat_index, beat_lanes, beat_part: The beat of ``BEAT_CYCLES`` ago for the scratchpad: the
            tensor index of its first lane, the valid lanes, and, for tensors wider than the bus, which part
            it is.
        pad, pad_index: A pad tensor for the scratchpad in this cycle.
    """

    def __init__(self, *, tensor_bits: int, bus_bits: int, depth: int) -> None:
        self.bursts = RowBursts(tensor_bits=tensor_bits, bus_bits=bus_bits)
        self.index_bits = log2(depth)
        super().__init__(
            {
                "start": In(1),
                "busy": Out(1),
                "done": Out(1),
                "base": In(ADDRESS_BITS),
                "sram_base": In(16),
                **{name: In(width) for name, width in (AHEAD_FIELDS | TRANSFER_FIELDS | PAD_FIELDS).items()},
                "request_valid": Out(1),
                "request_ready": In(1),
                "request_address": Out(ADDRESS_BITS),
                "request_beats": Out(BURST_BEATS.bit_length()),
                "data_valid": In(1),
                "beat": Out(1),
                "beat_index": Out(signed(self.index_bits + 2)),
                "beat_lanes": Out(self.bursts.lanes),
                "beat_part": Out(max(1, log2(self.bursts.slices))),
                "pad": Out(1),
                "pad_index": Out(self.index_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.bursts = bursts = self.bursts
        m.d.comb += [
            bursts.start.eq(self.start),
            bursts.base.eq(self.base),
            *(getattr(bursts, name).eq(getattr(self, name)) for name in BURST_FIELDS),
            self.request_valid.eq(bursts.valid),
            bursts.ready.eq(self.request_ready),
            self.request_address.eq(bursts.address),
            self.request_beats.eq(bursts.beats),
        ]
        # Whose a beat is comes late in its cycle, from the far end of the chip.
        came = delayed(m, self.data_valid)
        active = self.busy
        # Valid in the cycle after ``start``: before any beat can come.
        row_length = delayed(m, self._between + self.x_size, reset_less=True)
        lead = self._run(m, self.y_pad_0, self.x_pad_0)
        begun = delayed(m, self.start)
        received = self._receive(m, begun, came, row_length=row_length, lead=lead.tensors)
        padded = self._pad(m, begun, came, lead)
        underway = Signal()
        m.d.comb += self.done.eq(underway & received & padded)
        with m.If(self.start):
            m.d.sync += active.eq(1)
        with m.Elif(self.done):
            m.d.sync += active.eq(0)
        m.d.sync += underway.eq(begun | (underway & ~self.done))
        return m

    def _receive(self, m: Module, begun: Signal, came: Signal, *, row_length: Signal, lead: Value) -> Signal:
        """Place the beats; returns whether all have come."""
        slices, lanes = self.bursts.slices, self.bursts.lanes
        rows, row_index = Signal(SIZE_BITS), Signal(self.index_bits)
        received = Signal(init=1)  # no rows are left
        low = Signal(max(1, log2(lanes)))  # the row's first lane
        position, part = Signal(signed(SIZE_BITS + 8)), Signal(max(1, log2(slices)))
        row_end, part_end = Signal(), Signal()
        ending = Signal()  # whether the tensor or tensors at ``position`` are the row's last
        m.d.comb += [part_end.eq(part == slices - 1), row_end.eq(part_end & ending)]
        m.d.sync += [
            self.beat.eq(came),
            self.beat_part.eq(part),
            self.beat_index.eq(Cat(row_index, Const(0, 2)).as_signed() + position),
        ]
        m.d.sync += [
            self.beat_lanes[lane].eq(came & (position + lane >= 0) & (position + lane < self.x_size))
            for lane in range(lanes)
        ]
        next_low = (low + self.x_stride)[: log2(lanes)] if lanes > 1 else Const(0, 1)
        with m.If(~self.busy):
            first = self.dram_base[: log2(lanes)] if lanes > 1 else Const(0, 1)
            m.d.sync += [
                rows.eq(self.y_size),
                received.eq(self.y_size == 0),
                low.eq(first),
                position.eq(-first),
                ending.eq(lanes - first >= self.x_size),
                part.eq(0),
            ]
        with m.Elif(begun):
            m.d.sync += row_index.eq(self.sram_base + lead)
        with m.Elif(came):
            m.d.sync += part.eq(Mux(part_end, 0, part + 1))
            with m.If(part_end):
                m.d.sync += [
                    position.eq(position + lanes),
                    ending.eq(position + 2 * lanes >= self.x_size),
                ]
            with m.If(row_end):
                m.d.sync += [
                    rows.eq(rows - 1),
                    received.eq(rows == 1),
                    row_index.eq(row_index + row_length),
                    low.eq(next_low),
                    position.eq(-next_low),
                    ending.eq(lanes - next_low >= self.x_size),
                ]
        return received

    def _pad(self, m: Module, begun: Signal, came: Signal, lead: Run) -> Value:
        """Write the pads: a first run, one between two rows, a last one.

        A run's last pad leads on to the next run; an empty run takes a cycle of its own. Whether a count is
        over is kept beside it: a comparison would come late in the cycle that ends the instruction.

        Returns:
            Whether no pad is left, once all beats have come.
        """
        run, rows = Signal(SIZE_BITS + PAD_BITS + 1), Signal(SIZE_BITS)
        run_over, rows_over = Signal(init=1), Signal(init=1)  # whether they are 0
        one_left, final = Signal(), Signal()  # whether the run is 1, and whether the rows are
        # Whether nothing follows on a run that is over, and on the last pad of one; and whether that is so:
        # it has far to go, and so a register.
        ends, ends_ahead = Signal(init=1), Signal(init=1)
        padded = Signal(init=1)
        # What follows holds from ``begun`` on.
        between = Run(self._between, delayed(m, self._between == 0), delayed(m, self._between == 1))
        tail = self._run(m, self.y_pad_1, self.x_pad_1)
        single, skips_first, none_after, no_rows, last_row = self._turns(m, lead, between)
        pad, leads_on = Signal(), Signal()
        m.d.comb += [
            pad.eq(~run_over & ~came),
            leads_on.eq(~rows_over & (run_over | (pad & one_left & ~between.over)) & ~begun),
        ]
        # As ``pad``, from a register of its own: what counts pads lies here, this one far away.
        left = Signal()
        m.d.sync += self.pad.eq(left & ~came & self.busy)
        self._pad_index(m, begun=begun, skips_first=skips_first, leads_on=leads_on)
        with m.If(begun | leads_on):
            first = chosen(skips_first, chosen(single, tail, between), lead)
            after = chosen(begun, first, chosen(final, tail, between))
            over, last = Mux(begun, no_rows, final), Mux(begun, last_row, rows == 2)
            next_ends, next_ends_ahead = over | (last & tail.over), over | (last & tail.over & ~between.over)
            m.d.sync += [
                run.eq(after.tensors),
                run_over.eq(after.over),
                left.eq(~after.over),
                one_left.eq(after.one),
                rows.eq(Mux(begun, Mux(none_after, 0, self.y_size - skips_first), rows - 1)),
                rows_over.eq(over),
                final.eq(last),
                ends.eq(next_ends),
                ends_ahead.eq(next_ends_ahead),
                padded.eq((after.over & next_ends) | (after.one & next_ends_ahead)),
            ]
        with m.Elif(pad):
            m.d.sync += [
                run.eq(run - 1),
                run_over.eq(one_left),
                left.eq(~one_left),
                one_left.eq(run == 2),
                padded.eq((one_left & ends) | ((run == 2) & ends_ahead)),
            ]
        # Once all beats are there, none keeps the last pad from being written or the last run from its turn.
        return padded

    def _turns(self, m: Module, lead: Run, between: Run) -> tuple[Value, Value, Value, Value, Value]:
        """One row or not; whether the first run is skipped, none follows a row, no or the last row begins."""
        none, single, two = (delayed(m, self.y_size == size) for size in range(3))
        skips_first, none_after = lead.over & ~between.over, between.over & delayed(m, self.y_pad_1 == 0)
        no_rows = none_after | none | (single & skips_first)
        return single, skips_first, none_after, no_rows, ~none_after & Mux(skips_first, two, single)

    def _pad_index(self, m: Module, *, begun: Signal, skips_first: Signal, leads_on: Signal) -> None:
        """Move the pads' index, a cycle after what moves it, since a beat comes late in its cycle."""
        step = Mux(delayed(m, leads_on), self.x_size, 0)
        with m.If(delayed(m, begun)):
            m.d.sync += self.pad_index.eq(self.sram_base + Mux(skips_first, self.x_size, 0))
        with m.Else():
            m.d.sync += self.pad_index.eq(self.pad_index + self.pad + step)

    def _run(self, m: Module, rows: Value, more: Value) -> Run:
        """The pads of ``rows`` padded rows and ``more``, a cycle later: three parts, each a short sum."""
        parts = rows[:2] * self.x_size, rows[2:] * self.x_size, rows * self._between + more
        low, high, pads = (delayed(m, part, reset_less=True) for part in parts)
        row_of_one = (self.x_size == 1) & (self._between == 0)
        one = (rows == 0) & (more == 1) | (rows == 1) & (more == 0) & row_of_one
        return Run(low + (high << 2) + pads, delayed(m, (rows == 0) & (more == 0)), delayed(m, one))

    @property
    def _between(self) -> Value:
        """Pads between the tensors of two rows."""
        return self.x_pad_0 + self.x_pad_1
