"""What a run searches: settings made into a task, a platform, the designs allowed and what they cost."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from rhnas.agents.base import SearchContext
from rhnas.agents.features import search_context
from rhnas.errors import InfeasibleDesignError, SettingsError
from rhnas.nas.arithmetic import Arithmetic
from rhnas.nas.data.dataset import DataSet, Part
from rhnas.nas.data.load import task_data
from rhnas.networks.spaces.base import Architecture, NetworkSpace
from rhnas.networks.spaces.registry import network_space
from rhnas.platform import CostModel, Platform, Totals, feasible_designs, load_platform
from rhnas.pricing import cost_options
from rhnas.quantized import QuantizedNetwork
from rhnas.seeds import Seeds
from rhnas.settings import PlatformSettings, Settings
from rhnas.space import DesignBatch, FeasibleSet, Space
from rhnas.workload import FloatArray, IntArray, Layer, Workload

PRICED = "priced"
"""Stands for the technology where the platform says what energy is and has no profiles to choose from."""

LEVELS = ("structural", "mapping", "chainable")
"""Levels of realizability that every design of a search meets; limits and FPGA come on top where given."""


@dataclass(frozen=True)
class Problem:
    """Everything that stays fixed during a run.

    Attributes:
        settings: What it was made from.
        platform: The accelerators' platform.
        space: Their space.
        networks: The network space.
        designs: Designs that meet every level asked for, with a mapping for each layer of the network space.
        data: The task.
    """

    settings: Settings
    platform: Platform
    space: Space
    networks: NetworkSpace
    designs: FeasibleSet
    data: DataSet

    @classmethod
    def of(cls, settings: Settings) -> Problem:
        """Load and check everything before anything is spent on a search.

        Raises:
            SettingsError: A name is unknown, or the device is not there.
            DataError: The data set is missing, truncated or does not fit the network space.
            InfeasibleDesignError: No design meets all that was asked for.
        """
        device = device_of(settings)
        platform = load_platform(settings.platform.name)
        space = platform.space(settings.platform.space)
        networks = network_space(settings.task.space, settings.task.classes)
        data = task_data(settings, networks.picture)
        if len(data.classes) != networks.classes:
            raise SettingsError(
                f"the networks of space {networks.name!r} must have one output per class",
                got=f"{networks.classes} outputs, {len(data.classes)} classes in {data.name}",
                fix=f"set task.classes={len(data.classes)}",
            )
        for technology in _technologies(settings, platform):
            platform.cost_model(**_cost_options(settings, platform, technology))
        data = replace(
            data, train=_near(data.train, device), validation=_near(data.validation, device), device=device
        )
        designs = _designs(settings, platform, space, networks.layers)
        return cls(settings, platform, space, networks, designs, data)

    @property
    def seeds(self) -> Seeds:
        """The root of all randomness."""
        return Seeds(root=self.settings.run.seed)

    @cached_property
    def device(self) -> torch.device:
        """Where networks are trained."""
        return device_of(self.settings)

    @property
    def device_name(self) -> str:
        """The GPU's name, or ``cpu``."""
        return torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "cpu"

    @cached_property
    def arithmetic(self) -> Arithmetic:
        """What networks are trained in."""
        return Arithmetic.of(self.settings.run.precision, self.device)

    @cached_property
    def model(self) -> CostModel:
        """The cost model that is searched with: the first technology."""
        return self.models[self.technologies[0]]

    @property
    def technologies(self) -> tuple[str, ...]:
        """Energy profiles by name, the one searched with first; ``PRICED`` where the platform has none."""
        return _technologies(self.settings, self.platform)

    @cached_property
    def models(self) -> dict[str, CostModel]:
        """Cost models by technology."""
        return {
            name: self.platform.cost_model(**_cost_options(self.settings, self.platform, name))
            for name in self.technologies
        }

    @cached_property
    def _context(self) -> SearchContext:
        return search_context(
            self.designs,
            self.settings.objective.minimize,
            self.platform.default(),
            self.networks.layers,
            budget=self.settings.agent.evaluations,
        )

    @property
    def context(self) -> SearchContext:
        """What agents may know before the first turn."""
        return self._context

    @property
    def baseline(self) -> IntArray:
        """The accelerator to be beaten: the feasible design nearest to the default, int64 (D,)."""
        return self._context.start

    def row(self, design: IntArray) -> dict[str, int]:
        """A design int64 (D,) by name of the choice."""
        return self.space.decode(design[None]).row(0)

    def workload(self, architecture: Architecture) -> Workload:
        """A network of the space as layers."""
        return self.networks.workload(architecture)

    def totals(self, design: IntArray, workload: Workload, technology: str | None = None) -> Totals:
        """Cost of one network on one design, under the first technology or the one named."""
        model = self.model if technology is None else self.models[technology]
        cost = model.evaluate(self.space.decode(design[None]), workload.layers)
        return cost.totals(self.settings.objective.minimize)

    def simulated_cycles(self, design: IntArray, network: Workload | QuantizedNetwork) -> int | None:
        """Cycles of one network on one design in simulation; None where the platform cannot tell."""
        options = _cost_options(self.settings, self.platform, self.technologies[0])
        objective = self.settings.objective.minimize
        cycles = self.platform.simulated_cycles(self.row(design), network, objective, **options)
        return None if cycles is None else int(cycles.sum())

    def layer_rows(self, design: IntArray, workload: Workload) -> list[dict[str, Any]]:
        """Cost of every layer in execution order, and the launch, as ``result.json`` has them."""
        batch = self.space.decode(design[None])
        cost = self.model.evaluate(batch, workload.layers)
        totals = cost.totals(self.settings.objective.minimize)
        cycles, energy = cost.at(totals.mu)
        bounds = self.model.bounds(batch, workload.layers)[0]
        rows = [
            _layer_row(layer.name, float(c), float(e), layer.macs, int(bound))
            for layer, c, e, bound in zip(workload, cycles[0], energy[0], bounds, strict=True)
        ]
        launch = _layer_row("launch", float(cost.launch_cycles[0]), float(cost.launch_energy_pj[0]), 0, 0)
        return [*rows, launch]

    def feasible_scores(self, layers: tuple[Layer, ...], weights: FloatArray) -> FloatArray:
        """Log objective of every feasible design, float64 (count,): the yardstick, never part of a search.

        Args:
            layers: L layers.
            weights: float64 (L,): how often each runs.
        """
        objective = self.settings.objective.minimize
        scores = []
        for flat in np.array_split(self.designs.flat, -(-self.designs.count // YARDSTICK_CHUNK)):
            batch: DesignBatch = self.space.decode(self.space.unravel(flat))
            totals = self.model.evaluate(batch, layers).totals(objective, weights)
            scores.append(objective.score(totals.cycles, totals.energy_pj))
        return np.concatenate(scores)


YARDSTICK_CHUNK = 1 << 12
"""Designs costed at a time when all are; bounds the memory."""


NEAR_SHARE = 0.5
"""Of a GPU's free memory, that a part of the data set may fill; larger ones are copied batch by batch."""


def _near(part: Part, device: torch.device) -> Part:
    """A part on the device where it leaves room for the networks."""
    if device.type == "cuda" and part.pictures.nbytes > NEAR_SHARE * torch.cuda.mem_get_info(device)[0]:
        return part
    return part.to(device)


def device_of(settings: Settings) -> torch.device:
    """The device asked for.

    Raises:
        SettingsError: It is not there.
    """
    wanted = settings.run.device
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if wanted == "cuda" and not torch.cuda.is_available():
        raise SettingsError(
            "run.device must be present", got="cuda, of which torch sees none", fix="use cpu or auto"
        )
    return torch.device(wanted)


def _technologies(settings: Settings, platform: Platform) -> tuple[str, ...]:
    return settings.platform.technologies if "technology" in platform.options else (PRICED,)


def _cost_options(settings: Settings, platform: Platform, technology: str) -> dict[str, str]:
    """Options of the cost model; what the platform lacks is left out where the user did not ask for it."""
    asked, usual = settings.platform, PlatformSettings()
    given = {
        name: None if name not in platform.options and value == getattr(usual, name) else value
        for name, value in (("timing", asked.timing), ("schedule", asked.schedule))
    }
    named = None if technology == PRICED else technology
    return cost_options(platform, {"technology": named, **given})


def _designs(settings: Settings, platform: Platform, space: Space, layers: tuple[Layer, ...]) -> FeasibleSet:
    asked = settings.platform
    try:
        return feasible_designs(
            platform, space, layers=layers, chainable=True, fpga=asked.fpga, limits=asked.limits
        )
    except InfeasibleDesignError as error:
        limits = ", ".join(f"{name}={value}" for name, value in asked.limits.items()) or "none"
        raise InfeasibleDesignError(
            f"space {space.name!r} must hold a design that runs every network of {settings.task.space!r}",
            got=f"none with fpga {asked.fpga or 'any'}, limits {limits}",
            fix="loosen platform.limits or choose a larger platform.fpga",
        ) from error


def _layer_row(name: str, cycles: float, energy_pj: float, macs: int, bound_cycles: int) -> dict[str, Any]:
    return {
        "name": name,
        "cycles": int(cycles),
        "energy_uj": energy_pj * PJ_TO_UJ,
        "macs": macs,
        "bound_cycles": bound_cycles,
    }


PJ_TO_UJ = 1e-6
"""Picojoules to microjoules."""
