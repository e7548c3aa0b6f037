"""The cost model on random layers and designs: bounds, slack, energies, sources, memory of what is equal."""

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rhnas.errors import SettingsError
from rhnas.networks.zoo import load_network
from rhnas.platform import Objective, load_platform
from rhnas.space import DesignBatch
from rhnas.technology import TECHNOLOGIES, Cited
from rhnas.vta.cost import VtaCostModel
from rhnas.vta.energy import EVENTS, event_energy
from rhnas.vta.mapping import Mapping, mapping_slack
from rhnas.vta.spaces import DEFAULT
from rhnas.vta.timing import PROFILES, TimingProfile
from rhnas.workload import PICTURE, Layer, LayerKind

WIDE = load_platform().space("vta").feasible()


@st.composite
def layers(draw) -> Layer:
    kind = draw(st.sampled_from(list(LayerKind)))
    cin, cout = draw(st.integers(1, 80)), draw(st.integers(1, 80))
    size = (draw(st.integers(1, 20)), draw(st.integers(1, 20)))
    if kind is LayerKind.DENSE:
        return Layer(name="x", kind=kind, channels=(cin, cout))
    if kind is LayerKind.ADD:
        return Layer(name="x", kind=kind, channels=(cin, cin), size=size)
    kernel = tuple(draw(st.integers(1, min(5, pixels))) for pixels in size)
    stride, pad = draw(st.integers(1, 2)), draw(st.integers(0, min(kernel) // 2))
    groups = draw(st.sampled_from([1, cin])) if kind is LayerKind.CONV else 1
    return Layer(
        name="x",
        kind=kind,
        channels=(cin, cout if kind is LayerKind.CONV and groups == 1 else cin),
        size=size,
        kernel=kernel,
        stride=(stride, stride),
        padding=(pad, pad),
        groups=groups,
        inputs=draw(st.sampled_from([(), (PICTURE,)])),
    )


@settings(max_examples=60, deadline=None)
@given(layer=layers(), seed=st.integers(0, 10**6), schedule=st.sampled_from(["best", "upstream"]))
def test_no_cost_is_below_its_physical_bound_and_slack_says_what_maps(layer, seed, schedule):
    batch = WIDE.space.decode(WIDE.sample(3, np.random.default_rng(seed)))
    model = VtaCostModel(schedule=schedule)
    cost, bound = model.evaluate(batch, [layer]), model.bounds(batch, [layer])
    assert (cost.cycles[cost.mapped].min(axis=-1, initial=1 << 60) >= bound[cost.mapped]).all()
    assert (cost.energy_pj[cost.mapped] > 0).all()
    assert (np.diff(cost.cycles) >= 0).all()
    assert (np.diff(cost.energy_pj) <= 0).all()
    if schedule == "best":
        assert (cost.mapped[:, 0] == (mapping_slack(batch, layer) >= 0)).all()


def test_the_mapping_shown_is_the_one_priced():
    workload, batch, model = load_network("resnet20"), DesignBatch.of(DEFAULT), VtaCostModel()
    cost = model.evaluate(batch, workload.layers)
    for mu in (0.0, float(cost.totals(Objective.EDP).mu[0]), np.inf):
        cycles, energy = cost.at(np.array([mu]))
        for position, shown in enumerate(model.mappings(batch, workload.layers, mu)):
            assert shown["energy_pj"] == pytest.approx(energy[0, position], rel=1e-9)
            assert shown["cycles"] == cycles[0, position]


def test_a_network_costs_the_sum_of_its_layers_at_one_mu():
    workload, batch, model = load_network("resnet20"), DesignBatch.of(DEFAULT), VtaCostModel()
    cost = model.evaluate(batch, workload.layers)
    totals = cost.totals(Objective.EDP)
    cycles, energy = cost.at(totals.mu)
    assert totals.cycles[0] == cycles.sum() + PROFILES["rhnas"].launch_cycles(64)
    assert totals.energy_pj[0] == pytest.approx(energy.sum() + cost.launch_energy_pj[0])


def test_upstream_differs_on_plain_convolutions_alone():
    workload, batch = load_network("resnet20"), DesignBatch.of(DEFAULT)
    best, upstream = (
        VtaCostModel(schedule=s).evaluate(batch, workload.layers).cycles for s in ("best", "upstream")
    )
    for position, layer in enumerate(workload):
        if layer.kind is not LayerKind.CONV:
            assert best[0, position, 0] == upstream[0, position, 0]


def test_resnet18_is_within_three_percent_of_the_public_simulator():
    """apache/tvm-vta#30: 7,729,601 cycles for what upstream offloads, in tsim."""
    workload = load_network("resnet18").without(["conv1", "maxpool", "avgpool", "fc"])
    cost = VtaCostModel(schedule="upstream", timing="public").evaluate(
        DesignBatch.of(DEFAULT), workload.layers
    )
    total = int(cost.totals(Objective.LATENCY).cycles[0])
    assert abs(total / 7_729_601 - 1) < 0.03


def test_every_number_has_a_source():
    assert set(TimingProfile.sources()) == {law.name for law in fields(TimingProfile)} - {"name"}
    assert all(TimingProfile.sources().values())
    for technology in TECHNOLOGIES.values():
        for constant in fields(technology):
            if constant.name != "name":
                assert getattr(technology, constant.name).source


def test_energies_of_the_default_by_hand():
    """Weights are 64 banks of 4 KiB; a byte there costs 0.49 + 0.02513 x 4 pJ (DOSA, 40 nm)."""
    event = dict(zip(EVENTS, event_energy(TECHNOLOGIES["dosa40"], DesignBatch.of(DEFAULT))[0], strict=True))
    byte = 0.49 + 0.02513 * 4
    assert event["wgt_fill"] == pytest.approx(256 * byte)
    word = 1.94 + 0.1005 * 8
    assert event["acc_fill"] == pytest.approx(16 * word)
    assert event["beats"] == pytest.approx(800.0)
    inp, out, uop = 16 * (0.49 + 0.02513 * 8), 16 * (0.49 + 0.02513 * 8), 4 * (0.49 + 0.02513 * 32)
    step = 256 * 0.5608 + inp + 256 * byte + 2 * 16 * word + out + uop
    assert event["gemm_steps"] == pytest.approx(step)


def test_a_table_of_energies_is_met_at_its_points():
    curve = TECHNOLOGIES["horowitz45"].scratchpad
    np.testing.assert_allclose(
        curve.at(np.array([1.0, 8.0, 32.0, 1024.0, 9e9])), [1.25, 1.25, 2.5, 12.5, 12.5]
    )
    assert isinstance(TECHNOLOGIES["horowitz45"].mac, Cited)


@pytest.mark.parametrize(
    ("option", "value"), [("schedule", "slow"), ("timing", "quartz"), ("technology", "3nm")]
)
def test_unknown_options_are_named(option, value):
    with pytest.raises(SettingsError, match=option):
        VtaCostModel(**{option: value})


def test_a_mapping_survives_its_codes():
    mapping = Mapping(form="alu", tile_h=3, tile_w=5, tile_ci=1, tile_co=2, order="channels outer", threads=2)
    assert Mapping.of_codes(np.array(mapping.codes)) == mapping


@pytest.mark.parametrize(("instructions", "cycles"), [(1, 25), (9, 70), (17, 115), (65, 385)])
def test_fetch_laws_reproduce_the_measured_launches(instructions, cycles):
    """Launch to FINISH of that many instructions, public RTL, 64-bit bus."""
    law = PROFILES["public"]
    whole, rest = divmod(instructions, law.fetch_instructions(64))
    assert whole * law.fetch_cycles(8, 64) + law.fetch_cycles(rest, 64) + law.finish == cycles


def test_padded_loads_reproduce_the_measured_one():
    """14x14 of a 56-wide picture, 392 beats: 414 cycles, with 60 zero tensors 454."""
    assert PROFILES["public"].load_cycles(392) == 414
    assert PROFILES["public"].load_cycles(392, zero_tensors=60) == 454
