"""Network spaces: terms partition workloads, and tables add up to networks."""

import itertools
import json

import numpy as np
import pytest

from rhnas.errors import SettingsError
from rhnas.files import find_data
from rhnas.networks.spaces.blocks import BlockShape, block_layers
from rhnas.networks.spaces.macro import Macro
from rhnas.networks.spaces.nasbench201 import EDGES, NasBench201, alive, deciding
from rhnas.networks.spaces.registry import NETWORK_SPACES, network_space
from rhnas.networks.spaces.residual import ResidualSettings, ResidualSpace, StageSettings
from rhnas.networks.spaces.slots import Conv, Slot, SlotSpace
from rhnas.networks.tables import LayerCounts
from rhnas.networks.zoo import load_network
from rhnas.platform import Cost, Objective
from rhnas.workload import LayerKind

NAMES = sorted(NETWORK_SPACES)
RESIDUAL = [name for name in NAMES if isinstance(network_space(name), ResidualSpace)]


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


@pytest.mark.parametrize("name", RESIDUAL)
def test_depth_is_a_suffix_of_skips(name):
    space = network_space(name)
    shallow = tuple(0 for _ in space.decisions)
    for stage, at in zip(space.settings.stages, space.stages, strict=True):
        least = min(stage.depths)
        deep = tuple(len(d.options) - 1 if i == at.depth else 0 for i, d in enumerate(space.decisions))
        more = {layer.name for layer in space.workload(deep)} - {
            layer.name for layer in space.workload(shallow)
        }
        assert {layer.split(".")[1] for layer in more} == {
            f"block{b}" for b in range(least + 1, len(at.ops) + 1)
        }


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


def counted(layers):
    """Parameters as benchmarks publish them: with two per normalised channel and the classifier's biases."""
    norms = sum(2 * layer.channels[1] for layer in layers if layer.kind is LayerKind.CONV)
    biases = sum(layer.channels[1] for layer in layers if layer.kind is LayerKind.DENSE)
    return sum(layer.parameters for layer in layers) + norms + biases


def test_macro_is_the_published_benchmark():
    """MACs and parameters of all 6,561 networks, term by term (which partition networks, as tested above)."""
    file = find_data("tables/nas-bench-macro_cifar10.json")
    if file is None:
        pytest.skip("needs tables/nas-bench-macro_cifar10.json under RHNAS_DATA")
    table = json.loads(file.read_text())
    space = Macro()
    cells = [
        [
            (sum(layer.macs for layer in layers), counted(layers))
            for (_,), layers in sorted(term.layers.items())
        ]
        for term in space.terms
    ]
    networks = list(itertools.product(range(3), repeat=8))
    assert {space.key(network) for network in networks} == set(table)
    for network in networks:
        macs, parameters = map(sum, zip(*(cells[d][a] for d, a in enumerate(network)), strict=True))
        published = table[space.key(network)]
        assert (macs, parameters) == (published["flops"], published["params"]), network


def test_nasbench201_has_the_published_counts():
    """NAS-Bench-201's API for CIFAR-10; FLOPs hold the classifier's 10 biases in, parameters no bias else."""
    space = NasBench201()
    published = {3: (220.11969, 1.531546), 0: (7.78305, 0.073306)}
    for op, (flops, parameters) in published.items():
        workload = space.workload((op,) * 6)
        plain = [layer for layer in workload if ".shortcut" not in layer.name]
        projections = sum(layer.parameters for layer in workload if ".shortcut" in layer.name)
        assert workload.macs + space.classes == round(flops * 1e6)
        # The last normalisation before the pooling counts twice 64.
        assert counted(plain) + projections + 2 * 64 == round(parameters * 1e6)


def ways(cell):
    """Edges on a way from node 0 to node 3, by walking every way."""
    found = set()
    for way in ([(3, 0)], [(1, 0), (3, 1)], [(2, 0), (3, 2)], [(1, 0), (2, 1), (3, 2)]):
        edges = [EDGES.index(edge) for edge in way]
        if all(cell[edge] for edge in edges):
            found.update(edges)
    return tuple(edge in found for edge in range(len(EDGES)))


