"""What a design takes of an FPGA, before synthesis: block RAM and multipliers from geometry, tables learnt.

Block RAM and multipliers are counted. Look-up tables are those of soft multipliers and shallow memories, and
a model of all else whose prices are fitted to syntheses (``vta.luts``); ``docs/synthesis.md`` has its error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rhnas.space import DesignBatch, Rule
from rhnas.vta.fpga import Fpga
from rhnas.vta.luts import logic_luts
from rhnas.vta.rules import (
    BATCH,
    BLOCK_IN,
    BLOCK_OUT,
    BUS,
    INT8_BITS,
    KEYS,
    LOG_ACC_BITS,
    LOG_INP_BITS,
    LOG_UOP_BITS,
    LOG_WGT_BITS,
    DerivedDepths,
    IntSlack,
    as_slack,
    macs_per_cycle,
)
from rhnas.workload import IntArray

CLOCK_MHZ = 100
"""Clock of all designs until a measured or modelled one exists (VTA's ``pynq`` target)."""

INSTRUCTION_BITS = 128

BRAM_SHAPES = ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1))
"""(depth, width) of an 18 Kb block with one read and one write port; the same on RAMB18 (AMD UG473) and
DP16KD/PDPW16KD (Lattice FPGA-TN-02204)."""
BRAM_LANE = 9
"""Bits of a block with a write enable of their own, in shapes that have several (the same sources)."""
QUEUES, QUEUE_DEPTH = 3, 512
"""Instruction queues: load, compute, store (main ``core/Configs.scala``, ``instQueueEntries``)."""
LUT_RAM_DEPTH = 64
"""Memories up to this depth are made of look-up tables, as synthesis tools do."""

LUT_MARGIN_PERCENT = 10
"""The greatest error of the model of tables, cross-validated (``docs/synthesis.md``): so much more than
it tells must fit, lest a design be proposed that does not."""

LOG_BEAT_EXPANSION = (0, 0, 0, LOG_ACC_BITS - LOG_INP_BITS, 0)
"""log2 of what a beat grows by on its way into each of the five memories (``rtl.compute``, ACC_8BIT)."""

OUT = 4
"""Index of the output scratchpad among them."""


@dataclass(frozen=True)
class Resources:
    """Estimated use of a part. Legend: B designs.

    Attributes:
        luts: Look-up tables, int64 (B,).
        dsps: Hard multipliers, int64 (B,).
        bram_blocks: 18 Kb blocks, int64 (B,).
        dram_mb_per_s: Peak traffic of the memory bus at 100 MHz, int64 (B,).
    """

    luts: IntArray
    dsps: IntArray
    bram_blocks: IntArray
    dram_mb_per_s: IntArray


@dataclass(frozen=True)
class Memories:
    """The five scratchpads as banks, in parts that are written at once; base-2 logarithms, int64 (5, B) each.

    Attributes:
        banks: log2 of the banks of each scratchpad, a memory each.
        parts: log2 of the parts of a bank's word.
        bits: log2 of a part's width.
        depth: log2 of a bank's words.
    """

    banks: IntArray
    parts: IntArray
    bits: IntArray
    depth: IntArray

    @classmethod
    def of(cls, batch: DesignBatch) -> Memories:
        """Micro-op, input, weight, accumulator and output scratchpad of a batch.

        There are as many banks as the bus brings tensors per beat. Loads write one beat at a time, so that a
        wide tensor consists of parts as wide as the bus. A beat of int8 accumulators is four times as wide
        once they are extended to 32 bits. Output tensors are written whole.
        """
        depths = DerivedDepths.of(batch)
        rows, ins, outs = (batch[key] for key in (BATCH, BLOCK_IN, BLOCK_OUT))
        tensor = np.stack(
            [
                np.full_like(rows, LOG_UOP_BITS),
                rows + ins + LOG_INP_BITS,
                outs + ins + LOG_WGT_BITS,
                rows + outs + LOG_ACC_BITS,
                rows + outs + LOG_INP_BITS,
            ]
        )  # (5, B)
        entries = np.stack([depths.uop, depths.inp, depths.wgt, depths.acc, depths.acc])
        bus = np.log2(batch[BUS]).astype(np.int64)
        banks = np.maximum(bus + np.array(LOG_BEAT_EXPANSION)[:, None] - tensor, 0)
        bits = np.minimum(tensor, bus)
        bits[OUT] = tensor[OUT]
        return cls(banks=banks, parts=tensor - bits, bits=bits, depth=np.maximum(entries - banks, 0))

    def total(self, per_bank: Callable[[int, int, int], int]) -> IntArray:
        """Sum over all banks of what one takes, by its part's width, its depth and its parts, int64 (B,)."""
        axes = (self.bits, self.depth, self.parts)
        table = np.zeros([int(log.max()) + 1 for log in axes], dtype=np.int64)
        occurs = np.zeros(table.shape, dtype=bool)
        occurs[axes] = True
        table[occurs] = [per_bank(1 << i, 1 << j, 1 << k) for i, j, k in np.argwhere(occurs).tolist()]
        return np.asarray((table[axes] << self.banks).sum(axis=0))

    def bram_blocks(self) -> IntArray:
        """18 Kb blocks, instruction queues included, int64 (B,)."""
        return self.total(bram_blocks) + QUEUES * bram_blocks(INSTRUCTION_BITS, QUEUE_DEPTH)


