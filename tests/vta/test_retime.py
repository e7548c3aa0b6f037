"""Mappings and networks timed by simulation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rhnas.errors import InfeasibleDesignError, UnsupportedNetworkError
from rhnas.networks.zoo import load_network
from rhnas.platform import Objective
from rhnas.space import DesignBatch
from rhnas.vta.config import AcceleratorConfig
from rhnas.vta.cost import VtaCostModel
from rhnas.vta.lower.network import compile_network
from rhnas.vta.platform import VtaPlatform
from rhnas.vta.retime import (
    cycles_by_layer,
    layer_cycles,
    network_cycles,
    network_mappings,
    numberless_network,
    retimed_mappings,
    stored_shapes,
    timed_mappings,
)
from rhnas.vta.simulate.run import simulate
from rhnas.workload import Layer

MODEL, DEFAULT = VtaCostModel(), AcceleratorConfig()
CONV = Layer(name="conv", channels=(24, 40), size=(10, 9), kernel=(3, 3), padding=(1, 1), relu=True)


@pytest.fixture(scope="module")
def resnet20():
    return load_network("resnet20")


@pytest.mark.parametrize("mu", [0.0, 1e-3, np.inf])
def test_the_first_of_the_ranked_mappings_is_the_best(mu):
    batch = DesignBatch.of(DEFAULT.to_row())
    ranked = MODEL.ranked_mappings(batch, CONV, mu, 10_000)
    best, breakdown = MODEL.best_mapping(batch, CONV, mu)
    scores = [energy if np.isinf(mu) else cycles + mu * energy for _, cycles, energy in ranked]
    assert scores == sorted(scores)
    assert scores[0] == pytest.approx(
        breakdown.energy_pj if np.isinf(mu) else breakdown.cycles + mu * breakdown.energy_pj
    )
    assert best in [mapping for mapping, *_ in ranked]
    for mapping, cycles, energy in ranked[::997]:
        alone = MODEL.breakdown(batch, CONV, mapping)
        assert (cycles, energy) == (alone.cycles, pytest.approx(alone.energy_pj))


def test_timed_mappings_come_in_the_order_of_their_simulated_cycles():
    timed = timed_mappings(MODEL, DEFAULT, CONV, count=6)
    assert [t.simulated for t in timed] == sorted(t.simulated for t in timed)
    assert timed[0].simulated == layer_cycles(CONV, timed[0].mapping, DEFAULT)
    assert {t.mapping for t in timed_mappings(MODEL, DEFAULT, CONV, count=2)} <= {t.mapping for t in timed}


def test_mappings_without_room_for_shifts_per_channel_are_passed_over():
    config = AcceleratorConfig(log_acc_buff_size=10)  # 16 accumulator tensors
    ranked = MODEL.ranked_mappings(DesignBatch.of(config.to_row()), CONV, 0.0, 3)
    with pytest.raises(UnsupportedNetworkError, match="accumulator scratchpad"):
        [layer_cycles(CONV, mapping, config, per_channel=True) for mapping, *_ in ranked]
    timed = timed_mappings(MODEL, config, CONV, per_channel=True)
    assert len(timed) == 3
    # The shift comes from a tensor, the two clips follow: that takes longer.
    plain = {t.mapping: t.simulated for t in timed_mappings(MODEL, config, CONV, count=64)}
    assert all(t.simulated > plain[t.mapping] for t in timed if t.mapping in plain)


def test_a_network_s_cycles_are_those_of_its_simulation(resnet20):
    mappings = network_mappings(MODEL, DEFAULT, resnet20, count=1)
    compiled = compile_network(numberless_network(resnet20), mappings, DEFAULT)
    cycles = cycles_by_layer(compiled)
    picture = np.zeros((1, 3, 32, 32), np.int8)
    assert len(cycles) == len(resnet20) + 1
    assert (cycles >= 0).all()
    assert cycles.sum() == simulate(compiled.reading(picture), strict=True).cycles


def test_layers_overlap_and_the_model_is_near(resnet20):
    shapes = stored_shapes(resnet20, DEFAULT)
    timed = retimed_mappings(MODEL, DEFAULT, shapes)
    launch = MODEL.timing.launch_cycles(DEFAULT.bus_bits)
    whole = int(network_cycles(MODEL, DEFAULT, resnet20, Objective.LATENCY).sum())
    assert whole < sum(t.simulated - launch for t in timed) + launch
    modelled = MODEL.evaluate(DesignBatch.of(DEFAULT.to_row()), shapes).totals(Objective.LATENCY).cycles[0]
    assert whole == pytest.approx(modelled, rel=0.05)


def test_a_platform_tells_the_cycles_of_both_schedules(resnet20):
    platform = VtaPlatform()
    asked = platform.default(), resnet20, Objective.EDP
    cycles = platform.simulated_cycles(*asked)
    assert cycles.sum() == network_cycles(MODEL, DEFAULT, resnet20).sum()
    upstream = platform.simulated_cycles(*asked, schedule="upstream")
    modelled = [
        VtaCostModel(schedule=name)
        .evaluate(DesignBatch.of(DEFAULT.to_row()), stored_shapes(resnet20, DEFAULT))
        .totals(Objective.EDP)
        .cycles[0]
        for name in ("best", "upstream")
    ]
    assert upstream.sum() / cycles.sum() == pytest.approx(modelled[1] / modelled[0], rel=0.05)
    assert upstream.sum() > 1.05 * cycles.sum()


@pytest.mark.slow
def test_compiled_resnet18_comes_near_its_mac_bound():
    network = load_network("resnet18")
    mappings = network_mappings(MODEL, DEFAULT, network, Objective.LATENCY, 8)
    cycles = cycles_by_layer(compile_network(numberless_network(network), mappings, DEFAULT))
    offloaded = [layer.name not in ("conv1", "maxpool", "avgpool", "fc") for layer in network]
    bound = sum(layer.macs for layer, some in zip(network, offloaded, strict=True) if some) / 256
    assert bound / cycles[:-1][offloaded].sum() >= 0.91


def test_a_network_s_numbers_decide_on_its_cycles(resnet20):
    plain = numberless_network(resnet20)
    assert network_cycles(MODEL, DEFAULT, plain).sum() == network_cycles(MODEL, DEFAULT, resnet20).sum()
    far = replace(
        plain.layers[0], shift=np.array([20], np.int32), layer=replace(plain.layers[0].layer, relu=False)
    )
    signed = replace(far, shift=np.array([8], np.int32))
    cycles = [
        network_cycles(MODEL, DEFAULT, replace(plain, layers=(stem, *plain.layers[1:])))
        for stem in (signed, far)
    ]
    # Where the shift is too large for a clip before it, every tensor takes a step more.
    assert cycles[1][0] - cycles[0][0] >= 32 * 32


def test_a_layer_without_a_mapping_is_named():
    layer = Layer(name="wide", channels=(16, 16), size=(40, 40), kernel=(40, 40))
    with pytest.raises(InfeasibleDesignError, match="layer 'wide' must have a mapping"):
        retimed_mappings(MODEL, AcceleratorConfig(log_inp_buff_size=10), [layer])
