"""``result.json``: every scheme's network and accelerator with their figures, and the ratios between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import expm1
from typing import Any

from rhnas.codesign.problem import LEVELS, PJ_TO_UJ, Problem
from rhnas.codesign.schemes.table import Scheme
from rhnas.networks.spaces.base import Architecture
from rhnas.workload import IntArray


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """What a scheme ended with.

    Attributes:
        scheme: The scheme.
        architecture: Its network.
        design: Its accelerator, int64 (D,).
        accuracy_validation: Fraction of the validation part.
        evaluations: Distinct designs its hardware search asked the cost model about.
        seconds: Wall time of its stages, shared ones included.
        trained_on: Name of the device on which its network was trained.
        optimum: Least log objective of the network over all feasible designs, None where not computed.
    """

    scheme: Scheme
    architecture: Architecture
    design: IntArray
    accuracy_validation: float
    evaluations: int
    seconds: float
    trained_on: str
    optimum: float | None


def result_of(
    problem: Problem,
    chosen: Sequence[Chosen],
    cycles_simulated: Mapping[str, int | None],
    accuracy: dict[str, float],
    accuracy_int8: dict[str, float],
    *,
    certificate: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The result, without schema and provenance.

    Args:
        problem: What was searched.
        chosen: One per scheme.
        cycles_simulated: Of its network's program on its accelerator by the scheme's key; None where the
            platform cannot tell.
        accuracy: Test accuracy by the scheme's key.
        accuracy_int8: The same of the integer networks.
        certificate: What is proved (``codesign.certify``); None where nothing is.
    """
    proofs = {} if certificate is None else certificate["hardware"]
    keys = {c.scheme.key: c for c in chosen}
    schemes = {
        key: {
            **scheme_row(problem, c, accuracy[key], accuracy_int8[key]),
            "cycles_simulated": cycles_simulated[key],
            "certified_gap": proofs[key]["gap"] if key in proofs else None,
        }
        for key, c in keys.items()
    }
    platform = problem.settings.platform
    by_technology = _ratios_by_technology(schemes["baseline"], schemes["found"])
    ratios = {
        **_ratios(schemes["baseline"], schemes["found"]),
        "edp": min(row["edp"] for row in by_technology.values()),
    }
    return {
        "how": "modelled",
        "task": problem.settings.task.data,
        "objective": problem.settings.objective.minimize.value,
        "platform": platform.name,
        "space": platform.space,
        "fpga": platform.fpga,
        "limits": dict(platform.limits),
        "clock_mhz": platform.clock_mhz,
        "trained_on": ", ".join(sorted({c.trained_on for c in chosen})),
        "feasible_designs": problem.designs.count,
        "levels": _levels(problem),
        "certified_gap": _certified_gap(certificate),
        "certificate": certificate,
        **schemes,
        "ratios": ratios,
        "ratios_by_technology": by_technology,
        "ratios_hardware_only": _ratios(schemes["baseline"], schemes["hardware_only"]),
        "ratios_two_stage": _ratios(schemes["baseline"], schemes["two_stage"]),
    }


def _certified_gap(certificate: Mapping[str, Any] | None) -> float | None:
    """Of the pair found among all pairs of a trained network that holds the accuracy and a design."""
    pair = None if certificate is None else certificate["trained"]
    return None if pair is None else float(pair["gap"])


def scheme_row(problem: Problem, chosen: Chosen, accuracy: float, accuracy_int8: float) -> dict[str, Any]:
    """One scheme's entry: design, network, accuracies, cost under every technology, layers."""
    settings = problem.settings
    workload = problem.workload(chosen.architecture)
    row = problem.row(chosen.design)
    costs = {name: _cost(problem, chosen, name, settings.platform.clock_mhz) for name in problem.technologies}
    first = costs[problem.technologies[0]]
    objective = settings.objective.minimize
    totals = problem.totals(chosen.design, workload)
    score = float(objective.score(totals.cycles, totals.energy_pj)[0])
    return {
        "scheme": chosen.scheme.name,
        "accelerator": row,
        "label": problem.platform.label(row),
        "architecture": problem.networks.describe(chosen.architecture),
        "options": list(chosen.architecture),
        "accuracy_validation": chosen.accuracy_validation,
        "accuracy": accuracy,
        "accuracy_int8": accuracy_int8,
        "macs": workload.macs,
        "parameters": workload.parameters,
        **first,
        "realizable": bool(problem.designs.contains(chosen.design[None])[0]),
        "evaluations": chosen.evaluations,
        "gap": None if chosen.optimum is None else max(0.0, expm1(score - chosen.optimum)),
        "seconds": chosen.seconds,
        "by_technology": costs,
        "layers": problem.layer_rows(chosen.design, workload),
    }


def _cost(problem: Problem, chosen: Chosen, technology: str, clock_mhz: float) -> dict[str, Any]:
    totals = problem.totals(chosen.design, problem.workload(chosen.architecture), technology)
    cycles, energy_uj = int(totals.cycles[0]), float(totals.energy_pj[0]) * PJ_TO_UJ
    latency_ms = cycles / (clock_mhz * CYCLES_PER_MHZ_MS)
    return {
        "cycles": cycles,
        "latency_ms": latency_ms,
        "energy_uj": energy_uj,
        "edp_uj_ms": energy_uj * latency_ms,
    }


CYCLES_PER_MHZ_MS = 1_000
"""Cycles in a millisecond at one megahertz."""


def _ratios(baseline: dict[str, Any], other: dict[str, Any]) -> dict[str, float]:
    """How many times less the other needs, under the first technology."""
    return {
        "latency": baseline["cycles"] / other["cycles"],
        "energy": baseline["energy_uj"] / other["energy_uj"],
        "edp": baseline["edp_uj_ms"] / other["edp_uj_ms"],
    }


def _ratios_by_technology(baseline: dict[str, Any], other: dict[str, Any]) -> dict[str, dict[str, float]]:
    costs = other["by_technology"]
    return {name: _ratios(baseline["by_technology"][name], cost) for name, cost in costs.items()}


def _levels(problem: Problem) -> list[str]:
    platform = problem.settings.platform
    return [*LEVELS, *(["fpga"] if platform.fpga else []), *(["limit"] if platform.limits else [])]