def bram_blocks(bits: int, depth: int, parts: int = 1) -> int:
    """18 Kb blocks of one memory in the shape that suits it best; 0 if look-up tables do.

    A block that is wider than nine bits enables each nine of them by themselves, so that it may serve two
    parts of a word.

    Args:
        bits: Width of what is written at once.
        depth: Words.
        parts: Of a word, each of ``bits``.

    Example:
        >>> bram_blocks(64, 1024), bram_blocks(128, 512), bram_blocks(64, 32)
        (4, 4, 0)
        >>> bram_blocks(256, 128, parts=4), 4 * bram_blocks(256, 128)
        (29, 32)
    """
    if depth <= LUT_RAM_DEPTH:
        return 0
    return min(
        _ceil(depth, words) * _ceil(parts * _ceil(bits, lane) * lane, width)
        for words, width in BRAM_SHAPES
        for lane in [min(width, BRAM_LANE)]
    )


def lut_ram_luts(bits: int, depth: int, part: Fpga, parts: int = 1) -> int:
    """Look-up tables of one memory that is too shallow for block RAM, else 0."""
    if depth > LUT_RAM_DEPTH:
        return 0
    return parts * _ceil(depth, part.lut_ram_depth) * _ceil(bits, part.lut_ram_width) * part.lut_ram_luts


def estimate(batch: DesignBatch, part: Fpga) -> Resources:
    """What B structurally realizable designs take of a part.

    Example:
        >>> from rhnas.vta.fpga import XC7Z020
        >>> from rhnas.vta.spaces import DEFAULT
        >>> r = estimate(DesignBatch.of(DEFAULT), XC7Z020)
        >>> int(r.dsps[0]), int(r.bram_blocks[0])
        (128, 251)
    """
    luts = np.rint(logic_luts(batch, part)).astype(np.int64) + fixed_luts(batch, part)
    return Resources(
        luts, hard_multipliers(batch, part), Memories.of(batch).bram_blocks(), memory_traffic_mb_per_s(batch)
    )


def with_margin(luts: IntArray) -> IntArray:
    """Look-up tables that must be there for as many as the model tells, both int64 (B,).

    Example:
        >>> with_margin(np.array([69_191])).tolist()  # synthesis counts 71,227
        [76111]
    """
    return np.asarray(-(-luts * (100 + LUT_MARGIN_PERCENT) // 100))


def fixed_luts(batch: DesignBatch, part: Fpga) -> IntArray:
    """Look-up tables of multipliers that find no hard one and of memories too shallow for block RAM, (B,)."""
    return soft_luts(batch, part) + Memories.of(batch).total(
        lambda bits, depth, parts: lut_ram_luts(bits, depth, part, parts)
    )


def soft_luts(batch: DesignBatch, part: Fpga) -> IntArray:
    """Look-up tables of the multipliers that find no hard one, int64 (B,)."""
    soft = macs_per_cycle(batch) - hard_products(batch, part)
    return np.asarray(np.maximum(soft, 0) * part.luts_per_multiplier)


def hard_multipliers(batch: DesignBatch, part: Fpga) -> IntArray:
    """Hard multipliers the array takes, int64 (B,).

    All lanes are alike: each gets as many positions of multipliers as the part has for all of them
    (``rtl.target.Target.hard_positions``).
    """
    return hard_products(batch, part) // _packing(batch, part)


def hard_products(batch: DesignBatch, part: Fpga) -> IntArray:
    """Products of the array that hard multipliers yield, int64 (B,)."""
    dots = np.int64(1) << (batch[BATCH] + batch[BLOCK_OUT])
    length = np.int64(1) << batch[BLOCK_IN]
    return np.asarray(np.minimum(length, part.dsps // (dots // _packing(batch, part))) * dots)


def memory_traffic_mb_per_s(batch: DesignBatch) -> IntArray:
    """Bytes a microsecond over the memory bus at 100 MHz, int64 (B,)."""
    return np.asarray(batch[BUS] // INT8_BITS * CLOCK_MHZ)


def _packing(batch: DesignBatch, part: Fpga) -> IntArray:
    """Products per hard multiplier; two of them share an input (two columns) or a weight (two rows)."""
    shared = np.where(batch[BATCH] + batch[BLOCK_OUT] > 0, part.products_per_dsp, 1)
    return np.asarray(shared, dtype=np.int64)


def _ceil(amount: int, unit: int) -> int:
    return -(-amount // unit)


def fpga_rules(part: Fpga) -> tuple[Rule, ...]:
    """Rules that a design fits a part and its board, cheapest first."""

    def rule(name: str, limit: str, reason: str, slack: IntSlack, reads: tuple[str, ...] = KEYS) -> Rule:
        return Rule(
            name=f"fpga.{name}",
            level="fpga",
            invariant=f"{limit} of {part.name}",
            reason=reason,
            source=part.source,
            slack=as_slack(slack),
            reads=reads,
        )

    return (
        rule(
            "dram",
            f"bus bytes x {CLOCK_MHZ} MHz within the {part.dram_mb_per_s} MB/s",
            "the board's memory cannot feed the bus every cycle",
            lambda batch: part.dram_mb_per_s - memory_traffic_mb_per_s(batch),
            (BUS,),
        ),
        rule(
            "dsp",
            f"within the {part.dsps} hard multipliers",
            "multipliers beyond the hard ones are made of look-up tables and count in fpga.lut",
            lambda batch: part.dsps - hard_multipliers(batch, part),
            KEYS[:3],
        ),
        rule(
            "bram",
            f"within the {part.bram_blocks} block RAMs of 18 Kb",
            "scratchpads and instruction queues need more block RAM than there is",
            lambda batch: part.bram_blocks - Memories.of(batch).bram_blocks(),
        ),
        rule(
            "lut",
            f"within the {part.luts} look-up tables, with {LUT_MARGIN_PERCENT}% more than the model tells",
            "the datapath and the multipliers without a hard one need more look-up tables than there are",
            lambda batch: part.luts - with_margin(estimate(batch, part).luts),
        ),
    )
