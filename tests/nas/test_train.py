"""Training from scratch: resumable, and folding changes nothing."""

import io

import numpy as np
import pytest
import torch
from torch.nn import functional

from rhnas.errors import CheckpointError
from rhnas.nas.data.load import load_data
from rhnas.nas.network import Network
from rhnas.nas.train import Training, evaluate
from rhnas.networks.spaces.registry import network_space
from rhnas.seeds import Seeds
from rhnas.settings import TrainSettings
from rhnas.workload import LayerKind

ARCHITECTURE = (1, 0, 0, 0, 0, 0, 0, 0, 0)
SETTINGS = TrainSettings(epochs=5, batch=32, learning_rate=0.1)


@pytest.fixture(scope="module")
def data():
    return load_data("digits", Seeds(root=0))


def new_training(data, settings=SETTINGS):
    workload = network_space("digits").workload(ARCHITECTURE)
    return Training(Network(workload, Seeds(root=0)), settings, data, Seeds(root=0).child("training"))


def test_a_network_learns_digits(data):
    training = new_training(data)
    losses = []
    while not training.finished:
        losses.append(training.step())
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])
    assert evaluate(training.network, data, data.validation) > 0.7


def test_a_restored_training_goes_on_as_if_never_stopped(data):
    settings = TrainSettings(epochs=1, batch=128)
    whole, first, second = (new_training(data, settings) for _ in range(3))
    losses = [whole.step() for _ in range(whole.steps)]
    for _ in range(2):
        first.step()
    buffer = io.BytesIO()
    torch.save(first.state(), buffer)
    second.restore(torch.load(io.BytesIO(buffer.getvalue()), weights_only=True))
    assert [second.step() for _ in range(second.steps - 2)] == losses[2:]
    with pytest.raises(CheckpointError, match="must be of this training"):
        first.restore({"network": {}})


def run_folded(folded, pictures):
    """The folded graph in torch's float64 functions."""
    known = {"": pictures.double()}
    for step in folded:
        layer = step.layer
        inputs = [known[name] for name in layer.inputs]
        if layer.kind is LayerKind.CONV:
            weight, bias = torch.from_numpy(step.weight), torch.from_numpy(step.bias)
            value = functional.conv2d(
                inputs[0], weight, bias, layer.stride, layer.padding, groups=layer.groups
            )
        elif layer.kind is LayerKind.DENSE:
            value = functional.linear(
                inputs[0].flatten(1), torch.from_numpy(step.weight), torch.from_numpy(step.bias)
            )
        elif layer.kind is LayerKind.ADD:
            value = inputs[0] + inputs[1]
        elif layer.kind is LayerKind.MAX_POOL:
            value = functional.max_pool2d(inputs[0], layer.kernel, layer.stride)
        else:
            value = functional.avg_pool2d(inputs[0], layer.kernel)
        known[layer.name] = value.relu() if layer.relu else value
    return value.flatten(1)


@pytest.mark.parametrize("name", ["digits", "cifar"])
def test_folding_changes_nothing_and_aligns_with_the_workload(name):
    space = network_space(name)
    workload = space.workload(space.sample(np.random.default_rng(0)))
    network = Network(workload, Seeds(root=0))
    pictures = torch.randn(8, *space.picture, generator=torch.Generator().manual_seed(0))
    network.train()(pictures)  # moves the running statistics
    folded = network.folded()
    assert [step.layer for step in folded] == list(workload.layers)
    with torch.no_grad():
        wanted = network.eval().double()(pictures.double())
    torch.testing.assert_close(run_folded(folded, pictures), wanted, rtol=1e-6, atol=1e-6)
