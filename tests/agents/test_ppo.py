"""PPO's equations against plain PyTorch, its policy against enumeration, and that it learns."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from rhnas.agents.evaluator import Evaluator
from rhnas.agents.features import feature_count
from rhnas.agents.policy import FactoredPolicy, of_chosen
from rhnas.agents.ppo import PPOSettings, clipped_surrogate, leave_one_out_advantage
from rhnas.agents.questions import Questions
from rhnas.agents.registry import make_agent
from rhnas.errors import SettingsError
from rhnas.optimize import search
from rhnas.seeds import Seeds
from tests.agents.toys import bowl, context_of, sum_below, toy_space

SPACE = toy_space(3, 1, 4, 2)
DESIGNS = SPACE.feasible((sum_below(4),))


def policy_of(scale=1.0):
    generator = torch.Generator().manual_seed(0)
    policy = FactoredPolicy(SPACE.shape, feature_count(SPACE), 16, generator)
    with torch.no_grad():
        policy.head.weight.mul_(scale * 100)
    return policy, generator


def masks_of(designs, chosen):
    masks = torch.zeros(len(chosen), len(SPACE.shape), max(SPACE.shape), dtype=torch.bool)
    for d, size in enumerate(SPACE.shape):
        masks[:, d, :size] = torch.from_numpy(designs.mask(chosen[:, :d]))
    return masks


def plain_log_policy(policy, features, chosen, masks):
    """The network written out: context, choices so far one-hot, whose turn it is, through three layers."""
    starts = np.cumsum((0, *SPACE.shape[:-1]))
    answer = torch.full(masks.shape, -torch.inf)
    for b, d in itertools.product(*map(range, chosen.shape)):
        prefix = torch.zeros(sum(SPACE.shape))
        prefix[chosen[b, :d] + starts[:d]] = 1
        hidden = torch.cat([features[b], prefix, torch.eye(len(SPACE.shape))[d]])
        hidden = torch.tanh(policy.second(torch.tanh(policy.first(hidden))))
        allowed = masks[b, d].nonzero()[:, 0]
        answer[b, d, allowed] = torch.log_softmax(policy.head(hidden)[starts[d] + allowed], dim=0)
    return answer


def test_the_policy_is_a_distribution_over_the_feasible_designs():
    policy, _ = policy_of()
    chosen = DESIGNS.all()
    features = torch.from_numpy(context_of(DESIGNS).features).float().expand(len(chosen), -1)
    log_policy = policy(features, torch.from_numpy(chosen), masks_of(DESIGNS, chosen))
    picked = of_chosen(log_policy, torch.from_numpy(chosen))
    assert picked.sum(1).exp().sum().item() == pytest.approx(1, abs=1e-5)


def test_the_policy_equals_its_network_written_out():
    policy, _ = policy_of()
    chosen = DESIGNS.all()
    masks = masks_of(DESIGNS, chosen)
    features = torch.from_numpy(context_of(DESIGNS).features).float().expand(len(chosen), -1)
    plain = plain_log_policy(policy, features, chosen, masks)
    assert torch.allclose(policy(features, torch.from_numpy(chosen), masks), plain, atol=1e-5)


def test_samples_follow_the_policy_and_carry_the_exact_masks():
    policy, generator = policy_of()
    features = torch.from_numpy(context_of(DESIGNS).features).float()
    chosen, masks, log_probabilities = policy.sample(features, DESIGNS, 20_000, 1.0, generator)
    assert DESIGNS.contains(chosen.numpy()).all()
    assert torch.equal(masks, masks_of(DESIGNS, chosen.numpy()))
    again = policy(features.expand(len(chosen), -1), chosen, masks)
    assert torch.allclose(log_probabilities, of_chosen(again, chosen), atol=1e-5)
    everything = DESIGNS.all()
    log_policy = policy(
        features.expand(len(everything), -1), torch.from_numpy(everything), masks_of(DESIGNS, everything)
    )
    expected = of_chosen(log_policy, torch.from_numpy(everything)).sum(1).exp().detach().numpy()
    counts = np.bincount(SPACE.ravel(chosen.numpy()), minlength=SPACE.points)[DESIGNS.flat]
    error = np.sqrt(expected * (1 - expected) / 20_000)
    assert (np.abs(counts / 20_000 - expected) <= 5 * error + 1e-4).all()


def test_questions_of_a_batch_have_the_answers_of_every_design():
    """Two contexts, designs that repeat: log-probabilities, entropy and gradients of the plain pass."""
    policy, generator = policy_of()
    everything = torch.from_numpy(DESIGNS.all())
    rows = torch.randint(len(everything), (50,), generator=generator)
    chosen, masks = everything[rows], masks_of(DESIGNS, everything[rows].numpy())
    features = torch.randn(2, feature_count(SPACE), generator=generator)[torch.arange(50) % 2]
    questions = Questions.of(SPACE.shape, features, chosen, masks)
    assert len(questions.contexts) == 2
    assert len(questions.context) < 50
    weights, gradients = torch.randn(50, 4, generator=generator), []
    plain = policy(features, chosen, masks)
    plain_entropy = -(plain.exp() * plain.masked_fill(~masks, 0.0)).sum(dim=(1, 2)).mean()
    answers = policy.answers(questions)
    assert torch.allclose(questions.chosen(answers), of_chosen(plain, chosen), atol=1e-5)
    assert torch.allclose(questions.entropy(answers), plain_entropy, atol=1e-5)
    for log_policy, entropy in (
        (of_chosen(plain, chosen), plain_entropy),
        (questions.chosen(answers), questions.entropy(answers)),
    ):
        loss = (weights * log_policy).sum() + entropy
        gradients.append(torch.autograd.grad(loss, list(policy.parameters())))
    for one, other in zip(*gradients, strict=True):
        assert torch.allclose(one, other, atol=1e-4)


def test_the_untrained_policy_is_almost_uniform_over_each_choice():
    generator = torch.Generator().manual_seed(0)
    policy = FactoredPolicy(SPACE.shape, feature_count(SPACE), 64, generator)
    features = torch.from_numpy(context_of(DESIGNS).features).float()
    chosen, _, _ = policy.sample(features, SPACE.feasible(), 6_000, 1.0, generator)
    shares = np.bincount(chosen[:, 2].numpy(), minlength=4) / 6_000
    assert np.abs(shares - 0.25).max() < 0.04


def test_leave_one_out_equals_its_definition():
    rewards = torch.randn(9, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    plain = torch.stack(
        [r - torch.cat([rewards[:i], rewards[i + 1 :]]).mean() for i, r in enumerate(rewards)]
    )
    expected = plain / plain.std(correction=0)
    assert torch.allclose(leave_one_out_advantage(rewards), expected.float())


@pytest.mark.parametrize("rewards", [[2.0, 2.0, 2.0], [float("nan")] * 3])
def test_nothing_to_learn_from_equal_or_unknown_rewards(rewards):
    assert leave_one_out_advantage(torch.tensor(rewards, dtype=torch.float64)).tolist() == [0, 0, 0]


def test_the_surrogate_equals_a_plain_loop():
    generator = torch.Generator().manual_seed(2)
    ratio = torch.rand(5, 3, generator=generator) * 2
    advantage = torch.randn(5, generator=generator)
    plain = 0.0
    for i, d in itertools.product(range(5), range(3)):
        r, a = ratio[i, d].item(), advantage[i].item()
        plain += min(r * a, min(max(r, 0.8), 1.2) * a) / 5
    assert clipped_surrogate(ratio, advantage, 0.2).item() == pytest.approx(plain, rel=1e-5)


def test_no_gradient_beyond_the_clip():
    ratio = torch.tensor([[1.5], [0.5]], requires_grad=True)
    clipped_surrogate(ratio, torch.tensor([1.0, -1.0]), 0.2).backward()
    assert ratio.grad is not None
    assert ratio.grad.abs().sum() == 0


@pytest.mark.parametrize("options", [{"batch": 1}, {"polish": 1.0}, {"polish": -0.1}])
def test_impossible_settings_are_refused(options):
    with pytest.raises(SettingsError, match="must"):
        PPOSettings(**options)


def test_it_learns_where_random_search_does_not():
    """120 evaluations, a space of 111,132 points under a budget: below random search."""
    space = toy_space(7, 7, 9, 9, 7, 4)
    designs = space.feasible((sum_below(22),))
    scores = bowl((5, 1, 7, 2, 4, 3))
    ends = {}
    for name in ("random", "ppo_only", "ppo"):
        ends[name] = []
        for seed in range(2):
            evaluator = Evaluator(space, scores)
            search(make_agent(name, designs, Seeds(root=seed)), context_of(designs, 120), evaluator)
            assert evaluator.evaluations == 120
            ends[name].append(evaluator.best()[1])
    assert np.mean(ends["ppo_only"]) < np.mean(ends["random"])
    assert max(ends["ppo"]) < min(ends["random"])


def test_ppo_keeps_its_last_third_for_local_search():
    designs = toy_space(6, 6, 6).feasible()
    agent, context = make_agent("ppo", designs, Seeds(root=0)), context_of(designs, 60)
    evaluator = Evaluator(designs.space, bowl((4, 2, 5)))
    while evaluator.evaluations < 60:
        asked = agent.ask(8, context)
        if evaluator.evaluations >= 40:
            assert len(asked) == 1
        agent.tell(asked, evaluator(asked))
