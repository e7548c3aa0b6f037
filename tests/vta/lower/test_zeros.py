"""Tensors stored less a constant: what readers start from makes up for it, and programs stay exact."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rhnas.quantize.golden import convolve, pool_sums
from rhnas.quantized import QuantizedLayer, QuantizedNetwork
from rhnas.vta.config import AcceleratorConfig
from rhnas.vta.isa import AluOp, Opcode, decode_table
from rhnas.vta.lower.epilogue import starts
from rhnas.vta.lower.network import CompiledNetwork
from rhnas.vta.lower.tiles import Channels, Pixels, Span, Step, Window
from rhnas.vta.lower.zeros import CENTRE, Edge, Zeros, edges, offset_tables
from rhnas.workload import PICTURE, Layer, LayerKind
from tests.vta.lower.random_networks import random_numbers
from tests.vta.lower.test_network import check, compiled_for

SHIFT = np.array([8], np.int32)


@st.composite
def convolutions(draw) -> QuantizedLayer:
    """Small convolutions of any padding, stride and groups."""
    kernel = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    size = draw(st.integers(kernel[0], 9)), draw(st.integers(kernel[1], 9))
    groups = draw(st.sampled_from((1, 2, 4)))
    layer = Layer(
        name="conv",
        channels=(4, 8),
        size=size,
        kernel=kernel,
        stride=(draw(st.integers(1, 3)), draw(st.integers(1, 3))),
        padding=(draw(st.integers(0, kernel[0] - 1)), draw(st.integers(0, kernel[1] - 1))),
        groups=groups,
        relu=True,
    )
    return random_numbers(layer, np.random.default_rng(draw(st.integers(0, 99))))


@given(quantized=convolutions(), output=st.sampled_from((0, CENTRE)))
def test_tables_make_up_for_what_stored_tensors_lack(quantized, output):
    layer, zeros = quantized.layer, Zeros(inputs=(CENTRE, 0), output=output)
    values = np.random.default_rng(0).integers(0, 128, (1, 4, *layer.size)).astype(np.int64)
    weight = quantized.weight.astype(np.int64)
    wanted = convolve(layer, values, weight)[0] + quantized.offset[:, None, None]
    wanted -= output << int(quantized.shift[0])
    rows, columns = edges(layer, zeros)
    tables = np.stack(offset_tables(quantized, zeros))  # (classes, C_out)
    across = len(columns.taps)
    classes = np.array(rows.classes)[:, None] * across + np.array(columns.classes)  # (H', W')
    got = convolve(layer, values - CENTRE, weight)[0] + np.moveaxis(tables[classes], 2, 0)
    np.testing.assert_array_equal(got, wanted)


def test_averages_and_sums_start_from_one_number():
    pool = Layer(
        name="pool", kind=LayerKind.AVG_POOL, channels=(4, 4), size=(6, 6), kernel=(2, 3), stride=(2, 3)
    )
    average = QuantizedLayer(layer=pool, fraction_bits=0, shift=SHIFT, multiplier=43)
    values = np.arange(144).reshape(1, 4, 6, 6) % 128
    (table,) = offset_tables(average, Zeros(inputs=(CENTRE, 0)))
    lacking = 43 * (pool_sums(pool, values) - pool_sums(pool, values - CENTRE))
    assert (lacking + average.offset[0] == table[0]).all()
    add = Layer(name="sum", kind=LayerKind.ADD, channels=(4, 4), size=(6, 6), relu=True)
    total = QuantizedLayer(layer=add, fraction_bits=0, shift=np.array([2], np.int32), left=(1, 3))
    (table,) = offset_tables(total, Zeros(inputs=(0, CENTRE), output=CENTRE))
    assert set(table.tolist()) == {(CENTRE << 3) + 2 - (CENTRE << 2)}


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.data())
def test_every_pixel_of_a_tile_starts_once_from_its_own_table(height, width, tile_h, tile_w, data):
    rows, columns = (
        Edge((range(0),) * 9, tuple(sorted(data.draw(st.lists(st.integers(0, 4), min_size=n, max_size=n)))))
        for n in (height, width)
    )
    first = height - min(height, tile_h), width - min(width, tile_w)
    window = Window(0, 0, 1, 0, 1)
    down, across = (
        Span(start, length - start, window) for start, length in zip(first, (height, width), strict=True)
    )
    step = Step(Pixels(down, across), Channels(0, 0, 1, 0, 1), 0, 1)
    begun: dict[int, int] = {}
    for parts in starts(step, (rows, columns)):
        assert len({(part.rows, part.columns) for part in parts}) == 1
        for part in parts:
            for y in range(part.rows):
                for x in range(part.columns):
                    at = part.at + y * across.count + x
                    assert at not in begun
                    begun[at] = part.table
    wanted = [
        rows.classes[first[0] + y] * 9 + columns.classes[first[1] + x]
        for y in range(down.count)
        for x in range(across.count)
    ]
    assert [begun[at] for at in range(len(wanted))] == wanted


def rectified(size: int = 20) -> QuantizedNetwork:
    """Every kind of layer behind a ReLU: padded, depthwise, pooled, added, averaged, dense over pixels."""
    same = {"kernel": (3, 3), "padding": (1, 1), "relu": True}
    half = (size // 2, size // 2)
    layers = [
        Layer(name="stem", channels=(3, 20), size=(size, size), inputs=(PICTURE,), **same),
        Layer(
            name="pool", kind=LayerKind.MAX_POOL, channels=(20, 20), size=(size, size), kernel=(3, 3),
            stride=(2, 2), padding=(1, 1), inputs=("stem",),
        ),
        Layer(name="conv", channels=(20, 20), size=half, inputs=("pool",), **same),
        Layer(name="deep", channels=(20, 20), size=half, groups=20, inputs=("conv",), **same),
        Layer(
            name="sum", kind=LayerKind.ADD, channels=(20, 20), size=half, relu=True,
            inputs=("deep", "pool"),
        ),
        Layer(name="strided", channels=(20, 18), size=half, stride=(2, 2), inputs=("sum",), **same),
        Layer(name="last", channels=(18, 18), size=(half[0] // 2,) * 2, inputs=("strided",), relu=True),
        Layer(
            name="mean", kind=LayerKind.AVG_POOL, channels=(18, 18), size=(half[0] // 2,) * 2, kernel=(2, 2),
            stride=(3, 3), inputs=("last",),
        ),
        Layer(name="fc", kind=LayerKind.DENSE, channels=(18 * (half[0] // 6 + 1) ** 2, 10), inputs=("mean",)),
    ]  # fmt: skip
    rng = np.random.default_rng(5)
    numbers = []
    for layer in layers:
        quantized = random_numbers(layer, rng)
        shift = {LayerKind.MAX_POOL: 0, LayerKind.ADD: 1}.get(layer.kind, 8)
        numbers.append(replace(quantized, shift=np.array([shift], np.int32), left=(1, 0)))
    pixels = rng.integers(-128, 128, (3, 256)).astype(np.int8)
    return QuantizedNetwork(name="rectified", layers=tuple(numbers), picture_bits=0, pixels=pixels)


def unrectified() -> QuantizedNetwork:
    network = rectified()
    layers = tuple(replace(q, layer=replace(q.layer, relu=False)) for q in network)
    return replace(network, layers=layers)


def centred(compiled: CompiledNetwork) -> set[str]:
    return {layer.quantized.layer.name for layer in compiled.layers if layer.zeros.output}


WIDE = {"shl_mem_axi_data_bits": 256}
CONFIGS = [
    {},
    WIDE,
    {"log_block_in": 3, "log_block_out": 5, **WIDE},
    {"log_block_in": 5, "log_block_out": 3},
    {"log_batch": 2, "log_block_in": 3, "log_block_out": 3},
]


@pytest.mark.parametrize("changes", CONFIGS, ids=str)
def test_centred_networks_stay_exact(changes):
    compiled = compiled_for(rectified(), AcceleratorConfig(**changes), 0.0)
    check(compiled)
    # Without padding nothing is lost; before the padded readers it must pay.
    assert centred(compiled) >= {"last", "strided"}
    if changes == WIDE:
        assert centred(compiled) == {"stem", "pool", "conv", "deep", "sum", "strided", "last"}


def test_a_centred_result_saves_a_step_a_tensor():
    compiled = compiled_for(rectified(), AcceleratorConfig(**WIDE), 0.0)
    plain = compiled_for(unrectified(), AcceleratorConfig(**WIDE), 0.0)
    assert not centred(plain)
    operations = []
    for some in (compiled, plain):
        table = decode_table(some.program.instructions, some.program.config)
        operations.append(set(table["alu_opcode"][table["opcode"] == Opcode.ALU].tolist()))
    # Maxima are tensor operations; no clip is an operation of its own, with or without a ReLU.
    assert operations[0] == operations[1] == {AluOp.MAX, AluOp.ADD, AluOp.SHR, AluOp.CLP}


def test_tables_without_room_leave_results_as_they_are():
    # 64 accumulator tensors: nine tables of two have no room beside the tiles.
    config = AcceleratorConfig(log_acc_buff_size=12, **WIDE)
    compiled = compiled_for(rectified(), config, 0.0)
    check(compiled)
    assert "last" in centred(compiled)
    assert "conv" not in centred(compiled)


@settings(max_examples=20)
@given(st.integers(0, 15), st.booleans())
def test_only_clips_before_the_shift_are_worth_it(shift, relu):
    network = rectified()
    layers = [
        replace(q, layer=replace(q.layer, relu=relu), shift=np.array([shift], np.int32))
        if q.layer.name == "last"
        else q
        for q in network
    ]
    compiled = compiled_for(replace(network, layers=tuple(layers)), AcceleratorConfig(**WIDE), 0.0)
    assert ("last" in centred(compiled)) == (relu and 1 <= shift <= 9)
