"""Agents by name; a module is imported when its agent is made, so that only PPO costs an import of torch."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from rhnas.agents.base import HardwareAgent
from rhnas.errors import SettingsError
from rhnas.seeds import Seeds
from rhnas.space import FeasibleSet

AGENTS: dict[str, str] = {
    "ppo": "rhnas.agents.ppo:PPOAgent",
    "ppo_only": "rhnas.agents.ppo:PPOOnlyAgent",
    "hill_climbing": "rhnas.agents.hill_climbing:HillClimbingAgent",
    "local_search": "rhnas.agents.local_search:LocalSearchAgent",
    "random": "rhnas.agents.random:RandomAgent",
    "exhaustive": "rhnas.agents.exhaustive:ExhaustiveAgent",
}
"""Where each agent lives, as ``module:class``."""


def make_agent(name: str, designs: FeasibleSet, seeds: Seeds, **options: Any) -> HardwareAgent:
    """The agent of that name.

    Args:
        name: A key of ``AGENTS``.
        designs: The feasible designs.
        seeds: Where all its randomness comes from.
        options: The agent's own (PPO: the fields of ``PPOSettings``).

    Raises:
        SettingsError: There is no such agent, or it has no such option.

    Example:
        >>> from rhnas.space import Choice, Space
        >>> line = Space(name="line", rules=(), choices=(Choice(name="a", values=(0, 1, 2, 3)),))
        >>> type(make_agent("random", line.feasible(), Seeds(root=0))).__name__
        'RandomAgent'
    """
    if name not in AGENTS:
        raise SettingsError(f"agent must be one of {sorted(AGENTS)}", got=name)
    module, _, attribute = AGENTS[name].partition(":")
    agent_class = getattr(import_module(module), attribute)
    try:
        agent = agent_class(designs, seeds, **options)
    except TypeError as error:
        raise SettingsError(f"the options of agent {name!r} must be its own", got=error) from error
    assert isinstance(agent, HardwareAgent)  # noqa: S101 - the table above names nothing else
    return agent
