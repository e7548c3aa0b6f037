"""The headline's tables, as Markdown, from what lies under ``results``: ``headline.py PRESET --table``.

Cycles are those counted on the Verilog where a cell was verified, else the simulator's. Energy is modelled.
What has not been run is said, cell by cell and figure by figure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from rhnas.bench.summary import interval
from rhnas.files import read_json
from rhnas.networks.spaces.registry import network_space
from rhnas.platform import load_platform
from rhnas.pricing import price_network
from rhnas.report.fronts import MARGIN, title_of
from rhnas.report.outcomes import EDP, ENERGY, LATENCY, Outcome, outcomes
from rhnas.report.run import Chip, Run, number
from rhnas.settings import Settings, parse_settings

NOT_RUN = "not run"
Column = Callable[[Outcome], str]


def print_table(cells: Mapping[str, Path]) -> None:
    """Every cell's figures, the decomposition of its gain over seeds, and what is missing.

    Args:
        cells: Directories under ``results`` by the cells' names.
    """
    done = {name: Run.load(path) for name, path in cells.items() if (path / "result.json").exists()}
    groups: dict[str, dict[str, Run]] = {}
    for name, run in done.items():
        groups.setdefault(re.sub(r"-seed\d+$", "", name), {})[name] = run
    for group, runs in groups.items():
        print_group(group, runs)
    missing = [name for name in cells if name not in done]
    print(f"Cells not run: {', '.join(missing) or 'none'}.")


def print_group(group: str, runs: Mapping[str, Run]) -> None:
    """One question of one preset."""
    found = {name: outcomes([run]) for name, run in runs.items()}
    technologies = list(next(iter(found.values()))[0].energy_uj)
    print(f"### {group}\n")
    rows = [(name, outcome) for name, some in found.items() for outcome in some]
    for columns in (cost_columns(technologies), hardware_columns(runs)):
        heading = ["cell", "scheme", *columns]
        lines = [[name, o.scheme, *(tell(o) for tell in columns.values())] for name, o in rows]
        print(markdown(heading, lines))
    print(markdown(*decomposition(runs, found)))


def cost_columns(technologies: Sequence[str]) -> dict[str, Column]:
    """Accuracy, time, energy."""
    columns: dict[str, Column] = {
        "test": lambda o: percent(o.values.get("accuracy")),
        "int8": lambda o: percent(o.values.get("accuracy_int8")),
        "cycles, modelled": lambda o: f"{o.values['cycles']:,}",
        "cycles": lambda o: f"{o.cycles:,} ({o.how})",
        "ms at equal clock": lambda o: f"{o.latency_ms:.4f}",
        "ms at its clock": at_own_clock,
    }
    for technology in technologies:
        for name in (f"{ENERGY}.{technology}", f"{EDP}.{technology}"):
            columns[title_of(name)] = lambda o, name=name: f"{o.costs[name]:.4g}"  # type: ignore[misc]
    return columns


def hardware_columns(runs: Mapping[str, Run]) -> dict[str, Column]:
    """Resources, utilisation, what the search took."""
    result = next(iter(runs.values())).result
    threads, device = result["provenance"]["threads"], result.get("trained_on", "cpu")
    unit = "CPU-hours" if device == "cpu" else f"hours of a {device}"
    per_second = (threads if device == "cpu" else 1) / 3600

    def used(name: str) -> Column:
        return lambda o: count(number(o.proof, "synthesis", name))

    return {
        "accelerator": lambda o: str(o.values["label"]),
        "network MACs": lambda o: f"{o.values['macs']:,}",
        "multipliers": lambda o: count(chip.macs if (chip := chip_of(o)) else None),
        "SRAM, KiB": lambda o: count(chip.sram_bytes / 1024 if (chip := chip_of(o)) else None),
        "LUT": used("luts"),
        "DSP": used("dsps"),
        "block RAM": used("bram_blocks"),
        "MAC utilisation": utilisation,
        f"search, {unit}": lambda o: f"{o.values['seconds'] * per_second:.2f}",
    }


def chip_of(outcome: Outcome) -> Chip | None:
    """The accelerator as physical sizes."""
    return Chip.of(outcome.values.get("accelerator") or {})


def utilisation(outcome: Outcome) -> str:
    """The network's multiply-accumulates as a share of those that fit into its cycles."""
    chip = chip_of(outcome)
    return "" if chip is None else f"{outcome.values['macs'] / (outcome.cycles * chip.macs):.1%}"


