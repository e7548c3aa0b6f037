"""A scratchpad of tensors: one read a cycle; a beat or a whole tensor written a cycle, through registers."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out


def log2(value: int) -> int:
    """The exponent of a power of two."""
    return value.bit_length() - 1


class Scratchpad(wiring.Component):
    """``depth`` tensors of ``tensor_bits`` each, filled by beats of ``beat_bits``.

    Where a tensor is wider than a beat it arrives in parts. Where it is narrower, a beat carries ``lanes``
    tensors: the memory is then cut into as many banks by the low bits of the tensor index, and a beat is
    rotated so that each tensor meets its bank, whatever the alignment on either side. What is written goes
    through registers, since the blocks of a memory lie far apart: a read two cycles later is the first to see
    it.

    Ports:
        read_index, read_data: The tensor at ``read_index`` appears in the next cycle.
        write, write_index, write_data: A whole tensor; wins over a beat in the same cycle.
        beat_index: Tensor index of the beat's first lane (signed: lanes before the first valid one may lie
            before the buffer).
        beat_data, beat_mask: With one lane the data repeat over the tensor and the mask has a bit for each of
            the tensor's granules; with several, the mask has a bit for each granule of each lane.
    """

    def __init__(
        self, *, depth: int, tensor_bits: int, beat_bits: int, granule_bits: int | None = None
    ) -> None:
        self.depth = depth
        self.tensor_bits = tensor_bits
        self.beat_bits = beat_bits
        self.granule_bits = min(granule_bits or beat_bits, tensor_bits)
        self.granules = tensor_bits // self.granule_bits
        self.lanes = max(1, beat_bits // tensor_bits)
        index = log2(depth)
        super().__init__(
            {
                "read_index": In(index),
                "read_data": Out(tensor_bits),
                "write": In(1),
                "write_index": In(index),
                "write_data": In(tensor_bits),
                "beat_index": In(signed(index + 2)),
                "beat_mask": In(self.lanes * self.granules),
                "beat_data": In(beat_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        return self._sliced(m) if self.lanes == 1 else self._banked(m)

    def _sliced(self, m: Module) -> Module:
        m.submodules.memory = mem = memory.Memory(shape=unsigned(self.tensor_bits), depth=self.depth, init=[])
        read, write = mem.read_port(), mem.write_port(granularity=self.granule_bits)
        repeated = self.beat_data.replicate(max(1, self.tensor_bits // self.beat_bits))
        m.d.comb += [
            read.addr.eq(self.read_index),
            read.en.eq(1),
            self.read_data.eq(read.data),
        ]
        m.d.sync += [
            write.addr.eq(Mux(self.write, self.write_index, self.beat_index)),
            write.data.eq(Mux(self.write, self.write_data, repeated)),
            write.en.eq(Mux(self.write, ~0, self.beat_mask)),
        ]
        return m

    def _banked(self, m: Module) -> Module:
        bank_bits = log2(self.lanes)
        rows = max(1, self.depth // self.lanes)
        read_bank, read_row = _split(self.read_index, bank_bits)
        write_bank, write_row = _split(self.write_index, bank_bits)
        selected = Signal(bank_bits)
        m.d.sync += selected.eq(read_bank)
        data = []
        for bank in range(self.lanes):
            mem = memory.Memory(shape=unsigned(self.tensor_bits), depth=rows, init=[])
            m.submodules[f"bank{bank}"] = mem
            read, write = mem.read_port(), mem.write_port(granularity=self.granule_bits)
            # The lane of the beat that meets this bank, and the tensor index it carries.
            lane = Signal(bank_bits, name=f"lane{bank}")
            index = Signal(signed(len(self.beat_index)), name=f"index{bank}")
            arrived = self.beat_data.word_select(lane, self.tensor_bits)
            mine = (write_bank == bank).replicate(self.granules)
            m.d.comb += [
                lane.eq(bank - self.beat_index),
                index.eq(self.beat_index + lane),
                read.addr.eq(read_row),
                read.en.eq(1),
            ]
            m.d.sync += [
                write.addr.eq(Mux(self.write, write_row, index[bank_bits:])),
                write.data.eq(Mux(self.write, self.write_data, arrived)),
                write.en.eq(Mux(self.write, mine, self.beat_mask.word_select(lane, self.granules))),
            ]
            data.append(read.data)
        m.d.comb += self.read_data.eq(Cat(*data).word_select(selected, self.tensor_bits))
        return m


class OutputScratchpad(wiring.Component):
    """``depth`` tensors: one written a cycle, one read a cycle or as many as a beat of the bus holds.

    Ports:
        write, write_index, write_data: A tensor.
        read: Whether to read; otherwise ``read_data`` stays.
        read_index: Of the tensor in the first lane (signed: lanes before the first that counts may lie before
            the buffer).
        read_data: The tensors from there on, in the next cycle.
    """

    def __init__(self, *, depth: int, tensor_bits: int, bus_bits: int) -> None:
        self.depth = depth
        self.tensor_bits = tensor_bits
        self.lanes = max(1, bus_bits // tensor_bits)
        index = log2(depth)
        super().__init__(
            {
                "write": In(1),
                "write_index": In(index),
                "write_data": In(tensor_bits),
                "read": In(1),
                "read_index": In(signed(index + 2)),
                "read_data": Out(self.lanes * tensor_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bank_bits = log2(self.lanes)
        rows = max(1, self.depth // self.lanes)
        write_bank, write_row = _split(self.write_index, bank_bits)
        first = Signal(bank_bits)
        with m.If(self.read):
            m.d.sync += first.eq(self.read_index)
        data = []
        for bank in range(self.lanes):
            mem = memory.Memory(shape=unsigned(self.tensor_bits), depth=rows, init=[])
            m.submodules[f"bank{bank}"] = mem
            read, write = mem.read_port(), mem.write_port()
            lane = Signal(bank_bits, name=f"lane{bank}")
            m.d.comb += [
                lane.eq(bank - self.read_index),
                read.addr.eq((self.read_index + lane)[bank_bits:]),
                read.en.eq(self.read),
                write.addr.eq(write_row),
                write.data.eq(self.write_data),
                write.en.eq(self.write & (write_bank == bank)),
            ]
            data.append(read.data)
        for lane in range(self.lanes):
            bank = (first + lane)[:bank_bits] if bank_bits else Const(0)
            m.d.comb += self.read_data.word_select(lane, self.tensor_bits).eq(
                Cat(*data).word_select(bank, self.tensor_bits)
            )
        return m


def _split(index: Signal, bank_bits: int) -> tuple[Value, Value]:
    """The bank and the row of a tensor index; a shallow scratchpad has one row."""
    wide = Cat(index, Const(0, bank_bits + 1))
    return wide[:bank_bits], wide[bank_bits:]
