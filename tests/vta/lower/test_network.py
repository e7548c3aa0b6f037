"""Whole networks as one program, run by the simulator, against the golden integer model: bit for bit."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rhnas.errors import InfeasibleDesignError, UnsupportedNetworkError
from rhnas.networks.spaces.registry import network_space
from rhnas.quantize import golden
from rhnas.quantized import QuantizedNetwork
from rhnas.space import DesignBatch
from rhnas.vta.config import AcceleratorConfig
from rhnas.vta.cost import SCHEDULES, VtaCostModel
from rhnas.vta.lower.network import CompiledNetwork, compile_network, stored_layers
from rhnas.vta.lower.plan import Lifetime, pages, share
from rhnas.vta.mapping import Mapping
from rhnas.vta.rules import CHAINABLE
from rhnas.vta.simulate.run import simulate
from tests.vta.lower.random_networks import networks, random_numbers, small_network
from tests.vta.lower.test_compile import DESIGNS

MODEL = VtaCostModel()
CHAINED = [row for row in DESIGNS if CHAINABLE.slack(DesignBatch.of(row))[0] >= 0]
DEFAULT = AcceleratorConfig()


def compiled_for(
    network: QuantizedNetwork, config: AcceleratorConfig, mu: float, model: VtaCostModel = MODEL
) -> CompiledNetwork | None:
    """Under the cost model's mappings; None where a layer has none."""
    batch = DesignBatch.of(config.to_row())
    best = [model.best_mapping(batch, layer.layer, mu) for layer in stored_layers(network, config)]
    if None in best:
        return None
    return compile_network(network, [mapping for mapping, _ in best], config, SCHEDULES[model.schedule])


def check(compiled: CompiledNetwork, seed: int = 0) -> None:
    """A full batch of pictures gives the golden model's scores, and nothing questionable is read."""
    network, config = compiled.network, compiled.program.config
    stem, rng = network.layers[0].layer, np.random.default_rng(seed)
    shape = (config.batch, stem.channels[0], *stem.size)
    pictures = network.read_pixels(rng.integers(0, 256, shape).astype(np.uint8))
    scores = golden.run(network, pictures)
    done = simulate(compiled.expecting(compiled.reading(pictures), scores), strict=True)
    assert done.matches
    np.testing.assert_array_equal(compiled.scores(done.dram, len(scores)), scores)


def check_random(
    network: QuantizedNetwork, row: dict[str, int], mu: float, model: VtaCostModel = MODEL
) -> None:
    try:
        compiled = compiled_for(network, AcceleratorConfig.from_row(row), mu, model)
    except UnsupportedNetworkError:
        # The cost model leaves no room for shifts per channel; where there is none by chance, that is said.
        assert any(len(layer.shift) > 1 for layer in network)
        compiled = None
    assume(compiled is not None)
    check(compiled)


RANDOM = {
    "network": networks(),
    "row": st.sampled_from(CHAINED),
    "mu": st.sampled_from((0.0, 1e-3, np.inf)),
}


@settings(max_examples=12, deadline=None)
@given(**RANDOM)
def test_random_networks_give_the_golden_scores(network, row, mu):
    check_random(network, row, mu)


@settings(max_examples=8, deadline=None)
@given(**RANDOM)
def test_random_networks_give_the_golden_scores_by_upstream_s_schedule(network, row, mu):
    check_random(network, row, mu, VtaCostModel(schedule="upstream"))


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(**RANDOM)
def test_many_random_networks_give_the_golden_scores(network, row, mu):
    check_random(network, row, mu)


@pytest.mark.parametrize("blocks", [{}, {"log_block_in": 3, "log_block_out": 5}, {"log_batch": 1}])
def test_padding_of_storage_groups_does_not_reach_the_scores(blocks):
    network = small_network(np.random.default_rng(0))
    config = AcceleratorConfig(**{"log_block_in": 4, "log_block_out": 4, **blocks})
    check(compiled_for(network, config, 0.0))


def test_a_run_after_another_gives_the_same_scores():
    compiled = compiled_for(small_network(np.random.default_rng(1)), DEFAULT, 0.0)
    check(compiled, seed=1)
    check(compiled, seed=2)


def test_regions_overlap_only_where_activations_share_a_place():
    compiled = compiled_for(small_network(np.random.default_rng(0)), DEFAULT, 0.0)
    names = {layer.layer.name for layer in compiled.network} | {"picture of stem"}
    shared = set()
    for a, b in combinations(compiled.regions, 2):
        if a.address < b.address + b.size and b.address < a.address + a.size:
            assert {a.name, b.name} <= names
            shared.add(frozenset((a.name, b.name)))
    assert frozenset(("add", "conv")) not in shared, "a layer reads what it does not overwrite"
    assert shared, "places are used again"


@given(
    st.lists(st.tuples(st.integers(1, 30_000), st.integers(0, 9), st.integers(0, 4)), min_size=1, max_size=20)
)
def test_tensors_alive_together_never_overlap(given_tensors):
    tensors = [Lifetime(size=size, first=first, last=first + more) for size, first, more in given_tensors]
    addresses, end = share(tensors)
    placed = list(zip(addresses, tensors, strict=True))
    for (at, a), (start, b) in combinations(placed, 2):
        assert not a.meets(b) or at + pages(a.size) <= start or start + pages(b.size) <= at
    assert end == max(at + pages(t.size) for at, t in placed)
    assert end <= sum(pages(t.size) for t in tensors)


def test_chains_need_two_places():
    chain = [Lifetime(size=5000, first=step, last=step + 1) for step in range(9)]
    assert share(chain)[1] == 2 * 8192


def test_an_accelerator_that_cannot_chain_is_refused():
    network = small_network(np.random.default_rng(0))
    config = AcceleratorConfig(log_batch=1, log_block_in=4, log_block_out=3)
    with pytest.raises(InfeasibleDesignError, match="must keep chainable: BATCH = 1 or BLOCK_IN = BLOCK_OUT"):
        compile_network(network, [], config)


def test_a_mapping_that_does_not_fit_names_its_layer():
    network = small_network(np.random.default_rng(0))
    config = AcceleratorConfig(log_inp_buff_size=6)
    tiles = Mapping(form="gemm", tile_h=6, tile_w=6, tile_ci=1, tile_co=1, order="pixels outer", threads=2)
    with pytest.raises(UnsupportedNetworkError, match="layer 'stem' under this mapping must fit"):
        compile_network(network, [tiles] * 5, config)


def test_what_our_machine_adds_to_the_published_one_is_little_in_long_programs():
    """Latencies that grew for the clock (GEMM, ALU, hand-out); small accumulators mean many short steps."""
    space, rng, seen = network_space("digits", 10), np.random.default_rng(0), []
    for index in rng.integers(len(CHAINED), size=40):
        workload = space.workload(space.sample(rng))
        layers = tuple(random_numbers(layer, rng) for layer in workload)
        pixels = rng.integers(-128, 128, (1, 256)).astype(np.int8)
        network = QuantizedNetwork(name="random", layers=layers, picture_bits=0, pixels=pixels)
        compiled = compiled_for(network, AcceleratorConfig.from_row(CHAINED[index]), 0.0)
        if compiled is not None:
            ours, published = (simulate(compiled.program, timing=t).cycles for t in ("rhnas", "public"))
            seen += [ours / published] * (published > 5_000)
    assert len(seen) >= 20
    assert np.median(seen) <= 1.03
    assert np.mean(np.array(seen) <= 1.05) >= 0.8
    assert max(seen) <= 1.25
