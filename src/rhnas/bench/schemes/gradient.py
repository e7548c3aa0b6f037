"""Schemes whose network side is alpha; they differ in the words of ``codesign.schemes.table``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import combinations, product
from typing import final

import numpy as np

from rhnas.agents.registry import make_agent
from rhnas.bench.alpha import Alpha, AlphaSettings, LayerCosts, take
from rhnas.bench.ledger import Ledger
from rhnas.bench.schemes.base import TabularScheme
from rhnas.bench.surrogate import AccuracyModel
from rhnas.codesign.hardware import HardwareSide
from rhnas.codesign.schemes.table import Scheme
from rhnas.seeds import Seeds
from rhnas.workload import FloatArray, IntArray

EVERY = 4
"""Steps of alpha between two turns of the agent, as ``agent.every`` of a real search."""
BATCH = 16
"""Designs the agent proposes in a turn."""
SOFTEST = 8
"""Best designs of the archive that alpha descends on."""
JOINT_SHARE = 0.7
"""Of the designs, spent while alpha moves."""
ROUNDS = 4
"""Of alternation, and of the final answers to each other."""
TRIED = 4
"""Networks looked up at a time around an answer."""
POOL = 512
"""Networks drawn from alpha, and as many drawn uniformly, as candidates beside an answer's neighbours."""
ROUND = 64
"""Designs asked for at a time where one network is held, repeats included."""
REPEATS = 20
"""Proposals per design of the budget after which a hardware search ends; known designs are free."""


@final
class GradientScheme(TabularScheme):
    """A scheme of the real search, carried out on a table.

    Args:
        scheme: What it is.
        settings: Of alpha.
        agent: Name of the hardware agent.
    """

    def __init__(self, scheme: Scheme, settings: AlphaSettings | None = None, agent: str = "ppo") -> None:
        self.scheme = scheme
        self.settings = settings or AlphaSettings()
        self.agent = agent
        self.enumerates = scheme.network.response == "exact"

    def run(self, ledger: Ledger, seeds: Seeds) -> IntArray | None:
        """Search the network, the accelerator, or both."""
        search = Search(ledger, self.settings, self.agent, seeds)
        network = self.scheme.network
        if not network.joint:
            return self._in_stages(search)
        if network.response == "exact":
            search.exactly()
        elif network.response == "alternation":
            search.in_turns()
        else:
            search.together()
        return None

    def _in_stages(self, search: Search) -> IntArray:
        """One network for the reference accelerator or for accuracy alone, then its accelerator."""
        found = search.for_reference() if self.scheme.network.weighted else search.for_accuracy()
        if self.scheme.hardware == "after":
            search.hardware(found, search.ledger.budget.designs)
        return np.array([found])


