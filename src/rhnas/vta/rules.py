"""Rules of realizability of the VTA generator, each with an integer slack over whole batches of designs.

Names R1 to R13 follow ``docs/realizability.md``. Sources: *IL* is the Intel Labs branch ``il_contrib_0421``
of ``pasqoc/incubator-tvm-vta`` (separate block sizes, wide buses), *main* is ``apache/tvm-vta``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from rhnas.errors import SettingsError
from rhnas.space import DesignBatch, Rule
from rhnas.workload import FloatArray, IntArray

BATCH, BLOCK_IN, BLOCK_OUT = "LOG_BATCH", "LOG_BLOCK_IN", "LOG_BLOCK_OUT"
UOP_BUFFER, INP_BUFFER = "LOG_UOP_BUFF_SIZE", "LOG_INP_BUFF_SIZE"
WGT_BUFFER, ACC_BUFFER = "LOG_WGT_BUFF_SIZE", "LOG_ACC_BUFF_SIZE"
BUS = "SHL_MEM_AXI_DATA_BITS"
KEYS = (BATCH, BLOCK_IN, BLOCK_OUT, UOP_BUFFER, INP_BUFFER, WGT_BUFFER, ACC_BUFFER, BUS)
"""The choices of every VTA space, in order. ``LOG_*`` are log2 (buffers: of bytes); the bus is in bits."""

LOG_INP_BITS, LOG_WGT_BITS, LOG_ACC_BITS, LOG_UOP_BITS = 3, 3, 5, 5
"""log2 bits of an activation, a weight, an accumulator and a micro-op; fixed in this generator."""
INT8_BITS = 1 << LOG_INP_BITS
"""Bits of an activation, a weight and an output."""
LOG_BYTE_BITS = 3
KIB = 1 << 10

WORD_BITS = 64
"""Half an instruction; no field straddles the two halves (main ``hw_spec.h``, C bit-fields)."""
DEPTH_INDEX_BITS = 16
"""Width of ``sram_base`` (main ``hw_spec_const.h``, ``VTA_MEMOP_SRAM_ADDR_BIT_WIDTH``)."""
LOW_WORD_FIXED_BITS = 3 + 4 + 1 + 14 + 14
"""Opcode, flags, reset and two loop counts beside the micro-op range (main ``hw_spec.h``, ``VTAGemInsn``)."""
ALU_WORD_FIXED_BITS = 16 + 1 + 3
"""Immediate, its flag and the opcode beside the ALU loop factors (main ``hw_spec.h``, ``VTAAluInsn``)."""
BUS_WIDTHS_BITS = (64, 128, 256, 512)
"""Memory bus widths the shell supports (IL ``README.md``)."""
MIN_BLOCK_IN = 2
"""Shortest dot product of the GEMM core (main ``TensorGemm.scala:89``)."""

IntSlack = Callable[[DesignBatch], IntArray]


@dataclass(frozen=True)
class DerivedDepths:
    """log2 of the scratchpads' depths in tensors, each int64 (B,).

    A tensor of the input scratchpad is BATCH x BLOCK_IN int8, of the weights BLOCK_OUT x BLOCK_IN int8, of
    the accumulator BATCH x BLOCK_OUT int32. These are also the widths of the fields that address them.

    Example:
        >>> from rhnas.vta.spaces import DEFAULT
        >>> d = DerivedDepths.of(DesignBatch.of(DEFAULT))
        >>> int(d.uop[0]), int(d.inp[0]), int(d.wgt[0]), int(d.acc[0])
        (13, 11, 10, 11)
    """

    batch: DesignBatch

    @classmethod
    def of(cls, batch: DesignBatch) -> Self:
        """Depths of a batch; negative where a scratchpad is smaller than one tensor."""
        return cls(batch)

    @property
    def uop(self) -> IntArray:
        """U, of the micro-op scratchpad."""
        return self.batch[UOP_BUFFER] + (LOG_BYTE_BITS - LOG_UOP_BITS)

    @property
    def inp(self) -> IntArray:
        """I, of the input scratchpad."""
        batch = self.batch
        return batch[INP_BUFFER] - batch[BATCH] - batch[BLOCK_IN] + (LOG_BYTE_BITS - LOG_INP_BITS)

    @property
    def wgt(self) -> IntArray:
        """W, of the weight scratchpad."""
        batch = self.batch
        return batch[WGT_BUFFER] - batch[BLOCK_OUT] - batch[BLOCK_IN] + (LOG_BYTE_BITS - LOG_WGT_BITS)

    @property
    def acc(self) -> IntArray:
        """A, of the accumulator scratchpad; the output scratchpad has the same depth."""
        batch = self.batch
        return batch[ACC_BUFFER] - batch[BATCH] - batch[BLOCK_OUT] + (LOG_BYTE_BITS - LOG_ACC_BITS)


def _scratchpads(batch: DesignBatch) -> IntArray:
    depth = DerivedDepths.of(batch)
    return np.asarray(np.minimum.reduce([depth.uop, depth.inp, depth.wgt, depth.acc]) - 1)


def _gemm_word(batch: DesignBatch) -> IntArray:
    depth = DerivedDepths.of(batch)
    return WORD_BITS - 2 * (depth.wgt + depth.inp + depth.acc)


def _low_word(batch: DesignBatch) -> IntArray:
    uop = DerivedDepths.of(batch).uop
    return WORD_BITS - LOW_WORD_FIXED_BITS - uop - (uop + 1)


def _alu_word(batch: DesignBatch) -> IntArray:
    depth = DerivedDepths.of(batch)
    return WORD_BITS - ALU_WORD_FIXED_BITS - 2 * (depth.acc + depth.inp)


def _store(batch: DesignBatch) -> IntArray:
    row_bits = INT8_BITS << batch[BLOCK_OUT]
    tensor_bits = row_bits << batch[BATCH]
    return np.where(tensor_bits <= batch[BUS], batch[BUS] - tensor_bits, row_bits - batch[BUS])


def _dot_product(batch: DesignBatch) -> IntArray:
    return (np.int64(1) << batch[BLOCK_IN]) - MIN_BLOCK_IN


def _bus(batch: DesignBatch) -> IntArray:
    widths = np.array(BUS_WIDTHS_BITS, dtype=np.int64)
    return np.asarray(-np.abs(batch[BUS][:, None] - widths).min(axis=1))


def _depth_index(batch: DesignBatch) -> IntArray:
    depth = DerivedDepths.of(batch)
    return np.asarray(DEPTH_INDEX_BITS - np.maximum.reduce([depth.uop, depth.inp, depth.wgt, depth.acc]))


def _lanes(batch: DesignBatch) -> IntArray:
    mismatch = np.abs(batch[BLOCK_IN] - batch[BLOCK_OUT])
    return np.where(batch[BATCH] == 0, 0, -mismatch)


def as_slack(integer: IntSlack) -> Callable[[DesignBatch], FloatArray]:
    """A slack function in the form ``Rule`` wants: float64 (B,) from exact integers."""
    return lambda batch: integer(batch).astype(np.float64)


STRUCTURAL: tuple[Rule, ...] = (
    Rule(
        name="R1",
        level="structural",
        invariant="U, I, W and A >= 1: every scratchpad holds at least two tensors",
        reason="a scratchpad or a loop-factor field would have no bits",
        source="IL core/Configs.scala:71-75; IL apps/params/dsexplorer.py",
        slack=as_slack(_scratchpads),
        reads=KEYS[:7],
    ),
    Rule(
        name="R2",
        level="structural",
        invariant="2 (W + I + A) <= 64 bits",
        reason="the six loop factors of a GEMM instruction fill its high word",
        source="IL core/Decode.scala:73",
        slack=as_slack(_gemm_word),
        reads=(*KEYS[:3], *KEYS[4:7]),
    ),
    Rule(
        name="R3",
        level="structural",
        invariant="36 + U + (U + 1) <= 64 bits",
        reason="the micro-op range of a GEMM or ALU instruction fills its low word",
        source="IL core/Decode.scala:81,130; main hw_spec.h",
        slack=as_slack(_low_word),
        reads=(UOP_BUFFER,),
    ),
    Rule(
        name="R4",
        level="structural",
        invariant="20 + 2 (A + I) <= 64 bits",
        reason="the four loop factors and the immediate of an ALU instruction fill its high word",
        source="IL core/Decode.scala:123; main hw_spec.h, VTAAluInsn",
        slack=as_slack(_alu_word),
        reads=(*KEYS[:3], INP_BUFFER, ACC_BUFFER),
    ),
    Rule(
        name="R12",
        level="structural",
        invariant="the memory bus has 64, 128, 256 or 512 bits",
        reason="fetch and load units exist for these widths only",
        source="main Fetch.scala:69, FetchWideVME.scala:61; IL README.md",
        slack=as_slack(_bus),
        reads=(BUS,),
    ),
    Rule(
        name="R13",
        level="structural",
        invariant="U, I, W and A <= 16 bits",
        reason="the scratchpad address of a load or store has 16 bits",
        source="main hw_spec_const.h",
        slack=as_slack(_depth_index),
        reads=KEYS[:7],
    ),
)
"""Rules that every accelerator must keep that is to be generated, whatever runs on it."""

UPSTREAM: tuple[Rule, ...] = (
    Rule(
        name="R7",
        level="structural",
        invariant="BATCH x BLOCK_OUT x 8 <= bus bits, or BLOCK_OUT x 8 >= bus bits",
        reason="the store unit cuts a wide output tensor into whole bus words row by row",
        source="main TensorStoreNarrowVME.scala:50; IL TensorStoreNarrowVME.scala:53",
        slack=as_slack(_store),
        reads=(BATCH, BLOCK_OUT, BUS),
    ),
    Rule(
        name="R8",
        level="structural",
        invariant="BLOCK_IN >= 2",
        reason="the dot product needs at least one adder",
        source="main TensorGemm.scala:89; IL TensorGemm.scala:94",
        slack=as_slack(_dot_product),
        reads=(BLOCK_IN,),
    ),
)
"""Rules that upstream's generator needs beside; ours builds what they refuse (docs/realizability.md)."""

