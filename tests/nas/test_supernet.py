"""The supernet: shared weights, gates that carry a signal, and distributions."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from rhnas.errors import SettingsError
from rhnas.nas.data.load import load_data
from rhnas.nas.network import Network
from rhnas.nas.search import DifferentiableSearch
from rhnas.nas.supernet import SuperNet
from rhnas.networks.spaces.base import NetworkSpace
from rhnas.networks.spaces.nasbench201 import NasBench201, alive
from rhnas.networks.spaces.registry import NETWORK_SPACES, network_space
from rhnas.networks.spaces.residual import ResidualSpace
from rhnas.networks.spaces.slots import SlotSpace
from rhnas.seeds import Seeds
from rhnas.settings import NasSettings

SPACES = sorted(NETWORK_SPACES)
RESIDUAL = [name for name in SPACES if isinstance(network_space(name), ResidualSpace)]
SLOTS = [name for name in SPACES if isinstance(network_space(name), SlotSpace)]


def examples(space, count):
    """Random pictures and labels; large pictures at 64 or 16 pixels, which a supernet takes as well."""
    noise = torch.Generator().manual_seed(1)
    sides = (min(side, 16 if isinstance(space, SlotSpace) else 64) for side in space.picture[1:])
    pictures = torch.randn(count, space.picture[0], *sides, generator=noise)
    return pictures, torch.randint(space.classes, (count,), generator=noise)


def open_decisions(space):
    return [index for index, decision in enumerate(space.decisions) if len(decision.options) > 1]


def gate_gradients(space, draws):
    """|dL/dZ| of several drawn paths of a fresh supernet, (draws, decisions)."""
    net = SuperNet(space, Seeds(root=0))
    pictures, labels = examples(space, 8)
    noise = torch.Generator().manual_seed(1)
    found = []
    for _ in range(draws):
        draw = net.draw(noise)
        functional.cross_entropy(net(pictures, draw.mixture), labels).backward()
        gradient = draw.gates.grad  # None where nothing leads from picture to features
        found.append(np.zeros(len(draw.gates)) if gradient is None else gradient.abs().numpy())
    return np.array(found)


@pytest.mark.parametrize("name", RESIDUAL)
def test_every_decision_of_a_residual_space_feels_the_loss(name):
    """A chain of normalised convolutions would leave 1e-8 to 4e-6 (METHOD 2)."""
    space = network_space(name)
    gradients = gate_gradients(space, 8)
    later_blocks = {index for at in space.stages for index in at.ops[1:]}
    for index in open_decisions(space):
        name, ran = space.decisions[index].name, gradients[gradients[:, index] > 0, index]
        assert np.median(ran) > 2e-4, name
        # A block beyond its stage's depth does not run; everything else always does.
        assert len(ran) == len(gradients) or (index in later_blocks and len(ran) > 0), name


@pytest.mark.parametrize("name", SLOTS)
def test_every_decision_of_a_slot_space_feels_the_loss(name):
    """An identity beside a shortcut has no gate, and an edge that leads nowhere no effect."""
    space = network_space(name)
    gradients = gate_gradients(space, 16)
    for index in open_decisions(space):
        ran = gradients[gradients[:, index] > 0, index]
        assert np.median(ran) > 2e-4, space.decisions[index].name
        assert (gradients[:, index] > 2e-4).mean() >= 0.25


@pytest.mark.parametrize("name", SPACES)
def test_every_decision_of_a_mixture_feels_the_loss(name):
    space = network_space(name)
    net = SuperNet(space, Seeds(root=0))
    pictures, labels = examples(space, 8)
    mixture = net.mixture(net.logits().softmax(1))
    (gradient,) = torch.autograd.grad(functional.cross_entropy(net(pictures, mixture), labels), net.alpha)
    for index in open_decisions(space):
        assert gradient[index].abs().max() > 2e-4, space.decisions[index].name


def through(space, rng):
    """A random network that leads somewhere: a cell of NAS-Bench-201 may not."""
    while True:
        architecture = space.sample(rng)
        if not isinstance(space, NasBench201) or any(alive(architecture)):
            return architecture


@pytest.mark.parametrize("name", SPACES)
def test_a_mixture_of_one_network_computes_it(name):
    """All options run, at the greatest widths, and those that weigh nothing leave no trace."""
    space = network_space(name)
    net = SuperNet(space, Seeds(root=0))
    pictures, _ = examples(space, 4)
    rng = np.random.default_rng(0)
    for _ in range(2):
        architecture = through(space, rng)
        weights = functional.one_hot(torch.tensor(architecture), net.open.shape[1])
        with torch.no_grad():
            mixed, alone = net(pictures, net.mixture(weights)), net(pictures, net.path(architecture).mixture)
        torch.testing.assert_close(mixed, alone, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", SPACES)
def test_a_path_computes_the_derived_network(name):
    """With shared weights copied, the drawn path and the plain module agree on a training batch."""
    space = network_space(name)
    net = SuperNet(space, Seeds(root=0))
    rng = np.random.default_rng(0)
    large = space.picture[1] > 64
    pictures = torch.randn(4 if large else 8, *space.picture, generator=torch.Generator().manual_seed(0))
    for _ in range(1 if large else 4):
        architecture = through(space, rng)
        network = Network(space.workload(architecture), Seeds(root=1))
        copy_weights(space, net, network, architecture)
        with torch.no_grad():
            pooled = network.train()(pictures)  # copy_weights made the dense layer the identity
            features = functional.batch_norm(pooled, None, None, training=True)
            wanted = features @ net.classifier[:, : pooled.shape[1]].T
            got = net(pictures, net.path(architecture).mixture)
        torch.testing.assert_close(got, wanted, rtol=1e-3, atol=1e-3)


def copy_weights(space, net, network, architecture):
    units, ops = net.body.units, {}
    if isinstance(space, ResidualSpace):
        ops = {f"stage{s + 1}.block{b + 1}": op for s, b, op, _ in space.blocks(architecture)}
    with torch.no_grad():
        for layer in network.workload:
            if layer.name == "fc":
                network.weights["fc"].data = torch.eye(layer.channels[0])
                network.biases["fc"].data = torch.zeros(layer.channels[0])
            elif layer.parameters:
                name = layer.name.replace(".", "_")
                op = ops.get(layer.name.rsplit(".", 1)[0])
                shared = name if op is None or name.endswith("shortcut") else f"{name}_{op}"
                shape = network.weights[name].shape
                network.weights[name].copy_(units.weights[shared][: shape[0], : shape[1]])
                network.norms[name].weight.copy_(units.scales[shared][: shape[0]])


def test_narrow_networks_use_the_first_channels_of_wide_ones():
    space = network_space("digits")
    net = SuperNet(space, Seeds(root=0))
    narrow = net.path((0,) * len(space.decisions))
    net(torch.randn(4, *space.picture), narrow.mixture).sum().backward()
    gradient = net.body.units.weights["stem"].grad
    assert gradient[:24].abs().min() > 0
    assert gradient[24:].abs().max() == 0


def test_draws_follow_the_distribution():
    space = network_space("digits")
    net = SuperNet(space, Seeds(root=0))
    with torch.no_grad():
        net.alpha[0, :2] = torch.tensor([0.0, 1.0])
    generator = torch.Generator().manual_seed(0)
    drawn = [net.draw(generator).architecture[0] for _ in range(2000)]
    assert np.mean(drawn) == pytest.approx(net.probabilities()[0][1], abs=0.03)
    assert [len(row) for row in net.probabilities()] == [len(d.options) for d in space.decisions]


def test_log_probability_is_that_of_the_path():
    space = network_space("cifar")
    net = SuperNet(space, Seeds(root=0))
    draw = net.draw(torch.Generator().manual_seed(3))
    wanted = sum(np.log(p[a]) for p, a in zip(net.probabilities(), draw.architecture, strict=True))
    assert draw.log_probability.item() == pytest.approx(wanted)


def test_a_frozen_decision_is_certain_and_still():
    space = network_space("digits")
    net = SuperNet(space, Seeds(root=0))
    with torch.no_grad():
        net.alpha[3, 2] = 3.0
    net.freeze(0.3)
    assert net.probabilities()[3].tolist() == [0, 0, 1, 0]
    assert (net.probabilities()[0] == 0.5).all()
    draw = net.draw(torch.Generator().manual_seed(0))
    draw.log_probability.backward()
    assert draw.architecture[3] == 2
    assert net.alpha.grad[3].abs().max() == 0


def test_same_seed_same_weights_and_nothing_global_is_touched():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, second = (SuperNet(network_space("digits"), Seeds(root=0)) for _ in range(2))
    third = SuperNet(network_space("digits"), Seeds(root=1))
    assert torch.equal(first.body.units.weights["stem"], second.body.units.weights["stem"])
    assert not torch.equal(first.body.units.weights["stem"], third.body.units.weights["stem"])
    Network(network_space("digits").workload((0,) * 9), Seeds(root=0))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_space_of_no_family_is_refused():
    class Odd(NetworkSpace):
        name, picture, classes = "odd", (1, 8, 8), 2
        decisions = network_space("digits").decisions
        terms = ()

        def workload(self, architecture):
            raise NotImplementedError

    with pytest.raises(SettingsError, match="SlotSpace or a ResidualSpace"):
        SuperNet(Odd(), Seeds(root=0))


@pytest.mark.slow
def test_a_supernet_learns_digits():
    """Networks drawn at random, with shared weights; else neither alpha nor candidates mean anything."""
    space, seeds = network_space("digits"), Seeds(root=1)
    settings = NasSettings(epochs=60, warmup=60, batch=64, learning_rate=0.2)
    data = load_data("digits", seeds)
    search = DifferentiableSearch(SuperNet(space, seeds), settings, data, seeds)
    while not search.finished:
        search.step()
    rng = np.random.default_rng(0)
    assert np.mean([search.accuracy(space.sample(rng)) for _ in range(20)]) > 0.9
