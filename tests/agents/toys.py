"""Spaces small enough to enumerate, with objectives whose optimum is known without a search."""

from __future__ import annotations

import numpy as np

from rhnas.agents.base import SearchContext
from rhnas.agents.features import search_context
from rhnas.platform import Objective
from rhnas.space import Choice, FeasibleSet, Rule, Space
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
