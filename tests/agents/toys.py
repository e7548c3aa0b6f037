"""Spaces small enough to enumerate, with objectives whose optimum is known without a search."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rhnas.agents.base import SearchContext
from rhnas.agents.features import search_context
from rhnas.platform import Cost, CostModel, Objective
from rhnas.space import Choice, DesignBatch, FeasibleSet, Rule, Space
from rhnas.workload import FloatArray, IntArray, Layer

LAYER = Layer(name="conv", channels=(16, 32), size=(8, 8), kernel=(3, 3), padding=(1, 1))


def sum_below(limit: int) -> Rule:
    """A budget that couples all choices."""
    return Rule(
        name="budget",
        level="limit",
        invariant=f"the values must sum to at most {limit}",
        reason="toy",
        source="toy",
        slack=lambda batch: limit - np.sum(list(batch.columns.values()), axis=0).astype(np.float64),
    )


def toy_space(*sizes: int) -> Space:
    choices = tuple(Choice(name=f"c{i}", values=tuple(range(size))) for i, size in enumerate(sizes))
    return Space(name="toy", rules=(), choices=choices)


def bowl(target: tuple[int, ...], centre_weight: float = 1.0):
    """A smooth cost with its only optimum at ``target``."""

    def scores(indices: IntArray) -> FloatArray:
        return centre_weight * ((indices - np.array(target)) ** 2).sum(axis=1).astype(np.float64)

    return scores


def context_of(designs: FeasibleSet, budget: int = 60, layers: tuple[Layer, ...] = (LAYER,)) -> SearchContext:
    default = {choice.name: choice.values[0] for choice in designs.space.choices}
    return search_context(designs, Objective.EDP, default, layers, budget=budget)


class ToyModel(CostModel):
    """Cycles fall with c0 and rise with c1, energy the other way round; layers without MACs cost nothing."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def evaluate(self, batch: DesignBatch, layers: Sequence[Layer]) -> Cost:
        self.calls.append(len(batch))
        shape = (len(batch), len(layers), 1)
        macs = np.array([layer.macs for layer in layers])[None, :, None]
        speed = (1 + batch["c0"])[:, None, None]
        drag = (1 + (batch["c1"] - 2) ** 2)[:, None, None]
        return Cost(
            cycles=np.broadcast_to(macs * drag // speed, shape).copy(),
            energy_pj=np.broadcast_to(macs * speed * drag, shape).astype(np.float64),
            mapped=np.broadcast_to((batch["c0"] != 1)[:, None], shape[:2]).copy(),
            launch_cycles=np.full(len(batch), 10),
            launch_energy_pj=np.full(len(batch), 1.0),
        )

    def bounds(self, batch: DesignBatch, layers: Sequence[Layer]) -> IntArray:
        macs = np.array([layer.macs for layer in layers])
        return np.asarray(macs[None] // (1 + batch["c0"])[:, None])
