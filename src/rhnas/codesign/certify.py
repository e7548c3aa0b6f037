"""How far the result of a search can be from the best there is, proved over every realizable design.

The claims, from narrow to wide: the accelerator for the network found; the pair, among all trained networks
that hold the accuracy; the objective that the search minimises, among all networks whose error it knew; the
same over the whole network space, where of an unknown error is known only that it is not negative; and the
cost of any network of the space that is at least as large as the one found. Branch and bound over boxes of
designs (``agents.bound``) proves each as far as its effort goes.

Legend: n networks, L distinct layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rhnas.agents.bound import ROUNDING, Bounds, Box, least, relaxable, relaxed
from rhnas.codesign.archive import layer_weights
from rhnas.codesign.problem import Problem
from rhnas.codesign.results import Chosen
from rhnas.networks.least import Size, least_objective
from rhnas.networks.spaces.base import Architecture
from rhnas.networks.tables import LayerCounts
from rhnas.workload import FloatArray, IntArray

Proof = dict[str, Any]
"""``objective`` had, ``bound`` below it, ``proved`` where they are one, ``gap``, and ``boxes`` priced."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A network and its validation error as a fraction."""

    architecture: Architecture
    error: float


class Certifier:
    """Proves bounds over all designs of a problem.

    Args:
        problem: What was searched.
        effort: Boxes of designs that one proof may price.
    """

    def __init__(self, problem: Problem, effort: int) -> None:
        self._problem = problem
        self._effort = effort
        self._counts = LayerCounts.of(problem.networks)
        self._objective = problem.settings.objective.minimize

    @property
    def able(self) -> bool:
        """Whether the effort suffices for a bound: the model bounds ranges of designs, or there are few."""
        few = self._problem.designs.count <= self._effort
        return self._effort > 0 and (bool(relaxable(self._problem.model)) or few)

    def log_cost(self, architecture: Architecture, design: IntArray) -> float:
        """Log objective of a network on a design int64 (D,)."""
        totals = self._problem.totals(design, self._problem.workload(architecture))
        return float(self._objective.score(totals.cycles, totals.energy_pj)[0])

    def macs(self, architecture: Architecture) -> int:
        """Of a network."""
        return self._problem.workload(architecture).macs

    def cost(self, networks: Sequence[Architecture], known: float) -> Proof:
        """The least log objective of any of some networks on any design; the gap is a ratio less 1.

        Args:
            networks: At least one.
            known: A value that can be had.
        """
        return _with_ratio(self._pairs([Measured(architecture=n, error=0.0) for n in networks], 1.0, known))

    def score(self, networks: Sequence[Measured], weight: float, known: float) -> Proof:
        """The least error plus ``weight`` times log objective of any of some networks on any design.

        The gap is a difference, in the error's unit.
        """
        return _with_difference(self._pairs(networks, weight, known))

    def score_of_space(self, weight: float, known: float) -> Proof:
        """As ``score``, of every network of the space, whose errors are not negative."""
        return _with_difference(self._space(weight, known, None))

    def cost_of_large(self, macs: int, known: float) -> Proof:
        """As ``cost``, of every network of the space that has at least so many MACs."""
        per_layer = np.array([layer.macs for layer in self._problem.networks.layers], dtype=np.float64)
        return _with_ratio(self._space(1.0, known, Size(per_layer=per_layer, least=float(macs))))

    def _pairs(self, networks: Sequence[Measured], weight: float, known: float) -> Proof:
        counts = np.stack([layer_weights(self._counts, network.architecture) for network in networks])
        used = np.flatnonzero(counts.any(axis=0))
        layers = [self._problem.networks.layers[at] for at in used]

        def bounds(boxes: list[Box]) -> FloatArray:
            cost = relaxed(self._problem.designs, self._problem.model, layers, boxes)
            scores = []
            for count, network in zip(counts[:, used], networks, strict=True):
                totals = cost.totals(self._objective, count)
                score = self._objective.score(totals.cycles, totals.energy_pj)
                scores.append(network.error + weight * np.nan_to_num(score, nan=np.inf))
            return np.asarray(np.min(scores, axis=0))

        return self._proof(bounds, known)

    def _space(self, weight: float, known: float, size: Size | None) -> Proof:
        problem = self._problem

        def bounds(boxes: list[Box]) -> FloatArray:
            cost = relaxed(problem.designs, problem.model, problem.networks.layers, boxes)
            return weight * least_objective(self._counts, cost, self._objective, size)

        return self._proof(bounds, known)

    def _proof(self, bounds: Bounds, known: float) -> Proof:
        designs, free = self._problem.designs, relaxable(self._problem.model)
        found = least(designs, bounds, free, effort=self._effort, known=known)
        # A logarithm's last bits must not lift a bound above what is bounded.
        bound = min(found.lower - ROUNDING, known)
        proved = known <= found.lower + ROUNDING
        return {"objective": known, "bound": bound, "proved": proved, "boxes": found.costed}


