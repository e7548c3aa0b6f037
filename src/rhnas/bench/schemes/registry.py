"""Schemes on tables by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from rhnas.bench.schemes.base import TabularScheme
from rhnas.bench.schemes.enumerate import EnumerateScheme
from rhnas.bench.schemes.evaluator import EvaluatorScheme
from rhnas.bench.schemes.gradient import GradientScheme
from rhnas.bench.schemes.joint import JointEvolutionScheme, JointRLScheme
from rhnas.codesign.schemes.table import ALTERNATION, EXACT, SCHEMES
from rhnas.errors import SettingsError, did_you_mean

_OF_SEARCH = {scheme.name: scheme for scheme in (*SCHEMES, ALTERNATION, EXACT)}

TABULAR: dict[str, Callable[[], TabularScheme]] = {
    "rhnas-tabular": partial(GradientScheme, _OF_SEARCH["rhnas"]),
    "two_stage": partial(GradientScheme, _OF_SEARCH["two_stage"]),
    "nas_only": partial(GradientScheme, _OF_SEARCH["nas_only"]),
    "hardware_only": partial(GradientScheme, _OF_SEARCH["hardware_only"]),
    "alternation": partial(GradientScheme, _OF_SEARCH["alternation"]),
    "joint_rl": JointRLScheme,
    "joint_evolution": JointEvolutionScheme,
    "evaluator": EvaluatorScheme,
    "exact": partial(GradientScheme, _OF_SEARCH["exact"]),
    "enumerate": EnumerateScheme,
}
"""``rhnas-tabular`` is ``rhnas`` with the score-function gradient of accuracy in place of training."""


def tabular_scheme(name: str) -> TabularScheme:
    """The scheme of that name.

    Raises:
        SettingsError: There is none; names the nearest.
    """
    if name not in TABULAR:
        raise SettingsError(
            f"scheme must be one of {sorted(TABULAR)}", got=name, fix=did_you_mean(name, TABULAR)
        )
    return TABULAR[name]()
