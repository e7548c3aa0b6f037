"""A run directory for tests: real costs of real designs; accuracies and curves are plainly made up.

The costs are recorded in fixtures/result.json; renew them with ``python -m tests.report.runs``.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from rhnas.networks.spaces.registry import network_space
from rhnas.platform import Objective, Platform, load_platform
from rhnas.provenance import SCHEMA, provenance
from rhnas.settings import load_settings

CLOCK_MHZ = 100.0
TECHNOLOGIES = ("dosa40", "horowitz45")
SPACE = network_space("digits")
MACHINE = {"processor": "a test's", "cores": 2, "system": "Linux x86_64", "python": "3.11"}

WIDE = {"LOG_BLOCK_IN": 3, "LOG_BLOCK_OUT": 5, "LOG_WGT_BUFF_SIZE": 15, "LOG_ACC_BUFF_SIZE": 14}
WIDE |= {"LOG_INP_BUFF_SIZE": 13, "LOG_UOP_BUFF_SIZE": 12, "SHL_MEM_AXI_DATA_BITS": 128}
NARROW = WIDE | {"LOG_BLOCK_IN": 4, "LOG_BLOCK_OUT": 4}

SCHEMES = {
    # scheme: (changes to the default accelerator, seed of its network, made-up accuracy)
    "baseline": ({}, 0, 0.9912),
    "hardware_only": (NARROW, 1, 0.9937),
    "two_stage": (NARROW, 0, 0.9912),
    "found": (WIDE, 2, 0.9900),
}


def scheme_row(platform: Platform, changes: dict[str, int], seed: int, accuracy: float) -> dict[str, Any]:
    """A scheme's entry of result.json, costs from the cost model."""
    row = platform.default() | changes
    architecture = SPACE.sample(np.random.default_rng(seed))
    workload = SPACE.workload(architecture)
    batch = platform.space("vta").decode(platform.space("vta").encode(row)[None])
    costs: dict[str, dict[str, float]] = {}
    for technology in TECHNOLOGIES:
        model = platform.cost_model(technology=technology)
        totals = model.evaluate(batch, workload.layers).totals(Objective.EDP)
        cycles, energy = float(totals.cycles[0]), float(totals.energy_pj[0]) / 1e6
        latency = cycles / CLOCK_MHZ / 1e3
        costs[technology] = {
            "cycles": int(cycles),
            "latency_ms": latency,
            "energy_uj": energy,
            "edp_uj_ms": energy * latency,
        }
    model = platform.cost_model(technology=TECHNOLOGIES[0])
    cost = model.evaluate(batch, workload.layers)
    cycles, energy = cost.at(cost.totals(Objective.EDP).mu)
    bounds = model.bounds(batch, workload.layers)[0]
    layers = [
        {
            "name": layer.name,
            "cycles": int(cycles[0, i]),
            "energy_uj": float(energy[0, i]) / 1e6,
            "macs": layer.macs,
            "bound_cycles": int(bounds[i]),
        }
        for i, layer in enumerate(workload)
    ]
    return {
        "accelerator": row,
        "architecture": SPACE.describe(architecture),
        "options": list(architecture),
        "accuracy_validation": accuracy - 0.001,
        "accuracy": accuracy,
        "accuracy_int8": None,
        "macs": workload.macs,
        **costs[TECHNOLOGIES[0]],
        "realizable": True,
        "evaluations": 400 if changes else 1,
        "gap": 0.0213 if changes else None,
        "seconds": 61.5,
        "by_technology": costs,
        "layers": layers,
    }


def ratios(base: dict[str, Any], other: dict[str, Any]) -> dict[str, float]:
    """How many times less the other needs."""
    keys = {"latency": "cycles", "energy": "energy_uj", "edp": "edp_uj_ms"}
    return {name: base[key] / other[key] for name, key in keys.items()}


RECORDED = Path(__file__).parent / "fixtures" / "result.json"


def computed() -> dict[str, Any]:
    """A finished run's result.json, from the cost model as it is now."""
    platform = load_platform("vta")
    schemes = {name: scheme_row(platform, *given) for name, given in SCHEMES.items()}
    by_technology = {
        name: ratios(schemes["baseline"]["by_technology"][name], schemes["found"]["by_technology"][name])
        for name in TECHNOLOGIES
    }
    settings = load_settings("digits")
    return {
        "schema": SCHEMA,
        "provenance": provenance(configuration=settings.identity(), seed=0, threads=2) | {"machine": MACHINE},
        "how": "modelled",
        "fpga": "xczu3eg",
        "limits": {},
        "feasible_designs": 123456,
        **schemes,
        "ratios": ratios(schemes["baseline"], schemes["found"])
        | {"edp": min(row["edp"] for row in by_technology.values())},
        "ratios_by_technology": by_technology,
        "ratios_two_stage": ratios(schemes["baseline"], schemes["two_stage"]),
        "ratios_hardware_only": ratios(schemes["baseline"], schemes["hardware_only"]),
    }