def certificate(
    certifier: Certifier,
    chosen: Sequence[Chosen],
    trained: Sequence[Architecture],
    candidates: Sequence[Measured],
    weight: float,
) -> dict[str, Any]:
    """What is proved about a result; the claims are those of the module.

    Args:
        certifier: Proves.
        chosen: What the schemes ended with.
        trained: Networks trained from scratch that hold the accuracy asked for.
        candidates: Networks of the joint search with the errors it knew them by.
        weight: Lambda of the search's objective; at 0 nothing is said of it.

    Returns:
        Proofs: ``hardware`` one per scheme that searched an accelerator; ``trained``, None where the network
        found does not hold the accuracy; ``candidates`` and ``space``, None without a weight; ``as_large``.
    """
    cost = {c.scheme.key: certifier.log_cost(c.architecture, c.design) for c in chosen}
    found = next(c for c in chosen if c.scheme.key == "found")
    holds = found.architecture in trained
    return {
        "hardware": _of_hardware(certifier, chosen, cost),
        "trained": {**certifier.cost(trained, cost["found"]), "networks": len(trained)} if holds else None,
        **_of_objective(certifier, found.design, candidates, weight, cost["baseline"]),
        "as_large": certifier.cost_of_large(certifier.macs(found.architecture), cost["found"]),
    }


def _of_hardware(certifier: Certifier, chosen: Sequence[Chosen], cost: dict[str, float]) -> dict[str, Proof]:
    """A proof per scheme; schemes that share a network share it, at the least cost that one of them had."""
    searched = [c for c in chosen if c.scheme.hardware != "baseline"]
    least_of: dict[Architecture, float] = {}
    for c in searched:
        least_of[c.architecture] = min(cost[c.scheme.key], least_of.get(c.architecture, np.inf))
    proofs = {network: certifier.cost([network], known) for network, known in least_of.items()}
    found = {}
    for c in searched:
        proof, had = proofs[c.architecture], cost[c.scheme.key]
        proved = proof["proved"] and had <= proof["objective"]
        found[c.scheme.key] = _with_ratio({**proof, "objective": had, "proved": proved})
    return found


def _of_objective(
    certifier: Certifier, design: IntArray, candidates: Sequence[Measured], weight: float, reference: float
) -> dict[str, Proof | None]:
    """Costs are counted from the baseline's, so that the objective is the baseline's error at its cost."""
    if weight <= 0:
        return {"candidates": None, "space": None}
    known = min(c.error + weight * certifier.log_cost(c.architecture, design) for c in candidates)
    proofs = certifier.score(candidates, weight, known), certifier.score_of_space(weight, known)
    some, every = (
        {**proof, **{key: proof[key] - weight * reference for key in ("objective", "bound")}}
        for proof in proofs
    )
    return {"candidates": {**some, "networks": len(candidates)}, "space": every}


def _with_ratio(proof: Proof) -> Proof:
    return {**proof, "gap": float(np.expm1(proof["objective"] - proof["bound"]))}


def _with_difference(proof: Proof) -> Proof:
    return {**proof, "gap": proof["objective"] - proof["bound"]}
