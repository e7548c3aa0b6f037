"""Exact pair costs against full enumeration of mappings and designs."""

import itertools

import numpy as np
import pytest

from rhnas.codesign.pairs import PairCosts
from rhnas.errors import InfeasibleDesignError
from rhnas.platform import Cost, Objective

DESIGNS, LAYERS, POINTS = 30, 4, 3


def random_hulls(seed: int, points: int = POINTS) -> Cost:
    """Lower convex hulls of random size, padded with their last point."""
    rng = np.random.default_rng(seed)
    cycles = np.zeros((DESIGNS, LAYERS, points), dtype=np.int64)
    energy = np.zeros(cycles.shape)
    for design, layer in itertools.product(range(DESIGNS), range(LAYERS)):
        used = int(rng.integers(1, points + 1))
        slopes = np.sort(rng.uniform(0.05, 5, size=used - 1))  # cycles per pJ, ascending
        saved = rng.uniform(1, 20, size=used - 1)
        start = rng.integers(50, 400)
        walk = np.concatenate([[0], np.cumsum(np.ceil(slopes * saved))])
        cycles[design, layer, :used] = start + walk
        energy[design, layer, :used] = 30 + saved.sum() - np.concatenate([[0], np.cumsum(saved)])
        cycles[design, layer, used:] = cycles[design, layer, used - 1]
        energy[design, layer, used:] = energy[design, layer, used - 1]
    launch = rng.integers(1, 50, size=DESIGNS)
    return Cost(cycles, energy, np.ones((DESIGNS, LAYERS), bool), launch, rng.uniform(1, 9, size=DESIGNS))


def enumerated(cost: Cost, weights: np.ndarray, objective: Objective) -> np.ndarray:
    """Log objective on every design over all combinations of the layers' points, (B,)."""
    best = np.full(len(cost.launch_cycles), np.inf)
    for choice in itertools.product(range(cost.cycles.shape[2]), repeat=LAYERS):
        rows = np.arange(LAYERS)
        cycles = cost.cycles[:, rows, choice] @ weights + cost.launch_cycles
        energy = cost.energy_pj[:, rows, choice] @ weights + cost.launch_energy_pj
        best = np.minimum(best, objective.score(cycles, energy))
    return best


@pytest.mark.parametrize("objective", list(Objective))
@pytest.mark.parametrize("seed", range(3))
def test_pairs_are_those_of_all_mappings(objective, seed):
    cost = random_hulls(seed)
    weights = np.random.default_rng(seed).integers(0, 4, size=(12, LAYERS)).astype(float)
    weights[:, 0] += 1
    pairs = PairCosts(cost, objective)
    whole = np.array([enumerated(cost, row, objective) for row in weights])  # (N, B)
    found = np.stack([pairs.scores(weights, design) for design in range(DESIGNS)], axis=1)
    assert found == pytest.approx(whole, abs=1e-12)
    score, design = pairs.best(weights)
    assert score == pytest.approx(whole.min(axis=1), abs=1e-12)
    assert whole[np.arange(len(weights)), design] == pytest.approx(score, abs=1e-12)


def test_long_walks_are_thinned_without_loss():
    cost = random_hulls(7, points=60)  # more steps than the coarse grid has points
    weights = np.random.default_rng(1).integers(1, 6, size=(40, LAYERS)).astype(float)
    pairs = PairCosts(cost, Objective.EDP)
    for design in range(5):
        alone = Cost(*(part[design : design + 1] for part in vars(cost).values()))
        totals = [alone.totals(Objective.EDP, row) for row in weights]
        wanted = [float(np.log(t.cycles[0] * t.energy_pj[0])) for t in totals]
        assert pairs.scores(weights, design) == pytest.approx(wanted, abs=1e-12)


def test_equal_designs_do_not_drop_each_other():
    cost = random_hulls(3)
    twice = Cost(*(np.concatenate([part, part]) for part in vars(cost).values()))
    weights = np.ones((1, LAYERS))
    assert PairCosts(twice, Objective.EDP).best(weights)[0] == PairCosts(cost, Objective.EDP).best(weights)[0]


def test_a_layer_without_a_mapping_is_named():
    cost = random_hulls(0)
    cost.mapped[4, 2] = False
    with pytest.raises(InfeasibleDesignError, match="layer 2 on design 4"):
        PairCosts(cost, Objective.EDP)
