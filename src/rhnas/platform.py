"""The interface between searches and accelerators: costs, tables, outcomes, platforms."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from functools import cached_property
from importlib.metadata import entry_points
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rhnas.errors import SettingsError
from rhnas.space import DesignBatch, FeasibleSet, Rule, Space
from rhnas.workload import BoolArray, FloatArray, IntArray, Layer, Workload

if TYPE_CHECKING:
    from rhnas.quantized import QuantizedNetwork
    from rhnas.toolchain import ProgramRun, Toolchain

CLOCK_MHZ = 100.0
"""At which cycles become milliseconds, for all designs, until a measured or modelled clock exists."""
POINTS_AT_ONCE = 1 << 22
"""Points of hulls that ``Cost.totals`` works on at a time: each of its arrays takes 32 MB."""


class Objective(StrEnum):
    """What a search minimises for a given accuracy."""

    LATENCY = "latency"
    ENERGY = "energy"
    EDP = "edp"

    def score(self, cycles: FloatArray, energy_pj: FloatArray) -> FloatArray:
        """The objective's natural logarithm, so that differences are log ratios; any common shape.

        Example:
            >>> float(Objective.EDP.score(np.array(np.e), np.array(np.e)))
            2.0
        """
        logs = {Objective.LATENCY: np.log(cycles), Objective.ENERGY: np.log(energy_pj)}
        return np.asarray(logs[self] if self in logs else logs[Objective.LATENCY] + logs[Objective.ENERGY])


@dataclass(frozen=True)
class Totals:
    """Whole-network cost of designs under the best shared choice of mappings.

    Attributes:
        cycles: float64 (B,); nan where a layer has no mapping.
        energy_pj: float64 (B,); nan likewise.
        mu: float64 (B,): cycles per pJ that every layer's choice shares (0: cycles alone, inf: energy alone).
    """

    cycles: FloatArray
    energy_pj: FloatArray
    mu: FloatArray


@dataclass(frozen=True)
class Cost:
    """Cost of designs x layers as lower convex hulls over mappings. Legend: B designs, L layers, K points.

    Attributes:
        cycles: int64 (B, L, K), ascending along K; rows shorter than K repeat their last point.
        energy_pj: float64 (B, L, K), descending along K.
        mapped: bool (B, L): whether the layer has a mapping; where not, the numbers are zero and unused.
        launch_cycles: int64 (B,): cycles of a program beside its layers.
        launch_energy_pj: float64 (B,).
    """

    cycles: IntArray
    energy_pj: FloatArray
    mapped: BoolArray
    launch_cycles: IntArray
    launch_energy_pj: FloatArray

    def at(self, mu: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Cost per layer where every layer minimises ``cycles + mu * energy_pj``.

        Args:
            mu: float64 (B,), cycles per pJ; ``inf`` minimises energy.

        Returns:
            (cycles float64 (B, L), energy_pj float64 (B, L)); nan where there is no mapping.
        """
        alone = np.isinf(mu)[:, None, None]
        finite = np.where(alone, 0.0, mu[:, None, None])
        weighted = np.where(alone, self.energy_pj, self.cycles + finite * self.energy_pj)
        best = weighted.argmin(axis=2)[:, :, None]  # (B, L, 1)
        cycles = np.take_along_axis(self.cycles, best, axis=2)[:, :, 0].astype(np.float64)
        energy = np.take_along_axis(self.energy_pj, best, axis=2)[:, :, 0]
        return np.where(self.mapped, cycles, np.nan), np.where(self.mapped, energy, np.nan)

    def take(self, rows: slice) -> Cost:
        """The cost of some of the designs."""
        return Cost(*(getattr(self, field.name)[rows] for field in fields(self)))

    def totals(self, objective: Objective, weights: FloatArray | None = None) -> Totals:
        """The exact optimum over all combinations of the layers' mappings.

        The network's reachable (cycles, energy) pairs are the Minkowski sum of the layers' hulls. A linear
        objective is minimal at an end of that sum's lower hull; a product of two positive sums is
        quasi-concave, so its minimum over the hull lies at a vertex as well, and each vertex is the common
        choice at one mu (METHOD: one mu shared by all layers).

        Args:
            objective: What is minimised.
            weights: float64 (L,): multiplicity of each layer (expected counts during a search); ones if None.
        """
        weight = np.ones(self.cycles.shape[1]) if weights is None else weights
        designs = max(1, POINTS_AT_ONCE // max(1, self.cycles[:1].size))
        if len(self.cycles) > designs:
            starts = range(0, len(self.cycles), designs)
            parts = [self.take(slice(at, at + designs)).totals(objective, weights) for at in starts]
            columns = ((part.cycles, part.energy_pj, part.mu) for part in parts)
            return Totals(*(np.concatenate(column) for column in zip(*columns, strict=True)))
        if objective is Objective.EDP:
            mu = self._edp_mu(weight)
        else:
            mu = np.full(len(self.cycles), 0.0 if objective is Objective.LATENCY else np.inf)
        cycles, energy = self.at(mu)
        return Totals(
            (cycles * weight).sum(1) + self.launch_cycles,
            (energy * weight).sum(1) + self.launch_energy_pj,
            mu,
        )

    @cached_property
    def _exchanges(self) -> tuple[IntArray, FloatArray, FloatArray, FloatArray]:
        """Steps along all hulls of a design, cheapest exchange first; the order depends on no weights.

        Returns:
            Of each step the layer, cycles and energy added, and cycles per pJ saved (inf: padded); (B, S).
        """
        batch, layers, points = self.cycles.shape
        cycles = np.diff(self.cycles, axis=2).reshape(batch, -1).astype(np.float64)  # (B, L (K-1)), >= 0
        energy = np.diff(self.energy_pj, axis=2).reshape(batch, -1)  # <= 0
        rate = np.full(cycles.shape, np.inf)
        np.divide(cycles, -energy, out=rate, where=energy < 0)
        used = int(np.isfinite(rate).sum(axis=1).max(initial=0))
        order = np.argsort(rate, axis=1, kind="stable")[:, :used]
        layer = np.repeat(np.arange(layers), points - 1)[order]
        sorted_ = [np.take_along_axis(column, order, axis=1) for column in (cycles, energy, rate)]
        return layer, sorted_[0], sorted_[1], sorted_[2]

    def _edp_mu(self, weight: FloatArray) -> FloatArray:
        """Walk the summed hull from least cycles to least energy; the mu of its vertex of least EDP, (B,)."""
        layer, step_cycles, step_energy, rate = self._exchanges
        zeros = np.zeros((len(rate), 1))

        def path(start: FloatArray, step: FloatArray) -> FloatArray:
            return np.concatenate([start[:, None], step * weight[layer]], axis=1).cumsum(axis=1)

        cycles = path((self.cycles[:, :, 0] * weight).sum(1) + self.launch_cycles, step_cycles)
        energy = path((self.energy_pj[:, :, 0] * weight).sum(1) + self.launch_energy_pj, step_energy)
        # A step of weight zero leads nowhere: it is neither a vertex nor one of the rates around a vertex.
        real = (weight[layer] > 0) & np.isfinite(rate)  # (B, S)
        reached = np.maximum.accumulate(np.concatenate([zeros, np.where(real, rate, 0.0)], axis=1), axis=1)
        ahead = np.concatenate([np.where(real, rate, np.inf), zeros + np.inf], axis=1)
        ahead = np.minimum.accumulate(ahead[:, ::-1], axis=1)[:, ::-1]
        vertices = np.concatenate([zeros == 0, real], axis=1)  # (B, S + 1)
        vertex = np.where(vertices, cycles * energy, np.inf).argmin(axis=1)[:, None]
        lower, upper = (np.take_along_axis(rates, vertex, axis=1)[:, 0] for rates in (reached, ahead))
        # Any mu strictly between the rates around a vertex selects it.
        return np.asarray(np.where(np.isfinite(upper), (lower + upper) / 2, lower * 2 + 1e-30))


@dataclass(frozen=True)
class Outcome:
    """What an evaluation tells an agent.

    Attributes:
        objectives: float64 (B, M): log of each objective, lower is better; nan where slack is negative.
        slack: float64 (B, C): >= 0 where usable; here whether every layer has a mapping.
    """

    objectives: FloatArray
    slack: FloatArray


class CostModel(ABC):
    """Predicts what layers cost on designs."""

    fingerprint: str = ""
    """All that costs depend on beside the options and the source files next to the model's own."""

    @abstractmethod
    def evaluate(self, batch: DesignBatch, layers: Sequence[Layer]) -> Cost:
        """Cost of every design on every layer.

        Args:
            batch: B structurally realizable designs.
            layers: L layers.

        Returns:
            Cost with leading shape (B, L).
        """

    @abstractmethod
    def bounds(self, batch: DesignBatch, layers: Sequence[Layer]) -> IntArray:
        """Physical lower bound on cycles: max(MACs / array, bytes read / bus, written / bus), (B, L)."""

    def bound_terms(self, batch: DesignBatch, layers: Sequence[Layer]) -> IntArray:
        """What ``bounds`` is the maximum of, (terms, B, L); a network's bound is the largest summed term."""
        return self.bounds(batch, layers)[None]

    def mappings(self, batch: DesignBatch, layers: Sequence[Layer], mu: float) -> list[dict[str, Any]]:
        """For one design, each layer's mapping at ``mu`` and what it does, as plain values for a report.

        Args:
            batch: One design.
            layers: L layers.
            mu: Cycles per pJ; ``inf`` minimises energy.

        Returns:
            L dictionaries in the model's own words, with a one-line ``text``; where there is none,
            ``infeasible`` with the reason, or nothing.
        """
        return [{} for _ in layers]


class Platform(ABC):
    """A family of accelerators: spaces, rules of every level, costs, and what can be built of them."""

    name: str
    spaces: tuple[str, ...] = ()
    """The names that ``space`` knows, the usual one first."""
    fpgas: tuple[str, ...] = ()
    """The parts that ``rules(fpga=...)`` and ``generate(fpga=...)`` know."""
    options: tuple[str, ...] = ()
    """The options that ``cost_model`` takes."""
    limits: Mapping[str, tuple[int, int]] = {}
    """What ``rules(limits=...)`` bounds, each with the tightest and the loosest bound worth asking for."""
    how: str = "modelled"
    """Where its costs come from, in one word."""
    expensive: bool = False
    """Whether costs take too long for an optimum that nobody asked for."""

    @abstractmethod
    def parse(self, text: str) -> dict[str, int]:
        """A full row from what a user wrote after ``--accelerator``; it may be unrealizable.

        Raises:
            SettingsError: An unknown key or a value that is none.
        """

    @abstractmethod
    def label(self, row: Mapping[str, int]) -> str:
        """A short name for any row, realizable or not."""

    @abstractmethod
    def space(self, name: str) -> Space:
        """The named design space.

        Raises:
            SettingsError: There is none of that name; the message lists those there are.
        """

    @abstractmethod
    def cost_model(self, **options: Any) -> CostModel:
        """The cost model; options are the platform's own."""

    @abstractmethod
    def rules(
        self,
        *,
        layers: Sequence[Layer] = (),
        chainable: bool = False,
        fpga: str | None = None,
        limits: Mapping[str, int] | None = None,
    ) -> tuple[Rule, ...]:
        """Rules of the further levels asked for, to be given to ``Space.feasible``.

        Args:
            layers: Every one of them must have a mapping.
            chainable: Whole networks must run with nothing on the host.
            fpga: The part whose resources and memory bandwidth must suffice.
            limits: Upper bounds by name, in the platform's own names (VTA: macs, bus_bits, sram_kib).
        """

    @abstractmethod
    def default(self) -> dict[str, int]:
        """The default accelerator as a full row of physical values."""

    @abstractmethod
    def config(self, row: Mapping[str, int]) -> Any:
        """The typed configuration; exists only if realizable.

        Raises:
            InfeasibleDesignError: A structural rule is broken; names it and the nearest fix.
        """

    def simulate(self, folder: Path, *, timing: str | None = None, strict: bool = False) -> ProgramRun:
        """Run the program in a folder; a platform without a simulator says so.

        Args:
            folder: Holds the program's description and files.
            timing: Timing profile; the program's own if None.
            strict: Questionable reads are errors, not warnings.

        Raises:
            SettingsError: The platform has no simulator.
            ProgramError: The program does what the machine forbids.
        """
        raise SettingsError("the platform must have a simulator to run programs", got=self.name)

    def simulated_cycles(
        self,
        row: Mapping[str, int],
        network: Workload | QuantizedNetwork,
        objective: Objective,
        **options: Any,
    ) -> IntArray | None:
        """Cycles of a network's compiled program in simulation, layer by layer.

        Args:
            row: A full row of a design that runs whole networks.
            network: In integers, or its shapes alone with ordinary scales.
            objective: What the mappings serve.
            options: Of the cost model, as ``cost_model`` takes them.

        Returns:
            int64 (L + 1,): each layer's, then those of launch and end; None where the platform cannot tell.

        Raises:
            InfeasibleDesignError: The design cannot be built or cannot run the network.
        """
        return None

    def generate(self, row: Mapping[str, int], folder: Path, fpga: str | None = None) -> Mapping[str, Any]:
        """Write a design's hardware description into a folder; a platform without a generator says so.

        Args:
            row: A full row, realizable or not.
            folder: Where the files go; created if absent.
            fpga: The part whose own cells are used; text for any tool if None.

        Returns:
            The manifest as it stands in the folder, with ``files``: name to ``sha256`` and ``bytes``.

        Raises:
            SettingsError: The platform has no generator, or knows no such part.
            InfeasibleDesignError: The design is not realizable, or does not fit the part.
            MissingToolError: A part of the installation that generation needs is absent.
        """
        raise SettingsError("the platform must have a generator to write hardware", got=self.name)

    def toolchain(self) -> Toolchain:
        """Compiler, runs, synthesis and placement; a platform without them says so.

        Raises:
            SettingsError: The platform has none.
        """
        raise SettingsError("the platform must have a compiler to build a design", got=self.name)


def load_platform(name: str = "vta") -> Platform:
    """The platform of that name, found by the entry point ``rhnas.platforms``.

    Args:
        name: Of the platform; ``NAME:FILE`` for one that is made from a file.

    Raises:
        SettingsError: None of that name is installed, or it needs a file and got none, or the reverse.

    Example:
        >>> load_platform("vta").name
        'vta'
    """
    key, _, file = name.partition(":")
    found = {entry.name: entry for entry in entry_points(group="rhnas.platforms")}
    if key not in found:
        raise SettingsError(f"platform must be one of {sorted(found)}", got=name)
    factory = found[key].load()
    if bool(signature(factory).parameters) != bool(file):
        raise SettingsError("a platform that is made from a file, and no other, must be NAME:FILE", got=name)
    platform = factory(*([Path(file)] if file else []))
    if not isinstance(platform, Platform):
        raise SettingsError(f"the entry point {key!r} must name a Platform", got=type(platform).__name__)
    return platform


def feasible_designs(
    platform: Platform,
    space: Space,
    *,
    layers: Sequence[Layer] = (),
    chainable: bool = False,
    fpga: str | None = None,
    limits: Mapping[str, int] | None = None,
) -> FeasibleSet:
    """Designs of a space that meet the structural rules and every further level asked for."""
    found = space.feasible(platform.rules(layers=layers, chainable=chainable, fpga=fpga, limits=limits))
    found.require_some()
    return found
