"""Compiled layers, run by the simulator, against the golden integer model: bit for bit, without warnings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rhnas.errors import UnsupportedNetworkError
from rhnas.quantize import golden
from rhnas.quantized import QuantizedLayer
from rhnas.space import DesignBatch
from rhnas.vta.config import AcceleratorConfig
from rhnas.vta.cost import VtaCostModel
from rhnas.vta.lower.layer import compile_layer
from rhnas.vta.mapping import Mapping
from rhnas.vta.mapping_nest import BEST, FORM_NAMES, ORDER_NAMES, UPSTREAM
from rhnas.vta.rules import KEYS, STRUCTURAL
from rhnas.vta.simulate.run import simulate
from rhnas.vta.spaces import VTA_WIDE
from rhnas.workload import PICTURE, Layer, LayerKind
from tests.vta.lower.random_networks import random_numbers

MODEL = VtaCostModel()
DEFAULT = AcceleratorConfig()


def realizable(count: int, seed: int) -> list[dict[str, int]]:
    """Rows drawn evenly from the wide space, those that can be built."""
    rng = np.random.default_rng(seed)
    batch = DesignBatch({c.name: rng.choice(np.array(c.values), count) for c in VTA_WIDE.choices})
    kept = np.all([rule.slack(batch) >= 0 for rule in STRUCTURAL], axis=0)
    return [batch.row(index) for index in np.flatnonzero(kept)]


DESIGNS = realizable(4000, 0)


@st.composite
def layers(draw):
    """Any small layer of any kind."""
    kind = draw(st.sampled_from(LayerKind))
    relu = draw(st.booleans())
    channels = st.integers(1, 48)
    if kind is LayerKind.DENSE:
        return Layer(name="fc", kind=kind, channels=(draw(channels), draw(channels)), relu=relu)
    size = draw(st.integers(1, 11)), draw(st.integers(1, 11))
    if kind is LayerKind.ADD:
        width = draw(channels)
        return Layer(name="add", kind=kind, channels=(width, width), size=size, relu=relu)
    kernel = tuple(draw(st.integers(1, min(4, side))) for side in size)
    shapes = {
        "size": size,
        "kernel": kernel,
        "stride": (draw(st.integers(1, 3)), draw(st.integers(1, 3))),
        "padding": tuple(draw(st.integers(0, side - 1)) for side in kernel),
        "relu": relu,
    }
    if kind is not LayerKind.CONV:
        width = draw(channels)
        return Layer(name="pool", kind=kind, channels=(width, width), **shapes)
    groups = draw(st.sampled_from((1, 1, 2, 5, 16)))
    inside = draw(st.integers(1, 40 // groups)), draw(st.integers(1, 40 // groups))
    source = draw(st.sampled_from((PICTURE, "before")))
    each = (groups * inside[0], groups * inside[1])
    return Layer(name="conv", channels=each, groups=groups, inputs=(source,), **shapes)


def check(
    quantized: QuantizedLayer,
    mapping: Mapping,
    config: AcceleratorConfig,
    seed: int = 0,
    schedule: int = BEST,
) -> None:
    """Run a compiled layer on a full batch of pictures and compare with the golden model."""
    layer, rng = quantized.layer, np.random.default_rng(seed)
    compiled = compile_layer(quantized, mapping, config, schedule)
    shape = (config.batch, layer.channels[0], *layer.size)
    operands = 2 if layer.kind is LayerKind.ADD else 1
    inputs = [rng.integers(-128, 128, shape).astype(np.int8) for _ in range(operands)]
    output = golden.compute(quantized, *inputs)
    output = output.reshape(config.batch, layer.channels[1], *layer.output_size)
    assert simulate(compiled.expecting(compiled.reading(*inputs), output), strict=True).matches


@settings(max_examples=40, deadline=None)
@given(
    layer=layers(),
    row=st.sampled_from(DESIGNS),
    mu=st.sampled_from((0.0, 1e-3, np.inf)),
    seed=st.integers(0, 999),
)
def test_best_mappings_compute_what_the_golden_model_does(layer, row, mu, seed):
    best = MODEL.best_mapping(DesignBatch.of(row), layer, mu)
    assume(best is not None)
    quantized = random_numbers(layer, np.random.default_rng(seed))
    check(quantized, best[0], AcceleratorConfig.from_row(row), seed)


@settings(max_examples=40, deadline=None)
@given(layer=layers(), row=st.sampled_from(DESIGNS), data=st.data())
def test_any_tiles_that_fit_compute_the_same(layer, row, data):
    height, width = layer.output_size
    mapping = Mapping(
        form=data.draw(st.sampled_from(FORM_NAMES)),
        tile_h=data.draw(st.integers(1, height)),
        tile_w=data.draw(st.integers(1, width)),
        tile_ci=data.draw(st.integers(1, 4)),
        tile_co=data.draw(st.integers(1, 4)),
        order=data.draw(st.sampled_from(ORDER_NAMES)),
        threads=data.draw(st.integers(1, 2)),
    )
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    quantized = random_numbers(layer, rng, per_channel=data.draw(st.booleans()))
    schedule = data.draw(st.sampled_from((BEST, UPSTREAM)))
    try:
        check(quantized, mapping, AcceleratorConfig.from_row(row), schedule=schedule)
    except UnsupportedNetworkError:
        assume(False)


@settings(max_examples=20, deadline=None)
@given(layer=layers(), row=st.sampled_from(DESIGNS), seed=st.integers(0, 999))
def test_upstream_s_schedule_computes_the_same(layer, row, seed):
    best = VtaCostModel(schedule="upstream").best_mapping(DesignBatch.of(row), layer, 0.0)
    assume(best is not None)
    quantized = random_numbers(layer, np.random.default_rng(seed))
    check(quantized, best[0], AcceleratorConfig.from_row(row), seed, UPSTREAM)


TILES = Mapping(form="gemm", tile_h=4, tile_w=3, tile_ci=1, tile_co=2, order="pixels outer", threads=2)
CONV = Layer(name="layer1.conv1", channels=(40, 70), size=(9, 7), kernel=(3, 3), padding=(1, 1), relu=True)


def test_a_batch_need_not_be_full():
    quantized = random_numbers(CONV, np.random.default_rng(0))
    config = AcceleratorConfig(log_batch=2, log_block_in=3, log_block_out=3)
    compiled = compile_layer(quantized, TILES, config)
    picture = np.random.default_rng(1).integers(-128, 128, (3, 40, 9, 7)).astype(np.int8)
    full = np.concatenate([picture, np.zeros_like(picture[:1])])
    program = compiled.expecting(compiled.reading(picture), golden.compute(quantized, full))
    assert simulate(program, strict=True).matches


def test_micro_ops_make_room_for_each_other():
    row = (0, 1, 2, 10, 12, 14, 13, 64)
    config = AcceleratorConfig.from_row(dict(zip(KEYS, row, strict=True)))
    layer = Layer(name="deep", channels=(30, 11), size=(5, 5), kernel=(5, 5), padding=(2, 2))
    mapping = Mapping(
        form="gemm", tile_h=2, tile_w=2, tile_ci=8, tile_co=3, order="channels outer", threads=2
    )
    quantized = random_numbers(layer, np.random.default_rng(0))
    words = compile_layer(quantized, mapping, config).program.instructions
    uop_loads = (words[:, 0] & np.uint64(0x387)) == 0
    assert uop_loads.sum() > 1
    check(quantized, mapping, config)


@pytest.mark.parametrize("padding", [7, 16, 20])
def test_pads_that_the_fields_cannot_say_are_loaded(padding):
    row = (0, 2, 4, 12, 14, 15, 16, 64)
    config = AcceleratorConfig.from_row(dict(zip(KEYS, row, strict=True)))
    kernel = padding + 1
    layer = Layer(
        name="wide", channels=(5, 3), size=(3, 3), kernel=(2, kernel), stride=(2, 3), padding=(1, padding)
    )
    mapping = Mapping(
        form="gemm", tile_h=1, tile_w=2, tile_ci=1, tile_co=1, order="channels outer", threads=2
    )
    check(random_numbers(layer, np.random.default_rng(0)), mapping, config)


def test_outstanding_tokens_stay_few():
    layer = Layer(name="long", channels=(16, 16), size=(18, 18))
    mapping = Mapping(
        form="gemm", tile_h=1, tile_w=1, tile_ci=1, tile_co=1, order="channels outer", threads=2
    )
    check(random_numbers(layer, np.random.default_rng(0)), mapping, DEFAULT)


def test_a_mapping_that_does_not_fit_names_layer_and_scratchpad():
    large = Mapping(
        form="gemm", tile_h=64, tile_w=64, tile_ci=1, tile_co=1, order="channels outer", threads=1
    )
    quantized = random_numbers(Layer(name="stage2", channels=(8, 8), size=(64, 64)), np.random.default_rng(0))
    with pytest.raises(UnsupportedNetworkError, match=r"'stage2' .* 2048 tensors of the input scratchpad"):
        compile_layer(quantized, large, DEFAULT)


def test_a_form_that_the_layer_has_not_is_refused():
    quantized = random_numbers(
        Layer(name="m", kind=LayerKind.MAX_POOL, channels=(8, 8)), np.random.default_rng(0)
    )
    with pytest.raises(UnsupportedNetworkError, match="layer 'm' must have the form"):
        compile_layer(quantized, TILES, DEFAULT)


def test_additions_with_a_shift_per_channel_are_refused():
    layer = Layer(name="sum", kind=LayerKind.ADD, channels=(8, 8), size=(2, 2))
    shift = np.arange(8, dtype=np.int32)
    quantized = QuantizedLayer(layer=layer, fraction_bits=0, shift=shift)
    on_alu = Mapping(form="alu", tile_h=1, tile_w=1, tile_ci=1, tile_co=1, order="channels outer", threads=1)
    with pytest.raises(UnsupportedNetworkError, match="layer 'sum' must have one shift"):
        compile_layer(quantized, on_alu, DEFAULT)
