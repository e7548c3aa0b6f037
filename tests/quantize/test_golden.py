"""The golden model against PyTorch's integer arithmetic, bit for bit."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rhnas.errors import DataError, UnsupportedNetworkError
from rhnas.quantize.golden import accuracy, activations, compute, run
from rhnas.quantized import QuantizedLayer, QuantizedNetwork, weight_shape
from rhnas.workload import PICTURE, Layer, LayerKind
from tests.quantize.layers import by_torch, quantized_layers

ONE = np.ones(1, np.int32)


@settings(max_examples=300, deadline=None)
@given(quantized=quantized_layers(), seed=st.integers(0, 2**32), count=st.sampled_from([1, 2, 7]))
def test_every_layer_is_pytorchs_integer_layer(quantized: QuantizedLayer, seed: int, count: int) -> None:
    layer = quantized.layer
    rng = np.random.default_rng(seed)
    shape = (count, layer.channels[0], *layer.size)
    inputs = [rng.integers(-128, 128, shape, np.int8) for _ in layer.inputs]
    result = compute(quantized, *inputs)
    assert result.dtype == np.int8
    np.testing.assert_array_equal(result, by_torch(quantized, *inputs))


def test_large_sums_stay_exact() -> None:
    layer = Layer(name="fc", kind=LayerKind.DENSE, channels=(4096, 2), inputs=(PICTURE,))
    weight = np.full(weight_shape(layer), -128, np.int8)
    weight[1, 0] = -127
    shift = np.array([19], np.int32)
    bias = np.array([-(2**25), 2**25 + 127], np.int32)
    quantized = QuantizedLayer(layer=layer, fraction_bits=0, shift=shift, weight=weight, bias=bias)
    assert quantized.accumulator_bound > 1 << 24
    pictures = np.full((1, 4096, 1, 1), -128, np.int8)
    np.testing.assert_array_equal(compute(quantized, pictures), by_torch(quantized, pictures))


def test_rounding_is_to_nearest_with_ties_upwards_and_clips() -> None:
    layer = Layer(name="a", kind=LayerKind.ADD, channels=(1, 1), size=(1, 6), inputs=(PICTURE, PICTURE))
    quantized = QuantizedLayer(layer=layer, fraction_bits=0, shift=ONE * 2)
    first = np.array([-3, -2, -1, 1, 2, 3], np.int8).reshape(1, 1, 1, 6)
    assert compute(quantized, first, first * 0).ravel().tolist() == [-1, 0, 0, 0, 1, 1]
    plain = replace(quantized, shift=ONE * 0, left=(1, 0))
    big = np.array([-128, -65, -64, 63, 64, 127], np.int8).reshape(1, 1, 1, 6)
    assert compute(plain, big, big * 0).ravel().tolist() == [-128, -128, -128, 126, 127, 127]
    positive = replace(plain, layer=replace(layer, relu=True))
    assert compute(positive, big, big * 0).ravel().tolist() == [0, 0, 0, 126, 127, 127]


def tiny_network(seed: int = 0) -> QuantizedNetwork:
    """Every kind of layer once."""
    rng = np.random.default_rng(seed)
    stem = Layer(
        name="stem", channels=(3, 8), size=(8, 8), kernel=(3, 3), padding=(1, 1), relu=True, inputs=(PICTURE,)
    )
    layers = (
        stem,
        replace(stem, name="deep", channels=(8, 8), groups=8, inputs=("stem",)),
        Layer(name="add", kind=LayerKind.ADD, channels=(8, 8), size=(8, 8), inputs=("deep", "stem")),
        Layer(
            name="max", kind=LayerKind.MAX_POOL, channels=(8, 8), size=(8, 8), kernel=(2, 2), stride=(2, 2),
            inputs=("add",),
        ),
        Layer(
            name="avg", kind=LayerKind.AVG_POOL, channels=(8, 8), size=(4, 4), kernel=(4, 4), inputs=("max",)
        ),
        Layer(name="fc", kind=LayerKind.DENSE, channels=(8, 10), inputs=("avg",)),
    )  # fmt: skip
    quantized = []
    for layer in layers:
        shift = {LayerKind.CONV: 8, LayerKind.DENSE: 6, LayerKind.ADD: 1, LayerKind.AVG_POOL: 10}
        item = QuantizedLayer(
            layer=layer,
            fraction_bits=4,
            shift=ONE * shift.get(layer.kind, 0),
            weight=rng.integers(-64, 64, weight_shape(layer), np.int8) if layer.macs else None,
            bias=rng.integers(-900, 900, layer.channels[1], np.int32) if layer.macs else None,
            multiplier=64 if layer.kind is LayerKind.AVG_POOL else 1,
        )
        quantized.append(item)
    pixels = np.clip(np.arange(256) - rng.integers(90, 140, (3, 1)), -128, 127).astype(np.int8)
    return QuantizedNetwork(name="tiny", layers=tuple(quantized), picture_bits=6, pixels=pixels)


def test_a_network_is_its_layers_one_after_another() -> None:
    network = tiny_network()
    pictures = np.random.default_rng(1).integers(0, 256, (5, 3, 8, 8), np.uint8)
    known = {PICTURE: network.read_pixels(pictures)}
    expected = np.stack([network.pixels[c][pictures[:, c]] for c in range(3)], 1)
    np.testing.assert_array_equal(known[PICTURE], expected)
    for (name, result), quantized in zip(activations(network, known[PICTURE]), network, strict=True):
        assert name == quantized.layer.name
        known[name] = by_torch(quantized, *(known[source] for source in quantized.layer.inputs))
        np.testing.assert_array_equal(result, known[name])
    scores = run(network, known[PICTURE])
    np.testing.assert_array_equal(scores, known["fc"].reshape(5, 10))
    labels = scores.argmax(1)
    labels[0] += 1
    assert accuracy(network, pictures, labels, batch=2) == 0.8


def test_saved_and_loaded_it_is_the_same_network(tmp_path: Path) -> None:
    network = tiny_network()
    network.save(tmp_path / "network.npz")
    back = QuantizedNetwork.load(tmp_path / "network.npz")
    assert (back.name, back.picture_bits, back.workload) == ("tiny", 6, network.workload)
    pictures = np.random.default_rng(1).integers(-128, 128, (4, 3, 8, 8), np.int8)
    np.testing.assert_array_equal(run(back, pictures), run(network, pictures))
    for first, second in zip(network, back, strict=True):
        for name in ("weight", "bias", "shift"):
            np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
        assert (first.left, first.multiplier, first.fraction_bits) == (
            second.left, second.multiplier, second.fraction_bits,
        )  # fmt: skip
    back.save(tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "network.npz").read_bytes()


def test_a_file_that_is_none_is_an_error(tmp_path: Path) -> None:
    whole = tmp_path / "network.npz"
    tiny_network().save(whole)
    content = whole.read_bytes()
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    cases = [b"", b"nonsense", content[:500], content[:-30], (tmp_path / "other.npz").read_bytes()]
    for index, case in enumerate(cases):
        path = tmp_path / f"{index}.npz"
        path.write_bytes(case)
        with pytest.raises(DataError, match=rf"{index}\.npz must hold a quantized network"):
            QuantizedNetwork.load(path)
    with pytest.raises(DataError, match="must hold a quantized network"):
        QuantizedNetwork.load(tmp_path / "absent.npz")
    np.savez(tmp_path / "pickle.npz", meta=np.array([{}], dtype=object))
    with pytest.raises(DataError, match="must hold a quantized network"):
        QuantizedNetwork.load(tmp_path / "pickle.npz")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shift": ONE * 32}, r"shifts from 0 to 31; got \(32, 32\)"),
        ({"shift": ONE * -1}, "shifts from 0"),
        ({"shift": np.zeros(3, np.int32)}, "one shift, or one per channel"),
        ({"left": (7, 0)}, "left shifts from 0 to 6"),
        ({"multiplier": 128}, "multiplier from 1 to 127"),
        ({"weight": None}, r"weight of shape \(8, 3, 3, 3\); got no weight"),
        ({"bias": np.zeros(7, np.int32)}, r"bias of shape \(8,\)"),
        ({"bias": np.full(8, 2**31 - 1, np.int32)}, "accumulators up to 2147483647"),
    ],
)
def test_what_does_not_fit_a_layer_is_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(UnsupportedNetworkError, match=rf"'stem' must have .*{message}"):
        replace(tiny_network().layers[0], **change)


def test_a_network_must_be_wired() -> None:
    network = tiny_network()
    stem = network.layers[0]
    loose = replace(stem, layer=replace(stem.layer, inputs=()))
    with pytest.raises(UnsupportedNetworkError, match="'stem' must have 1 inputs"):
        replace(network, layers=(loose,))
