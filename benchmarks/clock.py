"""How fast an accelerator's RTL runs on LFE5U-85F: placed and routed, with the path that limits it.

With ``--no-route`` it is placed only, half an hour for a large array; the clock in ``NAME-unrouted.json`` is
nextpnr's estimate.

``python benchmarks/clock.py --accelerator LOG_BLOCK=3`` writes ``results/placement/NAME.json`` and prints the
path; netlists and routed reports are kept in the cache folder by the text they come from. A small array with
the index widths of a large one has its control and the lanes of its data paths, and takes ten minutes of CPU
time instead of hours.
"""

import argparse
import sys
from itertools import groupby
from pathlib import Path

from rhnas.files import write_json
from rhnas.provenance import provenance
from rhnas.vta.config import AcceleratorConfig, parse_accelerator
from rhnas.vta.place import SPEED_GRADES, Placement, place
from rhnas.vta.resources import CLOCK_MHZ

RESULTS = Path(__file__).parents[1] / "results" / "placement"


def print_path(found: Placement) -> None:
    """Print the path, module by module."""
    for module, passed in groupby(found.critical_path, lambda step: step.module):
        steps = list(passed)
        routing = sum(step.delay_ns for step in steps if step.kind == "routing")
        rest = sum(step.delay_ns for step in steps) - routing
        print(f"  {module}: {rest:.2f} ns in {len(steps)} steps, and {routing:.2f} ns of routing")


def main() -> None:
    """Place one accelerator."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--accelerator", default="default", help="KEY=VAL,KEY=VAL or a vta_config.json")
    parser.add_argument("--speed-grade", type=int, default=SPEED_GRADES[0], choices=SPEED_GRADES)
    parser.add_argument("--seed", type=int, default=1, help="of the placer")
    parser.add_argument("--no-route", action="store_true", help="place only; the clock is an estimate")
    given = parser.parse_args()
    config = AcceleratorConfig.from_row(parse_accelerator(given.accelerator))
    found = place(
        config,
        speed_grade=given.speed_grade,
        seed=given.seed,
        routed=not given.no_route,
        tell=lambda doing: print(f"{config.name}: {doing}", file=sys.stderr),
    )
    command = " ".join(["python", "benchmarks/clock.py", *sys.argv[1:]])
    kept = found.to_json() | {"command": command, "provenance": provenance(seed=given.seed)}
    ending, how = ("", "routed") if found.routed else ("-unrouted", "estimated before routing")
    write_json(RESULTS / f"{config.name}{ending}.json", kept)
    print(f"{config.name}: {found.fmax_mhz} MHz {how}, {CLOCK_MHZ} asked for; {found.tool}")
    print_path(found)


if __name__ == "__main__":
    main()
