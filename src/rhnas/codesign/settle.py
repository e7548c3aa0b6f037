"""The end of a network search: hardware for the network, networks for the hardware, until neither moves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from rhnas.nas.batches import generator
from rhnas.networks.spaces.base import Architecture, NetworkSpace
from rhnas.seeds import Seeds
from rhnas.workload import FloatArray, IntArray

if TYPE_CHECKING:
    from rhnas.codesign.loop import CoDesign

MAX_ROUNDS = 8
"""Of the alternation; each halves what is left of both budgets, so more would find nothing."""
SETTLED_SHARE = 0.75
"""Of the evaluations, spent when the alternation ends; the rest is the trained network's."""
REPEATS = 20
"""Proposals per evaluation that a fixed network's local search may make; known designs are free."""
NEIGHBOURS = 4
"""Networks scored before the best one so far is taken anew."""


@dataclass(frozen=True, kw_only=True)
class Settled:
    """Where network and hardware no longer change each other.

    Attributes:
        architectures: Networks in the order of their score on the design, best first.
        accuracies: Of each, on the validation part, with the supernet's weights.
        rounds: Turns the alternation took.
    """

    architectures: tuple[Architecture, ...]
    accuracies: tuple[float, ...]
    rounds: int


class Settlement:
    """A pool of networks scored with the supernet's weights, and the alternation over it.

    A network's score is its validation error plus lambda times the log of its cost on a design. Half of the
    candidates are alpha's result and draws from alpha; the others are neighbours, networks that differ from
    the best so far in one decision. The hardware step is a local search around the archive's best design,
    out of the evaluations that are left; the whole archive is scored anew for each network, which is free.
    A search that knows one design only does the same without the hardware step.

    Args:
        loop: The search, at its end.
        candidates: Networks that may be scored.
        seeds: Of the local searches.
    """

    def __init__(self, loop: CoDesign, candidates: int, seeds: Seeds) -> None:
        self._loop = loop
        self._candidates = candidates
        self._seeds = seeds
        self._draws = generator(seeds.child("networks"))
        self._accuracies: dict[Architecture, float] = {}
        self._weights: dict[Architecture, FloatArray] = {}
        for candidate in loop.networks.derive(-(-candidates // 2)):
            self._add(candidate.architecture, candidate.accuracy)

    def run(self) -> Settled:
        """Alternate to a fixed point, or until nothing is left to spend."""
        at, order, rounds = self._loop.networks.strategy.derive(), list(self._accuracies), 0
        while rounds < MAX_ROUNDS:
            rounds += 1
            row = self._hardware_for(at, rounds)
            left = self._candidates - len(self._accuracies)
            order = self._networks_for(row, -(-left // 2))
            if order[0] == at and left == 0:
                break
            at = order[0]
        return Settled(
            architectures=tuple(order),
            accuracies=tuple(self._accuracies[architecture] for architecture in order),
            rounds=rounds,
        )

    def _add(self, architecture: Architecture, accuracy: float) -> None:
        self._accuracies[architecture] = accuracy
        self._weights[architecture] = self._loop.weights_of(architecture)

    def _hardware_for(self, architecture: Architecture, turn: int) -> IntArray:
        """Row of the best design for a network, int64 (1,), after half of the evaluations left were spent."""
        hardware, weights = self._loop.hardware, self._weights[architecture]
        left = max(0, int(SETTLED_SHARE * self._loop.settings.evaluations) - hardware.evaluations)
        hardware.refine(weights, self._seeds.child(f"round{turn}"))
        hardware.turn(weights, REPEATS * left, hardware.evaluations + left // 2)
        return hardware.best(weights)

    def _networks_for(self, row: IntArray, budget: int) -> list[Architecture]:
        """The pool in the order of its score on a design, after up to ``budget`` neighbours joined it."""
        order = self._ordered(row)
        while budget > 0:
            near = [
                n
                for n in neighbours(self._loop.networks.supernet.space, order[0])
                if n not in self._accuracies
            ]
            chosen = torch.randperm(len(near), generator=self._draws)[: min(NEIGHBOURS, budget)]
            if len(chosen) == 0:
                break
            for index in chosen.tolist():
                self._add(near[index], self._loop.networks.accuracy(near[index]))
            budget -= len(chosen)
            order = self._ordered(row)
        return order

    def _ordered(self, row: IntArray) -> list[Architecture]:
        pool = list(self._accuracies)
        costs = [self._loop.hardware.archive.scores(self._weights[a], row)[0] for a in pool]
        errors = 1 - np.array([self._accuracies[a] for a in pool])
        return [pool[i] for i in np.argsort(errors + self._loop.weight * np.array(costs), kind="stable")]


def neighbours(space: NetworkSpace, architecture: Architecture) -> list[Architecture]:
    """Every network that differs from the given one in one decision, and in its layers.

    Example:
        >>> from rhnas.networks.spaces.registry import network_space
        >>> space = network_space("digits")
        >>> found = neighbours(space, (0,) * len(space.decisions))
        >>> {sum(option != 0 for option in other) for other in found}
        {1}
    """
    layers = space.workload(architecture).layers
    found = [
        (*architecture[:index], option, *architecture[index + 1 :])
        for index, decision in enumerate(space.decisions)
        for option in range(len(decision.options))
        if option != architecture[index]
    ]
    return [other for other in found if space.workload(other).layers != layers]
