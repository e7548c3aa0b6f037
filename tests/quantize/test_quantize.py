"""Calibration, conversion and fine-tuning: scales that can be built, and one result in three places."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rhnas.errors import UnsupportedNetworkError
from rhnas.networks.spaces.registry import network_space
from rhnas.networks.zoo import NetworkBuilder
from rhnas.quantize.calibrate import Scales, best_bits, calibrate, pixel_table, quantize, reciprocal, settle
from rhnas.quantize.golden import activations, run
from rhnas.quantize.qat import IntegerAwareNetwork, finetune
from rhnas.quantized import QuantizedNetwork, weight_shape
from rhnas.workload import Layer, LayerKind, Workload


@dataclass(frozen=True)
class Float:
    layer: Layer
    weight: np.ndarray | None
    bias: np.ndarray | None


def with_weights(workload: Workload, seed: int, spread: float = 0.0) -> list[Float]:
    """He-initialised layers; ``spread`` makes channels differ by powers of e."""
    rng = np.random.default_rng(seed)
    found = []
    for layer in workload:
        if not layer.macs:
            found.append(Float(layer, None, None))
            continue
        shape = weight_shape(layer)
        scale = np.sqrt(2 / np.prod(shape[1:])) * np.exp(spread * rng.standard_normal(shape[0]))
        weight = rng.standard_normal(shape) * scale.reshape(-1, *(1,) * (len(shape) - 1))
        found.append(Float(layer, weight, 0.1 * rng.standard_normal(shape[0])))
    return found


def every_kind() -> Workload:
    """Convolution, grouped, depthwise, both poolings, additions of unequal scales, a flattening dense."""
    net = NetworkBuilder("every", (3, 12, 12))
    stem = net.conv("stem", 8, 3)
    net.conv("grouped", 8, 3, groups=2)
    deep = net.conv("deep", 8, 3, groups=8, relu=False)
    first = net.add("add1", deep, stem, relu=True)
    net.pool("max", LayerKind.MAX_POOL, (3, 3), stride=2, padding=1)
    net.conv("wide", 8, 1, relu=False)
    net.add("add2", net.last, "max", relu=False)
    net.pool("avg", LayerKind.AVG_POOL, (3, 3), stride=1, padding=1)
    net.dense("fc", 10)
    assert first
    return net.workload()


def pictures(count: int, workload: Workload, seed: int = 0) -> np.ndarray:
    first = workload.layers[0]
    return np.random.default_rng(seed).standard_normal((count, first.channels[0], *first.size))


def integer(layers: list[Float], scales: Scales) -> QuantizedNetwork:
    channels = layers[0].layer.channels[0]
    return quantize("n", layers, scales, pixel_table([0.5] * channels, [0.25] * channels, scales.picture))


def to_int8(values: np.ndarray, bits: int) -> np.ndarray:
    return np.clip(np.rint(values * 2.0**bits), -128, 127).astype(np.int8)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), spread=st.sampled_from([0.0, 1.0, 2.0]), per_channel=st.booleans())
def test_training_form_and_golden_model_agree_bit_for_bit(
    seed: int, spread: float, per_channel: bool
) -> None:
    workload = every_kind()
    layers = with_weights(workload, seed, spread)
    inputs = pictures(4, workload, seed)
    scales = calibrate(layers, inputs, per_channel=per_channel)
    network = integer(layers, scales)
    aware = IntegerAwareNetwork(layers, scales)
    # The training form rounds its float32 weights; the golden model must start from the same.
    network = integer(list(aware.tuned()), scales)  # type: ignore[arg-type]
    expected = run(network, to_int8(inputs, scales.picture))
    with torch.no_grad():
        scores = aware.double().eval()(torch.from_numpy(inputs)).numpy()
    np.testing.assert_array_equal(scores * 2.0 ** scales.outputs[-1], expected)


def test_weights_that_grow_around_an_addition_are_refused() -> None:
    workload = every_kind()
    layers = [
        layer if layer.weight is None else Float(layer.layer, layer.weight * 2.0**12, layer.bias)
        for layer in with_weights(workload, 0)
    ]
    with pytest.raises(UnsupportedNetworkError, match="fraction bits"):
        calibrate(layers, pictures(4, workload))


@pytest.mark.parametrize("name", ["digits", "cifar"])
def test_networks_of_the_search_spaces_survive_quantization(name: str) -> None:
    space = network_space(name)
    rng = np.random.default_rng(3)
    for _ in range(2):
        workload = space.workload(space.sample(rng))
        layers = with_weights(workload, 1)
        inputs = pictures(8, workload)
        scales = calibrate(layers, inputs)
        network = integer(layers, scales)
        assert network.workload.layers == workload.layers
        scores = run(network, to_int8(inputs, scales.picture)) * 2.0 ** -scales.outputs[-1]
        exact = by_torch(layers, inputs)
        assert np.corrcoef(scores.ravel(), exact.ravel())[0, 1] > 0.98


def by_torch(layers: list[Float], inputs: np.ndarray) -> np.ndarray:
    """The float network by PyTorch."""
    f = torch.nn.functional
    known = {"": torch.from_numpy(inputs)}
    for item in layers:
        layer = item.layer
        x = [known[source] for source in layer.inputs]
        if item.weight is not None:
            weight = torch.from_numpy(item.weight).reshape(layer.channels[1], -1, *layer.kernel)
            values = x[0].reshape(len(inputs), layer.channels[0], *layer.size)
            bias = torch.from_numpy(item.bias)
            y = f.conv2d(values, weight, bias, layer.stride, layer.padding, 1, layer.groups)
        elif layer.kind is LayerKind.ADD:
            y = x[0] + x[1]
        elif layer.kind is LayerKind.MAX_POOL:
            y = f.max_pool2d(x[0], layer.kernel, layer.stride, layer.padding)
        else:
            y = f.avg_pool2d(x[0], layer.kernel, layer.stride, layer.padding)
        known[layer.name] = f.relu(y) if layer.relu else y
    return known[layers[-1].layer.name].reshape(len(inputs), -1).numpy()


def test_errors_stay_near_the_rounding_of_each_layer() -> None:
    workload = every_kind()
    layers = with_weights(workload, 5)
    inputs = pictures(16, workload)
    scales = calibrate(layers, inputs)
    network = integer(layers, scales)
    exact = by_torch(layers, inputs)
    for name, values in activations(network, to_int8(inputs, scales.picture)):
        assert (np.abs(values.astype(int)) > 30).any(), f"{name} uses too few of its bits"
    scores = run(network, to_int8(inputs, scales.picture)) * 2.0 ** -scales.outputs[-1]
    assert np.abs(scores - exact).max() < 0.15 * np.abs(exact).max()


def test_per_channel_scales_help_where_channels_differ() -> None:
    net = NetworkBuilder("pair", (4, 6, 6))
    net.conv("a", 16, 3)
    net.conv("b", 16, 3, relu=False)
    layers = with_weights(net.workload(), 0, spread=1.2)
    inputs = pictures(16, net.workload())
    exact = by_torch(layers, inputs)
    error = {}
    for per_channel in (False, True):
        scales = calibrate(layers, inputs, per_channel=per_channel)
        scores = run(integer(layers, scales), to_int8(inputs, scales.picture)) * 2.0 ** -scales.outputs[-1]
        error[per_channel] = np.abs(scores - exact).mean()
    assert error[True] < error[False]


def test_a_dead_layer_with_a_large_bias_still_fits_its_accumulator() -> None:
    net = NetworkBuilder("dead", (2, 4, 4))
    net.conv("a", 4, 1)
    (layer,) = with_weights(net.workload(), 0)
    inputs = pictures(4, net.workload())
    for weight in (np.zeros(layer.weight.shape), layer.weight * 1e-9):
        dead = [Float(layer.layer, weight, np.array([3.0, -3.0, 0.5, 0.0]))]
        for per_channel in (False, True):
            scales = calibrate(dead, inputs, per_channel=per_channel)
            result = run(integer(dead, scales), to_int8(inputs, scales.picture)) * 2.0 ** -scales.outputs[0]
            np.testing.assert_allclose(result.reshape(4, 4, 16)[0, :, 0], [3, 0, 0.5, 0], atol=0.05)


def test_scales_of_an_addition_are_brought_within_reach() -> None:
    net = NetworkBuilder("sum", (2, 4, 4))
    first = net.conv("a", 4, 1)
    second = net.conv("b", 4, 1, source="")
    net.add("c", first, second, relu=False)
    ones = np.array([10], np.int32)
    scales = settle(net.workload().layers, 5, (ones, ones, None), [14, 3, 20])
    assert scales.outputs == (9, 3, 9)
    assert scales.inputs(net.workload().layers, 2) == (9, 3)
    assert scales.inputs(net.workload().layers, 0) == (5,)


def test_maximum_pooling_keeps_the_scale_of_what_it_reads() -> None:
    net = NetworkBuilder("pooled", (2, 4, 4))
    net.conv("a", 2, 1)
    net.pool("max", LayerKind.MAX_POOL, (2, 2), stride=2)
    net.conv("b", 2, 1, relu=False)
    net.add("c", "b", "max", relu=False)
    ones = np.array([10], np.int32)
    scales = settle(net.workload().layers, 5, (ones, None, ones, None), [14, 13, 2, 20])
    assert scales.outputs == (8, 8, 2, 8)


@settings(max_examples=200, deadline=None)
@given(pixels=st.integers(1, 224 * 224), finer=st.integers(-8, 6))
def test_the_reciprocal_is_within_one_percent_of_the_ratio(pixels: int, finer: int) -> None:
    multiplier, shift = reciprocal(pixels, finer)
    assert 64 <= multiplier <= 127
    assert shift >= 0
    assert multiplier / 2**shift == pytest.approx(2.0**finer / pixels, rel=1 / 127)


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32), scale=st.integers(-12, 12))
def test_best_bits_beats_every_other_scale(seed: int, scale: int) -> None:
    values = np.random.default_rng(seed).standard_normal(500) * 2.0**scale

    def error(bits: int) -> float:
        stored = np.clip(np.rint(values * 2.0**bits), -127, 127)
        return float(((stored * 2.0**-bits - values) ** 2).mean())

    assert error(best_bits(values)) == min(error(bits) for bits in range(-20, 30))


def test_what_cannot_be_quantized_is_refused() -> None:
    with pytest.raises(UnsupportedNetworkError, match="must be finite; got inf"):
        best_bits(np.array([1.0, np.inf]))
    assert best_bits(np.zeros(3)) == 7


def test_fine_tuning_repairs_what_rounding_broke() -> None:
    # Four classes told apart by the sign of two channels' means; coarse scales break the trained network.
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 512)
    centres = np.stack([labels % 2, labels // 2], 1) - 0.5
    inputs = rng.standard_normal((512, 2, 4, 4)) + 0.8 * centres[:, :, None, None]
    net = NetworkBuilder("small", (2, 4, 4))
    net.conv("a", 8, 3)
    net.global_average("pool")
    net.dense("fc", 4)
    layers = with_weights(net.workload(), 0)
    scales = calibrate(layers, inputs)
    data = torch.from_numpy(inputs).float(), torch.from_numpy(labels)
    aware = IntegerAwareNetwork(layers, scales)

    def right(network: QuantizedNetwork) -> float:
        return float((run(network, to_int8(inputs, scales.picture)).argmax(1) == labels).mean())

    before = right(integer(layers, scales))
    finetune(aware, lambda step: tuple(x[step % 8 :: 8] for x in data), 80, learning_rate=1e-2)  # type: ignore[arg-type, return-value]
    after = right(integer(list(aware.tuned()), scales))  # type: ignore[arg-type]
    assert before < 0.6
    assert after > 0.85


def test_gradients_reach_every_weight_and_bias() -> None:
    workload = every_kind()
    layers = with_weights(workload, 2)
    inputs = pictures(8, workload)
    aware = IntegerAwareNetwork(layers, calibrate(layers, inputs))
    aware(torch.from_numpy(inputs).float()).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in aware.parameters())
