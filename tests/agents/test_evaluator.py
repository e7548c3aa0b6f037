"""Costs of whole workloads and the count of evaluations, against plain sums."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from rhnas.agents.evaluator import DesignCosts, Evaluator
from rhnas.errors import SettingsError
from rhnas.platform import Objective
from tests.agents.toys import LAYER, ToyModel, bowl, toy_space

SPACE = toy_space(3, 5)
WIDE = dataclasses.replace(LAYER, name="wide", channels=(32, 32))


@pytest.mark.parametrize("objective", list(Objective))
def test_a_workload_costs_the_sum_of_its_layers(objective):
    twin = dataclasses.replace(LAYER, name="twin")
    costs = DesignCosts(SPACE, ToyModel(), [LAYER, WIDE, twin], objective)
    assert len(costs.layers) == 2
    design = np.array([[2, 4]])
    drag, speed = 1 + (4 - 2) ** 2, 3
    cycles = sum(layer.macs * drag // speed for layer in (LAYER, WIDE, twin)) + 10
    energy_pj = sum(layer.macs * speed * drag for layer in (LAYER, WIDE, twin)) + 1
    assert costs(design)[0] == pytest.approx(float(objective.score(np.array(cycles), np.array(energy_pj))))


def test_weights_count_layers():
    once = DesignCosts(SPACE, ToyModel(), [LAYER, WIDE], Objective.EDP, np.array([2.0, 1.0]))
    listed = DesignCosts(SPACE, ToyModel(), [LAYER, LAYER, WIDE], Objective.EDP)
    assert once(np.array([[0, 3]])) == pytest.approx(listed(np.array([[0, 3]])))


def test_repeats_are_free_and_known_designs_are_not_costed_again():
    model = ToyModel()
    evaluate = Evaluator(SPACE, DesignCosts(SPACE, model, [LAYER], Objective.EDP))
    first = evaluate(np.array([[0, 0], [2, 2], [0, 0]]))
    again = evaluate(np.array([[2, 2], [0, 1], [0, 0]]))
    assert model.calls == [2, 1]
    assert evaluate.evaluations == 3
    assert first.objectives[1] == again.objectives[0]
    assert first.objectives.shape == (3, 1)


def test_designs_without_a_mapping_are_nan_with_negative_slack():
    evaluate = Evaluator(SPACE, DesignCosts(SPACE, ToyModel(), [LAYER], Objective.EDP))
    outcome = evaluate(np.array([[1, 0], [2, 0]]))
    assert np.isnan(outcome.objectives[0, 0])
    assert outcome.slack[:, 0].tolist() == [-1.0, 0.0]
    assert evaluate.best()[0].tolist() == [2, 0]
    assert evaluate.trace[0] == np.inf


def test_no_usable_design_is_an_error():
    evaluate = Evaluator(SPACE, lambda indices: np.full(len(indices), np.nan))
    evaluate(np.array([[0, 0]]))
    with pytest.raises(SettingsError, match="usable design"):
        evaluate.best()


def test_a_budget_pays_for_new_designs_only():
    evaluate = Evaluator(SPACE, bowl((0, 0)))
    evaluate(np.array([[0, 0], [0, 1]]))
    proposal = np.array([[0, 1], [0, 2], [0, 2], [0, 0], [0, 3]])
    assert evaluate.affordable(proposal, 2) == 1
    assert evaluate.affordable(proposal, 3) == 4
    assert evaluate.affordable(proposal, 9) == 5


def test_the_trace_only_falls():
    evaluate = Evaluator(SPACE, bowl((2, 1)))
    evaluate(SPACE.feasible().all())
    assert (np.diff(evaluate.trace) <= 0).all()
    assert evaluate.trace[-1] == evaluate.best()[1] == 0
