"""What a design takes of an FPGA, synthesized by Yosys module by module.

Hierarchy is kept: every distinct module is synthesized once, with its children as black boxes, and counted
as often as it occurs; so one lane stands for all lanes, and results of modules that designs share are reused
from the cache. Memories stay macros: block RAM of the family, or black boxes where the family is generic.
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from rhnas.errors import MissingToolError, SettingsError
from rhnas.files import cache_folder, write_json
from rhnas.tools import FIX, find_tool
from rhnas.vta.config import AcceleratorConfig
from rhnas.vta.fpga import Fpga, fpga_named
from rhnas.vta.netlist import Unit, instances, units_of
from rhnas.vta.yosys import run_tool

GENERIC = "generic"
FAMILIES = ("xc7", "ecp5", GENERIC)

LUTS: Mapping[str, Mapping[str, int]] = {
    "xc7": {
        **{f"LUT{inputs}": 1 for inputs in range(1, 7)},
        "INV": 1,
        "RAM32M": 4,
        "RAM64M": 4,
        "RAM32X1D": 2,
        "RAM64X1D": 2,
        "RAM128X1D": 4,
        "RAM256X1D": 8,
        "SRL16E": 1,
        "SRLC16E": 1,
        "SRLC32E": 1,
    },
    "ecp5": {"LUT4": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 6},
    GENERIC: {"$lut": 1},
}
"""Look-up tables that a cell takes (AMD UG474; Lattice FPGA-TN-02204: 16 x 4 bits take three slices)."""
FLIP_FLOPS = {
    "xc7": ("FDRE", "FDSE", "FDCE", "FDPE"),
    "ecp5": ("TRELLIS_FF",),
    GENERIC: ("$_DFF_", "$_SDFF", "$_DFFE"),
}
"""Beginnings of the names of flip-flops."""
MULTIPLIERS = {"xc7": ("DSP48E1",), "ecp5": ("MULT18X18D",), GENERIC: ()}
BLOCK_RAMS: Mapping[str, Mapping[str, int]] = {
    "xc7": {"RAMB18E1": 1, "RAMB36E1": 2},
    "ecp5": {"DP16KD": 1, "PDPW16KD": 1},
    GENERIC: {},
}
"""Blocks of 18 Kb that a cell takes."""

# A word that is read while it is written may come out as anything: the accelerator never uses one.
COLLISIONS = "setparam -set RD_COLLISION_X_MASK 1'1 t:$mem_v2 r:WR_PORTS=1 %i r:RD_CLK_ENABLE=1'1 %i"
SCRIPTS = {
    "xc7": f"""
synth_xilinx -family xc7 -nodsp -noiopad -noclkbuf -top units -run begin:map_memory
{COLLISIONS}
synth_xilinx -family xc7 -nodsp -noiopad -noclkbuf -top units -run map_memory:check
""",
    "ecp5": f"""
synth_ecp5 -nodsp -nowidelut -noflatten -top units -run begin:map_ram
{COLLISIONS}
synth_ecp5 -nodsp -nowidelut -noflatten -top units -run map_ram:check
""",
    GENERIC: """
