"""Fronts of accuracy against cost over finished runs, and ratios at equal accuracy between them.

The points of a front are configurations, most often cost weights, each the mean over its seeds: the best of
several seeds by test accuracy would be a choice by the test set. Accuracies are fractions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import exp, log
from statistics import fmean, geometric_mean
from typing import Any

import numpy as np

from rhnas.pareto import Front, hypervolume, pareto
from rhnas.report.outcomes import EDP, ENERGY, EVIDENCE, LATENCY, Outcome
from rhnas.report.run import ORDER, TITLES
from rhnas.workload import FloatArray

MARGIN = 0.003
"""Accuracy, as a fraction, by which a network may lie below another and still count as no worse."""

PAIRS = (
    ("baseline", "hardware_only"),
    ("baseline", "two_stage"),
    ("baseline", "found"),
    ("two_stage", "found"),
)
"""Whose fronts are compared: the first is how many times as dear as the second."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """One scheme of one configuration.

    Attributes:
        scheme: Its key in ``result.json``.
        weight: Lambda.
        seeds: Over which accuracy (mean) and costs (geometric mean) are taken.
        accuracy: Of the integer network on the test set.
        accuracies: Least and greatest of the seeds.
        costs: By name; see ``Outcome.costs``.
        how: Where cycles come from, the weakest of the seeds.
    """

    scheme: str
    weight: float
    seeds: tuple[int, ...]
    accuracy: float
    accuracies: tuple[float, float]
    costs: Mapping[str, float]
    how: str


def points_of(outcomes: Sequence[Outcome]) -> list[Point]:
    """Outcomes averaged over seeds, by scheme in the order of every table, then by weight."""
    groups: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault((outcome.scheme, outcome.configuration), []).append(outcome)
    points = [_point(group) for group in groups.values()]
    return sorted(points, key=lambda point: (ORDER.index(point.scheme), point.weight))


def _point(group: Sequence[Outcome]) -> Point:
    accuracies = [outcome.accuracy for outcome in group]
    return Point(
        scheme=group[0].scheme,
        weight=group[0].weight,
        seeds=tuple(sorted(outcome.seed for outcome in group)),
        accuracy=fmean(accuracies),
        accuracies=(min(accuracies), max(accuracies)),
        costs={name: geometric_mean(o.costs[name] for o in group) for name in group[0].costs},
        how=min((outcome.how for outcome in group), key=EVIDENCE.index),
    )


def compare(points: Sequence[Point]) -> dict[str, Any]:
    """Per cost the fronts, what they dominate, and their ratios, as ``rhnas front --json`` prints them.

    The hypervolume is in points of accuracy times log cost, from a corner 0.3 points and 10% beyond the worst
    points, as a share of what all schemes together dominate.

    Args:
        points: Of all schemes.
    """
    found = {}
    schemes = dict.fromkeys(point.scheme for point in points)
    for name in points[0].costs:
        scores = {
            scheme: [(p.accuracy, log(p.costs[name])) for p in points if p.scheme == scheme]
            for scheme in schemes
        }
        everything = [point for some in scores.values() for point in some]
        corner = (min(a for a, _ in everything) - MARGIN, max(s for _, s in everything) + log(1.1))
        whole = hypervolume(everything, corner)
        fronts = {scheme: front_of(some) for scheme, some in scores.items()}
        found[name] = {
            "fronts": {scheme: [(a, exp(s)) for a, s in front] for scheme, front in fronts.items()},
            "hypervolume": {s: hypervolume(front, corner) / whole for s, front in fronts.items()},
            "ratios": {f"{a}/{b}": asdict(ratio(fronts[a], fronts[b], (a, b))) for a, b in PAIRS},
        }
    return found


def front_of(points: Sequence[tuple[float, float]]) -> Front:
    """The undominated ones of (accuracy, log cost)."""
    values = np.array(points, dtype=np.float64).reshape(-1, 2)
    return pareto(values[:, 0], values[:, 1])


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """How many times as dear one front is as another, at equal accuracy.

    Attributes:
        held: At each point of the first front, most accurate first: its accuracy, and its cost over the
            least cost of a point of the second that is no less accurate beyond ``MARGIN``; None without one.
        no_worse: Geometric mean of these; None unless there is one everywhere.
        overlap: Least and greatest accuracy that both fronts reach; None where they share none.
        interpolated: Geometric mean ratio over the overlap, log cost drawn straight between points
            (Bjøntegaard's measure); None without an overlap.
        why: What is missing, in words; empty where nothing is.
    """

    held: list[tuple[float, float | None]]
    no_worse: float | None
    overlap: tuple[float, float] | None
    interpolated: float | None
    why: str


def ratio(first: Front, second: Front, names: tuple[str, str] = ("baseline", "found")) -> Ratio:
    """Compare two fronts of (accuracy, log cost).

    Args:
        first: Of the one that is expected to be dearer.
        second: Of the other.
        names: Keys of the two in ``TITLES``, for the words.

    Example:
        >>> found = ratio([(0.95, log(8.0)), (0.90, log(4.0))], [(0.95, log(4.0)), (0.90, log(2.0))])
        >>> round(found.interpolated, 3), found.overlap
        (2.0, (0.9, 0.95))
    """
    held = [(accuracy, _held(score, accuracy, second)) for accuracy, score in first]
    ratios = [value for _, value in held if value is not None]
    no_worse = geometric_mean(ratios) if len(ratios) == len(held) else None
    overlap = _overlap(first, second)
    interpolated = None if overlap is None else _interpolated(first, second, overlap)
    return Ratio(
        held=held,
        no_worse=no_worse,
        overlap=overlap,
        interpolated=interpolated,
        why="; ".join(_missing(first, second, names, no_worse, overlap)),
    )


def _held(score: float, accuracy: float, other: Front) -> float | None:
    scores = [s for a, s in other if a >= accuracy - MARGIN - ROUNDING]
    return exp(score - min(scores)) if scores else None


ROUNDING = 1e-9
"""Accuracies this near are equal."""


def _overlap(first: Front, second: Front) -> tuple[float, float] | None:
    low, high = max(first[-1][0], second[-1][0]), min(first[0][0], second[0][0])
    return (low, high) if low <= high else None


def _interpolated(first: Front, second: Front, overlap: tuple[float, float]) -> float:
    """Exact for lines between points: the log ratio is straight between the accuracies of either front."""
    low, high = overlap
    inner = {a for a, _ in (*first, *second) if low < a < high}
    at = np.array(sorted({low, high} | inner))
    difference = _line(first, at) - _line(second, at)
    mean = np.trapezoid(difference, at) / (high - low) if high > low else difference[0]
    return exp(float(mean))


def _line(front: Front, at: FloatArray) -> FloatArray:
    accuracy, score = np.array(front[::-1]).T
    return np.asarray(np.interp(at, accuracy, score), dtype=np.float64)


def _missing(
    first: Front,
    second: Front,
    names: tuple[str, str],
    no_worse: float | None,
    overlap: tuple[float, float] | None,
) -> Iterator[str]:
    one, other = (TITLES[name].lower() for name in names)
    if no_worse is None:
        yield f"{other} does not hold the accuracy of {one} to {100 * MARGIN:.1f} points everywhere"
    if overlap is None:
        yield f"the fronts do not overlap in accuracy ({one} {_span(first)}, {other} {_span(second)})"


def _span(front: Front) -> str:
    low, high = f"{100 * front[-1][0]:.2f}%", f"{100 * front[0][0]:.2f}%"
    return low if low == high else f"{low} to {high}"


def title_of(cost: str) -> str:
    """A cost's name in words.

    Example:
        >>> title_of("latency_ms"), title_of("edp_uj_ms.dosa40")
        ('latency, ms', 'EDP, µJ ms (dosa40)')
    """
    words = {LATENCY: "latency, ms", ENERGY: "energy, µJ", EDP: "EDP, µJ ms"}
    key, _, technology = cost.partition(".")
    return words[key] + (f" ({technology})" if technology else "")
