"""What each scheme of finished runs came to, by the best evidence there is, fit to be compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rhnas.errors import RhnasError
from rhnas.files import canonical_json
from rhnas.report.run import SCHEMES, Run, Scheme, number

LATENCY = "latency_ms"
ENERGY = "energy_uj"
EDP = "edp_uj_ms"

EVIDENCE = ("modelled", "simulated", "rtl")
"""Where cycles come from, weakest first."""

COMMON = ("task", "objective", "platform", "space", "fpga", "limits", "clock_mhz")
"""Keys of ``result.json`` in which runs that are compared must be equal."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One scheme of one run.

    Attributes:
        scheme: Its key in ``result.json``.
        configuration: Of the run but for its seed, as text: what is equal may be averaged.
        weight: Lambda of the run.
        seed: Of the run.
        accuracy: On the whole test set: of the integer network where there is one.
        cycles: By the best evidence common to all runs that are compared.
        how: Where they come from, one of ``EVIDENCE``.
        clock_mhz: At which cycles become milliseconds.
        energy_uj: Modelled, by technology.
        values: The scheme's entry in ``result.json``.
        proof: Its entry in ``verify.json``; empty where there is none.
    """

    scheme: str
    configuration: str
    weight: float
    seed: int
    accuracy: float
    cycles: int
    how: str
    clock_mhz: float
    energy_uj: Mapping[str, float]
    values: Mapping[str, Any]
    proof: Mapping[str, Any]

    @property
    def latency_ms(self) -> float:
        """At the common clock."""
        return self.cycles / (self.clock_mhz * 1e3)

    @property
    def costs(self) -> dict[str, float]:
        """By name: ``latency_ms``, and ``energy_uj.TECHNOLOGY`` and ``edp_uj_ms.TECHNOLOGY`` of each."""
        found = {LATENCY: self.latency_ms}
        for technology, energy in self.energy_uj.items():
            found |= {f"{ENERGY}.{technology}": energy, f"{EDP}.{technology}": energy * self.latency_ms}
        return found


def outcomes(runs: Sequence[Run]) -> list[Outcome]:
    """Every scheme of every run.

    Cycles are those of the generated Verilog where a run was verified on it, else the simulator's, which are
    the same; where any run has neither, all are modelled, so that no two kinds are compared.

    Args:
        runs: Finished, of one task and one set of accelerators.

    Raises:
        RhnasError: There are none, one is not finished, or they cannot be compared.
    """
    _require_comparable(runs)
    every = [(run, scheme) for run in runs for scheme in run.schemes.values()]
    counted = all(scheme.number("cycles_simulated") is not None for _, scheme in every)
    return [_outcome(run, scheme, counted=counted) for run, scheme in every]


def load_runs(directories: Sequence[Path]) -> list[Run]:
    """Run directories, or what is kept of them."""
    return [Run.load(directory) for directory in directories]


def _require_comparable(runs: Sequence[Run]) -> None:
    if not runs:
        raise RhnasError("at least one run must be given", got="none")
    for run in runs:
        missing = [name for name in SCHEMES if name not in run.schemes]
        if missing:
            raise RhnasError(
                f"the run in {run.directory} must be finished",
                got=f"no {', '.join(missing)} in result.json",
                fix="go on with rhnas search ... --resume",
            )
        for key in COMMON:
            if run.result.get(key) != runs[0].result.get(key):
                raise RhnasError(
                    f"runs that are compared must have one {key}",
                    got=f"{runs[0].result.get(key)} in {runs[0].directory}, "
                    f"{run.result.get(key)} in {run.directory}",
                )


def _outcome(run: Run, scheme: Scheme, *, counted: bool) -> Outcome:
    proof = (run.verify.get("schemes") or {}).get(scheme.name) or {}
    how, cycles = "modelled", scheme.number("cycles")
    if counted:
        ran = number(proof, "cycles", "rtl") if proof.get("bit_exact") else None
        how, cycles = ("rtl", ran) if ran is not None else ("simulated", scheme.number("cycles_simulated"))
    integer = scheme.number("accuracy_int8")
    accuracy = scheme.number("accuracy") if integer is None else integer
    clock, seed = number(run.result, "clock_mhz"), number(run.result, "provenance", "seed")
    if cycles is None or accuracy is None or clock is None:
        raise RhnasError(
            f"{scheme.name} of {run.directory} must have cycles, an accuracy and a clock in result.json",
            got="not all of them",
            fix="search it again with this version",
        )
    by_technology = scheme.values.get("by_technology") or {}
    return Outcome(
        scheme=scheme.name,
        configuration=_without_seed(run.config),
        weight=number(run.config, "objective", "weight") or 0.0,
        seed=int(seed or 0),
        accuracy=accuracy,
        cycles=int(cycles),
        how=how,
        clock_mhz=clock,
        energy_uj={name: float(cost[ENERGY]) for name, cost in by_technology.items()},
        values=scheme.values,
        proof=proof,
    )


def _without_seed(config: Mapping[str, Any]) -> str:
    run = {key: value for key, value in config.get("run", {}).items() if key != "seed"}
    return canonical_json({**config, "run": run})
