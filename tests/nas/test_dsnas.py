"""DSNAS against its definition, against enumeration, and on problems with a known answer."""

import itertools

import numpy as np
import pytest
import torch
from torch.nn import functional

from rhnas.nas.expectation import table_loss
from rhnas.nas.strategies.dsnas import Dsnas
from rhnas.nas.supernet import SuperNet
from rhnas.networks.spaces.residual import ResidualSettings, ResidualSpace, StageSettings
from rhnas.networks.tables import CostTable, LayerCounts, TermCost
from rhnas.platform import Objective
from rhnas.seeds import Seeds
from rhnas.settings import NasSettings

SETTINGS = NasSettings(alpha_rate=0.05, freeze=1.0, learning_rate=0.02)


def two_blocks(ops=("dense", "bottleneck", "grouped")):
    stage = StageSettings(widths=(8,), depths=(2,))
    return ResidualSpace(
        ResidualSettings(name="two", picture=(1, 6, 6), classes=3, stem_widths=(8,), stages=(stage,), ops=ops)
    )


def batch(space, n=32):
    """Pictures whose class is the channel-wise place of a bright bar: learnable in a few steps."""
    noise = torch.Generator().manual_seed(0)
    labels = torch.randint(space.classes, (n,), generator=noise)
    pictures = 0.3 * torch.randn(n, *space.picture, generator=noise)
    for row, label in enumerate(labels.tolist()):
        pictures[row, :, 2 * label : 2 * label + 2] += 1.0
    return pictures, labels


def mac_table(space):
    """Cycles and energy equal to MACs: one design on which small networks are cheap."""
    counts = LayerCounts.of(space)
    macs = np.array([[float(layer.macs + 1) for layer in space.layers]])
    cells = [np.moveaxis(c @ macs.T, -1, 0) for c in counts.counts]
    terms = tuple(TermCost(d, c, c) for d, c in zip(counts.decisions, cells, strict=True))
    return CostTable(terms, np.ones(1), np.ones(1), np.zeros(1))


def reward_and_score(net, architecture, pictures, labels):
    """(loss, r (D,), d log p / d alpha (D, O)) of one path, each by its own backward pass."""
    draw = net.path(architecture)
    loss = functional.cross_entropy(net(pictures, draw), labels)
    (reward,) = torch.autograd.grad(loss, draw.gates)
    (score,) = torch.autograd.grad(draw.log_probability, net.alpha)
    return loss.item(), reward, score


class Still:
    """An optimizer that moves nothing, so that a gradient can be read."""

    def __init__(self, tensors):
        self.tensors, self.param_groups = tensors, [{"lr": 0.0}]

    def zero_grad(self, set_to_none):
        for tensor in self.tensors:
            tensor.grad = None

    def step(self):
        pass


def dsnas_gradient(net, pictures, labels, seeds, cost=None):
    """Alpha's gradient in one step, and the network drawn."""
    strategy = Dsnas(net, SETTINGS)
    strategy.weights, strategy.alpha = Still(list(net.trained())), Still([net.alpha])
    result = strategy.step(pictures, labels, seeds=seeds, rate=0.0, cost=cost, learn=True)
    return net.alpha.grad.clone(), result.architecture


def test_alpha_gradient_is_its_definition():
    space = two_blocks()
    net, (pictures, labels) = SuperNet(space, Seeds(root=0)), batch(space)
    got, drawn = dsnas_gradient(net, pictures, labels, Seeds(root=3))
    _, reward, score = reward_and_score(net, drawn, pictures, labels)
    torch.testing.assert_close(got, reward.double()[:, None] * score, rtol=1e-4, atol=1e-8)


def test_cost_gradient_is_added_after_the_reward():
    space = two_blocks()
    net, (pictures, labels) = SuperNet(space, Seeds(root=0)), batch(space)
    cost = table_loss(mac_table(space), Objective.EDP)
    without, _ = dsnas_gradient(net, pictures, labels, Seeds(root=3))
    together, _ = dsnas_gradient(net, pictures, labels, Seeds(root=3), cost)
    (alone,) = torch.autograd.grad(cost(net.distribution()), net.alpha)
    torch.testing.assert_close(together - without, alone, rtol=1e-6, atol=1e-9)


def test_estimator_by_enumeration(capsys):
    """The mean gradient is E_Z[r grad log p] exactly; how well it points along grad E_Z[L] is reported."""
    space = two_blocks()
    net, (pictures, labels) = SuperNet(space, Seeds(root=0)), batch(space)
    networks = list(itertools.product(*(range(len(d.options)) for d in space.decisions)))
    expected, true = torch.zeros_like(net.alpha), torch.zeros_like(net.alpha)
    for network in networks:
        probability = np.exp(net.path(network).log_probability.item())
        loss, reward, score = reward_and_score(net, network, pictures, labels)
        expected += probability * reward.double()[:, None] * score
        true += probability * loss * score
    samples = [dsnas_gradient(net, pictures, labels, Seeds(root=i))[0] for i in range(100)]
    mean, spread = torch.stack(samples).mean(0), torch.stack(samples).std(0) / np.sqrt(len(samples))
    assert ((mean - expected).abs() <= 4.5 * spread + 1e-7).all()
    cosine = functional.cosine_similarity(expected.flatten(), true.flatten(), dim=0)
    with capsys.disabled():
        print(  # noqa: T201
            f"\ncosine of the DSNAS estimator with the true gradient at alpha = 0: {cosine.item():.2f}"
        )
    assert -1 <= cosine <= 1


