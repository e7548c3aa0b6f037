"""Network spaces: terms partition workloads, and tables add up to networks."""

import numpy as np
import pytest

from rhnas.errors import SettingsError
from rhnas.networks.spaces.registry import NETWORK_SPACES, network_space
from rhnas.networks.spaces.residual import BlockShape, ResidualSettings, StageSettings, block_layers
from rhnas.networks.tables import LayerCounts
from rhnas.platform import Cost, Objective
from rhnas.workload import LayerKind

NAMES = sorted(NETWORK_SPACES)


def random_cost(layers, rng, designs=4, points=3):
    """Convex hulls of random numbers in the cost model's form."""
    shape = (designs, len(layers), points)
    steps = np.sort(rng.integers(1, 1000, shape), axis=2)
    cycles = 1000 + np.cumsum(steps, axis=2)
    energy = 1e6 - np.cumsum(np.sort(rng.uniform(1, 1e4, shape), axis=2)[:, :, ::-1], axis=2)
    mapped = np.ones(shape[:2], dtype=bool)
    launch = rng.integers(10, 100, designs)
    return Cost(cycles, energy, mapped, launch, launch * 2.5)


@pytest.mark.parametrize("name", NAMES)
def test_terms_partition_every_network_and_tables_add_up(name):
    space = network_space(name)
    rng = np.random.default_rng(0)
    cost = random_cost(space.layers, rng)
    mu = cost.totals(Objective.EDP).mu
    table = LayerCounts.of(space).table(cost, mu)
    position = {layer.shape: index for index, layer in enumerate(space.layers)}
    cycles, energy = cost.at(mu)
    for _ in range(1000):
        architecture = space.sample(rng)
        layers = space.workload(architecture).layers
        cells = [term.layers[tuple(architecture[d] for d in term.decisions)] for term in space.terms]
        got = sorted((layer.name, layer.shape) for cell in cells for layer in cell)
        assert got == sorted((layer.name, layer.shape) for layer in layers)
        rows = [position[layer.shape] for layer in layers]
        sums = table.of(architecture)
        np.testing.assert_allclose(sums[0], cycles[:, rows].sum(1) + cost.launch_cycles, rtol=1e-12)
        np.testing.assert_allclose(sums[1], energy[:, rows].sum(1) + cost.launch_energy_pj, rtol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_every_combination_has_a_cell(name):
    space = network_space(name)
    for term in space.terms:
        sizes = [len(space.decisions[d].options) for d in term.decisions]
        assert set(term.layers) == set(np.ndindex(*sizes))
        assert list(term.decisions) == sorted(term.decisions)


@pytest.mark.parametrize("name", NAMES)
def test_depth_is_a_suffix_of_skips(name):
    space = network_space(name)
    shallow = tuple(0 for _ in space.decisions)
    for at in space.stages:
        deep = tuple(len(d.options) - 1 if i == at.depth else 0 for i, d in enumerate(space.decisions))
        more = {layer.name for layer in space.workload(deep)} - {
            layer.name for layer in space.workload(shallow)
        }
        assert {layer.split(".")[1] for layer in more} == {f"block{b}" for b in range(2, len(at.ops) + 1)}


def test_the_machine_runs_every_layer():
    kinds = {layer.kind for name in NAMES for layer in network_space(name).layers}
    assert kinds <= set(LayerKind)
    groups = {layer.groups for layer in network_space("cifar").layers}
    assert max(groups) > 1


def test_the_first_block_of_a_stage_projects_its_shortcut():
    shape = BlockShape(name="b", source="x", channels=(16, 16), size=(8, 8), stride=1)
    assert [layer.name for layer in block_layers("dense", shape)] == ["b.conv1", "b.add"]
    wider = BlockShape(name="b", source="x", channels=(16, 24), size=(8, 8), stride=1)
    assert "b.shortcut" in [layer.name for layer in block_layers("dense", wider)]


def test_cifar_is_the_space_of_the_issue():
    space = network_space("cifar")
    assert space.decisions[0].options == ("16", "24", "32")
    assert [space.decisions[at.width].options[-1] for at in space.stages] == ["64", "128", "256"]
    assert all(len(at.ops) == 4 for at in space.stages)


def test_wrong_settings_are_refused():
    with pytest.raises(SettingsError, match="multiples of 8"):
        StageSettings(widths=(12,), depths=(1,))
    with pytest.raises(SettingsError, match="at least 1"):
        StageSettings(widths=(16,), depths=(0, 1))
    stage = StageSettings(widths=(16,), depths=(1,))
    with pytest.raises(SettingsError, match="ops must be some of"):
        ResidualSettings(
            name="x", picture=(1, 8, 8), classes=2, stem_widths=(8,), stages=(stage,), ops=("swish",)
        )
    with pytest.raises(SettingsError, match="did you mean 'digits'"):
        network_space("digit")
    with pytest.raises(SettingsError, match="one option index below each of"):
        network_space("digits").workload((9,) * len(network_space("digits").decisions))
