"""One contract for all strategies: known optima, alpha's gradient by its definition, seeds, resumption."""

import itertools

import numpy as np
import pytest
import torch
from torch.nn import functional

from rhnas.errors import DataError, SettingsError
from rhnas.nas.expectation import table_loss
from rhnas.nas.search import split
from rhnas.nas.strategies.base import Strategy, Turn
from rhnas.nas.strategies.mixed import Mixed
from rhnas.nas.strategies.registry import STRATEGIES, make_strategy
from rhnas.nas.supernet import SuperNet
from rhnas.networks.spaces.registry import network_space
from rhnas.networks.spaces.residual import ResidualSettings, ResidualSpace, StageSettings
from rhnas.platform import Objective
from rhnas.seeds import Seeds
from rhnas.settings import NasSettings
from tests.nas.searches import finish, new_search, random_data, reload
from tests.nas.toys import SETTINGS, Planted, batch, mac_table, path_loss, true_gradient, two_blocks

ALL = list(STRATEGIES)
HELD_OUT = [name for name in ALL if STRATEGIES[name].held_out]
MIXED = [name for name in ALL if issubclass(STRATEGIES[name], Mixed)]


def every_kind():
    """Two stages in which stem, widths, depths and operations are all to be chosen."""
    stage = StageSettings(widths=(8, 16), depths=(1, 2))
    settings = ResidualSettings(
        name="kinds",
        picture=(1, 6, 6),
        classes=2,
        stem_widths=(8, 16),
        stages=(stage, stage),
        ops=("dense", "bottleneck", "grouped"),
    )
    return ResidualSpace(settings)


def leaves(kind):
    return {leaf for child in kind.__subclasses__() for leaf in leaves(child)} or {kind}


def test_no_strategy_is_missing():
    assert leaves(Strategy) == set(STRATEGIES.values())


def named(name, net, settings=SETTINGS):
    return make_strategy(net, settings.model_copy(update={"strategy": name}))


def train(strategy, steps, cost=None):
    """Steps on a planted problem, whose pictures do not matter."""
    space = strategy.supernet.space
    pictures, labels = torch.zeros(4, *space.picture), torch.zeros(4, dtype=torch.int64)
    for step in range(steps):
        strategy.step(
            Turn(
                pictures=pictures,
                labels=labels,
                seeds=Seeds(root=0).child(str(step)),
                rate=0.0,
                progress=step / steps,
                cost=cost,
            )
        )


@pytest.mark.parametrize("name", ALL)
def test_finds_the_planted_network(name):
    space = every_kind()
    planted = space.sample(np.random.default_rng(0))
    worth = [
        [1.0 if option == planted[d] else 0.2 for option in range(len(decision.options))]
        for d, decision in enumerate(space.decisions)
    ]
    strategy = named(name, Planted(space, worth))
    assert strategy.derive() != planted
    train(strategy, 150)
    assert strategy.derive() == planted


@pytest.mark.parametrize("name", ALL)
def test_more_cost_pressure_means_cheaper_networks(name):
    """Where dear options are worth more, lambda alone decides how far alpha goes."""
    space = two_blocks()
    table = mac_table(space)
    loss = table_loss(table, Objective.EDP)
    worth = [[1.0, 0.2, 0.4] if len(d.options) == 3 else [1.0] for d in space.decisions]
    reached = []
    for weight in (0.0, 0.05, 1.0):
        net = Planted(space, worth)
        train(named(name, net), 40, cost=lambda p, w=weight: w * loss(p))
        reached.append(net.expected_cost(table).edp.item())
    # Past the pressure at which the cheapest network is certain only the draws differ.
    assert all(after < 1.01 * before for before, after in itertools.pairwise(reached))
    assert reached[1] < 0.9 * reached[0]
    assert reached[-1] < 0.5 * reached[0]


def alpha_gradient(name, net, seeds, cost=None):
    """Alpha's gradient in one step, which leaves weights and alpha as they were."""
    pictures, labels = (part.to(net.bias) if part.is_floating_point() else part for part in batch(net.space))
    before = net.alpha.detach().clone()
    turn = Turn(
        pictures=pictures,
        labels=labels,
        held_out=(pictures, labels),
        seeds=seeds,
        rate=0.0,
        progress=0.5,
        cost=cost,
    )
    named(name, net).step(turn)
    with torch.no_grad():
        net.alpha.copy_(before)
    return net.alpha.grad.clone()


def uneven(net):
    with torch.no_grad():
        noise = torch.Generator().manual_seed(0)
        net.alpha += 0.5 * torch.randn(net.alpha.shape, generator=noise, dtype=torch.float64)
    return net


