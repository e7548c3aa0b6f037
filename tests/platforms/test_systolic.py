"""The systolic array against register-by-register and step-by-step references, and its bounds."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rhnas.errors import InfeasibleDesignError, SettingsError
from rhnas.networks.zoo import load_network
from rhnas.platform import Objective, load_platform
from rhnas.platforms.systolic import SystolicConfig
from rhnas.platforms.systolic_cost import SystolicCostModel, arrays_of, energies_of, nest_of, tiles_of
from rhnas.platforms.systolic_kernel import (
    LATENCY,
    UNFIT,
    Array,
    Energies,
    Tile,
    pass_cycles,
    price,
)
from rhnas.platforms.systolic_rules import DEFAULT, SPACE
from rhnas.space import DesignBatch
from rhnas.technology import TECHNOLOGIES
from rhnas.workload import Layer, LayerKind
from tests.platform_contract import PlatformContract
from tests.platforms.reference import simulated_pass, walk

FEASIBLE = SPACE.feasible()


class TestSystolic(PlatformContract):
    @pytest.fixture
    def platform(self):
        return load_platform("systolic")

    @pytest.fixture
    def space(self, platform):
        return platform.space("systolic")

    @pytest.fixture
    def limits(self):
        return {"macs": 1024, "bus_bits": 128, "sram_kib": 288}


@settings(max_examples=40)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 9), st.integers(0, 99))
def test_a_pass_takes_as_long_as_the_clocked_array(rows, cols, pixels, seed):
    rng = np.random.default_rng(seed)
    weights, inputs = rng.integers(0, 9, (rows, cols)), rng.integers(0, 9, (pixels, rows))
    out, cycles = simulated_pass(weights, inputs)
    assert (out == inputs @ weights).all()
    assert cycles == pass_cycles(rows, cols, pixels)


def test_an_uncut_layer_computes_for_the_published_time():
    """SCALE-Sim: (2 R + C + T - 2) x ceil(K / R) x ceil(N / C); here where the port is never waited for."""
    layer = Layer(name="conv", channels=(20, 12), size=(6, 5), kernel=(3, 3), padding=(1, 1))
    nest = nest_of(layer)
    array = Array(
        rows=8, cols=4, input_bytes=10**9, weight_bytes=10**9, acc_bytes=10**9, bus_bytes=10**9, lanes=4
    )
    whole = Tile(height=6, width=5, channels=20, halvings=0, weights_stay=1)
    cycles, _ = price(nest, array, Energies(*[1.0] * 6), whole)
    published = (2 * 8 + 4 + 30 - 2) * -(-180 // 8) * -(-12 // 4)
    transfers = 3 * (LATENCY + 1)  # inputs, weights, outputs
    assert cycles == published + transfers + LATENCY + 1


@st.composite
def layers(draw) -> Layer:
    kind = draw(st.sampled_from(list(LayerKind)))
    size = (draw(st.integers(1, 9)), draw(st.integers(1, 9)))
    kernel = tuple(draw(st.integers(1, min(3, side))) for side in size)
    stride = (draw(st.integers(1, 2)), draw(st.integers(1, 2)))
    shape = {"size": size, "kernel": kernel, "stride": stride}
    cin, cout = draw(st.integers(1, 70)), draw(st.integers(1, 70))
    if kind is LayerKind.DENSE:
        return Layer(name="x", kind=kind, channels=(cin, cout))
    if kind is LayerKind.ADD:
        return Layer(name="x", kind=kind, channels=(cin, cin), size=size)
    if kind is not LayerKind.CONV:
        return Layer(name="x", kind=kind, channels=(cin, cin), **shape)
    groups = draw(st.sampled_from([1, 1, 2, 8]))
    padding = (draw(st.integers(0, 1)), draw(st.integers(0, 1)))
    channels = (
        (groups * draw(st.integers(1, 9)), groups * draw(st.integers(1, 9))) if groups > 1 else (cin, cout)
    )
    return Layer(name="x", channels=channels, groups=groups, padding=padding, **shape)


designs = st.integers(0, FEASIBLE.count - 1).map(lambda at: SPACE.at(FEASIBLE.flat[at : at + 1]))


@settings(max_examples=150, suppress_health_check=[HealthCheck.filter_too_much], deadline=None)
@given(layer=layers(), batch=designs, data=st.data())
def test_the_closed_form_is_the_walk_through_all_steps(layer, batch, data):
    nest = nest_of(layer)
    array = Array(*arrays_of(batch)[0].tolist())
    shrunk = data.draw(st.sampled_from([1, 16, 64]))
    array = array._replace(
        **{name: getattr(array, name) // shrunk for name in ("input_bytes", "weight_bytes", "acc_bytes")}
    )
    energy = Energies(*energies_of(TECHNOLOGIES["dosa40"], batch)[0].tolist())
    tiles = tiles_of(nest)
    tile = Tile(*tiles[data.draw(st.integers(0, len(tiles) - 1))].tolist())
    cycles, pj = price(nest, array, energy, tile)
    walked = walk(layer, array, energy, tile)
    if walked is None:
        assert cycles == UNFIT
    else:
        assert cycles == walked[0]
        assert pj == pytest.approx(walked[1], rel=1e-12)


@settings(max_examples=60, deadline=None)
@given(layer=layers(), batch=designs)
def test_costs_respect_the_bounds_and_the_mapping_rule_says_where_there_are_any(layer, batch):
    platform, model = load_platform("systolic"), SystolicCostModel()
    cost = model.evaluate(batch, [layer])
    [rule] = platform.rules(layers=[layer])
    assert bool(cost.mapped[0, 0]) == bool(rule.slack(batch)[0] >= 0)
    if cost.mapped[0, 0]:
        assert cost.cycles[0, 0, 0] >= model.bound_terms(batch, [layer])[:, 0, 0].max()
        assert (np.diff(cost.cycles[0, 0]) >= 0).all()
        assert (np.diff(cost.energy_pj[0, 0]) <= 0).all()
        energy = energies_of(model.technology, batch)[0]
        assert cost.energy_pj[0, 0, -1] > layer.macs * energy[0]


@settings(max_examples=25, deadline=None)
@given(layer=layers(), batch=designs, mu=st.sampled_from([0.0, 0.01, np.inf]))
def test_the_hull_holds_the_best_tiling_at_every_rate(layer, batch, mu):
    array = Array(*arrays_of(batch)[0].tolist())
    energy = Energies(*energies_of(TECHNOLOGIES["dosa40"], batch)[0].tolist())
    nest = nest_of(layer)
    all_of_them = [price(nest, array, energy, Tile(*tile)) for tile in tiles_of(nest).tolist()]
    fitting = [(c, e) for c, e in all_of_them if c != UNFIT]
    cycles, pj = SystolicCostModel().evaluate(batch, [layer]).at(np.array([mu]))
    if not fitting:
        assert np.isnan(cycles[0, 0])
    else:
        best = min(e if np.isinf(mu) else c + mu * e for c, e in fitting)
        found = pj[0, 0] if np.isinf(mu) else cycles[0, 0] + mu * pj[0, 0]
        assert found == pytest.approx(best, rel=1e-12)


@settings(max_examples=25, deadline=None)
@given(layer=layers(), low=designs, high=designs)
def test_a_box_is_priced_below_every_design_in_it(layer, low, high):
    model = SystolicCostModel()
    sides = [dict(low.row(0)), dict(low.row(0))]
    for key in model.relaxable:
        values = sorted((low.row(0)[key], high.row(0)[key]))
        sides[0][key], sides[1][key] = values
    corners = [DesignBatch.of(side) for side in sides]
    relaxed = model.relaxed(*corners, [layer])
    inside = model.evaluate(DesignBatch.of(*sides), [layer])
    for objective in Objective:
        bound = relaxed.totals(objective)
        each = inside.totals(objective)
        below = objective.score(bound.cycles, bound.energy_pj)[0]
        for value in objective.score(each.cycles, each.energy_pj):
            assert np.isnan(value) or below <= value + 1e-12


def test_a_small_hull_buffer_is_enlarged(monkeypatch):
    layer = Layer(name="conv", channels=(64, 64), size=(28, 28), kernel=(3, 3), padding=(1, 1))
    batch = DesignBatch.of(DEFAULT)
    whole = SystolicCostModel().evaluate(batch, [layer])
    assert whole.cycles.shape[2] > 1
    monkeypatch.setattr("rhnas.platforms.systolic_cost.HULL_POINTS", 1)
    assert (SystolicCostModel().evaluate(batch, [layer]).cycles == whole.cycles).all()


def test_without_a_vector_unit_only_weighted_layers_run():
    batch = DesignBatch.of(DEFAULT | {"VECTOR_LANES": 0})
    cost = SystolicCostModel().evaluate(batch, load_network("resnet18").layers)
    runs = [layer.kind in (LayerKind.CONV, LayerKind.DENSE) for layer in load_network("resnet18")]
    assert cost.mapped[0].tolist() == runs


def test_what_cannot_be_built_is_refused():
    with pytest.raises(InfeasibleDesignError, match=r"weight.tile.*nearest realizable: WEIGHT_KIB=32"):
        SystolicConfig(rows=128, cols=128, weight_kib=16)
    with pytest.raises(SettingsError, match="ROWS must be at least 1"):
        SystolicConfig(rows=0)
    platform = load_platform("systolic")
    with pytest.raises(SettingsError, match="did you mean ROWS"):
        platform.parse("ROW=3")
    with pytest.raises(SettingsError, match="technology"):
        platform.cost_model(technology="gold")
    with pytest.raises(SettingsError, match="positive"):
        platform.rules(limits={"macs": 0})
