"""Energy per access from published tables; every number stands with its source.

A scratchpad is a row of 32-bit-wide banks that are all read at once, so the energy of a byte follows the
capacity of one bank, depth x 4 bytes, not of the whole buffer; a tensor narrower than 32 bits is one bank.
Read on the whole buffer, the same formula would make weights three quarters of all energy. Every lane and row
of the array is charged in every step, idle or not. Leakage: none in any profile; no table here gives it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from rhnas.errors import SettingsError
from rhnas.space import DesignBatch
from rhnas.vta.rules import BATCH, BLOCK_IN, BLOCK_OUT, BUS, DerivedDepths
from rhnas.vta.timing import INSTRUCTION_BYTES, UOP_BYTES
from rhnas.workload import FloatArray, IntArray

BANK_BYTES = 4
"""Width of a scratchpad bank: a 32-bit SRAM macro."""

QUEUE_ENTRIES = 512
"""Instructions a queue holds (main ``Core.scala``)."""

EVENTS = (
    "gemm_steps",
    "reset_steps",
    "alu_immediate_steps",
    "alu_tensor_steps",
    "output_tensors",
    "beats",
    "inp_fill",
    "wgt_fill",
    "acc_fill",
    "instructions",
    "uops",
)
"""What is counted, in the order of the columns of ``event_energy``."""


@dataclass(frozen=True)
class Cited:
    """A number with its source."""

    value: float
    source: str


@dataclass(frozen=True)
class Linear:
    """Energy of an access, pJ, linear in the capacity of the memory."""

    base_pj: float
    per_kib_pj: float
    source: str

    def at(self, kib: FloatArray) -> FloatArray:
        """Energy per access, pJ, at the given capacities, any shape."""
        return self.base_pj + self.per_kib_pj * kib


@dataclass(frozen=True)
class Tabulated:
    """Energy of an access, pJ, between tabulated capacities as a power law; constant beyond the ends."""

    kib: tuple[float, ...]
    pj: tuple[float, ...]
    source: str

    def at(self, kib: FloatArray) -> FloatArray:
        """Energy per access, pJ, at the given capacities, any shape."""
        return np.asarray(np.exp(np.interp(np.log(kib), np.log(self.kib), np.log(self.pj))))


@dataclass(frozen=True, kw_only=True)
class Technology:
    """Energies of one process.

    Attributes:
        name: Of the profile.
        mac: pJ of an 8-bit multiplication and its 32-bit addition.
        alu: pJ of a 32-bit ALU operation.
        accumulator: pJ per access of a 32-bit word of the accumulator scratchpad, over its bank's KiB.
        scratchpad: pJ per access of a byte of any other scratchpad, over its bank's KiB.
        dram_byte: pJ per byte moved over the memory bus.

    Example:
        >>> round(float(TECHNOLOGIES["dosa40"].scratchpad.at(np.array(4.0))), 4)
        0.5905
    """

    name: str
    mac: Cited
    alu: Cited
    accumulator: Linear | Tabulated
    scratchpad: Linear | Tabulated
    dram_byte: Cited


_HOROWITZ = "Horowitz, ISSCC 2014, 45 nm 0.9 V"
_DOSA = "Hong et al., DOSA, MICRO 2023: Gemmini through Accelergy, 40 nm"
_SRAM_KIB = (8.0, 32.0, 1024.0)
_SRAM_64_BIT_PJ = (10.0, 20.0, 100.0)

TECHNOLOGIES: Mapping[str, Technology] = MappingProxyType(
    {
        "dosa40": Technology(
            name="dosa40",
            mac=Cited(0.5608, _DOSA),
            alu=Cited(0.1, f"{_HOROWITZ}: 32-bit integer addition; DOSA gives none"),
            accumulator=Linear(1.94, 0.1005, f"{_DOSA}: per 32-bit word, KiB of one lane"),
            scratchpad=Linear(0.49, 0.02513, f"{_DOSA}: per 8-bit word, KiB of one bank"),
            dram_byte=Cited(100.0, _DOSA),
        ),
        "horowitz45": Technology(
            name="horowitz45",
            mac=Cited(0.2 + 0.1, f"{_HOROWITZ}: 8-bit multiplication 0.2, 32-bit addition 0.1"),
            alu=Cited(0.1, f"{_HOROWITZ}: 32-bit integer addition"),
            accumulator=Tabulated(
                _SRAM_KIB, tuple(pj / 2 for pj in _SRAM_64_BIT_PJ), f"{_HOROWITZ}: half a 64-bit access"
            ),
            scratchpad=Tabulated(
                _SRAM_KIB,
                tuple(pj / 8 for pj in _SRAM_64_BIT_PJ),
                f"{_HOROWITZ}: an eighth of a 64-bit access",
            ),
            dram_byte=Cited(1950.0 / 8, f"{_HOROWITZ}: middle of 1.3 to 2.6 nJ per 64 bits"),
        ),
    }
)


def technology_named(name: str) -> Technology:
    """The profile of that name.

    Raises:
        SettingsError: There is none.
    """
    if name not in TECHNOLOGIES:
        raise SettingsError(f"technology must be one of {sorted(TECHNOLOGIES)}", got=name)
    return TECHNOLOGIES[name]


def bank_kib(depth_bits: IntArray, tensor_bytes: IntArray) -> FloatArray:
    """Capacity of the bank that one access reads, float64 (B,).

    Args:
        depth_bits: int64 (B,): log2 of the tensors in the scratchpad.
        tensor_bytes: int64 (B,).
    """
    return np.exp2(depth_bits.astype(np.float64)) * np.minimum(tensor_bytes, BANK_BYTES) / 1024


def event_energy(technology: Technology, batch: DesignBatch) -> FloatArray:
    """Energy of each counted event on each design.

    Returns:
        float64 (B, len(EVENTS)), pJ.
    """
    depth = DerivedDepths.of(batch)
    rows, ins, outs = (np.int64(1) << batch[key] for key in (BATCH, BLOCK_IN, BLOCK_OUT))
    byte, ones = technology.scratchpad, np.ones(len(batch))
    inp = rows * ins * byte.at(bank_kib(depth.inp, rows * ins))
    wgt = outs * ins * byte.at(bank_kib(depth.wgt, outs * ins))
    out = rows * outs * byte.at(bank_kib(depth.acc, rows * outs))
    lanes = rows * outs
    acc = lanes * technology.accumulator.at(bank_kib(depth.acc, BANK_BYTES * ones.astype(np.int64)))
    uop = UOP_BYTES * byte.at(bank_kib(depth.uop, np.full(len(batch), UOP_BYTES)))
    operation = lanes * technology.alu.value
    queue = INSTRUCTION_BYTES * byte.at(QUEUE_ENTRIES * BANK_BYTES / 1024 * ones)
    return np.stack(
        [
            uop + inp + wgt + acc + lanes * ins * technology.mac.value + acc + out,
            uop + acc,
            uop + acc + operation + acc + out,
            uop + 2 * acc + operation + acc + out,
            out,
            batch[BUS] // 8 * technology.dram_byte.value,
            inp,
            wgt,
            acc,
            2 * queue,
            uop,
        ],
        axis=1,
    )
