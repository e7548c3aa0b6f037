"""The exact optimum over every feasible design: the yardstick of all agents, remembered on disk."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import inspect
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rhnas.agents.bound import branch_and_bound
from rhnas.agents.evaluator import DesignCosts
from rhnas.errors import InfeasibleDesignError, RhnasError
from rhnas.files import cache_folder, canonical_json, read_json, write_atomically, write_json
from rhnas.platform import CostModel, Objective
from rhnas.relaxation import RelaxableCostModel
from rhnas.space import FeasibleSet
from rhnas.workload import FloatArray, IntArray, layer_table

CHUNK = 1 << 12
"""Designs costed at a time; bounds the memory of a sweep."""

ENUMERATED = 1 << 13
"""Designs up to which every one is costed where branch and bound could settle them."""

SCHEMA = 1
"""Version of the cached files; others are ignored."""

Progress = Callable[[int, int], None]
"""Called with the number of designs settled and of all designs."""


@dataclass(frozen=True, kw_only=True)
class Optimum:
    """The cheapest feasible design.

    Attributes:
        design: int64 (D,).
        log_objective: Natural log of its objective.
        costed: Designs whose cost was asked for; the others are dearer by a proven lower bound.
    """

    design: IntArray
    log_objective: float
    costed: int


def no_progress(done: int, total: int) -> None:
    """Say nothing."""


def exhaustive_scores(
    designs: FeasibleSet,
    costs: DesignCosts,
    options: Mapping[str, Any],
    progress: Progress = no_progress,
) -> FloatArray:
    """The log objective of every feasible design, remembered under the cache folder.

    The key is that of ``cached_optimum``. A sweep writes what it has after every chunk, so that a killed
    one goes on where it was; a folder that cannot be written costs time, not the result.

    Args:
        designs: The feasible designs.
        costs: What a design costs.
        options: The options the cost model was made with.
        progress: Told how far the sweep is.

    Returns:
        float64 (count,), in the order of ``designs.flat``; nan where a layer has no mapping.
    """
    path = _score_file(designs, costs, options)
    scores = _read_scores(path, designs.count)
    while len(scores) < designs.count:
        flat = designs.flat[len(scores) : len(scores) + CHUNK]
        scores = np.concatenate([scores, costs(designs.space.unravel(flat))])
        content = io.BytesIO()
        np.save(content, scores)
        with contextlib.suppress(RhnasError):
            write_atomically(path, content.getvalue())
        progress(len(scores), designs.count)
    return scores


def _score_file(designs: FeasibleSet, costs: DesignCosts, options: Mapping[str, Any]) -> Path:
    return cache_folder() / "scores" / f"{identity(designs, costs, options)}.npy"


def _read_scores(path: Path, count: int) -> FloatArray:
    """The scores of the first designs, as far as a sweep came; none if the file is absent or damaged."""
    try:
        scores = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return np.empty(0)
    usable = scores.dtype == np.float64 and scores.ndim == 1 and len(scores) <= count
    return np.asarray(scores if usable else np.empty(0), dtype=np.float64)


def find_optimum(designs: FeasibleSet, costs: DesignCosts, progress: Progress = no_progress) -> Optimum:
    """The cheapest design of a set: exact, by branch and bound or by enumeration.

    Large sets are not enumerated where the model bounds ranges of designs (``agents.bound``). Otherwise, for
    latency, designs are taken in the order of their physical lower bound on cycles, and the sweep ends where
    the bound exceeds the best found: exact, since no later design can be cheaper.

    Args:
        designs: The feasible designs.
        costs: What a design costs.
        progress: Told how far the sweep is.

    Raises:
        InfeasibleDesignError: No design has a mapping for every layer.
    """
    if isinstance(costs.model, RelaxableCostModel) and designs.count > ENUMERATED:
        found = branch_and_bound(designs, costs, progress=progress)
        assert found.design is not None  # noqa: S101 - without effort or a known value it ends with one
        return Optimum(design=found.design, log_objective=found.log_objective, costed=found.costed)
    flat = designs.flat
    bounds = np.full(len(flat), -np.inf)
    if costs.objective is Objective.LATENCY:
        bounds = np.log(_cycle_bounds(designs, costs))
        order = np.argsort(bounds, kind="stable")
        flat, bounds = flat[order], bounds[order]
    best, value, costed = -1, np.inf, 0
    for start in range(0, len(flat), CHUNK):
        if bounds[start] > value:
            break
        chunk = flat[start : start + CHUNK]
        scores = np.nan_to_num(costs(designs.space.unravel(chunk)), nan=np.inf)
        costed += len(chunk)
        if scores.min() < value:
            best, value = int(chunk[scores.argmin()]), float(scores.min())
        progress(costed, len(flat))
    progress(len(flat), len(flat))
    if best < 0:
        raise InfeasibleDesignError(
            "at least one design must have a mapping for every layer", got=f"none of {len(flat)}"
        )
    return Optimum(design=designs.space.unravel(np.array([best]))[0], log_objective=value, costed=costed)


def _cycle_bounds(designs: FeasibleSet, costs: DesignCosts) -> FloatArray:
    bounds = np.empty(designs.count)
    for start in range(0, designs.count, CHUNK):
        rows = slice(start, start + CHUNK)
        batch = designs.space.decode(designs.space.unravel(designs.flat[rows]))
        bounds[rows] = costs.model.bounds(batch, costs.layers) @ costs.weights
    return bounds


def cached_optimum(
    designs: FeasibleSet,
    costs: DesignCosts,
    options: Mapping[str, Any],
    progress: Progress = no_progress,
) -> Optimum:
    """``find_optimum``, remembered under the cache folder.

    The key covers all that the optimum depends on: the choices, which designs are feasible, the layers with
    their multiplicity, the objective, the model's options and its source files. A damaged entry is found anew
    and rewritten; a folder that cannot be written costs time, not the result.

    Args:
        designs: The feasible designs.
        costs: What a design costs.
        options: The options the cost model was made with.
        progress: Told how far the sweep is.
    """
    path = cache_folder() / "optimum" / f"{identity(designs, costs, options)}.json"
    known = _read(path, designs)
    if known is not None:
        return known
    scores = _read_scores(_score_file(designs, costs, options), designs.count)
    if len(scores) == designs.count and np.isfinite(scores).any():
        best = int(np.nanargmin(scores))
        design = designs.space.unravel(designs.flat[best : best + 1])[0]
        found = Optimum(design=design, log_objective=float(scores[best]), costed=designs.count)
    else:
        found = find_optimum(designs, costs, progress)
    entry = {"design": found.design.tolist(), "log_objective": found.log_objective, "costed": found.costed}
    try:
        write_json(path, {"schema": SCHEMA, **entry})
    except RhnasError:
        return found
    return found


def _read(path: Path, designs: FeasibleSet) -> Optimum | None:
    if not path.exists():
        return None
    try:
        entry = read_json(path)
        if entry.get("schema") != SCHEMA:
            return None
        design = np.array(entry["design"], dtype=np.int64)
        if not designs.contains(design[None])[0]:
            return None
        return Optimum(
            design=design, log_objective=float(entry["log_objective"]), costed=int(entry["costed"])
        )
    except (RhnasError, KeyError, TypeError, ValueError):
        return None


def identity(designs: FeasibleSet, costs: DesignCosts, options: Mapping[str, Any]) -> str:
    """A name for all that costs depend on: feasible designs, layers, objective, model, options, sources."""
    described = {
        "choices": [[choice.name, *choice.values] for choice in designs.space.choices],
        "feasible": hashlib.sha256(np.packbits(designs.allowed).tobytes()).hexdigest(),
        "layers": layer_table(costs.layers).tolist(),
        "weights": costs.weights.tolist(),
        "objective": str(costs.objective),
        "model": [type(costs.model).__qualname__, _source_digest(costs.model), costs.model.fingerprint],
        "options": {name: str(value) for name, value in options.items() if name != "workers"},
    }
    return hashlib.sha256(canonical_json(described).encode()).hexdigest()[:32]


def _source_digest(model: CostModel) -> str:
    """Of the source files beside the one that defines the model: whatever it is computed with."""
    file = Path(inspect.getfile(type(model)))
    specification = importlib.util.find_spec(type(model).__module__.rpartition(".")[0] or "builtins")
    in_package = specification is not None and specification.submodule_search_locations is not None
    files = sorted(file.parent.glob("*.py")) if in_package else [file]
    digest = hashlib.sha256()
    for source in files:
        digest.update(source.name.encode() + source.read_bytes())
    return digest.hexdigest()