@pytest.mark.parametrize("name", MIXED)
def test_gradient_of_a_mixture_is_its_difference_quotient(name):
    net = uneven(SuperNet(two_blocks(), Seeds(root=0)).double())
    strategy, seeds = named(name, net), Seeds(root=3)
    pictures, labels = batch(net.space)

    def loss():
        with torch.no_grad():
            shares = strategy.shares(seeds.child("alpha"), 0.5)
            return functional.cross_entropy(net(pictures.double(), net.mixture(shares)), labels).item()

    quotients = torch.zeros_like(net.alpha)
    for index in itertools.product(*map(range, net.alpha.shape)):
        sides = []
        for step in (1e-5, -1e-5):
            with torch.no_grad():
                net.alpha[index] += step
            sides.append(loss())
            with torch.no_grad():
                net.alpha[index] -= step
        quotients[index] = (sides[0] - sides[1]) / 2e-5
    assert quotients.abs().max() > 1e-3
    torch.testing.assert_close(alpha_gradient(name, net, seeds), quotients, rtol=1e-4, atol=1e-7)


def two_path_gradient(net, pair, active):
    """sum_j dL/dg_j q_j (delta_ij - q_i), written out, for one pair per decision."""
    pictures, labels = batch(net.space)
    gates = active.double().requires_grad_()
    loss = functional.cross_entropy(net(pictures, net.mixture(gates, pair)), labels)
    (reward,) = torch.autograd.grad(loss, gates)
    gradient = torch.zeros_like(net.alpha)
    for d, row in enumerate(pair):
        options = row.nonzero()[:, 0].tolist()
        q = dict(zip(options, net.alpha[d, options].detach().softmax(0).tolist(), strict=True))
        for i, j in itertools.product(options, options):
            gradient[d, i] += reward[d, j] * q[j] * ((i == j) - q[i])
    return gradient


def test_two_path_gradient_is_its_definition():
    net = uneven(SuperNet(two_blocks(), Seeds(root=0)))
    for root in range(5):
        pair, active = named("proxyless", net).pairs(Seeds(root=root).child("alpha"))
        assert (pair.sum(1) == net.open.sum(1).clamp(max=2)).all()
        assert (active.sum(1) == 1).all()
        assert (pair | ~active).all()
        wanted = two_path_gradient(net, pair, active)
        torch.testing.assert_close(
            alpha_gradient("proxyless", net, Seeds(root=root)), wanted, rtol=1e-4, atol=1e-7
        )


def test_two_path_estimator_by_enumeration():
    """At alpha = 0 every pair and every active option of it is equally likely."""
    net = SuperNet(two_blocks(), Seeds(root=0))
    choices = []
    for row in net.open:
        count = int(row.sum())
        pairs = list(itertools.combinations(range(count), 2)) or [(0,)]
        choices.append([(pair, active) for pair in pairs for active in pair])
    gradients = []
    for choice in itertools.product(*choices):
        pair, active = torch.zeros_like(net.open), torch.zeros_like(net.open)
        for d, (options, one) in enumerate(choice):
            pair[d, list(options)], active[d, one] = True, True
        gradients.append(two_path_gradient(net, pair, active))
    expected = torch.stack(gradients).mean(0)
    samples = torch.stack([alpha_gradient("proxyless", net, Seeds(root=i)) for i in range(50)])
    spread = samples.std(0) / np.sqrt(len(samples))
    assert ((samples.mean(0) - expected).abs() <= 4.5 * spread + 1e-7).all()


def test_two_paths_leave_other_probabilities_alone():
    net = uneven(SuperNet(two_blocks(), Seeds(root=0)))
    before = net.logits().softmax(1).detach()
    strategy, seeds = named("proxyless", net), Seeds(root=1)
    pair, _ = strategy.pairs(seeds.child("alpha"))
    pictures, labels = batch(net.space)
    cost = table_loss(mac_table(net.space), Objective.EDP)
    strategy.step(Turn(pictures=pictures, labels=labels, seeds=seeds, rate=0.0, cost=cost))
    after = net.logits().softmax(1).detach()
    torch.testing.assert_close(after[~pair], before[~pair])
    moved = (after - before).abs().sum(1)
    assert (moved[net.open.sum(1) > 1] > 1e-3).all()


@pytest.mark.parametrize("name", ALL)
def test_cosine_with_the_true_gradient(name, capsys):
    """How well the mean gradient points along that of the expected loss over all networks, at alpha = 0."""
    net = SuperNet(two_blocks(), Seeds(root=0))
    true = true_gradient(net, *batch(net.space))
    draws = {"dsnas": 100, "darts": 1}.get(name, 30)
    mean = torch.stack([alpha_gradient(name, net, Seeds(root=i)) for i in range(draws)]).mean(0)
    cosine = functional.cosine_similarity(mean.flatten(), true.flatten(), dim=0).item()
    with capsys.disabled():
        print(f"\ncosine of {name} with the true gradient at alpha = 0: {cosine:.2f}")  # noqa: T201
    assert cosine > 0.5


