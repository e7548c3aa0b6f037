"""nextpnr for ECP5: a netlist is placed, then routed towards a clock that its placement can reach.

The router rips up arcs that are late for the clock asked for, and does not end before none is. So the clock
is taken from the placed design, and lowered where the router gets nowhere.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rhnas.errors import ToolFailedError
from rhnas.files import read_json, write_atomically, write_json
from rhnas.vta.fpga import LFE5U_85F
from rhnas.vta.resources import CLOCK_MHZ
from rhnas.vta.yosys import run_tool

DEVICES = {LFE5U_85F.name: ("--85k", "CABGA756")}
"""nextpnr's option and the largest package of each part."""
MARGIN = 1.03
"""The router aims this far above the clock asked for: the delays it reckons with are somewhat too short."""
REACHES = (0.97, 0.9, 0.8)
"""Parts of the placed design's estimated clock that the router tries to keep, one after another."""
PATIENCE = 40
"""Rounds without fewer conflicts than ever before, then the router is stopped. Those that ended well had 26
at most."""
MANY, FIRST_PATIENCE = 500, 15
"""While there are so many conflicts, a tenth of them must go in as many rounds. Routings that ended well more
than halved them; one that did not took half an hour to show it."""

ROUTER = "--router=router2"
"""router1 did not end on a 16x16 array."""
LATE_ARCS = "--tmg-ripup"
"""Without it router2 takes detours: a clock lower by a fifth."""
TOO_LARGE = re.compile(
    r"^ERROR: (Unable to place cell .*no BELs remaining.*|Unable to find legal placement for .*"
    r"|failed to place cell .* after relative constraint legalisation.*)$",
    re.MULTILINE,
)
"""nextpnr's words for a design that the part has no room for."""
ESTIMATE = re.compile(r"Max frequency for clock.*: ([\d.]+) MHz")
ROUND = re.compile(r"iter=\d+ .*overused=(\d+)")

Tell = Callable[[str], None]
"""Gets what is being done, in a few words."""


class StuckError(Exception):
    """The router gets nowhere."""


def place_netlist(netlist: Path, kept: Path, part: str, options: list[str], tell: Tell) -> None:
    """Place a netlist.

    Args:
        netlist: Of Yosys.
        kept: Where the report goes, with the estimated clock and the seconds; the placed design lies beside
            it, as ``.json`` in place of ``.report.json``.
        part: One of ``DEVICES``.
        options: More of nextpnr's.
        tell: Called when it begins.

    Raises:
        ToolFailedError: The netlist does not fit the part, or nextpnr fails otherwise; carries its words.
    """
    tell("placing")
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        shutil.copyfile(netlist, work / "netlist.json")
        given = [f"--freq={CLOCK_MHZ}", ROUTER, "--no-route", "--json=netlist.json", "--write=placed.json"]
        report, printed = _run(work, part, [*options, *given])
        # The report knows the clocks of routed designs only; the last estimate is that of the placed one.
        report["fmax"] = {"clk": {"achieved": float(ESTIMATE.findall(printed)[-1])}}
        write_atomically(placed_design(kept), (work / "placed.json").read_bytes())
    write_json(kept, report)


def route_placed(placed: Path, kept: Path, part: str, options: list[str], tell: Tell) -> None:
    """Route what ``place_netlist`` has placed.

    Args:
        placed: Its report; the placed design is removed once it is routed.
        kept: Where nextpnr's report goes, with the seconds of placement and routing.
        part: As it was placed.
        options: As it was placed.
        tell: Called with each clock that is tried.

    Raises:
        ToolFailedError: nextpnr fails; carries its words.
    """
    before = read_json(placed)
    estimate = before["fmax"]["clk"]["achieved"]
    targets = [min(MARGIN * CLOCK_MHZ, reach * estimate) for reach in REACHES]
    for target in dict.fromkeys(targets):
        tell(f"routing for {target:.1f} MHz, {estimate:.1f} by the placement's estimate")
        report = _routed(placed_design(placed), target, part, [*options, LATE_ARCS])
        if report is not None:
            break
    else:
        tell("routing for no clock")
        report = _routed(placed_design(placed), targets[-1], part, options)
        if report is None:
            raise ToolFailedError(
                f"the design must be routable on {part}",
                got=f"no fewer conflicts after {PATIENCE} rounds",
                fix="another seed, smaller buffers or a smaller array",
            )
    write_json(kept, {**report, "seconds": round(report["seconds"] + before["seconds"], 1)})
    placed_design(placed).unlink()


def _routed(design: Path, target_mhz: float, part: str, options: list[str]) -> dict[str, Any] | None:
    """The report of the design routed for a clock; None if it gets nowhere."""
    content = json.loads(design.read_text())
    for module in content["modules"].values():
        # What the design was placed with overrules options. It comes with its ports, which out of context
        # have no pins, and which nextpnr does not take back from a large design.
        module.get("settings", {})["target_freq"] = f"{target_mhz * 1e6:.6f}"
        module["ports"] = {}
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        (work / "placed.json").write_text(json.dumps(content))
        given = [ROUTER, "--no-pack", "--no-place", "--json=placed.json"]
        try:
            return _run(work, part, [*options, *given], patience())[0]
        except StuckError:
            return None


def patience() -> Callable[[str], None]:
    """Raises ``StuckError`` when the lines it gets say that the router's conflicts do not become fewer."""
    conflicts: list[int] = []

    def watch(line: str) -> None:
        if (found := ROUND.search(line)) is None:
            return
        conflicts.append(int(found[1]))
        last, before = conflicts[-1], conflicts[:-FIRST_PATIENCE]
        rests = before and last >= MANY and last > 0.9 * before[-1]
        if rests or min(conflicts[:-PATIENCE], default=last + 1) <= min(conflicts[-PATIENCE:]):
            raise StuckError

    return watch


def _run(
    work: Path, part: str, options: list[str], watch: Callable[[str], None] | None = None
) -> tuple[dict[str, Any], str]:
    """The report, with the seconds taken, and what was printed."""
    device, package = DEVICES[part]
    command = [device, f"--package={package}", "--out-of-context", *options]
    started = time.perf_counter()
    try:
        printed = run_tool(
            "nextpnr-ecp5", [*command, "--report=report.json", "--timing-allow-fail"], work, watch
        )
    except ToolFailedError as error:
        too_large = TOO_LARGE.search(str(error.got))
        if too_large is None:
            raise
        raise ToolFailedError(
            f"the design must fit {part}",
            got=f"of nextpnr: {too_large[1]}",
            fix="smaller buffers or a smaller array",
        ) from error
    report = json.loads((work / "report.json").read_text())
    return {**report, "seconds": round(time.perf_counter() - started, 1)}, printed


def placed_design(report: Path) -> Path:
    """Where the placed design of a report of ``place_netlist`` lies until it is routed."""
    return report.with_name(report.name.replace(".report.json", ".json"))
