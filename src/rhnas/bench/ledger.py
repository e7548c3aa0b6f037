"""What a scheme asked for in one run: accuracies looked up and designs priced, counted and in order.

Legend: N networks of the problem, B its feasible designs; networks and designs are named by their places.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from rhnas.bench.problem import TabularProblem
from rhnas.codesign.archive import Archive
from rhnas.errors import SettingsError
from rhnas.pareto import Front, pareto
from rhnas.platform import Cost, CostModel
from rhnas.space import DesignBatch
from rhnas.workload import FloatArray, IntArray, Layer


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What a scheme may ask for.

    Attributes:
        lookups: Distinct networks whose accuracy it may see: its *evaluations*.
        designs: Distinct designs it may ask the cost model about; schemes that enumerate are free of it.
    """

    lookups: int = 200
    designs: int = 200

    def __post_init__(self) -> None:
        if min(self.lookups, self.designs) < 1:
            raise SettingsError("a budget must be at least 1 of each", got=self)


@dataclass(frozen=True, kw_only=True)
class Improvement:
    """A better answer than all before: what had been asked for when it was known, and its log objective."""

    lookups: int
    designs: int
    score: float


class Ledger:
    """The only way for a scheme to an accuracy or to a cost on a design.

    Repeats are free. Whatever has been looked up is scored on whatever has been priced: every scheme may
    combine any network it saw with any design it saw, whether it proposed them together or not.

    Args:
        problem: What is searched.
        threshold: Accuracy in percent to be held.
        budget: What may be asked for.
    """

    def __init__(self, problem: TabularProblem, threshold: float, budget: Budget) -> None:
        self.problem = problem
        self.threshold = threshold
        self.budget = budget
        self.unrealizable = 0
        self._networks: dict[int, None] = {}
        self._designs: dict[int, None] = {}
        self._events: list[tuple[int, int]] = []  # (lookups, designs) as they stood after each request
        self._enumerated = False

    @property
    def lookups_left(self) -> int:
        """Evaluations still allowed."""
        return self.budget.lookups - len(self._networks)

    @property
    def designs_left(self) -> int:
        """Designs that may still be priced."""
        return self.budget.designs - len(self._designs)

    @property
    def networks(self) -> IntArray:
        """Networks looked up, in order, int64 (n,)."""
        return np.fromiter(self._networks, dtype=np.int64, count=len(self._networks))

    @property
    def designs(self) -> IntArray:
        """Designs priced one by one, in order, int64 (b,)."""
        return np.fromiter(self._designs, dtype=np.int64, count=len(self._designs))

    @property
    def priced(self) -> int:
        """Distinct designs asked of the cost model."""
        return len(self.problem.pairs) if self._enumerated else len(self._designs)

    def enumerate(self) -> None:
        """Price every design of the problem, from now on; beyond any budget."""
        self._enumerated = True

    def knows(self, networks: IntArray) -> Any:
        """Which networks (n,) have been looked up, bool (n,)."""
        return np.isin(self.problem.identity[networks], self.networks)

    def look_up(self, networks: Sequence[int] | IntArray) -> FloatArray:
        """Accuracies in percent, float64 (n,); nan for what the budget does not cover."""
        found = np.full(len(networks), np.nan)
        for at, network in enumerate(self.problem.identity[np.asarray(networks, dtype=np.int64)].tolist()):
            if network not in self._networks:
                if self.lookups_left < 1:
                    continue
                self._networks[network] = None
                self._events.append((len(self._networks), len(self._designs)))
            found[at] = self.problem.accuracy[network]
        return found

    def price(self, designs: Sequence[int] | IntArray) -> None:
        """Count designs as asked of the cost model."""
        for design in np.asarray(designs, dtype=np.int64).tolist():
            if design not in self._designs:
                self._designs[design] = None
                self._events.append((len(self._networks), len(self._designs)))

    def shortfall(self, accuracy: FloatArray) -> FloatArray:
        """Points below the threshold, >= 0, nan where the accuracy is."""
        return np.maximum(self.threshold - accuracy, 0.0)

    def utility(self, accuracy: FloatArray) -> FloatArray:
        """What accuracy adds to minus the log objective: 0 where the threshold is held."""
        return -self.problem.penalty * self.shortfall(accuracy)

    def cheapest(self, scores: FloatArray) -> int | None:
        """Of the networks looked up that hold the threshold the one of least score (N,); None without one."""
        held = self.networks[self.problem.accuracy[self.networks] >= self.threshold]
        return int(held[scores[held].argmin()]) if len(held) else None

    def archive(self) -> Archive:
        """An empty archive whose every distinct design is entered here."""
        problem = self.problem
        model = TableModel(problem, self)
        return Archive(problem.space, model, problem.networks.layers, problem.objective)

    def pair_scores(self, networks: IntArray) -> FloatArray:
        """Log objective of networks (n,) on every priced design, float64 (n, b).

        Where all are priced there is one column, that of each network's best.
        """
        if self._enumerated:
            return self.problem.best[0][networks][:, None]
        return self.problem.pair_scores(networks, self.designs)

    def improvements(self, eligible: IntArray | None) -> list[Improvement]:
        """How the best answer fell as the scheme went on.

        Args:
            eligible: Networks it may answer with; all it looked up if None.
        """
        asked = self.networks
        held = self.problem.accuracy[asked] >= self.threshold
        if eligible is not None:
            held &= np.isin(asked, self.problem.identity[eligible])
        scores = np.where(held[:, None], self.pair_scores(asked), np.inf)  # (n, b)
        if not scores.size:
            return []
        least = np.minimum.accumulate(np.minimum.accumulate(scores, axis=0), axis=1)
        found: list[Improvement] = []
        for lookups, designs in self._events:
            column = 0 if self._enumerated else designs - 1
            if lookups and column >= 0:
                score = float(least[lookups - 1, column])
                if score < (found[-1].score if found else np.inf):
                    found.append(Improvement(lookups=lookups, designs=designs, score=score))
        return found

    def front(self) -> Front:
        """(accuracy, least log objective) of the networks looked up that no other one beats in both."""
        asked = self.networks
        if not len(asked) or not self.priced:
            return []
        return pareto(self.problem.accuracy[asked], self.pair_scores(asked).min(axis=1))


@final
class TableModel(CostModel):
    """The problem's table as a cost model for the parts of the real search; enters what it is asked for.

    Args:
        problem: Holds the table.
        ledger: Counts the designs.
    """

    def __init__(self, problem: TabularProblem, ledger: Ledger) -> None:
        self._problem = problem
        self._ledger = ledger

    def evaluate(self, batch: DesignBatch, layers: Sequence[Layer]) -> Cost:
        """Hulls of the problem's distinct layers on feasible designs."""
        space = self._problem.space
        designs = np.stack([space.encode(batch.row(row)) for row in range(len(batch))])
        places = self._problem.places(designs)
        self._ledger.price(places)
        cost = self._problem.cost
        return Cost(
            cost.cycles[places],
            cost.energy_pj[places],
            cost.mapped[places],
            cost.launch_cycles[places],
            cost.launch_energy_pj[places],
        )

    def bounds(self, batch: DesignBatch, layers: Sequence[Layer]) -> IntArray:
        """Of the platform's own model."""
        return self._problem.platform.cost_model().bounds(batch, layers)
