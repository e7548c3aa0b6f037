"""The search loop and the command over the real platform."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from rhnas.agents.base import HardwareAgent
from rhnas.agents.evaluator import Evaluator
from rhnas.cli.app import main
from rhnas.cli.optimize import parse_limits
from rhnas.errors import SettingsError
from rhnas.networks.zoo import load_network
from rhnas.optimize import Question, Task, optimize, search
from rhnas.platform import Objective, load_platform
from rhnas.workload import Workload
from tests.agents.toys import bowl, context_of, sum_below, toy_space


class Stubborn(HardwareAgent):
    """Always proposes the same design."""

    def __init__(self, design):
        self.design = np.array([design])
        self.told = 0

    def ask(self, n, context):
        return self.design

    def tell(self, designs, outcome):
        self.told += 1

    def state(self):
        return {}

    def restore(self, state):
        pass


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_the_loop_ends_when_an_agent_only_repeats_itself():
    designs = toy_space(3, 3).feasible()
    evaluator, agent = Evaluator(designs.space, bowl((0, 0))), Stubborn([1, 1])
    search(agent, context_of(designs), evaluator)
    assert evaluator.evaluations == 1
    assert agent.told > 1


def test_the_loop_refuses_infeasible_proposals_and_no_budget():
    designs = toy_space(3, 3).feasible((sum_below(3),))
    evaluator = Evaluator(designs.space, bowl((0, 0)))
    with pytest.raises(SettingsError, match="feasible designs only"):
        search(Stubborn([2, 2]), context_of(designs), evaluator)
    with pytest.raises(SettingsError, match="budget must be at least 1"):
        search(Stubborn([0, 0]), context_of(designs, budget=0), evaluator)


@pytest.mark.parametrize(
    ("text", "limits"), [("", {}), ("macs=256, bus_bits=64", {"macs": 256, "bus_bits": 64})]
)
def test_limits_are_read(text, limits):
    assert parse_limits(text) == limits


@pytest.mark.parametrize("text", ["macs", "=3", "macs=", "macs=-1", "macs=1.5"])
def test_malformed_limits_are_refused(text):
    with pytest.raises(SettingsError, match="NAME=INTEGER"):
        parse_limits(text)


LAST_LAYER = Workload(name="last", layers=(load_network("resnet18").without(["avgpool"]).layers[-1],))


@pytest.fixture(scope="module")
def small_task():
    platform = load_platform("vta")
    limits = {"macs": 256, "sram_kib": 448}
    return Task(platform, Question(network=LAST_LAYER, space="vta-intel", limits=limits))


def test_the_gap_is_against_every_feasible_design(small_task):
    answer = optimize(small_task, small_task.agent("local_search", seed=0), budget=40)
    scores = small_task.costs(small_task.designs.all())
    assert answer.optimum is not None
    assert np.log(answer.optimum.cycles * answer.optimum.energy_pj) == pytest.approx(np.nanmin(scores))
    assert answer.evaluations == 40
    assert answer.gap is not None
    assert answer.gap >= 0
    assert answer.default is not None
    assert answer.best.edp_uj_ms <= answer.default.edp_uj_ms
    assert answer.best.accelerator["LOG_BLOCK_IN"] + answer.best.accelerator["LOG_BLOCK_OUT"] <= 8


def test_units_agree_with_each_other(small_task):
    priced = small_task.price({})
    assert priced is not None
    assert priced.latency_ms == pytest.approx(priced.cycles / 100e3)
    assert priced.edp_uj_ms == pytest.approx(priced.cycles / 1e5 * priced.energy_pj / 1e6)
    assert [priced.value(objective) for objective in Objective] == [
        priced.latency_ms,
        priced.energy_uj,
        priced.edp_uj_ms,
    ]


@pytest.mark.slow
def test_the_command_prints_one_object(capsys):
    arguments = ["optimize", "--network", "resnet20", "--agent", "hill_climbing", "--budget", "30", "--json"]
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--limit", "macs=256,sram_kib=448"])
    assert ended.value.code == 0
    found = json.loads(capsys.readouterr().out)
    assert found["evaluations"] == 30
    assert found["gap"] == pytest.approx(found["objective"] / found["optimum"] - 1)
    assert {"LOG_BLOCK_IN", "cycles", "latency_ms", "energy_uj", "edp_uj_ms"} <= set(found["best"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--agent", "genius"], "agent must be one of"),
        (["--objective", "beauty"], "objective must be one of"),
        (["--space", "moon"], "space must be one of"),
        (["--limit", "macs=1,sram_kib=1"], "at least one design"),
        (["--budget", "0"], "budget must be at least 1"),
    ],
)
def test_mistakes_are_explained(change, message, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["optimize", "--network", "resnet20", *change, "--json"])
    assert ended.value.code == 2
    assert message in json.loads(capsys.readouterr().out)["error"]["what"]


def test_simple_agents_do_not_import_torch():
    code = (
        "import sys, rhnas.optimize, rhnas.cli.optimize; from rhnas.agents.registry import make_agent; "
        "from rhnas.platform import load_platform; from rhnas.seeds import Seeds; "
        "designs = load_platform('vta').space('vta-intel').feasible(); "
        "[make_agent(name, designs, Seeds(root=0)) for name in ('hill_climbing', 'local_search', 'random')]; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
