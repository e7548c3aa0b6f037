"""Features: fixed length, finite, and blind to what does not matter."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from rhnas.agents.features import (
    WORKLOAD_FEATURES,
    budget_features,
    closest_indices,
    feature_count,
    search_context,
    workload_features,
)
from rhnas.networks.zoo import ZOO, load_network
from rhnas.platform import Objective
from tests.agents.toys import LAYER, sum_below, toy_space


@pytest.mark.parametrize("name", ZOO)
def test_every_network_has_features_of_one_length_and_scale(name):
    features = workload_features(load_network(name).layers)
    assert features.shape == (WORKLOAD_FEATURES,)
    assert np.isfinite(features).all()
    assert np.abs(features).max() < 3


def test_networks_differ_and_copies_do_not():
    networks = [workload_features(load_network(name).layers) for name in ZOO]
    assert len(np.unique(np.round(networks, 6), axis=0)) == len(ZOO)
    unique, inverse = load_network("resnet18").unique
    counts = np.bincount(inverse).astype(np.float64)
    assert np.allclose(workload_features(unique, counts), workload_features(load_network("resnet18").layers))


def test_features_move_smoothly_with_expected_counts():
    layers = [LAYER, dataclasses.replace(LAYER, channels=(64, 64))]
    near, far = (workload_features(layers, np.array([1.0, weight])) for weight in (0.50001, 0.6))
    here = workload_features(layers, np.array([1.0, 0.5]))
    assert np.abs(near - here).max() < 1e-4 < np.abs(far - here).max()


def test_a_workload_without_macs_is_no_error():
    pool = load_network("resnet18").without(["conv1"]).layers[0]
    assert np.isfinite(workload_features([pool])).all()


def test_budget_features_are_the_means_of_the_feasible_designs():
    designs = toy_space(3, 1, 4).feasible((sum_below(3),))
    scale = np.array([2, 1, 3])
    features = budget_features(designs)
    assert features[0] == pytest.approx(np.log10(designs.count) / 6)
    assert features[2:5] == pytest.approx((designs.all() / scale).mean(axis=0))
    assert features[5:8] == pytest.approx((designs.all() / scale).max(axis=0))


def test_the_context_starts_at_the_feasible_design_nearest_to_the_default():
    designs = toy_space(3, 4).feasible((sum_below(3),))
    context = search_context(designs, Objective.ENERGY, {"c0": 7, "c1": 1, "x": 5}, [LAYER], budget=5)
    assert context.start.tolist() == [2, 1]
    assert len(context.features) == feature_count(designs.space)
    assert closest_indices(designs.space, {"c1": 9}).tolist() == [0, 3]


def test_the_objective_is_visible():
    designs = toy_space(3, 4).feasible()
    seen = {
        search_context(designs, objective, {}, [LAYER], budget=5).features.tobytes()
        for objective in Objective
    }
    assert len(seen) == 3
