"""How fast a design runs on an ECP5: placed and routed by nextpnr, with the path that limits it."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rhnas.errors import MissingToolError, SettingsError
from rhnas.files import cache_folder, read_json, write_atomically, write_json
from rhnas.tools import FIX, find_tool
from rhnas.vta.config import AcceleratorConfig
from rhnas.vta.fpga import LFE5U_85F
from rhnas.vta.nextpnr import (
    DEVICES,
    FIRST_PATIENCE,
    MANY,
    MARGIN,
    PATIENCE,
    REACHES,
    Tell,
    place_netlist,
    placed_design,
    route_placed,
)
from rhnas.vta.synthesize import COLLISIONS
from rhnas.vta.yosys import run_tool

SPEED_GRADES = (6, 7, 8)
"""Slowest first (Lattice FPGA-DS-02012)."""

SCRIPT = f"""
read_verilog accelerator.v
synth_ecp5 -nodsp -nowidelut -top accelerator -run begin:map_ram
{COLLISIONS}
synth_ecp5 -nodsp -nowidelut -top accelerator -run map_ram: -json netlist.json
"""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One hop of the critical path.

    Attributes:
        kind: ``clk-to-q``, ``routing``, ``logic`` or ``setup``.
        module: Where it ends.
        delay_ns: Its delay.
    """

    kind: str
    module: str
    delay_ns: float


@dataclass(frozen=True, kw_only=True)
class Placement:
    """A placed and, unless told otherwise, routed design.

    Attributes:
        accelerator: Its row of ``vta_config`` keys.
        part: The FPGA.
        speed_grade: Of the part.
        fmax_mhz: Highest clock, ports left out; without routing nextpnr's own estimate.
        routed: Whether the design has been routed.
        critical_path: From one register to the next; empty without routing.
        used: Cells of each kind of the device.
        available: Likewise what there is.
        tool: Placer and version.
        seconds: Wall-clock time of synthesis, placement and routing when they were run.
    """

    accelerator: Mapping[str, int]
    part: str
    speed_grade: int
    fmax_mhz: float
    routed: bool
    critical_path: tuple[Step, ...]
    used: Mapping[str, int]
    available: Mapping[str, int]
    tool: str
    seconds: float

    @property
    def fits(self) -> bool:
        """Whether it has been placed, which is what this type means."""
        return all(self.used[kind] <= self.available[kind] for kind in self.used)

    @property
    def critical_modules(self) -> tuple[str, ...]:
        """Modules that the critical path passes, in order."""
        return tuple(dict.fromkeys(step.module for step in self.critical_path))

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {**asdict(self), "fits": self.fits, "critical_modules": list(self.critical_modules)}


def place(
    config: AcceleratorConfig,
    part: str = LFE5U_85F.name,
    *,
    speed_grade: int = 6,
    seed: int = 1,
    routed: bool = True,
    cache: Path | None = None,
    tell: Tell = lambda doing: None,
) -> Placement:
    """Synthesize, place and route a design; ports stay inside the chip and carry no timing.

    Args:
        config: The design.
        part: ``LFE5U-85F``.
        speed_grade: 6 (slowest) to 8.
        seed: Of the placer.
        routed: Whether to route it; a large design takes as long again, and more.
        cache: Where netlists, placed designs and results are kept by the text they come from.
        tell: Called with each step that is begun.

    Raises:
        SettingsError: No open placer knows the part or its speed grade.
        MissingToolError: Amaranth, Yosys or nextpnr-ecp5 is absent.
        ToolFailedError: One of them fails, or the design is too large for the part; carries the tool's last
            lines. What was finished is kept.
    """
    if part not in DEVICES:
        raise SettingsError(f"placement must be for one of {', '.join(DEVICES)}", got=part)
    if speed_grade not in SPEED_GRADES:
        raise SettingsError("the speed grade must be 6, 7 or 8", got=speed_grade)
    folder = cache or cache_folder() / "placement"
    netlist = _netlist(config, folder, tell)
    _, tool = find_tool("nextpnr-ecp5")
    options = [f"--speed={speed_grade}", f"--seed={seed}"]
    placed = folder / _report_name(netlist.stem, tool, part, *options)
    kept = (
        folder / _report_name(placed.name, MARGIN, REACHES, PATIENCE, MANY, FIRST_PATIENCE)
        if routed
        else placed
    )
    if not kept.exists():
        if not placed.exists() or (routed and not placed_design(placed).exists()):
            place_netlist(netlist, placed, part, options, tell)
        if routed:
            route_placed(placed, kept, part, options, tell)
    report = read_json(kept)
    return Placement(
        accelerator=config.to_row(),
        part=part,
        speed_grade=speed_grade,
        fmax_mhz=round(min(clock["achieved"] for clock in report["fmax"].values()), 2),
        routed=routed,
        critical_path=critical_path(report),
        used={kind: entry["used"] for kind, entry in report["utilization"].items() if entry["used"]},
        available={
            kind: entry["available"] for kind, entry in report["utilization"].items() if entry["used"]
        },
        tool=tool,
        seconds=round(report["seconds"] + read_json(netlist.with_suffix(".seconds"))["seconds"], 1),
    )


def critical_path(report: Mapping[str, Any]) -> tuple[Step, ...]:
    """The slowest path from register to register in a report of nextpnr.

    Example:
        >>> hop = {"type": "logic", "to": {"cell": "compute.alu.sum_LUT4_Z"}, "delay": 0.24}
        >>> path = {"from": "posedge $glbnet$clk", "to": "posedge $glbnet$clk", "path": [hop]}
        >>> critical_path({"critical_paths": [path]})
        (Step(kind='logic', module='compute.alu', delay_ns=0.24),)
    """
    clocked = [path for path in report["critical_paths"] if path["from"] == path["to"] != "<async>"]
    if not clocked:
        return ()
    slowest = max(clocked, key=lambda path: sum(hop["delay"] for hop in path["path"]))
    return tuple(
        Step(
            kind=hop["type"],
            module=hop["to"]["cell"].rpartition(".")[0] or "accelerator",
            delay_ns=round(hop["delay"], 3),
        )
        for hop in slowest["path"]
    )


def _report_name(*identity: object) -> str:
    digest = hashlib.sha256("\n".join(map(str, identity)).encode())
    return f"{digest.hexdigest()[:16]}.report.json"


def _netlist(config: AcceleratorConfig, folder: Path, tell: Tell) -> Path:
    """The flattened ECP5 netlist; made once per text."""
    try:
        from rhnas.vta.rtl.emit import verilog_of
        from rhnas.vta.rtl.target import target_of
    except ModuleNotFoundError as error:
        raise MissingToolError("Amaranth must be installed", fix=FIX) from error
    verilog = verilog_of(config, target_of(LFE5U_85F))
    _, tool = find_tool("yosys")
    identity = hashlib.sha256(f"{tool}\n{SCRIPT}\n{verilog}".encode()).hexdigest()[:16]
    kept = folder / f"{identity}.json"
    if not kept.exists():
        tell("synthesizing for ECP5")
        with tempfile.TemporaryDirectory() as name:
            work = Path(name)
            (work / "accelerator.v").write_text(verilog)
            (work / "flow.ys").write_text(SCRIPT)
            started = time.perf_counter()
            run_tool("yosys", ["-q", "flow.ys"], work)
            write_json(kept.with_suffix(".seconds"), {"seconds": time.perf_counter() - started})
            write_atomically(kept, (work / "netlist.json").read_bytes())
    return kept
