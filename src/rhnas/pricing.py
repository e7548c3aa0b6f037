"""What one network costs on one accelerator, layer by layer, beside its physical bound."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from rhnas.errors import InfeasibleDesignError, SettingsError
from rhnas.platform import CLOCK_MHZ, Cost, CostModel, Objective, Platform
from rhnas.space import DesignBatch
from rhnas.workload import Workload

LAUNCH = "launch"
"""Name of the row that holds what a program costs beside its layers."""

NAMED = 3
"""Layers without a mapping that an error names."""

PJ_PER_UJ = 1e6
CYCLES_PER_MS_AND_MHZ = 1e3


@dataclass(frozen=True, kw_only=True)
class PricedLayer:
    """One row of a priced network.

    Attributes:
        name: Of the layer, or ``LAUNCH``.
        cycles: Modelled.
        energy_uj: Modelled.
        macs: Multiply-accumulates for one picture.
        bound_cycles: Below which no schedule gets; 0 for the launch.
        mapping: How the layer is run, in the platform's words.
    """

    name: str
    cycles: int
    energy_uj: float
    macs: int
    bound_cycles: int
    mapping: Mapping[str, Any]

    @property
    def utilisation(self) -> float:
        """The bound's share of the cycles: 1 where nothing is left to gain."""
        return self.bound_cycles / self.cycles


@dataclass(frozen=True, kw_only=True)
class NetworkCost:
    """A priced network.

    Attributes:
        accelerator: The platform's name of the design.
        layers: One row per layer in execution order, then the launch.
        bound_cycles: Largest of the network's summed bound terms: one part of the machine may be the
            bottleneck of some layers, another that of others, but no part can work two layers at once.
    """

    accelerator: str
    layers: tuple[PricedLayer, ...]
    bound_cycles: int

    @property
    def cycles(self) -> int:
        """Of one picture, launch to end."""
        return sum(row.cycles for row in self.layers)

    @property
    def latency_ms(self) -> float:
        """At ``CLOCK_MHZ``."""
        return self.cycles / (CLOCK_MHZ * CYCLES_PER_MS_AND_MHZ)

    @property
    def energy_uj(self) -> float:
        """Of one picture."""
        return sum(row.energy_uj for row in self.layers)

    @property
    def edp_uj_ms(self) -> float:
        """Energy times latency."""
        return self.energy_uj * self.latency_ms

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one picture."""
        return sum(row.macs for row in self.layers)

    def to_json(self) -> dict[str, Any]:
        """The cost as ``rhnas cost --json`` prints it."""
        totals = ("cycles", "latency_ms", "energy_uj", "edp_uj_ms", "macs", "bound_cycles", "accelerator")
        return {
            **{name: getattr(self, name) for name in totals},
            "clock_mhz": CLOCK_MHZ,
            "layers": [asdict(row) for row in self.layers],
        }


def cost_options(platform: Platform, given: Mapping[str, Any]) -> dict[str, Any]:
    """Options for a platform's cost model.

    Args:
        platform: Whose.
        given: By name; None where the user said nothing.

    Raises:
        SettingsError: The platform's cost model has no such option.

    Example:
        >>> from rhnas.platform import load_platform
        >>> cost_options(load_platform("systolic"), {"technology": "horowitz45", "timing": None})
        {'technology': 'horowitz45'}
    """
    chosen = {name: value for name, value in given.items() if value is not None}
    for name, value in chosen.items():
        if name not in platform.options:
            known = ", ".join(platform.options) or "no options at all"
            raise SettingsError(
                f"{name} must be an option of the cost model of platform {platform.name}",
                got=value,
                fix=f"it has {known}",
            )
    return chosen


def price_network(
    platform: Platform,
    row: Mapping[str, int],
    network: Workload,
    model: CostModel,
    objective: Objective = Objective.EDP,
) -> NetworkCost:
    """Price a network on an accelerator with the mappings that serve the objective best.

    Args:
        platform: Of the accelerator.
        row: A full row of physical values.
        network: The workload.
        model: The platform's cost model.
        objective: What the layers' mappings minimise together.

    Raises:
        InfeasibleDesignError: The accelerator cannot be built, or a layer cannot run on it.

    Example:
        >>> from rhnas.networks.zoo import load_network
        >>> from rhnas.platform import load_platform
        >>> vta = load_platform()
        >>> cost = price_network(vta, vta.default(), load_network("resnet18"), vta.cost_model())
        >>> cost.cycles > cost.bound_cycles, cost.layers[-1].name
        (True, 'launch')
    """
    platform.config(row)
    batch, layers = DesignBatch.of(row), network.layers
    cost = model.evaluate(batch, layers)
    label = platform.label(row)
    _require_mappings(cost, network, label, partial(model.mappings, batch, layers, 0.0))
    mu = cost.totals(objective).mu
    cycles, energy_pj = cost.at(mu)
    terms = model.bound_terms(batch, layers)[:, 0]  # (terms, L)
    mappings = model.mappings(batch, layers, float(mu[0]))
    rows = [
        PricedLayer(
            name=layer.name,
            cycles=int(cycles[0, index]),
            energy_uj=float(energy_pj[0, index]) / PJ_PER_UJ,
            macs=layer.macs,
            bound_cycles=int(terms[:, index].max()),
            mapping=mappings[index],
        )
        for index, layer in enumerate(layers)
    ]
    launch = PricedLayer(
        name=LAUNCH,
        cycles=int(cost.launch_cycles[0]),
        energy_uj=float(cost.launch_energy_pj[0]) / PJ_PER_UJ,
        macs=0,
        bound_cycles=0,
        mapping={},
    )
    return NetworkCost(accelerator=label, layers=(*rows, launch), bound_cycles=int(terms.sum(axis=1).max()))


def _require_mappings(
    cost: Cost, network: Workload, label: str, mappings: Callable[[], list[dict[str, Any]]]
) -> None:
    without = [layer.name for layer, has in zip(network, cost.mapped[0], strict=True) if not has]
    if without:
        more = f" and {len(without) - NAMED} more" if len(without) > NAMED else ""
        reasons = {how["infeasible"] for how in mappings() if "infeasible" in how}
        why = f" ({'; '.join(sorted(reasons)[:NAMED])})" if reasons else ""
        raise InfeasibleDesignError(
            f"every layer of {network.name} must have a mapping",
            got=f"none on {label} for {', '.join(without[:NAMED])}{more}{why}",
            fix="rhnas explain with the same --network and --accelerator says which change helps",
        )