class Planted(SuperNet):
    """A supernet whose loss is known: every decision's gate earns what its option is worth."""

    def __init__(self, space, worth):
        super().__init__(space, Seeds(root=0))
        self.worth = worth

    def forward(self, pictures, draw):
        chosen = torch.tensor([row[a] for row, a in zip(self.worth, draw.architecture, strict=True)])
        right = (draw.gates * chosen).sum() + 0 * self.bias.sum()
        return torch.stack([right, torch.zeros(())])[None].expand(len(pictures), 2)


def test_finds_the_planted_network():
    space = two_blocks()
    rng = np.random.default_rng(0)
    planted = space.sample(rng)
    worth = [
        [1.0 if option == planted[d] else 0.2 for option in range(len(decision.options))]
        for d, decision in enumerate(space.decisions)
    ]
    net = Planted(space, worth)
    strategy = Dsnas(net, SETTINGS)
    pictures, labels = torch.zeros(4, *space.picture), torch.zeros(4, dtype=torch.int64)
    for step in range(300):
        seeds = Seeds(root=0).child(str(step))
        strategy.step(pictures, labels, seeds=seeds, rate=0.0, cost=None, learn=True)
    assert strategy.derive() == planted


def test_more_cost_pressure_means_cheaper_networks():
    """Where dear options are worth more, lambda alone decides how far alpha goes."""
    space = two_blocks()
    table, (pictures, labels) = mac_table(space), batch(space)
    loss = table_loss(table, Objective.EDP)
    worth = [[1.0, 0.2, 0.4] if len(d.options) == 3 else [1.0] for d in space.decisions]
    reached = []
    for weight in (0.0, 0.05, 0.2, 1.0):
        net = Planted(space, worth)
        strategy = Dsnas(net, SETTINGS)
        for step in range(100):
            strategy.step(
                pictures,
                torch.zeros_like(labels),
                seeds=Seeds(root=0).child(str(step)),
                rate=0.0,
                cost=lambda p, w=weight: w * loss(p),
                learn=True,
            )
        reached.append(net.expected_cost(table).edp.item())
    assert reached == sorted(reached, reverse=True)
    assert reached[-1] < 0.5 * reached[0]


def test_equal_costs_leave_alpha_alone():
    """The biased form p(s) cost(s) would push towards the uniform distribution."""
    space = two_blocks()
    net = SuperNet(space, Seeds(root=0))
    with torch.no_grad():
        net.alpha += torch.randn(net.alpha.shape, generator=torch.Generator().manual_seed(0)).double()
    sizes = [len(d.options) for d in space.decisions]
    terms = tuple(TermCost((d,), np.ones((1, n)), np.ones((1, n))) for d, n in enumerate(sizes))
    loss = table_loss(CostTable(terms, np.ones(1), np.ones(1), np.zeros(1)), Objective.EDP)
    (gradient,) = torch.autograd.grad(loss(net.distribution()), net.alpha)
    assert gradient.abs().max() < 1e-15


def test_warm_up_moves_weights_only():
    space = two_blocks()
    net, (pictures, labels) = SuperNet(space, Seeds(root=0)), batch(space)
    strategy = Dsnas(net, SETTINGS)
    before = net.weights["stem"].detach().clone()
    result = strategy.step(pictures, labels, seeds=Seeds(root=0), rate=0.1, cost=None, learn=False)
    assert np.isnan(result.cost)
    assert net.alpha.abs().max() == 0
    assert not torch.equal(net.weights["stem"], before)


def test_freezing_fixes_decisions_far_ahead():
    space = two_blocks()
    net, (pictures, labels) = SuperNet(space, Seeds(root=0)), batch(space)
    with torch.no_grad():
        net.alpha[3, 1] = 2.0
    strategy = Dsnas(net, NasSettings(freeze=0.3))
    strategy.step(pictures, labels, seeds=Seeds(root=0), rate=0.1, cost=None, learn=True)
    assert net.probabilities()[3].tolist() == [0, 1, 0]
    assert net.probabilities()[4].max() < 0.5


@pytest.mark.parametrize("seed", [0, 1])
def test_steps_leave_global_random_state_alone(seed):
    torch.manual_seed(seed)
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    space = two_blocks()
    net, (pictures, labels) = SuperNet(space, Seeds(root=0)), batch(space)
    Dsnas(net, SETTINGS).step(pictures, labels, seeds=Seeds(root=0), rate=0.1, cost=None, learn=True)
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002
