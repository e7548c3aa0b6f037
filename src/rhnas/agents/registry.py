"""Agents by name; a module is imported when its agent is made, so that simple ones do not import torch."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from rhnas.agents.base import HardwareAgent
from rhnas.errors import MissingToolError, SettingsError, did_you_mean
from rhnas.seeds import Seeds
from rhnas.space import FeasibleSet

AGENTS: dict[str, str] = {
    "ppo": "rhnas.agents.ppo:PPOAgent",
    "ppo_only": "rhnas.agents.ppo:PPOOnlyAgent",
    "pretrained": "rhnas.agents.pretrained:PretrainedAgent",
    "hill_climbing": "rhnas.agents.hill_climbing:HillClimbingAgent",
    "local_search": "rhnas.agents.local_search:LocalSearchAgent",
    "annealing": "rhnas.agents.annealing:AnnealingAgent",
    "random": "rhnas.agents.random:RandomAgent",
    "exhaustive": "rhnas.agents.exhaustive:ExhaustiveAgent",
    "confuciux": "rhnas.agents.confuciux:ConfuciuXAgent",
    "optuna_random": "rhnas.agents.optuna_samplers:OptunaRandomAgent",
    "optuna_tpe": "rhnas.agents.optuna_samplers:OptunaTPEAgent",
    "optuna_nsga2": "rhnas.agents.optuna_samplers:OptunaNSGA2Agent",
    "optuna_gp": "rhnas.agents.optuna_samplers:OptunaGPAgent",
    "sb3_ppo": "rhnas.agents.sb3:SB3PPOAgent",
    "sb3_maskable_ppo": "rhnas.agents.sb3:SB3MaskablePPOAgent",
    "sb3_a2c": "rhnas.agents.sb3:SB3A2CAgent",
    "sb3_dqn": "rhnas.agents.sb3:SB3DQNAgent",
}
"""Where each agent lives, as ``module:class``."""

EXTRA = frozenset({"gymnasium", "optuna", "sb3_contrib", "stable_baselines3"})
"""Libraries of the ``rl`` extra, without which some agents cannot be made."""


def make_agent(name: str, designs: FeasibleSet, seeds: Seeds, **options: Any) -> HardwareAgent:
    """The agent of that name.

    Args:
        name: A key of ``AGENTS``.
        designs: The feasible designs.
        seeds: Where all its randomness comes from.
        options: The agent's own (PPO: the fields of ``PPOSettings``).

    Raises:
        SettingsError: There is no such agent, or it has no such option.
        MissingToolError: Its library is not installed.

    Example:
        >>> from rhnas.space import Choice, Space
        >>> line = Space(name="line", rules=(), choices=(Choice(name="a", values=(0, 1, 2, 3)),))
        >>> type(make_agent("random", line.feasible(), Seeds(root=0))).__name__
        'RandomAgent'
    """
    agent_class = _class_of(name)
    try:
        agent = agent_class(designs, seeds, **options)
    except TypeError as error:
        raise SettingsError(f"the options of agent {name!r} must be its own", got=error) from error
    assert isinstance(agent, HardwareAgent)  # noqa: S101 - the table above names nothing else
    return agent


def _class_of(name: str) -> Any:
    if name not in AGENTS:
        fix = did_you_mean(name, AGENTS)
        raise SettingsError(f"agent must be one of {sorted(AGENTS)}", got=name, fix=fix)
    module, _, attribute = AGENTS[name].partition(":")
    try:
        return getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        if error.name not in EXTRA:
            raise
        raise MissingToolError(
            f"agent {name!r} must have {error.name} installed", fix="pip install 'rhnas[rl]'"
        ) from error
