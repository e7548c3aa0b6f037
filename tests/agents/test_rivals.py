"""Agents from outside: what they may do wrong is counted and bounded, and the environment is a proper one."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as check_env_as_sb3

import rhnas.gym
from rhnas.agents.confuciux import Breeder, ConfuciuXSettings
from rhnas.agents.environment import AcceleratorEnv
from rhnas.agents.evaluator import Evaluator
from rhnas.agents.registry import make_agent
from rhnas.agents.unmasked import PATIENCE, UnmaskedAgent
from rhnas.errors import CheckpointError, SettingsError
from rhnas.optimize import search
from rhnas.seeds import Seeds
from tests.agents.toys import bowl, context_of, sum_below, toy_space

DESIGNS = toy_space(4, 1, 5, 4).feasible((sum_below(6),))
SCORES = bowl((1, 0, 2, 3))


def price(design):
    return None if design is None else float(SCORES(design[None])[0])


def environment():
    return AcceleratorEnv(context_of(DESIGNS), price)


class Fixed(UnmaskedAgent):
    """Proposes the same point for ever and writes down what it is told."""

    def __init__(self, designs, point):
        self.point, self.told = point, []
        super().__init__(designs, Seeds(root=0))

    def begin(self, seed):
        self.told = []

    def propose(self, context):
        return None if self.point is None else np.array(self.point)

    def learn(self, design, value):
        self.told.append((None if design is None else tuple(design.tolist()), value))


@pytest.mark.parametrize("point", [None, (3, 0, 4, 3)])
def test_what_cannot_be_built_is_counted_withheld_and_bounded(point):
    agent, context = Fixed(DESIGNS, point), context_of(DESIGNS)
    assert DESIGNS.contains(agent.ask(8, context)).all()
    assert agent.unrealizable == PATIENCE
    assert agent.rescued == 1
    assert agent.told == [(point, None)] * PATIENCE


def test_an_agent_that_repeats_itself_still_spends_its_budget():
    agent, evaluator = Fixed(DESIGNS, (0, 0, 0, 0)), Evaluator(DESIGNS.space, SCORES)
    search(agent, context_of(DESIGNS, budget=4), evaluator)
    assert evaluator.evaluations == 4
    assert agent.rescued == 3
    assert agent.unrealizable == 0


def test_a_replay_that_goes_another_way_is_refused():
    agent, context = Fixed(DESIGNS, (0, 0, 0, 0)), context_of(DESIGNS)
    agent.tell(agent.ask(1, context), Evaluator(DESIGNS.space, SCORES)(np.zeros((1, 4), dtype=np.int64)))
    other = Fixed(DESIGNS, (0, 0, 0, 1))
    with pytest.raises(CheckpointError, match="what it proposed before"):
        other.restore(agent.state())


def test_the_environment_passes_both_checkers():
    check_env(environment(), skip_render_check=True)
    check_env_as_sb3(environment())


def test_an_episode_is_a_design_and_its_reward_the_log_ratio_to_the_first():
    env = environment()
    rewards = []
    for design in ([0, 0, 0, 0], [1, 0, 2, 3], [1, 0, 2, 2]):
        env.reset(seed=0)
        for value in design[:-1]:
            _, reward, ended, _, _ = env.step(value)
            assert (reward, ended) == (0.0, False)
        _, reward, ended, _, info = env.step(design[-1])
        assert ended
        assert info["design"].tolist() == design
        rewards.append(reward)
    assert rewards == [0.0, 14.0, 13.0]


def test_a_dead_end_ends_the_episode_and_costs_more_than_any_design():
    env = environment()
    env.reset(seed=0)
    env.step(3)
    assert env.action_masks().tolist() == [True, False, False, False, False]
    _, reward, ended, _, info = env.step(1)
    assert ended
    assert info == {"realizable": False}
    assert reward < 0


def test_masks_are_the_ones_of_the_feasible_set():
    env = environment()
    for design in DESIGNS.all():
        env.reset(seed=0)
        for d, value in enumerate(design):
            mask = DESIGNS.mask(design[None, :d])[0]
            assert env.action_masks()[: len(mask)].tolist() == mask.tolist()
            assert not env.action_masks()[len(mask) :].any()
            env.step(value)


def test_anybodys_agent_can_compete_by_the_registered_name():
    limits = {"macs": 256, "sram_kib": 448}
    env = gymnasium.make("rhnas.gym:rhnas/Accelerator-v0", network="resnet20", limits=limits).unwrapped
    rng = np.random.default_rng(0)
    for _ in range(2):
        env.reset(seed=0)
        ended = False
        while not ended:
            action = rng.choice(np.flatnonzero(env.action_masks()))
            _, reward, ended, _, _ = env.step(action)
        assert np.isfinite(reward)
    assert isinstance(env.price, rhnas.gym.Counter)
    assert env.price.evaluator.evaluations == 2
    assert env.price.unrealizable == 0
    assert env.context.designs.contains(env.price.evaluator.best()[0][None])[0]


@pytest.mark.parametrize("name", ["sb3_maskable_ppo", "annealing"])
def test_agents_with_masks_never_propose_what_cannot_be_built(name):
    agent, context = make_agent(name, DESIGNS, Seeds(root=0)), context_of(DESIGNS)
    evaluator = Evaluator(DESIGNS.space, SCORES)
    for _ in range(15):
        asked = agent.ask(8, context)
        agent.tell(asked, evaluator(asked))
    assert agent.unrealizable == 0


def test_the_training_thread_ends_with_its_agent():
    before = threading.active_count()
    agent = make_agent("sb3_ppo", DESIGNS, Seeds(root=0))
    agent.ask(1, context_of(DESIGNS))
    assert threading.active_count() == before + 1
    del agent
    waited = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < waited:
        time.sleep(0.01)
    assert threading.active_count() == before


def test_an_error_in_the_training_thread_reaches_the_caller():
    agent = make_agent("sb3_ppo", DESIGNS, Seeds(root=0))
    context = context_of(DESIGNS)
    agent.ask(1, context)
    agent._env.context = None
    agent._exchange.answer(0.0)
    with pytest.raises(AttributeError, match="features"):
        agent._exchange.next_design()


def test_generations_keep_their_best_and_children_stay_near_their_parents():
    settings = ConfuciuXSettings(population=6, parents=3)
    breeder = Breeder(settings, (4, 1, 5, 4), np.random.default_rng(0))
    start = np.array([2, 0, 2, 2])
    first = [breeder.propose(start) for _ in range(6)]
    assert all(np.abs(child - start).max() == 1 or (child == start).all() for child in first)
    for child in first:
        breeder.add(child, float(SCORES(child[None])[0]))
    best = min(first, key=lambda child: SCORES(child[None])[0])
    breeder.propose(start)
    assert [member.design.tolist() for member in breeder._population] == [best.tolist()]


def test_reinforce_learns_what_can_be_built():
    """Under a tight budget the share of unrealizable proposals falls."""
    designs = toy_space(6, 6, 6).feasible((sum_below(5),))
    agent = make_agent("confuciux", designs, Seeds(root=0), learning=1.0, learning_rate=0.01)
    context, evaluator = context_of(designs, budget=10_000), Evaluator(designs.space, bowl((0, 1, 2)))
    counts = []
    for _ in range(60):
        asked = agent.ask(1, context)
        agent.tell(asked, evaluator(asked))
        counts.append(agent.unrealizable)
    assert counts[59] - counts[39] < counts[19] / 2


@pytest.mark.parametrize("options", [{"hot": 0.1, "cold": 0.2}, {"cold": 0.0}])
def test_annealing_refuses_temperatures_that_do_not_fall(options):
    with pytest.raises(SettingsError, match="must fall"):
        make_agent("annealing", DESIGNS, Seeds(root=0), **options)


@pytest.mark.parametrize("options", [{"learning": 1.5}, {"parents": 30}, {"elite": 0}])
def test_confuciux_refuses_impossible_sizes(options):
    with pytest.raises(SettingsError, match="must"):
        make_agent("confuciux", DESIGNS, Seeds(root=0), **options)


def test_options_reach_the_libraries():
    ours = make_agent("sb3_ppo", DESIGNS, Seeds(root=0)).model(environment(), 0)
    given = make_agent("sb3_ppo", DESIGNS, Seeds(root=0), episodes=2, n_epochs=3).model(environment(), 0)
    assert (ours.n_steps, ours.n_epochs) == (32 * 4, 6)
    assert (given.n_steps, given.batch_size, given.n_epochs) == (2 * 4, 2 * 4, 3)
    sampler = make_agent("optuna_nsga2", DESIGNS, Seeds(root=0), population_size=7).sampler(0)
    assert sampler.population_size == 7


def test_an_unknown_agent_gets_the_nearest_name():
    with pytest.raises(SettingsError, match="did you mean sb3_maskable_ppo"):
        make_agent("maskable_ppo", DESIGNS, Seeds(root=0))


@pytest.mark.parametrize(("name", "library"), [("optuna_tpe", "optuna"), ("sb3_dqn", "sb3_contrib")])
def test_a_missing_extra_is_said(name, library):
    code = (
        "import sys\nsys.modules['optuna'] = sys.modules['sb3_contrib'] = None\n"
        "from rhnas.cli.app import main\n"
        f"main(['optimize', '--network', 'resnet20', '--limit', 'macs=256', '--agent', {name!r}])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 3
    assert f"must have {library} installed" in ended.stderr.replace("\n", " ")
    assert "rhnas[rl]" in ended.stderr.replace("\n", "")
