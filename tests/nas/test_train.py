"""Training from scratch: resumable, and folding changes nothing."""

import copy
import io

import numpy as np
import pytest
import torch
from torch.nn import functional

from rhnas.errors import CheckpointError, SettingsError
from rhnas.nas.arithmetic import Arithmetic
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


def test_the_average_of_the_weights_is_what_is_kept(data):
    settings = TrainSettings(epochs=1, batch=128, average=0.75)
    training = new_training(data, settings)
    name = "weights.stem"
    expected = None
    for _ in range(3):
        training.step()
        now = training.network.state_dict()[name].clone()
        expected = now if expected is None else 0.75 * expected + 0.25 * now
    torch.testing.assert_close(training.trained.state_dict()[name], expected)
    resumed = new_training(data, settings)
    resumed.restore(copy.deepcopy(training.state()))
    for either in (training, resumed):
        while not either.finished:
            either.step()
    for one, other in zip(training.trained.parameters(), resumed.trained.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_batch_that_does_not_fit_in_memory_is_computed_in_pieces(data, monkeypatch, caplog):
    """The loss of a batch in pieces is the mean over its pictures, and what was found out is kept."""
    settings = TrainSettings(epochs=1, batch=128)
    training, roomy = new_training(data, settings), new_training(data, settings)
    forward = type(training.network).forward

    def small(self, pictures):
        if len(pictures) > 40:
            raise torch.OutOfMemoryError("no memory for so many pictures")
        return forward(self, pictures)

    whole = roomy.step()
    with monkeypatch.context() as patch:
        patch.setattr(type(training.network), "forward", small)
        loss = training.step()
        assert training.pieces.count == 4
        assert "computed in 4 pieces" in caplog.text
        resumed = new_training(data, settings)
        resumed.restore(copy.deepcopy(training.state()))
        assert torch.equal(resumed.step(), training.step())
    torch.testing.assert_close(loss, whole, rtol=0.1, atol=0)
    monkeypatch.setattr(type(training.network), "forward", lambda self, pictures: small(self, "x" * 41))
    with pytest.raises(torch.OutOfMemoryError):
        training.step()


def test_cutout_hides_a_part_of_every_training_picture_and_of_no_other(data):
    training = new_training(data, TrainSettings(epochs=1, batch=64, cutout=4))
    assert training.batches.data.augmentation.cutout == 4
    assert data.augmentation.cutout == 0
    plain, hidden = new_training(data, TrainSettings(epochs=1, batch=64)).batches, training.batches
    assert not torch.equal(plain.at(0)[0], hidden.at(0)[0])
    assert torch.equal(plain.at(0)[1], hidden.at(0)[1])


def test_bfloat16_is_used_where_asked_for_and_comes_close(data):
    settings = TrainSettings(epochs=1, batch=128)
    workload = network_space("digits").workload(ARCHITECTURE)
    seeds = Seeds(root=0)
    narrow = Arithmetic.of("bfloat16", torch.device("cpu"))
    rounded = Training(Network(workload, seeds), settings, data, seeds.child("training"), narrow)
    exact = new_training(data, settings)
    first, second = rounded.step(), exact.step()
    assert first != second
    torch.testing.assert_close(first, second, rtol=0.02, atol=0)
    assert all(p.dtype is torch.float32 for p in rounded.network.parameters())
    with pytest.raises(SettingsError, match=r"run\.precision"):
        Arithmetic.of("int4", torch.device("cpu"))