@pytest.mark.parametrize("name", ALL)
def test_cost_adds_the_gradient_of_its_expectation(name):
    """The whole of it, or with two paths that along the pair."""
    net = uneven(SuperNet(two_blocks(), Seeds(root=0)))
    cost, seeds = table_loss(mac_table(net.space), Objective.EDP), Seeds(root=3)
    added = alpha_gradient(name, net, seeds, cost) - alpha_gradient(name, net, seeds)
    (wanted,) = torch.autograd.grad(cost(net.distribution()), net.alpha)
    if name == "proxyless":
        pair, _ = named(name, net).pairs(seeds.child("alpha"))
        together = (wanted * pair).sum(1, keepdim=True)
        within = net.alpha.detach().masked_fill(~pair, -torch.inf).softmax(1)
        wanted = torch.where(pair, wanted - within * together, 0.0)
    torch.testing.assert_close(added, wanted, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", ALL)
def test_warm_up_moves_weights_only(name):
    net = SuperNet(every_kind(), Seeds(root=0))
    pictures, labels = batch(net.space)
    before = net.body.units.weights["stem"].detach().clone()
    turn = Turn(pictures=pictures, labels=labels, seeds=Seeds(root=0), rate=0.1, learn=False)
    assert np.isnan(named(name, net).step(turn).cost)
    assert net.alpha.abs().max() == 0
    assert not torch.equal(net.body.units.weights["stem"], before)


@pytest.mark.parametrize("name", HELD_OUT)
def test_weights_never_see_what_alpha_learns_from(name):
    """Other held-out pictures: other alpha, the same weights."""
    space = every_kind()
    reached = []
    for seed in (1, 2):
        net = SuperNet(space, Seeds(root=0))
        pictures, labels = batch(space)
        turn = Turn(
            pictures=pictures, labels=labels, held_out=batch(space, seed=seed), seeds=Seeds(root=0), rate=0.1
        )
        strategy = named(name, net, NasSettings(alpha_rate=1e-3))
        strategy.step(turn)
        reached.append((net.alpha.grad.clone(), net.body.units.weights["stem"].detach().clone()))
    assert torch.equal(reached[0][1], reached[1][1])
    assert not torch.equal(reached[0][0], reached[1][0])


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_the_split_is_a_partition_fixed_by_the_seed(share):
    data = random_data(train=50)
    weights, alpha = split(data, share, Seeds(root=0))
    assert len(alpha.train) == share * 50
    pictures = torch.cat([weights.train.pictures, alpha.train.pictures]).flatten(1)
    assert {tuple(p.tolist()) for p in pictures} == {
        tuple(p.tolist()) for p in data.train.pictures.flatten(1)
    }
    again, other = split(data, share, Seeds(root=0))[1], split(data, share, Seeds(root=1))[1]
    assert torch.equal(again.train.pictures, alpha.train.pictures)
    assert not torch.equal(other.train.pictures, alpha.train.pictures)
    assert split(data, 0.0, Seeds(root=0)) == (data, None)
    with pytest.raises(DataError, match="must leave two"):
        split(random_data(train=3), share, Seeds(root=0))


def settings_of(name):
    return NasSettings(strategy=name, epochs=3, warmup=1, batch=16, freeze=0.9)


@pytest.mark.parametrize("name", ALL)
def test_a_restored_search_goes_on_as_if_never_stopped(name):
    whole = new_search(settings=settings_of(name))
    results = finish(whole)
    stop = len(results) // 2 + 1
    first = new_search(settings=settings_of(name))
    for _ in range(stop):
        first.step()
    second = new_search(settings=settings_of(name))
    second.restore(reload(first.state()))
    # nan before alpha learns and without a cost: compare as text.
    assert list(map(str, finish(second))) == list(map(str, results[stop:]))
    assert torch.equal(second.supernet.alpha, whole.supernet.alpha)
    assert whole.supernet.alpha.abs().max() > 0


@pytest.mark.parametrize("name", ALL)
def test_seeds_decide_everything_and_nothing_global_is_touched(name):
    torch.manual_seed(0)
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    runs = [new_search(root, settings_of(name)) for root in (0, 0, 1)]
    for run in runs:
        finish(run)
    first, same, other = (run.supernet.alpha for run in runs)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002


@pytest.mark.parametrize("name", ALL)
def test_a_network_without_a_way_through_is_only_a_bad_one(name):
    """Cells of NAS-Bench-201 may be cut off; a search goes on."""
    net = SuperNet(network_space("nasbench201"), Seeds(root=0))
    with torch.no_grad():
        net.alpha[:, 0] = 20.0
    pictures, labels = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0)), torch.arange(4)
    result = named(name, net).step(Turn(pictures=pictures, labels=labels, seeds=Seeds(root=0), rate=0.01))
    assert result.architecture == (0,) * 6
    assert all(torch.isfinite(parameter).all() for parameter in net.parameters())


def test_an_unknown_strategy_is_refused_with_the_nearest():
    with pytest.raises(SettingsError, match="did you mean 'proxyless'"):
        named("proxyles", SuperNet(two_blocks(), Seeds(root=0)))


def test_path_loss_is_that_of_a_mixture_of_one():
    net = SuperNet(every_kind(), Seeds(root=0))
    pictures, labels = batch(net.space)
    architecture = net.space.sample(np.random.default_rng(0))
    loss, _ = path_loss(net, architecture, pictures, labels)
    one = functional.one_hot(torch.tensor(architecture), net.open.shape[1])
    mixed = functional.cross_entropy(net(pictures, net.mixture(one)), labels)
    torch.testing.assert_close(mixed, loss, rtol=1e-4, atol=1e-5)
