"""What many seeds say: medians, intervals, paired tests, anytime curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import wilcoxon

from rhnas.seeds import Seeds
from rhnas.workload import FloatArray

OURS = "rhnas-tabular"
"""Whom paired tests compare the others with."""

DRAWS = 10_000
"""Resamples of a bootstrap."""


def summary_of(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Per scheme the figures of the table.

    A seed's share of the headroom closed and its regret are means over the thresholds; a run without an
    answer has closed nothing. The paired test is Wilcoxon's, two-sided, on the seeds' regrets against those
    of ``rhnas-tabular``.

    Args:
        rows: As ``play`` gives them.
    """
    by_scheme: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_scheme.setdefault(row["scheme"], []).append(row)
    regrets = {name: _regrets(found) for name, found in by_scheme.items()}
    return {name: _figures(name, found, regrets) for name, found in by_scheme.items()}


def _figures(name: str, rows: list[dict[str, Any]], regrets: dict[str, FloatArray]) -> dict[str, Any]:
    runs = [run for row in rows for run in row["runs"]]
    closed = _closed(rows)
    regret = regrets[name]
    return {
        "closed": None if closed is None else float(np.median(closed)),
        "closed_interval": None if closed is None else interval(closed),
        "regret": _finite(float(np.median(regret))),
        "regret_interval": interval(regret) if np.isfinite(regret).all() else None,
        "unanswered": sum(run["score"] is None for run in runs),
        "hypervolume": float(np.median([row["hypervolume"] for row in rows])),
        "lookups": float(np.mean([run["lookups"] for run in runs])),
        "designs": float(np.mean([run["designs"] for run in runs])),
        "unrealizable": float(np.mean([run["unrealizable"] for run in runs])),
        "seconds": float(np.median([run["seconds"] for run in runs])),
        "wins": None if OURS not in regrets or name == OURS else _wins(regrets[OURS], regret),
        "p": None if OURS not in regrets or name == OURS else paired(regrets[OURS], regret),
        "curve": curve(runs),
    }


def _regrets(rows: list[dict[str, Any]]) -> FloatArray:
    """Per seed the mean regret over thresholds; inf where a run has no answer."""
    return np.array(
        [np.mean([np.inf if r["regret"] is None else r["regret"] for r in row["runs"]]) for row in rows]
    )


def _closed(rows: list[dict[str, Any]]) -> FloatArray | None:
    """Per seed the mean share of the headroom closed; None where no threshold has any."""
    open_ = [
        i for i, _ in enumerate(rows[0]["runs"]) if any(row["runs"][i]["closed"] is not None for row in rows)
    ]
    if not open_:
        return None
    return np.array([np.mean([row["runs"][i]["closed"] or 0.0 for i in open_]) for row in rows])


def _wins(ours: FloatArray, theirs: FloatArray) -> list[int]:
    """Seeds in which we, neither, and they come nearer to the optimum."""
    if len(ours) != len(theirs):
        return []
    return [int((ours < theirs).sum()), int((ours == theirs).sum()), int((ours > theirs).sum())]


def paired(ours: FloatArray, theirs: FloatArray) -> float | None:
    """Wilcoxon's signed-rank test on paired seeds: its p; 1 if all are equal, None if undefined.

    Example:
        >>> paired(np.zeros(6), np.zeros(6))
        1.0
    """
    if len(ours) != len(theirs):
        return None
    worst = 2 * max(np.max(np.append(x[np.isfinite(x)], 1.0)) for x in (ours, theirs))
    difference = np.nan_to_num(ours, posinf=worst) - np.nan_to_num(theirs, posinf=worst)
    if not difference.any():
        return 1.0
    return float(wilcoxon(difference, zero_method="zsplit", method="approx").pvalue)


def interval(values: FloatArray, draws: int = DRAWS) -> tuple[float, float]:
    """95% bootstrap interval of the median, by percentiles.

    Args:
        values: float64 (n,), one per seed.
        draws: Resamples.

    Example:
        >>> interval(np.ones(5))
        (1.0, 1.0)
    """
    rng = Seeds(root=0).child("bootstrap").numpy()
    medians = np.median(rng.choice(values, size=(draws, len(values))), axis=1)
    low, high = np.quantile(medians, [0.025, 0.975])
    return float(low), float(high)


def curve(runs: Sequence[dict[str, Any]]) -> list[tuple[int, float]]:
    """Median regret over all runs as look-ups are spent, where more than half of them have an answer."""
    marks = sorted({step[0] for run in runs for step in run["trace"]})
    found: list[tuple[int, float]] = []
    for mark in marks:
        now = [min((s[2] for s in run["trace"] if s[0] <= mark), default=np.inf) for run in runs]
        median = float(np.median(now))
        if np.isfinite(median) and (not found or median < found[-1][1]):
            found.append((mark, median))
    return found


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
