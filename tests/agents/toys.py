"""Spaces small enough to enumerate, with objectives whose optimum is known without a search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from rhnas.agents.base import SearchContext
from rhnas.agents.features import search_context
from rhnas.platform import Cost, CostModel, Objective, Platform
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


class FittingModel(CostModel):
    """Cycles are least where c0 fits a layer's outputs, energy where c1 fits what each of them reads."""

    def evaluate(self, batch: DesignBatch, layers: Sequence[Layer]) -> Cost:
        shape = (len(batch), len(layers), 1)
        macs = np.array([layer.macs for layer in layers], dtype=np.float64)[None, :, None]
        outputs = np.log2([layer.channels[1] for layer in layers])[None, :, None] - 3
        inputs = np.log2([layer.channels[0] // layer.groups for layer in layers])[None, :, None] - 3
        slow = 1 + (batch["c0"][:, None, None] - outputs) ** 2
        costly = 1 + (batch["c1"][:, None, None] - inputs) ** 2 + batch["c2"][:, None, None]
        return Cost(
            cycles=(macs * slow).astype(np.int64),
            energy_pj=np.broadcast_to(macs * costly, shape).copy(),
            mapped=np.ones(shape[:2], dtype=np.bool_),
            launch_cycles=np.full(len(batch), 10),
            launch_energy_pj=np.full(len(batch), 1.0),
        )

    def bounds(self, batch: DesignBatch, layers: Sequence[Layer]) -> IntArray:
        return np.broadcast_to(np.array([layer.macs for layer in layers]), (len(batch), len(layers)))


class ToyPlatform(Platform):
    """Three choices under a budget that couples them; what is best depends on the network."""

    name = "toy"
    spaces = ("toy",)
    limits = MappingProxyType({"sum": (4, 14)})

    def parse(self, text: str) -> dict[str, int]:
        raise NotImplementedError

    def label(self, row: Mapping[str, int]) -> str:
        return str(dict(row))

    def space(self, name: str) -> Space:
        return toy_space(7, 7, 4)

    def cost_model(self, **options: Any) -> CostModel:
        return FittingModel()

    def rules(
        self,
        *,
        layers: Sequence[Layer] = (),
        chainable: bool = False,
        fpga: str | None = None,
        limits: Mapping[str, int] | None = None,
    ) -> tuple[Rule, ...]:
        return tuple(sum_below(bound) for bound in (limits or {}).values())

    def default(self) -> dict[str, int]:
        return {"c0": 0, "c1": 0, "c2": 0}

    def config(self, row: Mapping[str, int]) -> Any:
        raise NotImplementedError
