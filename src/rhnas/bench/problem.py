"""Tabular co-design problems: every network's accuracy and every design's costs are known.

Legend: N networks, B feasible designs, L distinct layers, D decisions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from rhnas.agents.base import SearchContext
from rhnas.agents.features import search_context
from rhnas.bench.cached import pair_table
from rhnas.bench.tables import (
    all_networks,
    macro_accuracy,
    nasbench201_accuracy,
    network_weights,
    sizes_accuracy,
)
from rhnas.codesign.pairs import PairCosts
from rhnas.errors import SettingsError, did_you_mean
from rhnas.networks.spaces.base import NetworkSpace
from rhnas.networks.spaces.registry import network_space
from rhnas.networks.spaces.residual import ResidualSpace
from rhnas.networks.tables import LayerCounts
from rhnas.platform import Cost, Objective, Platform, feasible_designs, load_platform
from rhnas.space import DesignBatch, FeasibleSet, Space
from rhnas.workload import FloatArray, IntArray


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """What is searched, by name; ``TabularProblem`` is it made ready.

    Attributes:
        name: As ``rhnas bench`` takes it.
        networks: Name of the network space.
        accuracy: Accuracies in percent of all its networks, in the order of ``all_networks``.
        space: The platform's design space.
        platform: Whose accelerators.
        limits: The chip's budget, in the platform's own names.
        span: Lowest and highest accuracy in percent at which the headroom is told.
        thresholds: Accuracies within it that schemes are asked to hold, ascending.
        about: One sentence for the report.
    """

    name: str
    networks: str
    accuracy: Callable[[Any], FloatArray]
    space: str
    platform: str = "vta"
    limits: Mapping[str, int] = field(default_factory=dict)
    span: tuple[float, float]
    thresholds: tuple[float, ...]
    about: str


BENCHMARKS = {
    benchmark.name: benchmark
    for benchmark in (
        Benchmark(
            name="digits-sizes",
            networks="digits-sizes",
            accuracy=sizes_accuracy,
            space="vta",
            limits={"macs": 16, "bus_bits": 64, "sram_kib": 16},
            span=(88.0, 95.0),
            thresholds=(91.0, 94.0),
            about="searched widths and operations, accuracies predicted from trained networks; the network "
            "was designed for the default accelerator, the chip has a sixteenth of its multipliers",
        ),
        Benchmark(
            name="digits-sizes-systolic",
            networks="digits-sizes",
            accuracy=sizes_accuracy,
            platform="systolic",
            space="systolic",
            limits={"macs": 64, "bus_bits": 64, "sram_kib": 96},
            span=(88.0, 95.0),
            thresholds=(91.0, 94.0),
            about="the same networks on another platform, a weight-stationary systolic array; the "
            "network was designed for the default array, the chip has a quarter of its multipliers",
        ),
        Benchmark(
            name="macro",
            networks="macro",
            accuracy=macro_accuracy,
            space="vta-intel",
            span=(90.0, 92.6),
            thresholds=(90.5, 91.4),
            about="NAS-Bench-Macro: the correctness case, two stages are nearly optimal",
        ),
        Benchmark(
            name="nasbench201",
            networks="nasbench201",
            accuracy=partial(nasbench201_accuracy, dataset="cifar10"),
            space="vta-intel",
            span=(89.0, 94.0),
            thresholds=(92.0, 94.0),
            about="NAS-Bench-201: the negative control, the best accelerator does not depend on the network",
        ),
        Benchmark(
            name="nasbench201-imagenet16",
            networks="nasbench201-imagenet16",
            accuracy=partial(nasbench201_accuracy, dataset="ImageNet16-120"),
            space="vta-intel",
            span=(36.0, 46.8),
            thresholds=(40.0, 46.0),
            about="NAS-Bench-201 with ImageNet16-120's accuracies: the negative control once more",
        ),
        Benchmark(
            name="nasbench201-small",
            networks="nasbench201",
            accuracy=partial(nasbench201_accuracy, dataset="cifar100"),
            space="vta",
            limits={"macs": 8, "bus_bits": 64, "sram_kib": 16},
            span=(66.5, 72.0),
            thresholds=(66.5, 71.3),
            about="NAS-Bench-201 with CIFAR-100's accuracies on a chip of 8 multipliers; the network was "
            "designed for the default accelerator of 256",
        ),
    )
}
"""What comes with the package."""


def benchmark_named(name: str) -> Benchmark:
    """The benchmark of that name.

    Raises:
        SettingsError: There is none; names the nearest.
    """
    if name not in BENCHMARKS:
        raise SettingsError(
            f"benchmark must be one of {sorted(BENCHMARKS)}", got=name, fix=did_you_mean(name, BENCHMARKS)
        )
    return BENCHMARKS[name]


@dataclass(frozen=True)
class TabularProblem:
    """A benchmark with all costs and accuracies at hand.

    Attributes:
        benchmark: What it was made from.
        platform: The accelerators' platform.
        networks: The network space.
        options: int64 (N, D).
        accuracy: float64 (N,), percent.
        identity: int64 (N,): the first network that is the same one; it counts once.
        counts: Layers per decision.
        weights: float64 (N, L): how often each layer runs.
        designs: The B feasible designs.
        cost: Hulls of all feasible designs, in the order of ``designs.flat``.
        reference: Hulls of the platform's default accelerator, one design; it need not be feasible: networks
            designed before the chip were designed for it.
        objective: EDP.
    """

    benchmark: Benchmark
    platform: Platform
    networks: NetworkSpace
    options: IntArray
    accuracy: FloatArray
    identity: IntArray
    counts: LayerCounts
    weights: FloatArray
    designs: FeasibleSet
    cost: Cost
    reference: Cost
    objective: Objective

    @classmethod
    def of(cls, benchmark: Benchmark, objective: Objective = Objective.EDP) -> TabularProblem:
        """Read the table and price every layer on every design, once each.

        Raises:
            DataError: The accuracy table is missing or incomplete; says how to get it.
            InfeasibleDesignError: No design meets the limits and runs all networks.
        """
        networks = network_space(benchmark.networks)
        accuracy = benchmark.accuracy(networks)
        platform = load_platform(benchmark.platform)
        space = platform.space(benchmark.space)
        layers = networks.layers
        designs = feasible_designs(platform, space, layers=layers, chainable=True, limits=benchmark.limits)
        counts, options = LayerCounts.of(networks), all_networks(networks)
        weights = network_weights(counts, options)
        model = platform.cost_model()
        return cls(
            benchmark,
            platform,
            networks,
            options,
            accuracy,
            _identity(networks, options),
            counts,
            weights,
            designs,
            model.evaluate(space.decode(designs.all()), layers),
            model.evaluate(DesignBatch.of(platform.default()), layers),
            objective,
        )

    @property
    def space(self) -> Space:
        """Of the designs."""
        return self.designs.space

    @cached_property
    def pairs(self) -> PairCosts:
        """Exact costs of networks on designs; a design is named by its place in ``designs.flat``."""
        return PairCosts(self.cost, self.objective)

    @cached_property
    def _table(self) -> FloatArray:
        """Log objective of every distinct network on every design, float64 (B, distinct)."""
        return pair_table(self.pairs, self.weights[self._distinct[0]])

    def scores(self, design: int) -> FloatArray:
        """Log objective of every network on one design, float64 (N,)."""
        return np.asarray(self._table[design][self._distinct[1]])

    def pair_scores(self, networks: IntArray, designs: IntArray) -> FloatArray:
        """Log objective of networks (n,) on designs (b,), float64 (n, b)."""
        return np.asarray(self._table[designs][:, self._distinct[1][networks]].T)

    @cached_property
    def _distinct(self) -> tuple[IntArray, IntArray]:
        """One network of each weighting of layers, and for each network which of these it has."""
        _, first, back = np.unique(self.weights, axis=0, return_index=True, return_inverse=True)
        return first.astype(np.int64), back.reshape(-1).astype(np.int64)

    @cached_property
    def reference_scores(self) -> FloatArray:
        """Log objective of every network on the reference accelerator, float64 (N,)."""
        return PairCosts(self.reference, self.objective).scores(self.weights, 0)

    @cached_property
    def best(self) -> tuple[FloatArray, IntArray]:
        """Every network's exact optimum over all designs: log objective and design, each (N,)."""
        return self.pairs.best(self.weights)

    @cached_property
    def contenders(self) -> IntArray:
        """Designs that are not dominated by another one, (contenders,)."""
        return self.pairs.contenders(self.weights)

    @cached_property
    def fingerprint(self) -> str:
        """Of the networks, their accuracies, the designs, and what they cost; runs of two do not compare."""
        designs = np.packbits(self.designs.allowed).tobytes()
        costs = np.concatenate([self.best[0], self.reference_scores]).round(4) + 0.0  # the last digits vary
        tables = self.options.tobytes() + self.accuracy.round(4).tobytes() + costs.tobytes()
        return hashlib.sha256(designs + tables).hexdigest()[:16]

    def places(self, designs: IntArray) -> IntArray:
        """Positions in ``designs.flat`` of designs int64 (B, choices), int64 (B,)."""
        return np.searchsorted(self.designs.flat, self.space.ravel(designs)).astype(np.int64)

    @cached_property
    def _context(self) -> SearchContext:
        return search_context(
            self.designs,
            self.objective,
            self.platform.default(),
            self.networks.layers,
            weights=self.weights.mean(axis=0),
            budget=1,
        )

    def context(self, budget: int) -> SearchContext:
        """What hardware agents may know; the network is the mean one."""
        return replace(self._context, budget=budget)

    @property
    def penalty(self) -> float:
        """Log objective per percentage point below a threshold, in what schemes minimise.

        Over the benchmark's span a shortfall weighs as much as the widest range of costs.
        """
        low, high = self.benchmark.span
        return COST_RANGE / (high - low)


COST_RANGE = 8.0
"""Log of the ratio between the dearest and the cheapest network of a space, roughly."""


def _identity(networks: NetworkSpace, options: IntArray) -> IntArray:
    """For each network the first one that is the same: operations of blocks that do not run make no other."""
    if not isinstance(networks, ResidualSpace):
        return np.arange(len(options))
    plain = options.copy()
    for stage, at in zip(networks.settings.stages, networks.stages, strict=True):
        depth = np.array(stage.depths)[options[:, at.depth]]
        for block, op in enumerate(at.ops):
            plain[block >= depth, op] = 0
    sizes = [len(decision.options) for decision in networks.decisions]
    return np.asarray(np.ravel_multi_index(tuple(plain.T), sizes), dtype=np.int64)
