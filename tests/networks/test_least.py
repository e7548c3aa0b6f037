"""The least cost over a whole network space, against enumeration of all its networks."""

import numpy as np
import pytest
from tests.bench.tiny import SPACE

from rhnas.bench.tables import all_networks, network_weights
from rhnas.networks.least import Size, least_objective, least_sum
from rhnas.networks.tables import LayerCounts
from rhnas.platform import Objective, load_platform


@pytest.fixture(scope="module")
def world():
    """Hulls of twelve designs, how often every network runs each layer, and the space's counts."""
    platform = load_platform()
    space = platform.space("vta-intel")
    designs = space.feasible().all()[::500][:12]
    cost = platform.cost_model().evaluate(space.decode(designs), SPACE.layers)
    counts = LayerCounts.of(SPACE)
    return cost, network_weights(counts, all_networks(SPACE)), counts


def enumerated(cost, weights, objective) -> np.ndarray:
    """Log objective of every network on every design, (N, B)."""
    totals = [cost.totals(objective, weight) for weight in weights]
    return np.stack([objective.score(total.cycles, total.energy_pj) for total in totals])


@pytest.mark.parametrize("objective", list(Objective))
def test_the_least_of_a_space_is_that_of_enumeration(world, objective):
    cost, weights, counts = world
    found = least_objective(counts, cost, objective)
    assert found == pytest.approx(enumerated(cost, weights, objective).min(axis=0), abs=1e-6)


def test_networks_of_a_size_are_bounded_and_not_by_nothing(world):
    cost, weights, counts = world
    macs = np.array([layer.macs for layer in SPACE.layers], dtype=np.float64)
    sizes, scores = weights @ macs, enumerated(cost, weights, Objective.EDP)
    anything = least_objective(counts, cost, Objective.EDP)
    for least in np.quantile(sizes, [0.0, 0.5, 0.95]):
        found = least_objective(counts, cost, Objective.EDP, Size(per_layer=macs, least=float(least)))
        assert (found <= scores[sizes >= least].min(axis=0) + 1e-9).all()
        assert (found >= anything - 1e-9).all()
    assert (found > anything + np.log(1.5)).all(), "a size near the largest must lift the bound"


def test_sums_over_any_graph_of_decisions():
    rng = np.random.default_rng(0)
    sizes = (2, 3, 2, 4)
    terms = [(axes, rng.random((3, *(sizes[a] for a in axes)))) for axes in [(0, 1), (2, 1), (3, 0, 2), (3,)]]
    whole = np.full(3, np.inf)
    for cell in np.ndindex(*sizes):
        total = sum(values[(slice(None), *(cell[a] for a in axes))] for axes, values in terms)
        whole = np.minimum(whole, total)
    assert least_sum(terms) == pytest.approx(whole)
