"""One contract for all agents; a new agent is not done before it passes."""

from __future__ import annotations

import dataclasses
import importlib
import io
import pkgutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

import rhnas.agents
from rhnas.agents.base import HardwareAgent
from rhnas.agents.evaluator import Evaluator
from rhnas.agents.features import feature_count
from rhnas.agents.policy import Ensemble, FactoredPolicy
from rhnas.agents.policy_file import save_policy
from rhnas.agents.registry import AGENTS, make_agent
from rhnas.errors import SettingsError
from rhnas.optimize import search
from rhnas.platform import Outcome
from rhnas.seeds import Seeds
from tests.agents.toys import LAYER, bowl, context_of, sum_below, toy_space

SHORTER = {"optuna_gp": 8, "sb3_ppo": 6, "sb3_a2c": 6, "sb3_dqn": 6, "confuciux": 3}
"""By how much fewer rounds dear agents play; every unrealizable proposal is a step of theirs as well."""

SLOW = ("optuna_gp",)
"""Agents whose every proposal takes a second or more."""

pytestmark = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in AGENTS]
)

BOWL = bowl((1, 0, 2, 3, 1))
DESIGNS = toy_space(3, 1, 5, 6, 4).feasible((sum_below(9),))


def outcome_of(values: np.ndarray) -> Outcome:
    objectives = np.asarray(values, dtype=np.float64)[:, None]
    return Outcome(objectives=objectives, slack=np.where(np.isnan(objectives), -1.0, 0.0))


def rounds_of(name, rounds):
    return -(-rounds // SHORTER.get(name, 1))


def play(agent, rounds, context, n=8, scores=BOWL):
    """Ask and tell; the proposals of each round."""
    proposals = []
    for _ in range(rounds):
        designs = agent.ask(n, context)
        assert designs.dtype == np.int64
        assert designs.ndim == 2
        assert 1 <= len(designs) <= n
        assert context.designs.contains(designs).all()
        agent.tell(designs, outcome_of(scores(designs)))
        proposals.append(designs.copy())
    return proposals


def agent_of(name, seed=0, designs=DESIGNS):
    """A new agent; one that needs a policy gets an untrained one of that seed."""
    if name != "pretrained":
        return make_agent(name, designs, Seeds(root=seed))
    space, generator = designs.space, torch.Generator().manual_seed(seed)
    policy = FactoredPolicy(space.shape, feature_count(space), 16, generator)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "untrained.policy"
        save_policy(path, Ensemble([policy]), space, {})
        return make_agent(name, designs, Seeds(root=seed), pretrained=str(path))


def final_classes(base):
    """Classes of the package below ``base`` that have no subclass of their own."""
    below = [cls for cls in base.__subclasses__() if cls.__module__.startswith("rhnas.")]
    return {leaf for cls in below for leaf in (final_classes(cls) or {cls})}


def same(first, second):
    return len(first) == len(second) and all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("n", [1, 2, 7, 200])
def test_proposes_at_most_n_feasible_designs(name, n):
    play(agent_of(name), rounds_of(name, 40), context_of(DESIGNS), n=n)


def test_same_seed_same_proposals_and_another_seed_others(name):
    rounds = rounds_of(name, 20)
    first, again, other = (play(agent_of(name, seed), rounds, context_of(DESIGNS)) for seed in (0, 0, 1))
    assert same(first, again)
    assert not same(first, other)


def test_leaves_the_global_generators_alone(name):
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)
    before = np.random.get_state()[1].copy(), torch.random.get_rng_state()  # noqa: NPY002
    play(agent_of(name), rounds_of(name, 60), context_of(DESIGNS))
    assert np.array_equal(before[0], np.random.get_state()[1])  # noqa: NPY002
    assert torch.equal(before[1], torch.random.get_rng_state())


@pytest.mark.parametrize("pause", [0, 1, 7, 45, pytest.param(70, marks=pytest.mark.slow)])
def test_resumes_as_if_never_interrupted(name, pause):
    context = context_of(DESIGNS, budget=90)
    agent = agent_of(name)
    play(agent, rounds_of(name, pause), context)
    stored = io.BytesIO()
    torch.save(agent.state(), stored)
    stored.seek(0)
    expected = play(agent, rounds_of(name, 30), context)

    resumed = agent_of(name, seed=99)
    resumed.restore(torch.load(stored, weights_only=False))
    assert same(play(resumed, rounds_of(name, 30), context), expected)


def test_finds_the_optimum_of_a_trivial_space(name):
    designs = toy_space(*(2, 3) if name in SHORTER else (2, 4, 3)).feasible()
    target = (1, 2, 0)[: len(designs.space.shape)]
    evaluator = Evaluator(designs.space, bowl(target))
    search(agent_of(name, designs=designs), context_of(designs, budget=designs.count), evaluator)
    assert evaluator.evaluations == designs.count
    assert evaluator.best()[0].tolist() == list(target)


def test_a_single_feasible_design_is_found(name):
    designs = toy_space(3, 3).feasible((sum_below(0),))
    evaluator = Evaluator(designs.space, bowl((1, 1)))
    search(agent_of(name, designs=designs), context_of(designs), evaluator)
    assert evaluator.best()[0].tolist() == [0, 0]


def test_works_where_no_design_or_only_some_have_a_mapping(name):
    def half(indices):
        return np.where(indices[:, 2] > 1, np.nan, bowl((0, 0, 1, 1, 1))(indices))

    rounds = rounds_of(name, 60)
    play(agent_of(name), rounds, context_of(DESIGNS), scores=half)
    play(agent_of(name), rounds, context_of(DESIGNS), scores=lambda indices: np.full(len(indices), np.nan))


def test_follows_a_network_that_moves_and_limits_that_tighten(name):
    agent = agent_of(name)
    rounds = rounds_of(name, 30)
    play(agent, rounds, context_of(DESIGNS))
    other = dataclasses.replace(LAYER, channels=(64, 64))
    play(agent, rounds, context_of(DESIGNS, layers=(other,)), scores=bowl((2, 0, 4, 0, 0)))
    play(agent, rounds, context_of(DESIGNS.restrict((sum_below(4),)), layers=(other,)))


def test_accepts_the_outcome_of_the_first_designs_only(name):
    agent, context = agent_of(name), context_of(DESIGNS)
    for _ in range(rounds_of(name, 10)):
        designs = agent.ask(8, context)[:1]
        agent.tell(designs, outcome_of(BOWL(designs)))


def test_refuses_options_it_does_not_have(name):
    with pytest.raises(SettingsError, match="options of agent"):
        make_agent(name, DESIGNS, Seeds(root=0), colour=3)


def test_the_table_names_every_agent(name):
    for module in pkgutil.iter_modules(rhnas.agents.__path__):
        importlib.import_module(f"rhnas.agents.{module.name}")
    listed = {AGENTS[key].rpartition(":")[2] for key in AGENTS}
    assert {cls.__name__ for cls in final_classes(HardwareAgent)} == listed