def test_nasbench201_runs_what_lies_on_a_way_and_nothing_else():
    space = NasBench201()
    seen = {}
    for cell in itertools.product(range(2), repeat=6):
        assert alive(cell) == ways(cell)
        for edge in range(len(EDGES)):
            scope = (edge, *(cell[d] for d in deciding(edge)))
            assert seen.setdefault(scope, alive(cell)[edge]) == alive(cell)[edge]
    rng = np.random.default_rng(0)
    for _ in range(100):
        cell = space.sample(rng)
        ran = {layer.name.rsplit(".", 2)[0] for layer in space.workload(cell) if ".edge" in layer.name}
        wanted = {
            f"edge{n}{s}" for (n, s), on, op in zip(EDGES, ways(cell), cell, strict=True) if on and op > 1
        }
        assert {name.rsplit(".", 1)[1] for name in ran} == wanted
        read = {name for layer in space.workload(cell) for name in layer.inputs}
        assert {layer.name for layer in space.workload(cell)} - read == {"fc"}


def test_mobilenet_v2_without_its_last_block_is_in_mbconv():
    space = network_space("mbconv")
    wanted = load_network("mobilenet_v2")
    stages = ((24, 2), (32, 3), (64, 4), (96, 3), (160, 3))
    chosen = {"stem.width": "16"}
    for stage, (width, depth) in enumerate(stages, start=1):
        chosen |= {f"stage{stage}.width": str(width), f"stage{stage}.depth": str(depth)}
    architecture = tuple(d.options.index(chosen.get(d.name, "inverted_e6_k3")) for d in space.decisions)
    left_out = (
        "features.17",
        "features.18",
        "avgpool",
    )  # the last block, the 1x1 that reads it, and a stride
    layers = [layer.shape for layer in wanted if not layer.name.startswith(left_out)]
    ours = [layer.shape for layer in space.workload(architecture) if layer.name not in {"head", "avgpool"}]
    assert ours == layers


class Tiny(SlotSpace):
    name, picture, classes = "tiny", (3, 8, 8), 2
    slots = ()


def tiny(*slots):
    space = Tiny()
    space.slots = slots
    return space


def test_slots_that_do_not_fit_are_refused():
    stem = Slot("stem", {"conv": (Conv(8, 3),)})
    shapes = tiny(stem, Slot("a", {"wide": (Conv(16),), "same": ()}))
    with pytest.raises(SettingsError, match="slot 'a' must write one shape"):
        _ = shapes.branches
    with pytest.raises(SettingsError, match="the one it reads"):
        _ = tiny(stem, Slot("a", {"wide": (Conv(16),)}, residual=True)).branches
    with pytest.raises(SettingsError, match="read earlier slots"):
        _ = tiny(stem, Slot("a", {"same": ()}, inputs=("b",))).branches
    with pytest.raises(SettingsError, match="name of its own"):
        _ = tiny(stem, stem).branches
    shared = [Slot(n, {"x": (), o: ()}, decision="d") for n, o in (("a", "y"), ("b", "z"))]
    with pytest.raises(SettingsError, match="must have equal options"):
        _ = tiny(stem, *shared).decisions
    with pytest.raises(SettingsError, match="must define its terms"):
        _ = tiny(stem, Slot("a", {"x": (), "none": None})).terms
    with pytest.raises(SettingsError, match="last slot of space 'tiny' must have an output"):
        tiny(stem, Slot("a", {"none": None, "x": ()})).workload((0,))


def test_spaces_in_files(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "from rhnas.networks.spaces.macro import Macro\nclass Mine(Macro): name = 'mine'\nx = 1\n"
    )
    assert network_space(f"{file}:Mine").name == "mine"
    with pytest.raises(SettingsError, match="must define a NetworkSpace called 'x'"):
        network_space(f"{file}:x")
    with pytest.raises(SettingsError, match="must exist"):
        network_space(f"{tmp_path / 'other.py'}:Mine")
    file.write_text("import nonsense_that_is_not_there")
    with pytest.raises(SettingsError, match="can be loaded"):
        network_space(f"{file}:Mine")


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


def test_another_number_of_classes_changes_the_last_layer_only():
    space, other = network_space("cifar"), network_space("cifar", 200)
    architecture = (0,) * len(space.decisions)
    ours, theirs = space.workload(architecture).layers, other.workload(architecture).layers
    assert ours[:-1] == theirs[:-1]
    assert theirs[-1].channels == (ours[-1].channels[0], 200)
    assert other.classes == 200
    with pytest.raises(SettingsError, match=r"task\.classes of space 'macro' must be 10; got 200"):
        network_space("macro", 200)
