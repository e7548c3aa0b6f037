"""Expected costs against enumeration of every network of a three-block space."""

import itertools

import numpy as np
import pytest
import torch

from rhnas.nas.expectation import expected_cost, expected_edp, table_loss
from rhnas.networks.spaces.residual import ResidualSettings, ResidualSpace, StageSettings
from rhnas.networks.tables import CostTable, LayerCounts, TermCost
from rhnas.platform import Objective


def three_blocks():
    return ResidualSpace(
        ResidualSettings(
            name="three",
            picture=(1, 8, 8),
            classes=4,
            stem_widths=(8, 16),
            stages=(
                StageSettings(widths=(8, 16), depths=(1, 2)),
                StageSettings(widths=(16, 24), depths=(1,), stride=2),
            ),
            ops=("dense", "bottleneck", "grouped"),
        )
    )


@pytest.fixture(scope="module")
def problem():
    """A space, a table of random costs on two designs, random probabilities, and every network's cost."""
    space, rng = three_blocks(), np.random.default_rng(0)
    counts = LayerCounts.of(space)
    layers = len(space.layers)
    cycles, energy = rng.uniform(10, 1000, (2, layers)), rng.uniform(1, 50, (2, layers))
    terms = tuple(
        TermCost(d, np.moveaxis(c @ cycles.T, -1, 0), np.moveaxis(c @ energy.T, -1, 0))
        for d, c in zip(counts.decisions, counts.counts, strict=True)
    )
    table = CostTable(terms, rng.uniform(1, 9, 2), rng.uniform(1, 9, 2), np.zeros(2))
    alphas = [torch.tensor(rng.normal(size=len(d.options)), requires_grad=True) for d in space.decisions]
    probabilities = [alpha.softmax(0) for alpha in alphas]
    networks = list(itertools.product(*(range(len(d.options)) for d in space.decisions)))
    weights = torch.stack(
        [torch.stack([p[a] for p, a in zip(probabilities, n, strict=True)]).prod() for n in networks]
    )
    costs = [table.of(n) for n in networks]
    all_cycles = torch.tensor(np.array([c for c, _ in costs]))  # (networks, B)
    all_energy = torch.tensor(np.array([e for _, e in costs]))
    return space, table, alphas, probabilities, weights, all_cycles, all_energy


def test_expectation_is_the_enumerated_mean(problem):
    _, table, _, probabilities, weights, cycles, energy = problem
    got = expected_cost(table, probabilities)
    torch.testing.assert_close(got.cycles, weights @ cycles, rtol=1e-12, atol=0)
    torch.testing.assert_close(got.energy_pj, weights @ energy, rtol=1e-12, atol=0)


def test_expected_edp_holds_every_covariance(problem):
    _, table, _, probabilities, weights, cycles, energy = problem
    exact = weights @ (cycles * energy)
    torch.testing.assert_close(expected_edp(table, probabilities), exact, rtol=1e-12, atol=0)
    assert (expected_cost(table, probabilities).edp < exact).all()  # positive covariance here


def test_gradient_is_the_enumerated_one(problem):
    _, table, alphas, probabilities, weights, cycles, energy = problem
    exact = ((weights @ cycles).log() + (weights @ energy).log())[0]
    score = expected_cost(table, probabilities).score(Objective.EDP)[0]
    # A depth of one option enters no term; the graph is the fixture's.
    options = {"retain_graph": True, "allow_unused": True, "materialize_grads": True}
    wanted = torch.autograd.grad(exact, alphas, **options)
    got = torch.autograd.grad(score, alphas, **options)
    for mine, theirs in zip(got, wanted, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-12)


def test_expected_layer_counts_agree_with_the_table(problem):
    space, _, _, probabilities, weights, *_ = problem
    counts = LayerCounts.of(space).expected([p.detach().numpy() for p in probabilities])
    networks = itertools.product(*(range(len(d.options)) for d in space.decisions))
    lengths = torch.tensor([len(space.workload(n)) for n in networks], dtype=torch.float64)
    assert counts.sum() == pytest.approx((weights.detach() @ lengths).item())


@pytest.mark.parametrize("objective", list(Objective))
def test_soft_minimum_lies_just_below_the_minimum(problem, objective):
    _, table, _, probabilities, *_ = problem
    scores = expected_cost(table, probabilities).score(objective)
    soft = table_loss(table, objective, temperature=0.05)(probabilities)
    assert scores.min() - 0.05 * np.log(len(table)) <= soft <= scores.min()
