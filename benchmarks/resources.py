"""Synthesize a designed sample of accelerators and see how well the resource model predicts it.

``python benchmarks/resources.py --workers 2`` goes on where it stopped: a design that has a file in
``results/synthesis/PART/`` is skipped. ``--designs 0`` only prints the comparison. With ``--limit-seconds``
designs under way at the limit are ended; their finished modules stay in the cache. ``--lanes`` leaves out of
the sample what has more vector lanes, which takes longest, ``--bus`` what has a wider bus; ``--logic`` leaves
out block RAMs and writes to ``results/synthesis/PART-logic/``. ``--fit`` fits the model of look-up tables
to all that is there; ``--accelerator`` synthesizes one design and no sample. ``--logic --again``
synthesizes all that is there with the present Verilog, in place of a new sample; modules that have not
changed come from the cache.

The sample starts with the default; each further design is the one of a few drawn at random that is farthest
from all before it, by steps along the choices. So any beginning of it covers the space evenly.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import nnls

import rhnas.vta
from rhnas.files import read_json, write_json
from rhnas.provenance import commit, provenance
from rhnas.space import DesignBatch
from rhnas.vta.config import AcceleratorConfig, parse_accelerator
from rhnas.vta.fpga import PARTS
from rhnas.vta.luts import GROUPS, PRICES, terms
from rhnas.vta.resources import estimate, fixed_luts, soft_luts
from rhnas.vta.rules import BATCH, BLOCK_OUT, BUS, macs_per_cycle
from rhnas.vta.spaces import DEFAULT, VTA_WIDE
from rhnas.vta.synthesize import synthesize
from rhnas.vta.yosys import run_tool
from rhnas.workload import BoolArray, FloatArray

RESULTS = Path(__file__).parents[1] / "results" / "synthesis"
DRAWN, CANDIDATES = 8_000, 12
PRICES_PATH = Path(rhnas.vta.__file__).parent / PRICES
FIELDS = ("luts", "dsps", "bram_blocks")


def sample(designs: int, *, macs: int, seed: int) -> list[dict[str, int]]:
    """Rows of a space-filling sample of realizable designs of at most ``macs`` multipliers."""
    drawn = VTA_WIDE.feasible().sample(DRAWN, np.random.default_rng(seed))
    drawn = drawn[macs_per_cycle(VTA_WIDE.decode(drawn)) <= macs]
    chosen = VTA_WIDE.encode(DEFAULT)[None]
    steps = np.array(VTA_WIDE.shape) - 1
    for start in range(0, CANDIDATES * (designs - 1), CANDIDATES):
        some = drawn[start : start + CANDIDATES]
        distances = np.linalg.norm((some[:, None] - chosen[None]) / steps, axis=2)
        chosen = np.vstack([chosen, some[distances.min(axis=1).argmax()]])
    batch = VTA_WIDE.decode(chosen)
    return [batch.row(index) for index in range(len(chosen))]


def path_of(row: dict[str, int], part: str) -> Path:
    """Where the result of a design lies."""
    return RESULTS / part / f"{AcceleratorConfig.from_row(row).name}.json"


def run_one(row: dict[str, int], part: str, command: str) -> None:
    """Synthesize one design and write its file."""
    found = synthesize(AcceleratorConfig.from_row(row), part)
    write_json(path_of(row, part), found.to_json() | {"command": command, "provenance": provenance()})


def run_logic(part: str, rows: list[dict[str, int]], limit_s: float, *, again: bool) -> None:
    """Synthesize all but the block RAMs of what has no file yet; ``again``: no file of this commit."""
    ends = time.monotonic() + limit_s
    command = " ".join(["python", "benchmarks/resources.py", *sys.argv[1:]])
    for row in rows:
        path = path_of(row, f"{part}-logic")
        done = path.exists() and (not again or read_json(path)["provenance"]["commit"] == commit())
        if done or time.monotonic() > ends:
            continue
        found = synthesize(AcceleratorConfig.from_row(row), part, block_rams=False)
        write_json(path, found.to_json() | {"command": command, "provenance": provenance()})
        print(f"{path.stem}: {found.luts} LUT, {found.seconds:.0f} s", flush=True)


def run(part: str, rows: list[dict[str, int]], workers: int, limit_s: float) -> None:
    """Synthesize what has no file yet, each design in a process of its own."""
    ends = time.monotonic() + limit_s
    command = " ".join(["python", "benchmarks/resources.py", *sys.argv[1:]])
    run_tool("yosys", ["-V"], Path())  # compiles a tool that comes as WebAssembly, once for all processes

    def start(row: dict[str, int]) -> None:
        path, started = path_of(row, part), time.monotonic()
        if path.exists() or started >= ends:
            return
        text = ",".join(f"{key}={value}" for key, value in row.items())
        options = ["--part", part, "--accelerator", text, "--command", command]
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, __file__, *options], start_new_session=True, stdout=subprocess.DEVNULL
        )
        try:
            code = process.wait(timeout=ends - started)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            code = process.wait()
        told = f"{read_json(path)['luts']} LUT" if path.exists() else f"ended with {code}"
        print(f"{path.stem}: {told}, {time.monotonic() - started:.0f} s", flush=True)

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(start, rows))
    missing = [row for row in rows if not path_of(row, part).exists()]
    print(f"{len(rows) - len(missing)} of {len(rows)} designs are there", flush=True)


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


def compare_unseen() -> None:
    """Print the estimate against verified designs and placed netlists, which no fit has seen."""
    entries = [
        e for p in sorted(RESULTS.parent.glob("*/verify.json")) for e in read_json(p)["schemes"].values()
    ]
    entries += [read_json(path) for path in sorted((RESULTS.parent / "verified").glob("*.json"))]
    for found in (entry["synthesis"] for entry in entries if entry.get("synthesis")):
        told = estimate(DesignBatch.of(found["accelerator"]), PARTS[found["part"]])
        exact = told.dsps[0] == found["dsps"] and told.bram_blocks[0] == found["bram_blocks"]
        name = f"{AcceleratorConfig.from_row(found['accelerator']).name} on {found['part']}"
        hard = "multipliers and block RAM exact" if exact else "multipliers or block RAM off"
        print(f"  {name}: {found['luts']:,} LUT, told {told.luts[0] / found['luts'] - 1:+.1%}; {hard}")
    for placed in (read_json(path) for path in sorted((RESULTS.parent / "placement").glob("*.json"))):
        told, cells = estimate(DesignBatch.of(placed["accelerator"]), PARTS[placed["part"]]), placed["used"]
        name = f"{AcceleratorConfig.from_row(placed['accelerator']).name} on {placed['part']}"
        print(f"  {name}: {cells['TRELLIS_COMB']:,} cells, told {told.luts[0]:,}")


def synthesized(part: str) -> list[dict[str, Any]]:
    """Every design of the sample for a part, each once; what was verified end to end stays unseen."""
    folders = (f"{part}-logic", part)
    found = [read_json(path) for folder in folders for path in sorted((RESULTS / folder).glob("*.json"))]
    return [d for n, d in enumerate(found) if d["accelerator"] not in [e["accelerator"] for e in found[:n]]]


def group_luts(design: dict[str, Any]) -> list[float]:
    """Tables of the modules of each group of ``luts.GROUPS``; the last one has all that no other has."""
    counted = dict.fromkeys(GROUPS, 0.0)
    for module in design["modules"]:
        mine = [group for group, (modules, _) in GROUPS.items() if module["name"] in modules]
        counted[mine[0] if mine else list(GROUPS)[-1]] += module["instances"] * module["luts"]
    return list(counted.values())


def fit(part: str) -> None:
    """Fit the price of each term, group by group, print how well that does, and write the prices."""
    designs = synthesized(part)
    batch = DesignBatch.of(*(design["accelerator"] for design in designs))
    real = np.array([design["luts"] for design in designs], dtype=np.float64)
    counted = np.array([group_luts(design) for design in designs])  # (B, groups)
    soft, fixed = (
        np.array([count(DesignBatch.of(d["accelerator"]), PARTS[d["part"]])[0] for d in designs])
        for count in (soft_luts, fixed_luts)
    )
    counted -= np.stack([np.zeros_like(soft), soft, fixed - soft], axis=1)
    found = terms(batch)

    def told(train: BoolArray) -> tuple[FloatArray, dict[str, float]]:
        prices, total = dict.fromkeys(found, 0.0), fixed.astype(np.float64)
        for column, (_, names) in enumerate(GROUPS.values()):
            table = np.stack([found[name] for name in names], axis=1)
            fitted = nnls(table[train] / real[train, None], (counted[:, column] / real)[train])[0]
            total = total + table @ fitted
            for name, price in zip(names, fitted, strict=True):
                prices[name] += price
        return total / real - 1, prices

    everything = np.ones(len(real), dtype=bool)
    error, prices = told(everything)
    alone = np.array([told(kept)[0][~kept][0] for kept in ~np.eye(len(real), dtype=bool)])
    for design, fitted, left_out in zip(designs, error, alone, strict=True):
        name = AcceleratorConfig.from_row(design["accelerator"]).name
        print(f"  {name}: {design['luts']} LUT, told {fitted:+.1%}, by a fit to the others {left_out:+.1%}")
    print(
        f"{part}: look-up tables of {len(real)} designs, mean error {np.abs(error).mean():.1%}; "
        f"cross-validated, one left out: {np.abs(alone).mean():.1%}, largest {np.abs(alone).max():.1%}"
    )
    rounded = {name: round(price, 3) for name, price in prices.items()}
    command = "python benchmarks/resources.py --designs 0 --fit"
    write_json(PRICES_PATH, {"prices": rounded, "part": part, "designs": len(real), "command": command})


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=PARTS, default="xc7z020")
    parser.add_argument("--designs", type=int, default=64)
    parser.add_argument("--macs", type=int, default=4_096)
    parser.add_argument("--lanes", type=int, default=256)
    parser.add_argument("--bus", type=int, default=512)
    parser.add_argument("--logic", action="store_true", help="leave out block RAMs, one design at a time")
    parser.add_argument("--again", action="store_true", help="with --logic: what is there, not a new sample")
    parser.add_argument("--fit", action="store_true", help="fit the model's prices to what is there")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--limit-seconds", type=float, default=1e9)
    parser.add_argument("--accelerator", help="this design alone: KEY=VAL,KEY=VAL or a vta_config.json")
    parser.add_argument("--command", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.accelerator:
        command = options.command or " ".join(["python", "benchmarks/resources.py", *sys.argv[1:]])
        row = parse_accelerator(options.accelerator)
        run_one(row, options.part, command)
        print(f"{path_of(row, options.part)}: {read_json(path_of(row, options.part))['luts']:,} LUT")
        return
    if options.again:
        there = sorted((RESULTS / f"{options.part}-logic").glob("*.json"))
        rows = [read_json(path)["accelerator"] for path in there]
        run_logic(options.part, rows, options.limit_seconds, again=True)
    elif options.designs:
        rows = sample(options.designs, macs=options.macs, seed=options.seed)
        rows = [row for row in rows if 1 << (row[BATCH] + row[BLOCK_OUT]) <= options.lanes]
        rows = [row for row in rows if row[BUS] <= options.bus]
        if options.logic:
            run_logic(options.part, rows, options.limit_seconds, again=False)
        else:
            run(options.part, rows, options.workers, options.limit_seconds)
    if options.fit:
        fit(options.part)
    compare(options.part)
    compare_unseen()


if __name__ == "__main__":
    main()
