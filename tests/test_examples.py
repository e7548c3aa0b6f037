"""The examples do what they say."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from rhnas.agents.base import SearchContext
from rhnas.cli import app
from rhnas.nas.data.load import load_data
from rhnas.nas.search import DifferentiableSearch
from rhnas.nas.supernet import SuperNet
from rhnas.networks.spaces.registry import network_space
from rhnas.platform import Objective, Outcome, load_platform
from rhnas.seeds import Seeds
from rhnas.settings import NasSettings

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture(scope="module")
def own_agent():
    spec = importlib.util.spec_from_file_location("own_agent", EXAMPLES / "own_agent.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def context():
    designs = load_platform("vta").space("vta-intel").feasible()
    start = designs.sample(1, np.random.default_rng(0))[0]
    return SearchContext(
        designs=designs, objective=Objective.EDP, start=start, features=np.zeros(1), budget=300
    )


def score(designs):
    """A bowl with its bottom at 3 in every choice."""
    return Outcome(
        objectives=((designs - 3) ** 2).sum(1, keepdims=True) * 1.0, slack=np.zeros((len(designs), 1))
    )


def run(agent, context, turns: int) -> float:
    best = np.inf
    for _ in range(turns):
        designs = agent.ask(32, context)
        assert context.designs.contains(designs).all()
        assert 1 <= len(designs) <= 32
        outcome = score(designs)
        agent.tell(designs, outcome)
        best = min(best, outcome.objectives.min())
    return best


def test_the_agent_learns_and_proposes_only_what_can_be_built(own_agent, context):
    optimum = score(context.designs.all()).objectives.min()
    assert run(own_agent.Evolution(np.random.default_rng(0)), context, 20) == optimum


def test_the_agent_continues_as_if_never_stopped(own_agent, context):
    whole, stopped = (own_agent.Evolution(np.random.default_rng(5)) for _ in range(2))
    run(whole, context, 3)
    run(stopped, context, 3)
    resumed = own_agent.Evolution(np.random.default_rng(9))
    resumed.restore(stopped.state())
    np.testing.assert_array_equal(resumed.ask(16, context), whole.ask(16, context))


def test_the_space_is_searched_like_any_other():
    space = network_space(f"{EXAMPLES / 'own_space.py'}:Pyramid")
    assert [len(decision.options) for decision in space.decisions] == [4, 4, 2, 4, 4]
    rng = np.random.default_rng(0)
    for _ in range(100):
        network = space.sample(rng)
        cells = [term.layers[tuple(network[d] for d in term.decisions)] for term in space.terms]
        assert sum(layer.macs for cell in cells for layer in cell) == space.workload(network).macs
    seeds = Seeds(root=0)
    data = load_data("digits", seeds, picture=space.picture, train=64)
    settings = NasSettings(epochs=2, warmup=1, batch=32)
    search = DifferentiableSearch(SuperNet(space, seeds), settings, data, seeds)
    while not search.finished:
        search.step()
    assert (search.supernet.alpha.abs().max(1).values > 0).all()
    assert space.check(search.derive()[0].architecture)


def test_an_example_is_short():
    assert len((EXAMPLES / "own_space.py").read_text().splitlines()) <= 40


def test_the_configuration_is_refused_with_its_fix(capsys):
    with pytest.raises(SystemExit) as ended:
        app.main(["explain", "--accelerator", str(EXAMPLES / "my_vta_config.json"), "--json"])
    assert ended.value.code == 1
    told = json.loads(capsys.readouterr().out)
    broken = {rule["name"]: rule["fix"] for rule in told["rules"] if rule["slack"] < 0}
    assert broken == {"R2": "LOG_ACC_BUFF_SIZE=17", "R4": "LOG_ACC_BUFF_SIZE=17"}
