"""The search for an accelerator alone: one fixed network, one agent, a budget of distinct evaluations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rhnas.agents.base import HardwareAgent, SearchContext
from rhnas.agents.bound import ROUNDING, branch_and_bound
from rhnas.agents.evaluator import DesignCosts, Evaluator
from rhnas.agents.features import search_context
from rhnas.agents.optimum import Optimum, Progress, cached_optimum, no_progress
from rhnas.agents.registry import make_agent
from rhnas.errors import SettingsError
from rhnas.platform import CLOCK_MHZ, Objective, Platform, Totals, feasible_designs
from rhnas.seeds import Seeds
from rhnas.space import DesignBatch
from rhnas.workload import IntArray, Workload

BUDGET = 300
"""Distinct evaluations of an agent unless told otherwise."""

ROUND = 64
"""Designs asked for at a time, repeats included; agents that go one by one return one."""

IDLE_ROUNDS = 2_000
"""Rounds without a new design after which a search ends although budget is left."""

PJ_PER_UJ = 1e6
CYCLES_PER_MS_AND_MHZ = 1e3


UNITS = {
    Objective.LATENCY: CLOCK_MHZ * CYCLES_PER_MS_AND_MHZ,
    Objective.ENERGY: PJ_PER_UJ,
    Objective.EDP: CLOCK_MHZ * CYCLES_PER_MS_AND_MHZ * PJ_PER_UJ,
}
"""Cycles, pJ, and their product, in a ms, a uJ, and a uJ ms."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked: the cheapest accelerator of a space for a fixed network.

    Attributes:
        network: The workload.
        space: Name of the design space.
        objective: What is minimised.
        fpga: The part the design must fit, if any.
        limits: Upper bounds in the platform's own names (VTA: ``macs``, ``bus_bits``, ``sram_kib``).
        options: Of the platform's cost model (VTA: ``technology``, ``timing``, ``schedule``).
    """

    network: Workload
    space: str
    objective: Objective = Objective.EDP
    fpga: str | None = None
    limits: Mapping[str, int] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PricedDesign:
    """An accelerator with what the network costs on it.

    Attributes:
        accelerator: A full row of physical values.
        cycles: Launch to finish, one picture.
        energy_pj: For one picture.
    """

    accelerator: Mapping[str, int]
    cycles: float
    energy_pj: float

    @property
    def latency_ms(self) -> float:
        """At ``CLOCK_MHZ``."""
        return self.cycles / (CLOCK_MHZ * CYCLES_PER_MS_AND_MHZ)

    @property
    def energy_uj(self) -> float:
        """For one picture."""
        return self.energy_pj / PJ_PER_UJ

    @property
    def edp_uj_ms(self) -> float:
        """Energy times delay."""
        return self.energy_uj * self.latency_ms

    def value(self, objective: Objective) -> float:
        """The objective in ms, uJ or uJ ms."""
        values = {Objective.LATENCY: self.latency_ms, Objective.ENERGY: self.energy_uj}
        return values.get(objective, self.edp_uj_ms)

    def to_json(self) -> dict[str, float]:
        """The accelerator's keys followed by its cost."""
        cost = {"latency_ms": self.latency_ms, "energy_uj": self.energy_uj, "edp_uj_ms": self.edp_uj_ms}
        return {**self.accelerator, "cycles": round(self.cycles), **cost}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a search found, and how far that is from the best there is.

    Attributes:
        best: The best design found.
        default: The default accelerator; None where it cannot run the network.
        optimum: The best of all feasible designs; None if it was not asked for.
        objective: What was minimised.
        evaluations: Distinct designs asked of the cost model by the agent.
        unrealizable: Proposals of the agent that could not be built; they are no evaluations.
        feasible: Number of feasible designs.
        bound: In the objective's unit, what no feasible design is below; None if it was not asked for.
    """

    best: PricedDesign
    default: PricedDesign | None
    optimum: PricedDesign | None
    objective: Objective
    evaluations: int
    unrealizable: int
    feasible: int
    bound: float | None = None

    @property
    def certified_gap(self) -> float | None:
        """Found / bound - 1: at most how far it is from the optimum; None without a bound."""
        return None if self.bound is None else max(0.0, self.best.value(self.objective) / self.bound - 1)

    @property
    def gap(self) -> float | None:
        """Found / optimum - 1; None where the optimum is unknown."""
        if self.optimum is None:
            return None
        return self.best.value(self.objective) / self.optimum.value(self.objective) - 1

    def to_json(self) -> dict[str, Any]:
        """As ``rhnas optimize --json`` prints it."""
        return {
            "best": self.best.to_json(),
            "objective": self.best.value(self.objective),
            "evaluations": self.evaluations,
            "unrealizable": self.unrealizable,
            "optimum": None if self.optimum is None else self.optimum.value(self.objective),
            "gap": self.gap,
            "bound": self.bound,
            "certified_gap": self.certified_gap,
            "objective_name": str(self.objective),
            "feasible": self.feasible,
            "default": None if self.default is None else self.default.to_json(),
            "optimum_design": None if self.optimum is None else self.optimum.to_json(),
        }


class Task:
    """A question made ready: the feasible designs, their costs, and what an agent may know.

    Args:
        platform: The family of accelerators.
        question: What is asked.

    Raises:
        InfeasibleDesignError: No design of the space meets all rules.
        SettingsError: An unknown space, part, limit or cost-model option.
    """

    def __init__(self, platform: Platform, question: Question) -> None:
        self.platform = platform
        self.question = question
        self.space = platform.space(question.space)
        layers = question.network.layers
        self.designs = feasible_designs(
            platform, self.space, layers=layers, fpga=question.fpga, limits=question.limits
        )
        self.costs = DesignCosts(
            self.space, platform.cost_model(**question.options), layers, question.objective
        )

    def context(self, budget: int) -> SearchContext:
        """What an agent may know before it proposes."""
        return search_context(
            self.designs,
            self.question.objective,
            self.platform.default(),
            self.question.network.layers,
            budget=budget,
        )

    def agent(self, name: str, seed: int, **options: Any) -> HardwareAgent:
        """A new agent of that name, with options of its own."""
        return make_agent(name, self.designs, Seeds(root=seed).child("agent"), **options)

    def optimum(self, progress: Progress = no_progress) -> Optimum:
        """The best of all feasible designs, from the cache if it was found before."""
        return cached_optimum(self.designs, self.costs, self.question.options, progress)

    def price(self, row: Mapping[str, int]) -> PricedDesign | None:
        """What the network costs on a realizable accelerator; None where a layer has no mapping."""
        full = {**self.platform.default(), **row}
        totals: Totals = self.costs.totals(DesignBatch.of(full))
        if np.isnan(totals.cycles[0]):
            return None
        return PricedDesign(
            accelerator=full, cycles=float(totals.cycles[0]), energy_pj=float(totals.energy_pj[0])
        )

    def price_found(self, design: IntArray) -> PricedDesign:
        """What the network costs on a feasible design int64 (D,)."""
        priced = self.price(self.space.decode(design[None]).row(0))
        if priced is None:
            raise SettingsError("a feasible design must have a mapping for every layer", got=design)
        return priced


def optimize(
    task: Task,
    agent: HardwareAgent,
    *,
    budget: int = BUDGET,
    yardstick: bool = True,
    effort: int | None = None,
    progress: Progress = no_progress,
    sweep_progress: Progress = no_progress,
) -> Answer:
    """Let an agent search, then measure what it found against the optimum.

    Args:
        task: What is searched.
        agent: Who searches.
        budget: Distinct evaluations.
        yardstick: Whether to find the optimum as well.
        effort: Boxes and designs that the proof may price (``agents.bound``); as many as it takes if None.
        progress: Told about the agent's evaluations.
        sweep_progress: Told how far the sweep for the optimum is.

    Raises:
        SettingsError: The budget is not positive.
    """
    context = task.context(budget)
    evaluator = Evaluator(task.space, task.costs)
    search(agent, context, evaluator, lambda done: progress(done, min(budget, task.designs.count)))
    found = task.price_found(evaluator.best()[0])
    best, bound = _yardstick(task, evaluator, effort, sweep_progress) if yardstick else (None, None)
    return Answer(
        best=found,
        default=task.price({}),
        optimum=best,
        objective=task.question.objective,
        evaluations=evaluator.evaluations,
        unrealizable=agent.unrealizable,
        feasible=task.designs.count,
        bound=bound,
    )


def _yardstick(
    task: Task, evaluator: Evaluator, effort: int | None, progress: Progress
) -> tuple[PricedDesign | None, float]:
    """The optimum, None where the effort does not prove one, and a bound in the objective's unit."""
    objective = task.question.objective
    if effort is None:
        optimum = task.price_found(task.optimum(progress).design)
        return optimum, optimum.value(objective)
    design, known = evaluator.best()
    proof = branch_and_bound(task.designs, task.costs, effort, known, progress)
    # A logarithm's last bits must not lift a bound above the optimum itself.
    bound = float(np.exp(proof.lower - ROUNDING)) / UNITS[objective]
    if not proof.proved:
        return None, bound
    return task.price_found(design if proof.design is None else proof.design), bound