synth -top units -run begin:fine
opt -fast
techmap
opt -fast
abc -lut 6
opt_clean
""",
}


KEPT_DESIGNS = 8
"""Designs whose Verilog is kept in memory."""


@dataclass(frozen=True, kw_only=True)
class ModuleUse:
    """What one module takes by itself, without the modules in it.

    Attributes:
        name: Of the module.
        instances: How often it occurs; the numbers below are of one.
        luts: Look-up tables: six-input on AMD parts, four-input on ECP5, six-input in generic logic.
        flip_flops: Flip-flops.
        dsps: Multiplier blocks.
        bram_blocks: Block RAMs of 18 Kb.
        srams: Memories left as black boxes (generic only).
    """

    name: str
    instances: int
    luts: int
    flip_flops: int
    dsps: int
    bram_blocks: int
    srams: int


@dataclass(frozen=True, kw_only=True)
class Synthesis:
    """Resources of one design.

    Attributes:
        accelerator: Its row of ``vta_config`` keys.
        family: ``xc7``, ``ecp5`` or ``generic``.
        part: Whose multipliers it may use; None for a generic synthesis.
        modules: Largest first.
        tool: Synthesizer and version.
        seconds: Wall-clock time spent here; what came from the cache took none.
    """

    accelerator: Mapping[str, int]
    family: str
    part: str | None
    modules: tuple[ModuleUse, ...]
    tool: str
    seconds: float

    def _total(self, field: str) -> int:
        return sum(module.instances * getattr(module, field) for module in self.modules)

    @property
    def luts(self) -> int:
        """Look-up tables of the whole design."""
        return self._total("luts")

    @property
    def flip_flops(self) -> int:
        """Flip-flops of the whole design."""
        return self._total("flip_flops")

    @property
    def dsps(self) -> int:
        """Multiplier blocks of the whole design."""
        return self._total("dsps")

    @property
    def bram_blocks(self) -> int:
        """18 Kb block RAMs of the whole design."""
        return self._total("bram_blocks")

    def budget(self) -> dict[str, dict[str, int]]:
        """For each resource of the part what is used and what there is; empty for a generic synthesis."""
        if self.part is None:
            return {}
        part = fpga_named(self.part)
        return {
            name: {"used": getattr(self, name), "available": getattr(part, name)}
            for name in ("luts", "dsps", "bram_blocks")
        }

    @property
    def fits(self) -> bool:
        """Whether the part has all that is used."""
        return all(entry["used"] <= entry["available"] for entry in self.budget().values())

    def to_json(self) -> dict[str, Any]:
        """Totals, budget and modules as plain values."""
        return {
            "accelerator": dict(self.accelerator),
            "family": self.family,
            "part": self.part,
            "luts": self.luts,
            "flip_flops": self.flip_flops,
            "dsps": self.dsps,
            "bram_blocks": self.bram_blocks,
            "budget": self.budget(),
            "fits": self.fits,
            "modules": [asdict(module) for module in self.modules],
            "tool": self.tool,
            "seconds": round(self.seconds, 1),
        }


BLOCK_RAM_MODULE = re.compile(r"memory_\d+x\d{3,}_\d+_clocked")
"""Memories of 100 words and more (``rtl.target.Geometry``); they take no look-up tables."""


def synthesize(
    config: AcceleratorConfig, part: str = "xc7z020", *, cache: Path | None = None, block_rams: bool = True
) -> Synthesis:
    """Synthesize a design for a part.

    Args:
        config: The design.
        part: A part of ``vta.fpga``, or ``generic``.
        cache: Where modules' results are kept; ``rhnas.files.cache_folder`` by default.
        block_rams: Without them large memories are left out, which is quicker.

    Returns:
        The resources. A design too large for its part is returned as well; its ``fits`` says so.

    Raises:
        MissingToolError: Amaranth or Yosys is absent.
        ToolFailedError: Yosys fails; carries its last lines.
    """
    started = time.perf_counter()
    device = None if part == GENERIC else fpga_named(part)
    family = GENERIC if device is None else device.family
    units, top = design_units(config, device)
    used = {
        name: number
        for name, number in instances(units, top).items()
        if block_rams or not BLOCK_RAM_MODULE.fullmatch(name)
    }
    counts = synthesize_units([units[name] for name in used], family, cache=cache)
    uses = [module_use(units[name], number, counts[units[name].key], family) for name, number in used.items()]
    return Synthesis(
        accelerator=config.to_row(),
        family=family,
        part=None if device is None else device.name,
        modules=tuple(sorted(uses, key=lambda use: (-use.instances * use.luts, use.name))),
        tool=find_tool("yosys")[1],
        seconds=time.perf_counter() - started,
    )


@lru_cache(maxsize=KEPT_DESIGNS)
def design_units(config: AcceleratorConfig, device: Fpga | None) -> tuple[dict[str, Unit], str]:
    """Modules of a design by name, and the top one's name.

    Raises:
        MissingToolError: Amaranth is absent.
    """
    try:
        from rhnas.vta.rtl.emit import TOP, verilog_of
        from rhnas.vta.rtl.target import target_of
    except ModuleNotFoundError as error:
        raise MissingToolError("Amaranth must be installed", fix=FIX) from error
    return units_of(verilog_of(config, target_of(device))), TOP


def module_use(unit: Unit, number: int, cells: Mapping[str, int], family: str) -> ModuleUse:
    """Cells by type as resources."""

    def weighed(weights: Mapping[str, int]) -> int:
        return sum(weights.get(cell, 0) * count for cell, count in cells.items())

    return ModuleUse(
        name=unit.name.removeprefix("\\accelerator."),
        instances=number,
        luts=weighed(LUTS[family]),
        flip_flops=sum(count for cell, count in cells.items() if cell.startswith(FLIP_FLOPS[family])),
        dsps=sum(cells.get(cell, 0) for cell in MULTIPLIERS[family]),
        bram_blocks=weighed(BLOCK_RAMS[family]),
        srams=cells.get("$mem_v2", 0),
    )


def synthesize_units(
    units: list[Unit], family: str, *, cache: Path | None = None
) -> dict[str, dict[str, int]]:
    """Cells by type of each unit, by its key; equal units are synthesized once, and never twice on a machine.

    Raises:
        SettingsError: The family is unknown.
        MissingToolError: Yosys is absent.
        ToolFailedError: Yosys fails.
    """
    if family not in SCRIPTS:
        raise SettingsError(f"the family must be one of {', '.join(FAMILIES)}", got=family)
    _, tool = find_tool("yosys")
    flow = hashlib.sha256(f"{tool}\n{SCRIPTS[family]}".encode()).hexdigest()[:8]
    folder = (cache or cache_folder() / "synthesis") / f"{family}-{flow}"
    wanted = {unit.key: unit for unit in units}
    missing = {key: unit for key, unit in wanted.items() if not (folder / f"{key}.json").exists()}
    if missing:
        for key, cells in _run(list(missing.values()), family).items():
            write_json(folder / f"{key}.json", cells)
    return {key: json.loads((folder / f"{key}.json").read_text()) for key in wanted}


def _run(units: list[Unit], family: str) -> dict[str, dict[str, int]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        holder = "".join(f"(* keep *) {unit.module} i_{unit.key} ();\n" for unit in units)
        text = "".join(unit.text for unit in units)
        (folder / "units.v").write_text(f"{text}\nmodule units();\n{holder}endmodule\n")
        script = f"read_verilog units.v\n{SCRIPTS[family]}\ntee -q -o cells.json stat -json\n"
        (folder / "flow.ys").write_text(script)
        run_tool("yosys", ["-q", "flow.ys"], folder)
        told = json.loads((folder / "cells.json").read_text())["modules"]
    return {unit.key: _cells(told[f"\\{unit.module}"]["num_cells_by_type"]) for unit in units}


def _cells(told: Mapping[str, int]) -> dict[str, int]:
    """Cells that are not the module's children."""
    named = {cell.removeprefix("\\"): number for cell, number in told.items()}
    return {cell: number for cell, number in named.items() if not re.match(r"u_[0-9a-f]{16}", cell)}
