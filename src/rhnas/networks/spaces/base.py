"""Network spaces: decisions, the workload of every architecture, and the cost terms they add up from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rhnas.errors import SettingsError
from rhnas.workload import Layer, Workload

Architecture = tuple[int, ...]
"""One option index per decision of a network space."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """One categorical choice of a network space (a stem width, a stage's width or depth, a block's op)."""

    name: str
    options: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class LayerTerm:
    """The layers that a few decisions bring into the network together.

    Attributes:
        decisions: Ascending indices of the decisions that matter here.
        layers: For every combination of their options the layers that run; an empty tuple where none does
            (a block beyond its stage's depth).
    """

    decisions: tuple[int, ...]
    layers: Mapping[tuple[int, ...], tuple[Layer, ...]]


class NetworkSpace(ABC):
    """A set of networks, declared without torch: what can be chosen and what each choice costs.

    The terms partition every network: for any architecture the layers of ``workload`` are, term by term,
    those of ``terms`` at its options. So expected costs are exact sums over terms (METHOD 5, cost table).
    """

    name: str
    picture: tuple[int, int, int]
    """Input (channels, height, width)."""
    classes: int

    @cached_property
    @abstractmethod
    def decisions(self) -> tuple[Decision, ...]:
        """All decisions, in the order of an architecture's entries."""

    @abstractmethod
    def workload(self, architecture: Architecture) -> Workload:
        """The network of an architecture as a workload."""

    @cached_property
    @abstractmethod
    def terms(self) -> tuple[LayerTerm, ...]:
        """Cost terms; together they cover each layer of each network exactly once."""

    def with_classes(self, classes: int) -> NetworkSpace:
        """The same space for another number of classes.

        Raises:
            SettingsError: The space is for its own number only.
        """
        if classes != self.classes:
            raise SettingsError(f"task.classes of space {self.name!r} must be {self.classes}", got=classes)
        return self

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """Every layer shape that occurs in the space, once each, in a fixed order."""
        seen: dict[tuple[int, ...], Layer] = {}
        for term in self.terms:
            for group in term.layers.values():
                for layer in group:
                    seen.setdefault(layer.shape, layer)
        return tuple(seen.values())

    def check(self, architecture: Architecture) -> Architecture:
        """The architecture itself if it is one of this space.

        Raises:
            SettingsError: Wrong length or an option out of range.
        """
        sizes = [len(decision.options) for decision in self.decisions]
        fits = len(architecture) == len(sizes)
        if not fits or any(not 0 <= a < n for a, n in zip(architecture, sizes, strict=True)):
            raise SettingsError(
                f"an architecture of space {self.name!r} must have one option index below each of {sizes}",
                got=architecture,
            )
        return architecture

    def sample(self, rng: np.random.Generator) -> Architecture:
        """A random architecture, every option equally likely."""
        return tuple(int(rng.integers(len(decision.options))) for decision in self.decisions)

    def describe(self, architecture: Architecture) -> dict[str, str]:
        """The architecture in words: decision name to option."""
        return {d.name: d.options[a] for d, a in zip(self.decisions, self.check(architecture), strict=True)}
