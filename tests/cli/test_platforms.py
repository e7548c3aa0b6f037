"""Other platforms as a user or a script meets them, and every agent on one."""

import json
from pathlib import Path

import numpy as np
import pytest

from rhnas.agents.registry import AGENTS, EXTRA
from rhnas.cli.app import main
from rhnas.networks.zoo import load_network
from rhnas.optimize import Question, Task, optimize
from rhnas.platform import load_platform
from rhnas.workload import Workload

EXAMPLES = Path(__file__).parent.parent.parent / "examples" / "own_accelerator"
COMMAND, TABLE = f"command:{EXAMPLES / 'chip.toml'}", f"table:{EXAMPLES / 'measured.csv'}"
COST, OPTIMIZE = (["cost", "--network", "resnet20"], ["optimize", "--network", "resnet20"])


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """One for all tests here: the example's command is asked about each design once."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "platforms"))


def run(capsys, *arguments):
    """Exit code and what was printed as JSON."""
    with pytest.raises(SystemExit) as caught:
        main([*arguments, "--json"])
    return caught.value.code, json.loads(capsys.readouterr().out)


def test_space_counts_the_systolic_array(capsys):
    code, found = run(capsys, "space", "--platform", "systolic")
    assert code == 0
    assert (found["points"], found["realizable"]) == (165_888, 94_527)
    assert found["by_rule"]["weight.tile"] == 2_592


def test_explain_names_the_rule_and_its_fix(capsys):
    arguments = ["explain", "--platform", "systolic", "--accelerator", "ROWS=48", "--network", "resnet18"]
    code, found = run(capsys, *arguments)
    assert code == 1
    assert [rule["name"] for rule in found["rules"] if rule["slack"] < 0] == ["input.lines"]
    assert found["fix"] == "ROWS=32"
    assert found["chainable"]
    assert found["fits"] == {}


@pytest.mark.parametrize(("platform", "designs"), [("systolic", None), (COMMAND, 75), (TABLE, 9)])
def test_cost_and_space_know_every_platform(capsys, platform, designs):
    code, found = run(capsys, "cost", "--platform", platform, "--network", "resnet20")
    assert code == 0
    assert found["cycles"] == sum(row["cycles"] for row in found["layers"]) > found["bound_cycles"] > 0
    code, space = run(capsys, "space", "--platform", platform)
    assert code == 0
    assert designs in {None, space["points"]}


def test_workers_change_the_time_only(capsys, monkeypatch, tmp_path):
    arguments = ["optimize", "--platform", COMMAND, "--network", "resnet20", "--budget", "12"]
    arguments += ["--agent", "hill_climbing"]
    code, alone = run(capsys, *arguments)
    assert code == 0
    assert alone["optimum"] is None  # costs may take minutes: nobody asked for it
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert run(capsys, *arguments, "--workers", "4") == (0, alone)
    assert run(capsys, *arguments, "--optimum")[1]["gap"] >= 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["space", "--platform", "tpu"], "platform must be one of"),
        (["space", "vta", "--platform", "systolic"], "accelerator space must be one of"),
        (["space", "--platform", "command"], "NAME:FILE"),
        (
            ["cost", "--network", "resnet20", "--platform", TABLE, "--technology", "dosa40"],
            "must be an option",
        ),
        (
            ["optimize", "--network", "resnet20", "--platform", "systolic", "--workers", "2"],
            "must be an option",
        ),
        (
            ["optimize", "--network", "resnet20", "--platform", "systolic", "--fpga", "xc7z020"],
            "no model of FPGAs",
        ),
        (["optimize", "--network", "resnet18", "--platform", TABLE], "must have rows for every layer"),
    ],
)
def test_mistakes_are_told(capsys, arguments, told):
    code, found = run(capsys, *arguments)
    assert code == 2
    assert told in found["error"]["what"]


QUICK = ("ppo", "hill_climbing", "local_search", "annealing", "random", "confuciux", "exhaustive")


@pytest.mark.filterwarnings("ignore:invalid value encountered in divide:RuntimeWarning")  # Optuna's GP
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in AGENTS]
)
def test_every_agent_searches_the_systolic_array(name):
    extra = {"optuna": "optuna", "sb3": "stable_baselines3"}.get(name.partition("_")[0])
    if extra in EXTRA:
        pytest.importorskip(extra)
    network = Workload(name="one", layers=load_network("resnet20").layers[:1])
    limits = {"macs": 64, "sram_kib": 48, "bus_bits": 64}
    task = Task(load_platform("systolic"), Question(network=network, space="systolic", limits=limits))
    assert task.designs.count > 100
    answer = optimize(task, task.agent(name, 0), budget=24, yardstick=False)
    assert 1 <= answer.evaluations <= 24
    assert task.designs.contains(task.space.encode(answer.best.accelerator)[None]).all()


def test_the_environment_takes_any_platform():
    pytest.importorskip("gymnasium")
    from rhnas.gym import accelerator_env

    env = accelerator_env("resnet20", limits={"ROWS": 16}, platform=TABLE)
    env.reset(seed=0)
    done = False
    while not done:
        _, reward, done, _, _ = env.step(int(np.flatnonzero(env.action_masks())[0]))
    assert np.isfinite(reward)
    assert env.price.evaluator.evaluations == 1


def test_a_proved_bound_is_below_the_optimum():
    network = Workload(name="one", layers=load_network("resnet20").layers[:1])
    limits = {"macs": 256, "sram_kib": 64}
    task = Task(load_platform("systolic"), Question(network=network, space="systolic", limits=limits))
    exact = optimize(task, task.agent("local_search", 0), budget=20)
    limited = optimize(task, task.agent("local_search", 0), budget=20, effort=2_000)
    assert limited.bound <= exact.optimum.value(task.question.objective) * (1 + 1e-12)
    assert exact.gap >= 0
    assert limited.bound > 0
