"""Layers and workloads against PyTorch's own shapes and counts."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rhnas.errors import UnsupportedNetworkError
from rhnas.workload import PICTURE, SHAPE_FIELDS, Layer, LayerKind, Workload, layer_table

sizes = st.integers(1, 3)


@given(
    groups=sizes,
    per_in=sizes,
    per_out=sizes,
    size=st.integers(5, 9),
    kernel=sizes,
    stride=sizes,
    data=st.data(),
)
def test_shapes_and_counts_are_torchs(groups, per_in, per_out, size, kernel, stride, data):
    padding = data.draw(st.integers(0, kernel // 2))
    channels = (groups * per_in, groups * per_out)
    layer = Layer(
        name="c",
        channels=channels,
        size=(size, size + 1),
        kernel=(kernel, 1),
        stride=(stride, 1),
        padding=(padding, 0),
        groups=groups,
    )
    conv = torch.nn.Conv2d(*channels, (kernel, 1), (stride, 1), (padding, 0), groups=groups, bias=False)
    out = conv(torch.zeros(1, channels[0], size, size + 1))
    assert tuple(out.shape[1:]) == (channels[1], *layer.output_size)
    assert layer.parameters == conv.weight.numel()
    assert layer.macs == conv.weight.numel() * out[0, 0].numel()


def test_pooling_and_addition_have_no_macs_and_keep_channels():
    pool = Layer(
        name="p", kind=LayerKind.MAX_POOL, channels=(4, 4), size=(4, 4), kernel=(2, 2), stride=(2, 2)
    )
    assert (pool.macs, pool.parameters, pool.output_size) == (0, 0, (2, 2))
    with pytest.raises(UnsupportedNetworkError, match="keep its channels"):
        Layer(name="a", kind=LayerKind.ADD, channels=(4, 8))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": (0, 3)}, "positive sizes"),
        ({"groups": 3}, "divide into its groups"),
        ({"kernel": (5, 5)}, "at least one pixel"),
    ],
)
def test_impossible_layers_are_named(change, message):
    with pytest.raises(UnsupportedNetworkError, match=message) as caught:
        Layer(**{"name": "stem", "channels": (4, 4), "size": (3, 3), **change})
    assert "stem" in str(caught.value)


def tiny() -> Workload:
    stem = Layer(name="stem", channels=(3, 8), size=(4, 4), inputs=(PICTURE,))
    left = Layer(name="left", channels=(8, 8), size=(4, 4), inputs=("stem",))
    right = Layer(name="right", channels=(8, 8), size=(4, 4), inputs=("left",))
    add = Layer(name="add", kind=LayerKind.ADD, channels=(8, 8), size=(4, 4), inputs=("right", "stem"))
    fc = Layer(name="fc", kind=LayerKind.DENSE, channels=(128, 10), inputs=("add",))
    return Workload(name="tiny", layers=(stem, left, right, add, fc))


def test_a_workload_chains_and_deduplicates():
    workload = tiny()
    distinct, inverse = workload.unique
    assert [layer.name for layer in distinct] == ["stem", "left", "add", "fc"]
    assert inverse.tolist() == [0, 1, 1, 2, 3]
    assert workload.macs == sum(layer.macs for layer in workload) == 16 * (24 + 64 + 64) + 1280
    assert len(workload.without(["fc"])) == 4
    table = layer_table(workload.layers)
    assert table.shape == (5, len(SHAPE_FIELDS))
    assert table[0, SHAPE_FIELDS.index("reads_picture")] == 1
    assert np.array_equal(table[1], table[2])


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (Layer(name="stem", channels=(8, 8), size=(4, 4), inputs=("stem",)), "unique"),
        (Layer(name="x", channels=(8, 8), size=(4, 4), inputs=("nowhere",)), "earlier layers"),
        (Layer(name="x", channels=(16, 8), size=(4, 4), inputs=("stem",)), "channels, height, width"),
    ],
)
def test_broken_chains_are_refused(layer, message):
    with pytest.raises(UnsupportedNetworkError, match=message):
        Workload(name="broken", layers=(tiny().layers[0], layer))
