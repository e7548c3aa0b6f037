"""The archive against direct cost calls, and against every network of a sample."""

import numpy as np
import pytest

from rhnas.codesign.archive import Archive, layer_weights
from rhnas.errors import SettingsError
from rhnas.networks.tables import LayerCounts
from rhnas.platform import Objective


@pytest.fixture
def archive(toy_space, model, digits) -> Archive:
    return Archive(toy_space, model, digits.layers, Objective.EDP)


def test_repeats_cost_no_evaluation(archive, model, toy_space) -> None:
    designs = toy_space.feasible().sample(30, np.random.default_rng(0))
    distinct = len(np.unique(designs, axis=0))
    rows = archive.visit(designs)
    assert len(archive) == model.evaluated == distinct
    assert (archive.designs[rows] == designs).all()
    assert (archive.visit(designs[::-1]) == rows[::-1]).all()
    assert model.evaluated == distinct


@pytest.mark.parametrize("objective", list(Objective))
def test_scores_are_those_of_the_network_itself(toy_space, model, digits, objective) -> None:
    archive = Archive(toy_space, model, digits.layers, objective)
    rng = np.random.default_rng(1)
    for _ in range(4):
        archive.visit(toy_space.feasible().sample(5, rng))
    counts = LayerCounts.of(digits)
    before = model.evaluated
    for _ in range(20):
        architecture = digits.sample(rng)
        scores = archive.scores(layer_weights(counts, architecture))
        direct = model.evaluate(toy_space.decode(archive.designs), digits.workload(architecture).layers)
        totals = direct.totals(objective)
        assert scores == pytest.approx(objective.score(totals.cycles, totals.energy_pj), rel=1e-12)
        model.evaluated = before


def test_tables_of_chosen_rows_add_up_to_their_totals(archive, toy_space, digits) -> None:
    rng = np.random.default_rng(2)
    for size in (1, 4, 7):
        archive.visit(toy_space.feasible().sample(size, rng))
    counts = LayerCounts.of(digits)
    architecture = digits.sample(rng)
    weights = layer_weights(counts, architecture)
    rows = rng.permutation(len(archive))[:4]
    cycles, energy = archive.table(rows, counts, weights).of(architecture)
    totals = archive.totals(weights)
    assert cycles == pytest.approx(totals.cycles[rows])
    assert energy == pytest.approx(totals.energy_pj[rows])


def test_weights_of_a_network_count_its_layers(digits) -> None:
    counts = LayerCounts.of(digits)
    architecture = digits.sample(np.random.default_rng(3))
    weights = layer_weights(counts, architecture)
    shapes = [layer.shape for layer in digits.workload(architecture)]
    assert weights.tolist() == [shapes.count(layer.shape) for layer in digits.layers]


def test_a_restored_archive_is_the_same(archive, toy_space, model, digits) -> None:
    rng = np.random.default_rng(4)
    for size in (3, 1, 8):
        archive.visit(toy_space.feasible().sample(size, rng))
    again = Archive(toy_space, model, digits.layers, Objective.EDP)
    again.restore(archive.state())
    weights = layer_weights(LayerCounts.of(digits), digits.sample(rng))
    assert (again.designs == archive.designs).all()
    assert (again.scores(weights) == archive.scores(weights)).all(), "bit for bit"
    again.visit(toy_space.feasible().all())
    with pytest.raises(SettingsError, match="must be new"):
        again.restore(archive.state())
