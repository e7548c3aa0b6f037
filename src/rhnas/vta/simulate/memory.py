"""Memories of the simulator: a sparse DRAM of 4 GiB and the five scratchpads, all zero at first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from rhnas.errors import ProgramError
from rhnas.vta.compiled import compiled, entry
from rhnas.vta.config import AcceleratorConfig
from rhnas.vta.isa import Opcode

ADDRESS_BITS = 32
"""The host registers that hold base addresses have 32 bits (VCR.scala)."""
DRAM_BYTES = 1 << ADDRESS_BITS
PAGE_BITS = 12
PAGE_BYTES = 1 << PAGE_BITS
PAGES = DRAM_BYTES >> PAGE_BITS
MAX_PAGES = 1 << 18
"""Pages a program may fill: 1 GiB."""

_STORE = int(Opcode.STORE)

ByteArray = NDArray[np.uint8]
BoolArray = NDArray[np.bool_]


class Dram(NamedTuple):
    """Byte-addressed memory; only pages that a segment or a STORE touches exist.

    Attributes:
        slot: int32 (PAGES,): where a page lies in ``data``; 0 for pages that read as zero.
        data: uint8 (slots * PAGE_BYTES,); slot 0 stays zero.
        written: bool, shaped like ``data``.
    """

    slot: NDArray[np.int32]
    data: ByteArray
    written: BoolArray

    @classmethod
    def holding(cls, segments: Iterable[tuple[int, ByteArray]], pages: BoolArray) -> Self:
        """A memory with the segments in it and room for further pages.

        Args:
            segments: (address, bytes) pairs within the 4 GiB.
            pages: bool (PAGES,): pages that will be written; changed.

        Raises:
            ProgramError: The pages exceed 1 GiB.
        """
        kept = list(segments)
        for address, content in kept:
            pages[address >> PAGE_BITS : (address + len(content) + PAGE_BYTES - 1) >> PAGE_BITS] = True
        kept_pages = np.flatnonzero(pages)
        if len(kept_pages) > MAX_PAGES:
            size = f"{len(kept_pages) >> (30 - PAGE_BITS)} GiB"
            raise ProgramError("segments and stores must touch at most 1 GiB of memory", got=size)
        slot = np.zeros(PAGES, dtype=np.int32)
        slot[kept_pages] = np.arange(1, len(kept_pages) + 1)
        data = np.zeros((len(kept_pages) + 1) << PAGE_BITS, dtype=np.uint8)
        memory = cls(slot, data, np.zeros(len(data), dtype=np.bool_))
        for address, content in kept:  # pages lie in their order, so that a segment's bytes are contiguous
            at = (int(slot[address >> PAGE_BITS]) << PAGE_BITS) + address % PAGE_BYTES
            data[at : at + len(content)] = content
            memory.written[at : at + len(content)] = True
        return memory

    def read(self, address: int, size: int) -> ByteArray:
        """``size`` bytes from ``address`` on."""
        content = np.zeros(size, dtype=np.uint8)
        start = 0
        while start < size:
            offset = (address + start) % PAGE_BYTES
            stop = min(size, start + PAGE_BYTES - offset)
            at = (int(self.slot[(address + start) >> PAGE_BITS]) << PAGE_BITS) + offset
            content[start:stop] = self.data[at : at + stop - start]
            start = stop
        return content


class Scratchpads(NamedTuple):
    """On-chip memories, a tensor per row, and which rows were ever written.

    int8 inputs and weights are kept as int16, so that products of pairs vectorise.

    Attributes:
        uop: int32 (U, 1).
        inp: int16 (I, BATCH * BLOCK_IN).
        wgt: int16 (W, BLOCK_OUT * BLOCK_IN).
        acc: int32 (A, BATCH * BLOCK_OUT).
        out: int8 (A, BATCH * BLOCK_OUT): the low bytes of the accumulators as GEMM and ALU wrote them.
        uop_written: bool (U,); likewise the others.
    """

    uop: NDArray[np.int32]
    inp: NDArray[np.int16]
    wgt: NDArray[np.int16]
    acc: NDArray[np.int32]
    out: NDArray[np.int8]
    uop_written: BoolArray
    inp_written: BoolArray
    wgt_written: BoolArray
    acc_written: BoolArray
    out_written: BoolArray

    @classmethod
    def of(cls, config: AcceleratorConfig) -> Self:
        """Scratchpads of a configuration, all zero."""
        rows, columns = config.batch * config.block_out, config.batch * config.block_in
        flags = (config.uop_depth, config.inp_depth, config.wgt_depth, config.acc_depth, config.out_depth)
        return cls(
            np.zeros((config.uop_depth, 1), dtype=np.int32),
            np.zeros((config.inp_depth, columns), dtype=np.int16),
            np.zeros((config.wgt_depth, config.block_out * config.block_in), dtype=np.int16),
            np.zeros((config.acc_depth, rows), dtype=np.int32),
            np.zeros((config.out_depth, rows), dtype=np.int8),
            *(np.zeros(depth, dtype=np.bool_) for depth in flags),
        )


@compiled
def place(dram, address):  # type: ignore[no-untyped-def]
    """Where a byte lies in ``dram.data``."""
    return (np.int64(dram.slot[address >> PAGE_BITS]) << PAGE_BITS) | (address & (PAGE_BYTES - 1))


@entry
def mark_stores(table, memory, pages):  # type: ignore[no-untyped-def]
    """Mark the DRAM pages that STOREs will write; those out of range fail when they run."""
    for insn in table:
        if insn.opcode != _STORE or insn.x_size == 0:
            continue
        for y in range(insn.y_size):
            start = memory.base + (insn.dram_base + y * insn.x_stride) * memory.tensor_bytes
            end = start + insn.x_size * memory.tensor_bytes
            for page in range(start >> PAGE_BITS, min((end - 1) >> PAGE_BITS, len(pages) - 1) + 1):
                pages[page] = True
