"""A platform made of a file and a command: the contract, bad answers, the cache, workers."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from rhnas.errors import DataError, InfeasibleDesignError, MissingToolError, SettingsError, ToolFailedError
from rhnas.networks.zoo import load_network
from rhnas.optimize import Question, Task, optimize
from rhnas.platform import Objective, load_platform
from rhnas.platforms.command import CommandPlatform
from rhnas.pricing import price_network
from rhnas.space import DesignBatch
from rhnas.workload import Layer, Workload
from tests.platform_contract import PlatformContract

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "own_accelerator" / "chip.toml"
LAYER = Layer(name="conv", channels=(16, 32), size=(8, 8), kernel=(3, 3), padding=(1, 1))
OTHER = Layer(name="fc", channels=(64, 10))

FILE = """
name = "toy"
command = ["python", "-S", "-E", "price.py"]
time_limit_s = 20
{more}
[choices]
A = [1, 2, 4]
B = [1, 2, 3]
[default]
A = 1
B = 2
[bounds]
macs_per_cycle = ["A", 100]
"""
GOOD = """
import json, sys
question = json.load(sys.stdin)
with open("calls", "a") as calls:
    calls.write("x")
a, b = question["accelerator"]["A"], question["accelerator"]["B"]
layers = [{"mappings": [
    {"cycles": 3 * layer["macs"] // a + 100, "energy_pj": layer["macs"] * b},
    {"cycles": 4 * layer["macs"] // a + 100, "energy_pj": layer["macs"] * b * 0.5},
]} for layer in question["layers"]]
answer = {"layers": layers, "launch": {"cycles": 7, "energy_pj": 1.5}}
"""
PRINT = "print(json.dumps(answer))\n"
SEARCH = """
import signal
import sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it otherwise
import numpy as np
from rhnas.platform import load_platform
from rhnas.workload import Layer
platform = load_platform(sys.argv[1])
space = platform.space("toy")
batch = space.decode(space.unravel(np.arange(9)))
layer = Layer(name="conv", channels=(16, 32), size=(8, 8), kernel=(3, 3), padding=(1, 1))
platform.cost_model(workers=2).evaluate(batch, [layer])
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def make(tmp_path):
    """A platform in a folder of its own whose command runs a script."""

    def make(script: str = GOOD + PRINT, more: str = "") -> CommandPlatform:
        (tmp_path / "price.py").write_text(script)
        (tmp_path / "toy.toml").write_text(FILE.replace("{more}", more))
        return load_platform(f"command:{tmp_path / 'toy.toml'}")

    return make


def calls(tmp_path: Path) -> int:
    return len((tmp_path / "calls").read_text()) if (tmp_path / "calls").exists() else 0


class TestCommand(PlatformContract):
    @pytest.fixture(autouse=True)
    def own_cache(self, tmp_path_factory, monkeypatch):
        """One for all of these tests, which ask about the same designs."""
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "contract"))

    @pytest.fixture
    def platform(self):
        return load_platform(f"command:{EXAMPLE}")

    @pytest.fixture
    def space(self, platform):
        return platform.space("chip")

    @pytest.fixture
    def limits(self):
        return {"macs": 256}


