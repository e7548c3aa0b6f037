"""The schemes that every search runs side by side, as data: they differ in three words, not in code.

*Same budget*: the same images seen, epochs, recipe, seeds, cost weight, candidates and finalists; schemes
that search hardware have the same agent and the same number of evaluations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from rhnas.errors import SettingsError, did_you_mean


@dataclass(frozen=True, kw_only=True)
class NetworkSearch:
    """How a network is searched.

    Attributes:
        name: Key of the scheme that carries it out; others that name the same search share it.
        weighted: Whether cost counts; if not, lambda is zero.
        joint: Whether the agent searches the accelerator at the same time; if not, cost is the baseline's.
        response: How a joint search answers a moving network: the ``agent`` proposes and alpha descends on
            the best of what it found; ``alternation`` holds one design, searches the network for it, then
            the design for that network, in turns; ``exact`` descends on the soft minimum over all designs.
    """

    name: str
    weighted: bool
    joint: bool
    response: Literal["agent", "alternation", "exact"] = "agent"


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """A way to a network and an accelerator.

    Attributes:
        name: As the literature has it.
        key: In ``result.json``.
        network: Where its network comes from.
        hardware: ``baseline`` keeps the default accelerator; ``after`` searches one for the finished network;
            ``joint`` found it with the network.
    """

    name: str
    key: str
    network: NetworkSearch
    hardware: Literal["baseline", "after", "joint"]


AWARE = NetworkSearch(name="baseline", weighted=True, joint=False)
ACCURATE = NetworkSearch(name="hardware_only", weighted=False, joint=False)
JOINT = NetworkSearch(name="found", weighted=True, joint=True)

SCHEMES = (
    Scheme(name="nas_only", key="baseline", network=AWARE, hardware="baseline"),
    Scheme(name="hardware_only", key="hardware_only", network=ACCURATE, hardware="after"),
    Scheme(name="two_stage", key="two_stage", network=AWARE, hardware="after"),
    Scheme(name="rhnas", key="found", network=JOINT, hardware="joint"),
)
"""Baseline first: its validation accuracy is what the others' networks are held against."""

ALTERNATION = Scheme(
    name="alternation",
    key="alternation",
    network=NetworkSearch(name="alternation", weighted=True, joint=True, response="alternation"),
    hardware="joint",
)
EXACT = Scheme(
    name="exact",
    key="exact",
    network=NetworkSearch(name="exact", weighted=True, joint=True, response="exact"),
    hardware="joint",
)

FURTHER = {scheme.name: scheme for scheme in (ALTERNATION, EXACT)}
"""Schemes that a run carries out beside ``SCHEMES`` where they are asked for."""


def schemes_with(further: Sequence[str], weight: float) -> tuple[Scheme, ...]:
    """The schemes of a run.

    At weight 0 no network search knows a cost: all are the one for accuracy alone, and a joint search is that
    one followed by the accelerator's. So a front over weights ends there, at the cost of one search.

    Args:
        further: Names of schemes beyond the four.
        weight: Lambda.

    Raises:
        SettingsError: A name is unknown; names the nearest.

    Example:
        >>> [scheme.name for scheme in schemes_with(["exact"], 0.1)]
        ['nas_only', 'hardware_only', 'two_stage', 'rhnas', 'exact']
        >>> *_, found = schemes_with([], 0)
        >>> found.network.name, found.hardware
        ('hardware_only', 'after')
    """
    for name in further:
        if name not in FURTHER:
            raise SettingsError(
                f"a further scheme must be one of {sorted(FURTHER)}",
                got=name,
                fix=did_you_mean(name, FURTHER),
            )
    schemes = (*SCHEMES, *(FURTHER[name] for name in dict.fromkeys(further)))
    return schemes if weight > 0 else tuple(_for_accuracy_alone(scheme) for scheme in schemes)


def _for_accuracy_alone(scheme: Scheme) -> Scheme:
    return replace(
        scheme, network=ACCURATE, hardware="after" if scheme.hardware == "joint" else scheme.hardware
    )


def searches_of(schemes: Sequence[Scheme]) -> tuple[NetworkSearch, ...]:
    """The distinct network searches of some schemes, in order."""
    return tuple(dict.fromkeys(scheme.network for scheme in schemes))
