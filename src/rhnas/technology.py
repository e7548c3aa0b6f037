"""Energy per access and operation from published tables; every number stands with its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from rhnas.errors import SettingsError
from rhnas.workload import FloatArray


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