class Search:
    """One run of a gradient scheme.

    Args:
        ledger: Answers and counts.
        settings: Of alpha.
        agent: Name of the hardware agent.
        seeds: Where randomness comes from.
    """

    def __init__(self, ledger: Ledger, settings: AlphaSettings, agent: str, seeds: Seeds) -> None:
        self.ledger = ledger
        self.problem = ledger.problem
        self.settings = settings
        self.seeds = seeds
        self._seen = 0  # designs of the archive that the line below knows
        self._least_known = np.full(len(self.problem.options), np.inf)
        self._rng = seeds.child("candidates").numpy()
        self.alpha = Alpha(ledger, settings, seeds.child("alpha"))
        proposer = make_agent(agent, self.problem.designs, seeds.child("agent"))
        context = self.problem.context(ledger.budget.designs)
        self.side = HardwareSide(proposer, ledger.archive(), context, self.problem.networks.layers)

    # Schemes --------------------------------------------------------------------------------------------

    def for_reference(self) -> int:
        """The cheapest network found for the reference accelerator that holds the threshold."""
        problem = self.problem
        self._descend(lambda weights: LayerCosts(problem.reference, problem.objective, weights), 1.0)
        self._settle(lambda: problem.reference_scores, 0)
        return self._answer(problem.reference_scores)

    def for_accuracy(self) -> int:
        """The most accurate network found."""
        self._descend(lambda _: None, 1.0)
        while self.ledger.lookups_left:
            pool = self._pool(self._most_accurate())
            if not len(pool):
                break
            mean, deviation = self._model().predict(self.problem.options[pool])
            self.ledger.look_up(pool[np.argsort(-mean - deviation, kind="stable")][:TRIED])
        return self._most_accurate()

    def together(self) -> None:
        """Alpha descends on the best designs that the agent has found for it so far."""
        budget = int(JOINT_SHARE * self.ledger.budget.designs)

        def costs(weights: FloatArray) -> LayerCosts:
            self.side.turn(weights, BATCH, budget)
            return self._archived(self.side.best(weights, SOFTEST), weights)

        self._descend(costs, 1.0)
        self._answer_each_other()

    def in_turns(self) -> None:
        """A design is held while the network moves, then the network while the design does."""
        held = np.zeros(1, dtype=np.int64)  # the archive's first design: where all searches begin
        for turn in range(1, ROUNDS + 1):
            share = turn / ROUNDS
            self._descend(partial(self._archived, held), share)
            network = self._answer(self.problem.scores(int(self._places(held)[0])))
            self.hardware(network, int(share * JOINT_SHARE * self.ledger.budget.designs))
            held = self.side.best(self.problem.weights[network])
        self._answer_each_other()

    def exactly(self) -> None:
        """Alpha descends on the soft minimum over all designs, each at its own exchange rate."""
        problem, self_cost = self.problem, take(self.problem.cost, self.problem.contenders)
        self.ledger.enumerate()
        self._descend(lambda weights: LayerCosts(self_cost, problem.objective, weights), 1.0)
        self._settle(lambda: problem.best[0], 0)

    # Steps ----------------------------------------------------------------------------------------------

    def _descend(self, costs: Callable[[FloatArray], LayerCosts | None], until: float) -> None:
        """Steps of alpha until a share of its look-ups is spent; costs are renewed every few steps."""
        ledger, share = self.ledger, self.settings.share * self.ledger.budget.lookups
        cost: LayerCosts | None = None
        for step in range(int(self.settings.steps * until)):
            spent = (ledger.budget.lookups - ledger.lookups_left) / share
            if spent >= until:
                break
            if step % EVERY == 0:
                cost = costs(self.alpha.weights())
            self.alpha.step(cost, spent)

    def _answer_each_other(self) -> None:
        """Best networks for the designs found, best designs for that network, in turns."""
        for left in range(ROUNDS, 0, -1):
            lookups = self.ledger.lookups_left
            self._settle(self._least, lookups - -(-lookups // left))
            found = self._answer(self._least())
            share = -(-self.ledger.designs_left // left)
            self.hardware(found, self.side.evaluations + share, f"round{left}")
        self._settle(self._least, 0)

    def hardware(self, network: int, budget: int, round_name: str = "") -> None:
        """The agent searches an accelerator for one network; in a named round a local search does.

        Args:
            network: Whose.
            budget: Designs that may have been priced when it ends.
            round_name: Names the local search's seeds.
        """
        weights = self.problem.weights[network]
        if round_name:
            self.side.refine(weights, self.seeds.child(round_name))
        rounds = 0
        while self.side.evaluations < budget and rounds < REPEATS * budget:
            rounds += len(self.side.turn(weights, ROUND, budget)) or REPEATS * budget

    def _settle(self, scores: Callable[[], FloatArray], keep: int) -> None:
        """Look up the networks that promise most to be cheaper than the answer and accurate enough.

        The promise is the gain in log objective times the probability, by the accuracies seen so far, that
        the threshold is held.

        Args:
            scores: Log objective of every network, float64 (N,), on the designs that count.
            keep: Look-ups to be left.
        """
        while self.ledger.lookups_left > keep:
            known = scores()
            answer = self.ledger.cheapest(known)
            pool = self._pool(self._answer(known))
            gain = np.ones(len(pool)) if answer is None else known[answer] - known[pool]
            pool, gain = pool[gain > 0], gain[gain > 0]
            if not len(pool):
                break
            promise = gain * self._model().holds(self.problem.options[pool], self.ledger.threshold)
            best = np.argsort(-promise, kind="stable")[: min(TRIED, self.ledger.lookups_left - keep)]
            self.ledger.look_up(pool[best])

    def _model(self) -> AccuracyModel:
        asked = self.ledger.networks
        return AccuracyModel(self.problem.options[asked], self.problem.accuracy[asked])

    def _pool(self, network: int) -> IntArray:
        """Networks not looked up yet: one or two decisions from one network, drawn from alpha, and any."""
        near = neighbours(self.problem.options[network], self._sizes())
        any_ = self._rng.integers(len(self.problem.options), size=POOL)
        pool = np.unique(self.problem.identity[np.concatenate([near, self.alpha.draw(POOL), any_])])
        return np.asarray(pool[~self.ledger.knows(pool)])

    def _sizes(self) -> list[int]:
        return [len(decision.options) for decision in self.problem.networks.decisions]

    def _answer(self, scores: FloatArray) -> int:
        """The cheapest network that holds the threshold; while there is none, the most accurate one."""
        found = self.ledger.cheapest(scores)
        if found is not None:
            return found
        return self._most_accurate()

    def _most_accurate(self) -> int:
        asked = self.ledger.networks
        return int(asked[self.problem.accuracy[asked].argmax()])

    def _least(self) -> FloatArray:
        """Log objective of every network on the best design priced so far, float64 (N,)."""
        while self._seen < self.side.evaluations:
            place = self._places(np.array([self._seen]))[0]
            self._least_known = np.minimum(self._least_known, self.problem.scores(int(place)))
            self._seen += 1
        return self._least_known

    def _archived(self, rows: IntArray, weights: FloatArray) -> LayerCosts:
        return LayerCosts(take(self.problem.cost, self._places(rows)), self.problem.objective, weights)

    def _places(self, rows: IntArray) -> IntArray:
        """Places among the problem's designs of rows of the archive."""
        return self.problem.places(self.side.archive.designs[rows])


def neighbours(options: IntArray, sizes: list[int]) -> IntArray:
    """Networks that differ from one in one or two decisions, by their flat positions.

    Args:
        options: int64 (D,).
        sizes: Options of each decision.

    Example:
        >>> neighbours(np.array([0, 1]), [2, 2]).tolist()
        [0, 2, 3]
    """
    found = set()
    for pair in combinations(range(len(sizes)), min(2, len(sizes))):
        for values in product(*(range(sizes[decision]) for decision in pair)):
            changed = options.copy()
            changed[list(pair)] = values
            found.add(int(np.ravel_multi_index(tuple(changed), sizes)))
    found.discard(int(np.ravel_multi_index(tuple(options), sizes)))
    return np.array(sorted(found), dtype=np.int64)