CHAINABLE = Rule(
    name="chainable",
    level="chainable",
    invariant="BATCH = 1 or BLOCK_IN = BLOCK_OUT",
    reason="a layer stores tensors [BATCH][BLOCK_OUT], the next reads [BATCH][BLOCK_IN], and the memory unit "
    "moves whole tensors: it cannot permute lanes",
    source="main hw_spec.h, VTAMemInsn: two-dimensional transfers of whole tensors",
    slack=as_slack(_lanes),
    reads=KEYS[:3],
)
"""Whole networks run without the host between layers."""


def macs_per_cycle(batch: DesignBatch) -> IntArray:
    """Multipliers of the array, BATCH x BLOCK_IN x BLOCK_OUT, int64 (B,)."""
    return np.int64(1) << (batch[BATCH] + batch[BLOCK_IN] + batch[BLOCK_OUT])


def sram_bytes(batch: DesignBatch) -> IntArray:
    """Bytes of the uop, inp, wgt and acc scratchpads, int64 (B,); the output one is derived."""
    return np.asarray(sum(np.int64(1) << batch[key] for key in KEYS[3:7]))


def sram_kib(batch: DesignBatch) -> IntArray:
    """The same in KiB, rounded up, int64 (B,)."""
    return -(-sram_bytes(batch) // KIB)


_LIMITS: Mapping[str, tuple[str, IntSlack, tuple[str, ...]]] = {
    "macs": ("multipliers", macs_per_cycle, KEYS[:3]),
    "bus_bits": ("bits of memory bus", lambda batch: batch[BUS], (BUS,)),
    "sram_kib": ("KiB of uop, inp, wgt and acc scratchpads", sram_kib, KEYS[3:7]),
}


def limit_rules(limits: Mapping[str, int]) -> tuple[Rule, ...]:
    """Rules that hold a design within a chip budget.

    Args:
        limits: Upper bounds by name: ``macs``, ``bus_bits``, ``sram_kib``.

    Raises:
        SettingsError: A name is unknown or a bound is not positive.

    Example:
        >>> from rhnas.vta.spaces import DEFAULT
        >>> [rule] = limit_rules({"sram_kib": 448})
        >>> rule.slack(DesignBatch.of(DEFAULT))
        array([0.])
    """
    return tuple(_limit_rule(name, bound) for name, bound in limits.items())


def _limit_rule(name: str, bound: int) -> Rule:
    if name not in _LIMITS:
        raise SettingsError(f"a limit must be one of {sorted(_LIMITS)}", got=name)
    if bound <= 0:
        raise SettingsError(f"limit {name!r} must be positive", got=bound)
    unit, amount, reads = _LIMITS[name]
    return Rule(
        name=f"limit.{name}",
        level="limit",
        invariant=f"at most {bound} {unit}",
        reason="the chip budget asked for is exceeded",
        source="--limit",
        slack=as_slack(lambda batch: bound - amount(batch)),
        reads=reads,
    )
