"""The end of a search: what is spent, and that nothing within reach is better."""

from pathlib import Path

import numpy as np
import pytest

from rhnas.codesign.experiment import Run
from rhnas.codesign.loop import CoDesign
from rhnas.codesign.problem import Problem
from rhnas.codesign.schemes.table import AWARE, JOINT
from rhnas.codesign.settle import neighbours
from rhnas.codesign.stages import Stages
from rhnas.networks.spaces.residual import ResidualSpace
from rhnas.settings import Settings
from rhnas.study import Study


@pytest.fixture(params=[AWARE, JOINT], ids=lambda search: search.name)
def loop(request, tiny: Settings, toy_platform, tmp_path: Path) -> CoDesign:
    problem = Problem.of(tiny)
    loop = Run(problem, Stages(Study(tmp_path / "run", tiny), 60)).codesign(request.param)
    for _ in loop:
        pass
    return loop


def test_budgets_are_kept_and_the_best_of_the_pool_comes_first(loop: CoDesign, tiny: Settings) -> None:
    seeds = loop.networks.seeds.child("settle")
    settled = loop.settle(20, seeds)
    assert len(settled.architectures) == len(set(settled.architectures)) <= 20
    assert len(settled.architectures) >= 10
    assert loop.hardware.evaluations <= tiny.agent.evaluations
    assert loop.networks.strategy.derive() in settled.architectures
    assert settled.accuracies[0] == loop.networks.accuracy(settled.architectures[0])
    row = loop.hardware.best(loop.weights_of(settled.architectures[0]))
    costs = [loop.hardware.archive.scores(loop.weights_of(a), row)[0] for a in settled.architectures]
    scores = 1 - np.array(settled.accuracies) + loop.weight * np.array(costs)
    assert scores[0] == scores.min()


def test_one_candidate_is_the_searchs_own_network(loop: CoDesign) -> None:
    settled = loop.settle(1, loop.networks.seeds.child("settle"))
    assert settled.architectures == (loop.networks.strategy.derive(),)


def test_neighbours_differ_in_one_decision_and_in_their_layers(digits: ResidualSpace) -> None:
    architecture = (0,) * len(digits.decisions)
    found = neighbours(digits, architecture)
    assert len(set(found)) == len(found)
    for other in found:
        assert sum(a != b for a, b in zip(other, architecture, strict=True)) == 1
        assert digits.workload(other).layers != digits.workload(architecture).layers
    depths = [i for i, decision in enumerate(digits.decisions) if decision.name.endswith("depth")]
    assert any(other[i] for other in found for i in depths)
