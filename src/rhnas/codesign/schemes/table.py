"""The schemes that every search runs side by side, as data: they differ in three words, not in code.

*Same budget*: the same images seen, epochs, recipe, seeds, cost weight, candidates and finalists; schemes
that search hardware have the same agent and the same number of evaluations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


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

SEARCHES = (AWARE, ACCURATE, JOINT)
"""The distinct network searches of the schemes."""

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