def at_own_clock(outcome: Outcome) -> str:
    """Milliseconds at the clock that placement gave."""
    clock = number(outcome.proof, "fmax_mhz")
    return NOT_RUN if clock is None else f"{outcome.cycles / (clock * 1e3):.4f} ({clock:.0f} MHz)"


def decomposition(
    runs: Mapping[str, Run], found: Mapping[str, Sequence[Outcome]]
) -> tuple[list[str], list[list[str]]]:
    """R = R_machine x R_hardware x R_joint per cost: medians over seeds, 95% bootstrap intervals.

    R_machine is what our compiler makes of the baseline on its accelerator against upstream's schedules,
    R_hardware the baseline's network on its own accelerator, R_joint what searching both adds.
    """
    by_seed = [{o.scheme: o for o in some} for some in found.values()]
    machine = [
        machine_ratios(run, schemes["baseline"]) for run, schemes in zip(runs.values(), by_seed, strict=True)
    ]
    gaps = [100 * (s["found"].accuracy - s["baseline"].accuracy) for s in by_seed]
    equal = sum(gap >= -100 * MARGIN - 1e-9 for gap in gaps)
    rows = []
    for name in by_seed[0]["found"].costs:
        hardware = [s["baseline"].costs[name] / s["two_stage"].costs[name] for s in by_seed]
        joint = [s["two_stage"].costs[name] / s["found"].costs[name] for s in by_seed]
        ours = np.array(hardware) * joint
        factors = ([m[name] for m in machine], hardware, joint, ours, ours * [m[name] for m in machine])
        rows.append([title_of(name), *(spread(np.array(values)) for values in factors)])
    how = sorted({m["how"] for m in machine})
    heading = [
        f"ratio over {len(gaps)} seed{'s' * (len(gaps) > 1)}; int8 of found less baseline, points: "
        f"{', '.join(f'{gap:+.2f}' for gap in gaps)}; no worse in {equal} of {len(gaps)}",
        f"R_machine ({', '.join(how)})",
        "R_hardware",
        "R_joint",
        "R_hardware x R_joint",
        "R",
    ]
    return heading, rows


def machine_ratios(run: Run, baseline: Outcome) -> dict[str, Any]:
    """By cost, what upstream's schedules cost against ours for the same network and accelerator.

    Cycles of both programs in simulation where ``verify-upstream.json`` is there, else both modelled.
    """
    settings = parse_settings((run.directory / "config.toml").read_text(encoding="utf-8"))
    theirs = {name: priced(settings, baseline, name) for name in baseline.energy_uj}
    path = run.directory / "verify-upstream.json"
    if path.exists():
        how, cycles = (
            "simulated",
            read_json(path)["schemes"]["baseline"]["cycles"]["simulated"] / baseline.cycles,
        )
    else:
        how, cycles = "modelled", next(iter(theirs.values()))[0] / baseline.values["cycles"]
    found: dict[str, Any] = {"how": how, LATENCY: cycles}
    for name, (_, energy) in theirs.items():
        ratio = energy / baseline.energy_uj[name]
        found |= {f"{ENERGY}.{name}": ratio, f"{EDP}.{name}": ratio * cycles}
    return found


def priced(settings: Settings, baseline: Outcome, technology: str) -> tuple[int, float]:
    """Cycles and energy (uJ) of the baseline by upstream's schedules, modelled."""
    asked, platform = settings.platform, load_platform(settings.platform.name)
    model = platform.cost_model(technology=technology, timing=asked.timing, schedule="upstream")
    space = network_space(settings.task.space, settings.task.classes)
    network = space.workload(tuple(baseline.values["options"]))
    cost = price_network(
        platform, baseline.values["accelerator"], network, model, settings.objective.minimize
    )
    return cost.cycles, cost.energy_uj


def spread(values: np.ndarray[Any, np.dtype[np.float64]]) -> str:
    """Median, and its interval where there is more than one."""
    if len(values) == 1:
        return f"{values[0]:.2f} (one seed)"
    low, high = interval(values)
    return f"{median(values):.2f} ({low:.2f} to {high:.2f})"


def percent(share: float | None) -> str:
    """A share, or that there is none."""
    return NOT_RUN if share is None else f"{share:.2%}"


def count(value: float | None) -> str:
    """A number of things, or that it is not known."""
    return NOT_RUN if value is None else f"{value:,.0f}"


def markdown(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""

    def lines() -> Iterator[str]:
        for cells in (heading, ["---"] * len(heading), *rows):
            yield f"| {' | '.join(cells)} |"

    return "\n".join(lines()) + "\n"
