"""FPGA parts with their boards: what there is to build with, each number with its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from rhnas.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class Fpga:
    """One part and the memory of a board that carries it.

    Attributes:
        name: The part as ``--fpga`` takes it.
        family: Of parts with the same cells, as ``vta.synthesize`` names it.
        luts: Look-up tables, of ``lut_inputs`` inputs each.
        dsps: Hard multipliers.
        bram_blocks: Block RAMs of 18 Kb.
        dram_mb_per_s: Peak bandwidth of the board's memory, 10^6 bytes a second.
        products_per_dsp: int8 products that share an operand and fit one hard multiplier.
        lut_inputs: Inputs of a look-up table.
        luts_per_multiplier: An int8 x int8 multiplier without hard multiplier, as synthesized.
        luts_per_lut6: Tables for logic that takes one six-input table.
        lut_ram_depth: Depth of a memory made of tables.
        lut_ram_luts: Tables per ``lut_ram_width`` bits of such a memory.
        lut_ram_width: See ``lut_ram_luts``.
        source: Where these numbers come from.
    """

    name: str
    family: str
    luts: int
    dsps: int
    bram_blocks: int
    dram_mb_per_s: int
    products_per_dsp: int
    lut_inputs: int
    luts_per_multiplier: int
    luts_per_lut6: float
    lut_ram_depth: int
    lut_ram_luts: int
    lut_ram_width: int
    source: str


XC7Z020 = Fpga(
    name="xc7z020",
    family="xc7",
    luts=53_200,
    dsps=220,
    bram_blocks=280,
    dram_mb_per_s=4_264,
    products_per_dsp=2,
    lut_inputs=6,
    luts_per_multiplier=78,
    luts_per_lut6=1,
    lut_ram_depth=64,
    lut_ram_luts=4,
    lut_ram_width=3,
    source="AMD DS190 (Zynq-7000 overview: 53,200 LUT, 220 DSP48E1, 140 RAMB36) and UG474 (RAM64M); ZedBoard "
    "hardware guide: 32-bit DDR3 at 1066 MT/s (PYNQ-Z1: 16 bits at 1050 MT/s, half of it)",
)
"""Part of VTA's ``pynq`` target; two int8 products per DSP48 as in Xilinx WP486."""

XCZU3EG = Fpga(
    name="xczu3eg",
    family="xc7",
    luts=70_560,
    dsps=360,
    bram_blocks=432,
    dram_mb_per_s=4_264,
    products_per_dsp=2,
    lut_inputs=6,
    luts_per_multiplier=78,
    luts_per_lut6=1,
    lut_ram_depth=64,
    lut_ram_luts=4,
    lut_ram_width=3,
    source="AMD DS891 (Zynq UltraScale+ overview: 70,560 LUT, 360 DSP48E2, 216 RAMB36) and UG574; Ultra96: "
    "32-bit LPDDR4 at 533 MHz, 1066 MT/s (esa-tu-darmstadt/tapasco issue 205)",
)
"""Part of VTA's ``ultra96`` target; two int8 products per DSP48 as in Xilinx WP486."""

LFE5U_85F = Fpga(
    name="LFE5U-85F",
    family="ecp5",
    luts=83_640,
    dsps=156,
    bram_blocks=208,
    dram_mb_per_s=1_600,
    products_per_dsp=1,
    lut_inputs=4,
    luts_per_multiplier=113,
    luts_per_lut6=1.42,
    lut_ram_depth=16,
    lut_ram_luts=6,
    lut_ram_width=4,
    source="Lattice FPGA-DS-02012 (ECP5 data sheet: 84k LUT4, of which tools report 83,640; 156 MULT18X18D, "
    "208 EBR of 18 Kb); FPGA-TN-02035 Table 6.1: DDR3 at 400 MHz, on the usual 16 bits",
)
"""The largest part of the open ECP5 tools; MULT18X18D is too narrow for two int8 products."""

PARTS: Mapping[str, Fpga] = MappingProxyType({part.name: part for part in (XC7Z020, XCZU3EG, LFE5U_85F)})


def fpga_named(name: str) -> Fpga:
    """The part of that name; upper and lower case count as equal.

    Raises:
        SettingsError: There is none.

    Example:
        >>> fpga_named("lfe5u-85f").bram_blocks
        208
    """
    for part in PARTS.values():
        if part.name.lower() == name.lower():
            return part
    raise SettingsError(f"--fpga must be one of {', '.join(PARTS)}", got=name)