def search(
    agent: HardwareAgent,
    context: SearchContext,
    evaluator: Evaluator,
    progress: Callable[[int], None] = lambda _: None,
) -> None:
    """Ask and tell until the budget is spent, all designs are known, or the agent only repeats itself.

    The loop that a user may write instead. What it found is in ``evaluator``.

    Args:
        agent: Proposes and learns.
        context: What it may know; ``context.budget`` bounds the distinct evaluations.
        evaluator: Answers and counts.
        progress: Called with the number of evaluations after every round.

    Raises:
        SettingsError: The budget is not positive, or the agent proposed an infeasible design.
    """
    if context.budget < 1:
        raise SettingsError("budget must be at least 1", got=context.budget, fix="use --budget 300")
    budget = min(context.budget, context.designs.count)
    idle = 0
    while evaluator.evaluations < budget and idle < IDLE_ROUNDS:
        designs = agent.ask(ROUND, context)
        if not context.designs.contains(designs).all():
            raise SettingsError("an agent must propose feasible designs only", got=type(agent).__name__)
        designs = designs[: evaluator.affordable(designs, budget)]
        before = evaluator.evaluations
        if len(designs):
            agent.tell(designs, evaluator(designs))
        idle = 0 if evaluator.evaluations > before else idle + 1
        progress(evaluator.evaluations)
