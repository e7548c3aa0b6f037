"""From a trained network of ours to integers, on real digits."""

import pytest
import torch

from rhnas.nas.data.load import load_data
from rhnas.nas.integer import integer_accuracy, integer_network
from rhnas.nas.network import Network
from rhnas.nas.train import Training, evaluate
from rhnas.networks.spaces.registry import network_space
from rhnas.quantize.golden import run
from rhnas.seeds import Seeds
from rhnas.settings import QuantizeSettings, TrainSettings

SEEDS = Seeds(root=0)


@pytest.fixture(scope="module")
def trained():  # type: ignore[no-untyped-def]
    space = network_space("digits")
    data = load_data("digits", SEEDS)
    network = Network(space.workload((0,) * len(space.decisions)), SEEDS)
    training = Training(network, TrainSettings(epochs=8, batch=16), data, SEEDS)
    while not training.finished:
        training.step()
    return network, data


@pytest.mark.parametrize("per_channel", [False, True])
def test_calibration_alone_keeps_the_accuracy_of_digits(trained, per_channel: bool) -> None:  # type: ignore[no-untyped-def]
    network, data = trained
    recipe = QuantizeSettings(epochs=0, per_channel=per_channel)
    integers = integer_network(network, data, recipe, SEEDS)
    assert integers.workload.layers == network.workload.layers
    exact = evaluate(network, data, data.validation)
    assert exact > 0.85
    assert integer_accuracy(integers, data.validation) >= exact - 0.02


def test_scores_are_those_of_the_trained_network_but_for_rounding(trained) -> None:  # type: ignore[no-untyped-def]
    network, data = trained
    integers = integer_network(network, data, QuantizeSettings(epochs=0), SEEDS)
    pictures = data.validation.pictures[:50]
    with torch.no_grad():
        exact = network.eval()(data.normalise(pictures))
    scores = torch.from_numpy(run(integers, integers.read_pixels(pictures.numpy())))
    values = scores * 2.0 ** -integers.layers[-1].fraction_bits
    assert torch.corrcoef(torch.stack([values.flatten(), exact.flatten()]))[0, 1] > 0.99


def test_the_network_that_is_better_on_the_validation_part_is_kept(trained) -> None:  # type: ignore[no-untyped-def]
    network, data = trained
    before = {name: value.clone() for name, value in network.state_dict().items()}
    plain = integer_network(network, data, QuantizeSettings(epochs=0), SEEDS)
    tuned = integer_network(network, data, QuantizeSettings(epochs=2), SEEDS)
    assert integer_accuracy(tuned, data.validation) >= integer_accuracy(plain, data.validation)
    ruined = integer_network(network, data, QuantizeSettings(epochs=1, learning_rate=1.0), SEEDS)
    assert integer_accuracy(ruined, data.validation) == integer_accuracy(plain, data.validation)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_the_same_seed_gives_the_same_integers(trained) -> None:  # type: ignore[no-untyped-def]
    network, data = trained
    first, second = (integer_network(network, data, QuantizeSettings(epochs=1), SEEDS) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert (one.weight is None) == (other.weight is None)
        assert one.weight is None or (one.weight == other.weight).all()
