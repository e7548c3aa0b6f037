"""Certified gaps on the toy platform, where every pair can be priced."""

import numpy as np
import pytest

from rhnas.codesign.certify import Certifier, Measured, certificate
from rhnas.codesign.problem import Problem
from rhnas.codesign.results import Chosen
from rhnas.codesign.schemes.table import SCHEMES
from rhnas.settings import Settings

WEIGHT = 0.3


@pytest.fixture
def problem(tiny: Settings, toy_platform) -> Problem:
    return Problem.of(tiny)


@pytest.fixture
def networks(problem: Problem) -> list[tuple[int, ...]]:
    rng = np.random.default_rng(0)
    return [problem.networks.sample(rng) for _ in range(5)]


def costs(problem: Problem, networks) -> np.ndarray:
    """Log EDP of networks on every design, by the cost model, (n, B)."""
    layers = [problem.workload(network).layers for network in networks]
    return np.stack([problem.feasible_scores(some, np.ones(len(some))) for some in layers])


def test_proofs_over_few_networks_are_those_of_enumeration(problem, networks) -> None:
    whole = costs(problem, networks)
    errors = np.linspace(0.01, 0.2, len(networks))
    measured = [Measured(architecture=n, error=e) for n, e in zip(networks, errors, strict=True)]
    certifier = Certifier(problem, effort=1_000)
    cost = certifier.cost(networks, known=float(whole.max()))
    assert cost["bound"] == pytest.approx(whole.min(), abs=1e-9)
    assert cost["gap"] == pytest.approx(np.expm1(whole.max() - whole.min()))
    assert not cost["proved"]
    assert certifier.cost(networks, known=float(whole.min()))["proved"]
    score = certifier.score(measured, WEIGHT, known=10.0)
    assert score["bound"] == pytest.approx((errors[:, None] + WEIGHT * whole).min(), abs=1e-9)
    assert score["gap"] == pytest.approx(10.0 - score["bound"])


def test_proofs_over_the_space_are_below_what_any_network_costs(problem) -> None:
    certifier = Certifier(problem, effort=1_000)
    rng = np.random.default_rng(1)
    some = [problem.networks.sample(rng) for _ in range(40)]
    some += [(0,) * len(problem.networks.decisions)]  # narrow, shallow and among the cheapest
    whole, macs = costs(problem, some), np.array([certifier.macs(network) for network in some])
    assert certifier.score_of_space(WEIGHT, known=10.0)["bound"] <= WEIGHT * whole.min()
    bounds = []
    for large in np.quantile(macs, [0.1, 0.5, 0.9]).astype(int):
        bounds.append(certifier.cost_of_large(int(large), known=100.0)["bound"])
        assert bounds[-1] <= whole[macs >= large].min()
    assert bounds == sorted(bounds)
    assert bounds[-1] > bounds[0] + 0.5, "a size must count"


def test_a_certificate_is_about_the_pair_found(problem, networks) -> None:
    designs = problem.designs.all()
    two, found = networks[:2]
    picks = {"baseline": two, "hardware_only": found, "two_stage": two, "found": found}
    chosen = [
        Chosen(
            scheme=scheme,
            architecture=picks[scheme.key],
            design=problem.baseline if scheme.key == "baseline" else designs[at],
            accuracy_validation=0.9,
            evaluations=1,
            seconds=0.0,
            trained_on="cpu",
            optimum=None,
        )
        for at, scheme in enumerate(SCHEMES)
    ]
    certifier = Certifier(problem, effort=1_000)
    candidates = [Measured(architecture=n, error=0.1) for n in networks]
    whole = costs(problem, networks)
    made = certificate(certifier, chosen, [two, found], candidates, WEIGHT)
    for at, scheme in enumerate(SCHEMES):
        if scheme.hardware != "baseline":
            of = whole[networks.index(picks[scheme.key])]
            assert made["hardware"][scheme.key]["gap"] == pytest.approx(np.expm1(of[at] - of.min()), abs=1e-9)
    assert made["trained"]["gap"] == pytest.approx(np.expm1(whole[1, 3] - whole[:2].min()), abs=1e-9)
    assert made["candidates"]["gap"] == pytest.approx(WEIGHT * (whole[:, 3].min() - whole.min()), abs=1e-9)
    assert made["space"]["bound"] <= made["candidates"]["bound"] - 0.1 + 1e-9
    assert made["as_large"]["bound"] <= whole[1].min()
    assert certificate(certifier, chosen, [two], candidates, 0.0)["trained"] is None
    assert certificate(certifier, chosen, [two], candidates, 0.0)["candidates"] is None


@pytest.mark.parametrize(("effort", "able"), [(0, False), (20, False), (1_000, True)])
def test_a_model_without_ranges_is_enumerated_or_left_alone(problem, effort, able) -> None:
    assert Certifier(problem, effort).able is able