def recorded() -> dict[str, Any]:
    """The same as it was recorded."""
    value: dict[str, Any] = json.loads(RECORDED.read_text())
    return value


def trials() -> list[dict[str, Any]]:
    """Made-up curves in the form that searches write."""
    rng = np.random.default_rng(0)
    found: list[dict[str, Any]] = []
    for scheme, depth in (("nas_only", 0.0), ("hardware_only", 0.0), ("rhnas", -0.7)):
        best = 0.0
        for turn in range(60):
            best = min(best, depth * (1 - math.exp(-turn / 15)) + 0.02 * float(rng.normal()))
            proposed = [best + abs(float(rng.normal())) for _ in range(5)] if scheme == "rhnas" else []
            found.append(
                {
                    "scheme": scheme,
                    "stage": "search",
                    "step": 10 * (turn + 1),
                    "steps": 600,
                    "evaluations": 5 * turn + 1 if scheme == "rhnas" else 1,
                    "proposed": proposed,
                    "best": best,
                    "cycles": 14e3 * math.exp(best / 2),
                    "energy_pj": 8.3e6 * math.exp(best / 2),
                    "entropy": math.exp(-turn / 30),
                    "loss": 0.2 + 2 * math.exp(-turn / 12) + 0.03 * float(rng.random()),
                    "accuracy": 0.9,
                }
            )
    for scheme in ("hardware_only", "two_stage", "rhnas"):
        start = 300 if scheme == "rhnas" else 10
        found += [
            {"scheme": scheme, "stage": "hardware", "evaluations": n, "best": -0.5 - 0.3 * (1 - 10 / n)}
            for n in range(start, 401, 10)
        ]
    found.append({"stage": "train/0-1", "step": 10, "steps": 20, "loss": 0.4})
    return found


VERIFY: dict[str, Any] = {
    "schema": SCHEMA,
    "bit_exact": True,
    "cycles": {"modelled": 20100, "simulated": 20345, "rtl": 20345},
    "synthesis": {"part": "LFE5U-85F", "lut": 31234, "dsp": 128, "bram": 77},
    "placement": {
        "part": "LFE5U-85F",
        "speed_grade": 8,
        "fmax_mhz": 103.4,
        "routed": True,
        "used": {"TRELLIS_COMB": 20123, "MULT18X18D": 64},
        "available": {"TRELLIS_COMB": 83640, "MULT18X18D": 156},
        "critical_modules": ["compute.acc_8bit_loader", "compute.alu"],
        "tool": "a test's",
        "seconds": 600.0,
    },
    "fmax_mhz": 103.4,
    "latency_ms_at_fmax": 20345 / 103.4e3,
    "clock_mhz": CLOCK_MHZ,
    "images": 20,
    "latency_ms": 0.20345,
    "accuracy_int8": 0.9912,
    "layers": [
        {"name": "stem", "modelled": 12000, "simulated": 12345},
        {"name": "fc", "modelled": 8050, "simulated": 7950},
        {"name": "launch", "modelled": 50, "simulated": 50},
    ],
}
VERIFY["schemes"] = {
    "found": {key: value for key, value in VERIFY.items() if key != "schema"},
    "baseline": {
        "bit_exact": False,
        "images": 1,
        "cycles": {"modelled": 31000, "simulated": 32000, "rtl": 32001},
        "cycles_equal": False,
        "layers": [{"name": "stem", "modelled": 31000, "simulated": 32000}],
    },
}


def write_run(directory: Path, result: dict[str, Any] | None, *, verify: bool = False) -> Path:
    """Write a run directory; without a result it is one that has not finished."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.toml").write_text(load_settings("digits").to_toml())
    lines = "".join(json.dumps(record) + "\n" for record in trials())
    (directory / "trials.jsonl").write_text(lines)
    if result is not None:
        (directory / "result.json").write_text(json.dumps(result))
    if verify:
        (directory / "verify.json").write_text(json.dumps(VERIFY))
    return directory


if __name__ == "__main__":
    RECORDED.write_text(json.dumps(computed(), indent=1) + "\n")