def test_answers_become_hulls_with_a_launch(make):
    cost = make().cost_model().evaluate(DesignBatch.of({"A": 2, "B": 3}), [LAYER, OTHER, LAYER])
    macs = LAYER.macs
    assert cost.cycles[0, 0].tolist() == [3 * macs // 2 + 100, 4 * macs // 2 + 100]
    assert cost.energy_pj[0, 2].tolist() == [macs * 3, macs * 1.5]
    assert (cost.launch_cycles[0], cost.launch_energy_pj[0]) == (7, 1.5)


def test_nothing_is_asked_twice(make, tmp_path):
    batch = DesignBatch.of({"A": 2, "B": 3}, {"A": 1, "B": 1}, {"A": 2, "B": 3})
    first = make().cost_model().evaluate(batch, [LAYER])
    assert calls(tmp_path) == 2
    again = make().cost_model().evaluate(batch, [LAYER])  # another process would read the same file
    assert calls(tmp_path) == 2
    assert (again.cycles == first.cycles).all()
    make().cost_model().evaluate(batch, [LAYER, OTHER])
    assert calls(tmp_path) == 4  # about the new layer only
    make(GOOD + "\n" + PRINT).cost_model().evaluate(batch, [LAYER])  # another script, other answers
    assert calls(tmp_path) == 6


def test_a_cache_that_cannot_be_written_costs_time_only(make, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    cost = make().cost_model().evaluate(DesignBatch.of({"A": 1, "B": 1}), [LAYER])
    assert cost.mapped.all()


def test_many_workers_give_what_one_gives(make, tmp_path):
    space = make().space("toy")
    batch = space.decode(space.unravel(np.arange(9)))
    whole = make().cost_model(workers=4).evaluate(batch, [LAYER, OTHER])
    assert calls(tmp_path) == 9
    alone = make(GOOD + "\n\n" + PRINT).cost_model().evaluate(batch, [LAYER, OTHER])
    assert calls(tmp_path) == 18
    for name in ("cycles", "energy_pj", "mapped", "launch_cycles"):
        assert (getattr(whole, name) == getattr(alone, name)).all()


@pytest.mark.parametrize(
    ("script", "error", "told"),
    [
        ("import time\ntime.sleep(60)", ToolFailedError, "must answer within 0.5 s"),
        ("print('hello')", ToolFailedError, "must print one JSON object; got hello"),
        ("", ToolFailedError, "must print one JSON object; got nothing"),
        ("print([1])", ToolFailedError, "one JSON object; got list"),
        ("import sys\nsys.exit('no\\nlicence')", ToolFailedError, "exit code 0; got 1: no\nlicence"),
        (GOOD + "del answer['layers']\n" + PRINT, DataError, "must have 'layers' with one entry for each"),
        (GOOD + "layers.pop()\n" + PRINT, DataError, "got 0 entries"),
        (
            GOOD + "layers[0] = {'cycles': 10**9}\n" + PRINT,
            DataError,
            "conv .conv, 16 to 32.* have 'energy_pj'",
        ),
        (GOOD + "layers[0]['mappings'] = []\n" + PRINT, DataError, "at least one mapping"),
        (
            GOOD + "layers[0] = {'cycles': 1.5, 'energy_pj': 1}\n" + PRINT,
            DataError,
            "'cycles' that is a whole number of at least 1; got 1.5",
        ),
        (
            GOOD + "layers[0] = {'cycles': 10**9, 'energy_pj': float('nan')}\n" + PRINT,
            DataError,
            "'energy_pj' that is positive; got nan",
        ),
        (
            GOOD + "layers[0] = {'cycles': 2948, 'energy_pj': 1}\n" + PRINT,
            DataError,
            "below its physical bound of 2950 cycles; got 2948",
        ),
        (GOOD + "answer['launch'] = {'cycles': -1}\n" + PRINT, DataError, "not negative, in 'launch'"),
        (GOOD + "layers[0] = {'infeasible': ''}\n" + PRINT, DataError, "a reason in 'infeasible'"),
        (GOOD + "layers[0] = 3\n" + PRINT, DataError, "must be a JSON object; got 3"),
    ],
)
def test_bad_answers_are_told_and_lose_nothing(make, tmp_path, script, error, told):
    """The first design is priced by a good command of the same words, the second by a bad one."""
    model = make().cost_model()
    known, new = DesignBatch.of({"A": 1, "B": 1}), DesignBatch.of({"A": 1, "B": 1}, {"A": 1, "B": 2})
    model.evaluate(known, [LAYER])
    assert calls(tmp_path) == 1
    (tmp_path / "price.py").write_text(script)  # answers stay under the old name
    hasty = model._command.__class__(
        words=model._command.words, folder=tmp_path, time_limit_s=0.5 if "sleep" in script else 20, retries=0
    )
    model._command = hasty
    with pytest.raises(error, match=told):
        model.evaluate(new, [LAYER])
    assert model.evaluate(known, [LAYER]).mapped.all()


def test_a_command_that_fails_now_and_then_is_asked_again(make, tmp_path):
    flaky = "import os, sys\nif not os.path.exists('once'):\n    open('once', 'w').close()\n    sys.exit(3)\n"
    batch = DesignBatch.of({"A": 1, "B": 1})
    assert make(flaky + GOOD + PRINT, "retries = 1").cost_model().evaluate(batch, [LAYER]).mapped.all()
    with pytest.raises(ToolFailedError, match=r"attempt 3 of 3"):
        make("import sys\nsys.exit(2)", "retries = 2").cost_model().evaluate(batch, [LAYER])


def test_with_workers_the_answers_beside_a_failure_are_kept(make, tmp_path):
    bad = "if (a, b) == (1, 1):\n    sys.exit('broken')\n"
    batch = DesignBatch.of({"A": 1, "B": 1}, {"A": 2, "B": 1})
    model = make(GOOD + bad + PRINT).cost_model(workers=2)
    with pytest.raises(ToolFailedError, match="broken"):
        model.evaluate(batch, [LAYER])
    before = calls(tmp_path)
    make(GOOD + bad + PRINT).cost_model().evaluate(DesignBatch.of({"A": 2, "B": 1}), [LAYER])
    assert calls(tmp_path) == before


def test_what_a_hanging_command_started_is_killed_with_it(make, tmp_path):
    script = "import subprocess, sys, time\nsubprocess.Popen(['sleep', '61'])\ntime.sleep(60)"
    model = make(script, "").cost_model()
    model._command = model._command.__class__(
        words=model._command.words, folder=tmp_path, time_limit_s=1, retries=0
    )
    began = time.monotonic()
    with pytest.raises(ToolFailedError, match="within 1 s"):
        model.evaluate(DesignBatch.of({"A": 1, "B": 1}), [LAYER])
    assert time.monotonic() - began < 30


def test_a_killed_search_goes_on_where_it_was(make, tmp_path):
    """The search is killed in the middle; what it had priced is not priced again."""
    slow = "import time\ntime.sleep(0.8)\n"
    make(slow + GOOD + PRINT)
    running = subprocess.Popen([sys.executable, "-c", SEARCH, f"command:{tmp_path / 'toy.toml'}"])
    limit = time.monotonic() + 60
    while calls(tmp_path) < 4 and time.monotonic() < limit:
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    running.wait()
    time.sleep(2)  # what it had started ends by itself
    killed = calls(tmp_path)
    assert 4 <= killed < 9
    platform = load_platform(f"command:{tmp_path / 'toy.toml'}")
    space = platform.space("toy")
    model = platform.cost_model(workers=2)
    model.evaluate(space.decode(space.unravel(np.arange(9))), [LAYER])
    assert model.asked <= 9 - (killed - 2)  # two may have been under way


def test_an_interrupt_ends_what_runs(make, tmp_path):
    script = "import os, time\nopen(f'pid{os.getpid()}', 'w').close()\ntime.sleep(60)\n"
    make(script, "retries = 3")
    running = subprocess.Popen(
        [sys.executable, "-c", SEARCH, f"command:{tmp_path / 'toy.toml'}"], stderr=subprocess.PIPE
    )
    limit = time.monotonic() + 60
    while len(list(tmp_path.glob("pid*"))) < 2 and time.monotonic() < limit:
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    _, told = running.communicate(timeout=30)
    assert b"KeyboardInterrupt" in told
    started = [int(path.name[3:]) for path in tmp_path.glob("pid*")]
    assert len(started) == 2
    for pid in started:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_refusal_is_data_with_a_reason(make):
    refuse = "if b == 3:\n    answer = {'infeasible': 'too_wide: B must be below 3'}\n"
    platform = make(GOOD + refuse + PRINT)
    network = Workload(name="one", layers=(LAYER,))
    with pytest.raises(InfeasibleDesignError, match=r"none on 1_3 for conv \(too_wide: B must be below 3\)"):
        price_network(platform, {"A": 1, "B": 3}, network, platform.cost_model())
    task = Task(platform, Question(network=network, space="toy", objective=Objective.LATENCY))
    assert task.designs.count == 9
    answer = optimize(task, task.agent("exhaustive", 0), budget=9)
    assert answer.evaluations == 9
    assert answer.best.accelerator["A"] == 4
    assert answer.best.accelerator["B"] < 3
    masked = make(GOOD + refuse + PRINT, 'infeasible = "mask"')
    assert Task(masked, Question(network=network, space="toy")).designs.count == 6


@pytest.mark.parametrize(
    ("wrong", "right", "told"),
    [
        ('name = "toy"', "", "must have name"),
        (
            "time_limit_s = 20",
            "time_limit = 20",
            "must be known; got time_limit; did you mean time_limit_s",
        ),
        ("time_limit_s = 20", "time_limit_s = 0", "time_limit_s: input should be greater than 0"),
        ("A = [1, 2, 4]", "A = [1, 4, 2]", "must ascend"),
        ("B = 2", "", "default must have the choices' names in their order; got A; write A, B"),
        ('["A", 100]', '["C", 100]', "bounds.macs_per_cycle must name choices; got C"),
        ("[choices]", "[choices", "must be TOML"),
        ("{more}", 'files = ["absent.bin"]', "files must name readable files; got absent.bin"),
        (
            "{more}",
            '[[rules]]\nname = "r"\nproduct = ["A"]\nreason = "x"\nsource = "y"',
            "must have at_most or at_least",
        ),
    ],
)
def test_a_wrong_file_is_told(tmp_path, wrong, right, told):
    path = tmp_path / "toy.toml"
    path.write_text(FILE.replace(wrong, right).replace("{more}", ""))
    with pytest.raises(SettingsError, match=told):
        CommandPlatform(path).cost_model()


def test_platforms_that_need_a_file_say_so(tmp_path):
    with pytest.raises(SettingsError, match="NAME:FILE"):
        load_platform("command")
    with pytest.raises(SettingsError, match="NAME:FILE"):
        load_platform("systolic:x.toml")
    with pytest.raises(SettingsError, match="must be readable"):
        load_platform(f"command:{tmp_path / 'absent.toml'}")


def test_a_program_that_is_not_there_is_told(make):
    platform = make()
    platform._file = platform._file.model_copy(update={"command": ("no-such-program",)})
    with pytest.raises(MissingToolError, match="no-such-program"):
        platform.cost_model().evaluate(DesignBatch.of({"A": 1, "B": 1}), [LAYER])


def test_a_file_in_json_means_the_same(tmp_path, make):
    toml = make()
    (tmp_path / "toy.json").write_text(json.dumps(toml._file.model_dump()))
    assert CommandPlatform(tmp_path / "toy.json")._file == toml._file


def test_the_example_prices_a_real_network():
    platform = load_platform(f"command:{EXAMPLE}")
    network = load_network("resnet20")
    priced = price_network(platform, platform.default(), network, platform.cost_model())
    assert priced.cycles > priced.bound_cycles > network.macs / 256
