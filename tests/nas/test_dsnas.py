"""DSNAS against its definition and against enumeration; what all strategies share is in test_strategies."""

import itertools

import numpy as np
import torch

from rhnas.nas.expectation import table_loss
from rhnas.nas.strategies.base import Turn
from rhnas.nas.strategies.dsnas import Dsnas
from rhnas.nas.supernet import SuperNet
from rhnas.networks.tables import CostTable, TermCost
from rhnas.platform import Objective
from rhnas.seeds import Seeds
from rhnas.settings import NasSettings
from tests.nas.toys import SETTINGS, batch, mac_table, path_loss, two_blocks


def reward_and_score(net, architecture, pictures, labels):
    """(loss, r (D,), d log p / d alpha (D, O)) of one path, each by its own backward pass."""
    loss, draw = path_loss(net, architecture, pictures, labels)
    (reward,) = torch.autograd.grad(loss, draw.gates)
    (score,) = torch.autograd.grad(draw.log_probability, net.alpha)
    return loss.item(), reward, score


def dsnas_gradient(net, pictures, labels, seeds, cost=None):
    """Alpha's gradient in one step, and the network drawn; weights and alpha stay."""
    strategy, before = Dsnas(net, SETTINGS), net.alpha.detach().clone()
    turn = Turn(pictures=pictures, labels=labels, seeds=seeds, rate=0.0, cost=cost)
    result = strategy.step(turn)
    with torch.no_grad():
        net.alpha.copy_(before)
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


def test_estimator_by_enumeration():
    """The mean gradient is E_Z[r grad log p] exactly."""
    space = two_blocks()
    net, (pictures, labels) = SuperNet(space, Seeds(root=0)), batch(space)
    networks = list(itertools.product(*(range(len(d.options)) for d in space.decisions)))
    expected = torch.zeros_like(net.alpha)
    for network in networks:
        probability = np.exp(net.path(network).log_probability.item())
        _, reward, score = reward_and_score(net, network, pictures, labels)
        expected += probability * reward.double()[:, None] * score
    samples = [dsnas_gradient(net, pictures, labels, Seeds(root=i))[0] for i in range(100)]
    mean, spread = torch.stack(samples).mean(0), torch.stack(samples).std(0) / np.sqrt(len(samples))
    assert ((mean - expected).abs() <= 4.5 * spread + 1e-7).all()


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
    before = net.body.units.weights["stem"].detach().clone()
    result = strategy.step(Turn(pictures=pictures, labels=labels, seeds=Seeds(root=0), rate=0.1, learn=False))
    assert np.isnan(result.cost)
    assert net.alpha.abs().max() == 0
    assert not torch.equal(net.body.units.weights["stem"], before)


def test_freezing_fixes_decisions_far_ahead():
    space = two_blocks()
    net, (pictures, labels) = SuperNet(space, Seeds(root=0)), batch(space)
    with torch.no_grad():
        net.alpha[3, 1] = 2.0
    strategy = Dsnas(net, NasSettings(freeze=0.3))
    strategy.step(Turn(pictures=pictures, labels=labels, seeds=Seeds(root=0), rate=0.1))
    assert net.probabilities()[3].tolist() == [0, 1, 0]
    assert net.probabilities()[4].max() < 0.5
