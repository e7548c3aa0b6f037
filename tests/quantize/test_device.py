"""The golden model on torch's devices gives the golden model's integers."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rhnas.quantize import device, golden
from rhnas.quantized import QuantizedLayer
from tests.quantize.layers import quantized_layers
from tests.quantize.test_golden import tiny_network


@settings(max_examples=200, deadline=None)
@given(quantized=quantized_layers(), seed=st.integers(0, 2**32))
def test_every_layer_is_the_golden_models(quantized: QuantizedLayer, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (3, quantized.layer.channels[0], *quantized.layer.size)
    inputs = [rng.integers(-128, 128, shape, np.int8) for _ in quantized.layer.inputs]
    result = device.compute(quantized, *(torch.from_numpy(values) for values in inputs))
    np.testing.assert_array_equal(result.numpy(), golden.compute(quantized, *inputs))


def test_a_network_scores_alike_over_more_pictures_than_go_at_once() -> None:
    network = tiny_network()
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (2 * device.PICTURES + 7, 3, 8, 8), np.uint8)
    labels = rng.integers(0, 10, len(pictures))
    expected = golden.accuracy(network, pictures, labels)
    assert 0 < expected < 1
    got = device.accuracy_on_device(network, torch.from_numpy(pictures), torch.from_numpy(labels))
    assert got == expected
