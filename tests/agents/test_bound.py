"""Branch and bound against enumeration, and the boxes' bounds against the designs inside."""

import numpy as np
import pytest

from rhnas.agents.bound import box_bounds, branch_and_bound, halves, roots
from rhnas.agents.evaluator import DesignCosts
from rhnas.errors import InfeasibleDesignError
from rhnas.networks.zoo import load_network
from rhnas.optimize import Question, Task, optimize
from rhnas.platform import Objective, load_platform
from rhnas.workload import Layer
from tests.agents.toys import LAYER, ToyModel, toy_space

LIMITS = {"macs": 256, "sram_kib": 320}
LAYERS = (
    LAYER,
    Layer(name="depthwise", channels=(48, 48), size=(8, 8), kernel=(3, 3), padding=(1, 1), groups=48),
    Layer(name="point", channels=(48, 40), size=(8, 8)),
)


@pytest.fixture(scope="module")
def chip():
    platform = load_platform()
    space = platform.space("vta-intel")
    return space.feasible(platform.rules(layers=LAYERS, limits=LIMITS)), platform.cost_model()


@pytest.mark.parametrize(
    "objective",
    [Objective.EDP, Objective.ENERGY, pytest.param(Objective.LATENCY, marks=pytest.mark.slow)],
)
def test_the_optimum_is_that_of_enumeration(chip, objective):
    designs, model = chip
    costs = DesignCosts(designs.space, model, LAYERS, objective, np.array([1.0, 2.0, 3.0]))
    scores = costs(designs.all())
    found = branch_and_bound(designs, costs)
    assert found.proved
    assert found.log_objective == pytest.approx(scores.min(), abs=1e-12)
    assert designs.contains(found.design[None]).all()


def test_no_design_is_below_the_bound_of_its_box(chip):
    designs, model = chip
    costs = DesignCosts(designs.space, model, LAYERS, Objective.EDP)
    boxes = roots(designs, model.relaxable)
    assert sum(_inside(designs, box).shape[0] for box in boxes) == designs.count
    for level in range(3):
        bounds = box_bounds(designs, costs, boxes)
        for box, bound in zip(boxes, bounds, strict=True):
            scores = costs(_inside(designs, box))
            assert bound <= scores.min() + 1e-12
            assert not box.single or bound == pytest.approx(scores[0], abs=1e-12), level
        boxes = [half for box in boxes if not box.single for half in halves(designs, box)]
    assert boxes


def _inside(designs, box):
    every = designs.all()
    return every[((every >= np.array(box.low)) & (every <= np.array(box.high))).all(axis=1)]


def test_a_bound_holds_at_any_effort(chip):
    designs, model = chip
    costs = DesignCosts(designs.space, model, LAYERS, Objective.EDP)
    optimum = costs(designs.all()).min()
    lower = [branch_and_bound(designs, costs, effort).lower for effort in (1, 30, 60, 10_000)]
    assert lower == sorted(lower)
    assert max(lower) <= optimum + 1e-12
    assert lower[-1] == pytest.approx(optimum, abs=1e-12)
    proof = branch_and_bound(designs, costs, known=float(optimum))
    assert proof.proved
    assert proof.costed <= branch_and_bound(designs, costs).costed


def test_a_model_that_bounds_no_ranges_is_enumerated():
    designs = toy_space(3, 4).feasible()
    costs = DesignCosts(designs.space, ToyModel(), (LAYER,), Objective.EDP)
    found = branch_and_bound(designs, costs)
    assert found.costed == designs.count
    assert found.log_objective == pytest.approx(np.nanmin(costs(designs.all())))


def test_nothing_feasible_is_said(chip):
    designs, model = chip
    huge = Layer(name="huge", channels=(8, 8), size=(255, 255), kernel=(255, 255))
    costs = DesignCosts(designs.space, model, (huge,), Objective.EDP)
    assert np.isnan(costs(designs.all())).all()
    with pytest.raises(InfeasibleDesignError, match="mapping"):
        branch_and_bound(designs, costs)


def test_optimize_certifies_its_gap_with_a_limited_proof():
    network = load_network("resnet20")
    task = Task(load_platform(), Question(network=network, space="vta-intel", limits=LIMITS))
    agent = task.agent("random", 0)
    answer = optimize(task, agent, budget=3, effort=1)
    assert answer.optimum is None
    assert answer.gap is None
    proved = optimize(task, task.agent("random", 0), budget=3, effort=10_000)
    assert proved.gap is not None
    assert 0 <= proved.gap <= answer.certified_gap
    assert proved.certified_gap == pytest.approx(proved.gap)
    assert proved.to_json()["bound"] == pytest.approx(proved.to_json()["optimum"])
