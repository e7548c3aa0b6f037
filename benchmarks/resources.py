"""Synthesize a designed sample of accelerators and see how well the resource model predicts it.

``python benchmarks/resources.py --part xc7z020 --designs 60`` goes on where it stopped: a design that has a
file in ``results/synthesis/PART/`` is skipped. ``--designs 0`` only prints the comparison.

The sample starts with the default and adds the design farthest from all chosen ones (by steps along the
choices), out of 2,000 drawn at random with ``--seed``; any beginning of it covers the space evenly.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np

from rhnas.files import read_json, write_json
from rhnas.provenance import provenance
from rhnas.space import DesignBatch
from rhnas.vta.config import AcceleratorConfig
from rhnas.vta.fpga import PARTS
from rhnas.vta.resources import estimate
from rhnas.vta.rules import macs_per_cycle
from rhnas.vta.spaces import DEFAULT, VTA_WIDE
from rhnas.vta.synthesize import KEPT_DESIGNS, design_units, synthesize, synthesize_units

RESULTS = Path(__file__).parents[1] / "results" / "synthesis"
CANDIDATES = 2_000
FIELDS = ("luts", "dsps", "bram_blocks")


def sample(designs: int, *, macs: int, seed: int) -> list[dict[str, int]]:
    """Rows of a space-filling sample of realizable designs of at most ``macs`` multipliers."""
    rng = np.random.default_rng(seed)
    drawn = VTA_WIDE.feasible().sample(4 * CANDIDATES, rng)
    drawn = drawn[macs_per_cycle(VTA_WIDE.decode(drawn)) <= macs][:CANDIDATES]
    steps = np.array(VTA_WIDE.shape) - 1
    points = np.vstack([VTA_WIDE.encode(DEFAULT), drawn]) / steps
    chosen, nearest = [0], np.linalg.norm(points - points[0], axis=1)
    while len(chosen) < designs:
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, np.linalg.norm(points - points[chosen[-1]], axis=1))
    batch = VTA_WIDE.decode(np.rint(points[chosen] * steps).astype(np.int64))
    return [batch.row(index) for index in range(len(chosen))]


def run(part: str, rows: list[dict[str, int]]) -> None:
    """Synthesize what has no file yet."""
    configs = [AcceleratorConfig.from_row(row) for row in rows]
    paths = {config: RESULTS / part / f"{config.name}.json" for config in configs}
    missing = [config for config in configs if not paths[config].exists()]
    command = " ".join(["python", "benchmarks/resources.py", *sys.argv[1:]])
    for start in range(0, len(missing), KEPT_DESIGNS):
        group, started = missing[start : start + KEPT_DESIGNS], time.perf_counter()
        units = [unit for config in group for unit in design_units(config, PARTS[part])[0].values()]
        synthesize_units(units, PARTS[part].family)  # one start of the synthesizer for all of them
        for config in group:
            value = synthesize(config, part).to_json()
            write_json(paths[config], value | {"command": command, "provenance": provenance()})
            print(f"{config.name}: {value['luts']} LUT", flush=True)
        print(f"{len(group)} designs in {time.perf_counter() - started:.0f} s", flush=True)


def compare(part: str) -> None:
    """Print the estimate against every result of a part."""
    results = [read_json(path) for path in sorted((RESULTS / part).glob("*.json"))]
    if not results:
        return
    batch = DesignBatch.of(*(result["accelerator"] for result in results))
    found = estimate(batch, PARTS[part])
    print(f"{part}: {len(results)} designs, {results[0]['tool']}")
    for field in FIELDS:
        told, real = getattr(found, field), np.array([result[field] for result in results])
        error = np.abs(told - real) / np.maximum(real, 1)
        exact = (told == real).mean()
        errors = f"mean error {error.mean():.1%}, largest {error.max():.1%}"
        print(f"  {field}: {errors}, exact in {exact:.0%} of designs")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=PARTS, default="xc7z020")
    parser.add_argument("--designs", type=int, default=60)
    parser.add_argument("--macs", type=int, default=1_024)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.designs:
        run(options.part, sample(options.designs, macs=options.macs, seed=options.seed))
    compare(options.part)


if __name__ == "__main__":
    main()
