"""Find a neural network and the accelerator it runs on together, and get a design that can be built.

The public names are imported when first used, so that ``import rhnas`` costs nothing.

Example:
    >>> import rhnas
    >>> rhnas.load_platform("vta").space("vta-intel").points
    15680
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

PUBLIC = {
    "AcceleratorBatch": "rhnas.space:DesignBatch",
    "Choice": "rhnas.space:Choice",
    "CoDesign": "rhnas.codesign.loop:CoDesign",
    "Cost": "rhnas.platform:Cost",
    "CostModel": "rhnas.platform:CostModel",
    "FeasibleSet": "rhnas.space:FeasibleSet",
    "HardwareAgent": "rhnas.agents.base:HardwareAgent",
    "InfeasibleDesignError": "rhnas.errors:InfeasibleDesignError",
    "Layer": "rhnas.workload:Layer",
    "NetworkSpace": "rhnas.networks.spaces.base:NetworkSpace",
    "Objective": "rhnas.platform:Objective",
    "Outcome": "rhnas.platform:Outcome",
    "Platform": "rhnas.platform:Platform",
    "RhnasError": "rhnas.errors:RhnasError",
    "Rule": "rhnas.space:Rule",
    "SearchContext": "rhnas.agents.base:SearchContext",
    "Seeds": "rhnas.seeds:Seeds",
    "Space": "rhnas.space:Space",
    "Workload": "rhnas.workload:Workload",
    "load_network": "rhnas.networks.zoo:load_network",
    "load_platform": "rhnas.platform:load_platform",
    "load_settings": "rhnas.settings:load_settings",
    "make_agent": "rhnas.agents.registry:make_agent",
    "network_space": "rhnas.networks.spaces.registry:network_space",
    "render": "rhnas.report.render:render",
}
"""Public name to the module and name that define it; ``docs/api.md`` has their signatures."""

__all__ = ["__version__", *PUBLIC]  # noqa: PLE0604

if TYPE_CHECKING:
    from rhnas.agents.base import HardwareAgent, SearchContext
    from rhnas.agents.registry import make_agent
    from rhnas.codesign.loop import CoDesign
    from rhnas.errors import InfeasibleDesignError, RhnasError
    from rhnas.networks.spaces.base import NetworkSpace
    from rhnas.networks.spaces.registry import network_space
    from rhnas.networks.zoo import load_network
    from rhnas.platform import Cost, CostModel, Objective, Outcome, Platform, load_platform
    from rhnas.report.render import render
    from rhnas.seeds import Seeds
    from rhnas.settings import load_settings
    from rhnas.space import Choice, FeasibleSet, Rule, Space
    from rhnas.space import DesignBatch as AcceleratorBatch
    from rhnas.workload import Layer, Workload


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    if name not in PUBLIC:
        raise AttributeError(f"module 'rhnas' has no attribute {name!r}")
    module, attribute = PUBLIC[name].split(":")
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted(__all__)
