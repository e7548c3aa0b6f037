"""The benchmark on a problem small enough to check by hand and by enumeration."""

import json
import os
import signal
from dataclasses import replace

import numpy as np
import pytest

from rhnas.bench import play as playing
from rhnas.bench import problem as problems
from rhnas.bench.ledger import Budget, Ledger
from rhnas.bench.play import Plan, bench, play
from rhnas.bench.problem import BENCHMARKS, Benchmark, TabularProblem, benchmark_named
from rhnas.bench.schemes.registry import TABULAR, tabular_scheme
from rhnas.bench.summary import paired
from rhnas.bench.tables import SizesPredictor, all_networks, table_path, trained_sizes
from rhnas.bench.yardstick import exact_front, front_share, yardstick
from rhnas.errors import DataError, RhnasError, SettingsError
from rhnas.files import find_data
from rhnas.networks.spaces.registry import network_space
from rhnas.pareto import hypervolume
from rhnas.seeds import Seeds
from rhnas.space import DesignBatch
from tests.bench.tiny import SPACE

BUDGET = Budget(lookups=30, designs=20)


def tiny_accuracy(space) -> np.ndarray:
    """Wider, deeper and denser is better; the same network has one value."""
    rows = all_networks(space)
    values = np.array([8, 16])[rows[:, 0]] + 2.0 * rows[:, 1] + rows[:, 2] + 3.0 * rows[:, 5]
    values = values - 0.5 * rows[:, 3] - 0.5 * rows[:, 4] * rows[:, 2] - 0.7 * rows[:, 7]
    return 80 + values / 3


TINY = Benchmark(
    name="tiny",
    networks="digits",
    accuracy=tiny_accuracy,
    space="vta-intel",
    limits={"macs": 128, "sram_kib": 160},
    span=(83.0, 87.0),
    thresholds=(84.0, 86.0),
    about="a test",
)


@pytest.fixture(scope="module")
def tiny() -> TabularProblem:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(problems, "network_space", lambda _: SPACE)
        return TabularProblem.of(TINY)


def test_the_yardstick_is_that_of_enumeration(tiny):
    whole = np.stack([tiny.scores(d) for d in range(tiny.designs.count)], axis=1)  # (N, B)
    assert tiny.best[0] == pytest.approx(whole.min(axis=1), abs=1e-12)
    for threshold in tiny.benchmark.thresholds:
        held = tiny.accuracy >= threshold
        yard = yardstick(tiny, threshold)
        assert yard.joint == whole[held].min()
        first = np.flatnonzero(held)[tiny.reference_scores[held].argmin()]
        assert yard.two_stage == whole[first].min()
        assert yard.headroom >= 1
    accuracies = [accuracy for accuracy, _ in exact_front(tiny)]
    assert accuracies == sorted(accuracies, reverse=True)
    assert front_share(tiny, exact_front(tiny)) == 1


def test_pair_costs_are_those_of_the_cost_model(tiny):
    for network, design in ((0, 0), (37, 5), (len(tiny.options) - 1, tiny.designs.count - 1)):
        workload = SPACE.workload(tuple(tiny.options[network].tolist()))
        batch = tiny.space.decode(tiny.designs.all()[design : design + 1])
        totals = tiny.platform.cost_model().evaluate(batch, workload.layers).totals(tiny.objective)
        assert tiny.scores(design)[network] == pytest.approx(np.log(totals.cycles * totals.energy_pj)[0])


def test_operations_of_blocks_that_do_not_run_make_no_other_network(tiny):
    shapes = [tuple(layer.shape for layer in SPACE.workload(tuple(row))) for row in tiny.options.tolist()]
    for network, first in enumerate(tiny.identity.tolist()):
        assert shapes[network] == shapes[first]
        assert tiny.accuracy[network] == tiny.accuracy[first]
    assert len(set(shapes)) <= len(set(tiny.identity.tolist())) < len(shapes)


@pytest.mark.parametrize("name", sorted(TABULAR))
def test_schemes_keep_their_budget_and_repeat(tiny, name):
    rows = [play(tiny, name, seed=3, budget=BUDGET) for _ in range(2)]
    for row in rows:
        for run in row["runs"]:
            assert 0 < run["lookups"] <= BUDGET.lookups
            enumerates = tabular_scheme(name).enumerates
            assert run["designs"] == tiny.designs.count if enumerates else run["designs"] <= BUDGET.designs
            assert run["regret"] is None or run["regret"] >= 0
            regrets = [step[2] for step in run["trace"]]
            assert regrets == sorted(regrets, reverse=True)
            run["seconds"] = 0
    assert rows[0] == rows[1]
    assert 0 <= rows[0]["hypervolume"] <= 1


def test_enumeration_of_everything_is_the_optimum(tiny):
    budget = Budget(lookups=len(tiny.options), designs=1)
    row = play(tiny, "enumerate", 0, budget)
    assert [run["regret"] for run in row["runs"]] == [0, 0]
    assert row["hypervolume"] == 1


def test_exact_best_response_finds_the_optimum(tiny):
    row = play(tiny, "exact", 0, replace(BUDGET, lookups=60))
    assert [run["regret"] for run in row["runs"]] == [0, 0]


def test_two_stages_answer_with_one_network(tiny):
    ledger = Ledger(tiny, 84.0, BUDGET)
    answer = tabular_scheme("two_stage").run(ledger, Seeds(root=0))
    assert len(answer) == 1
    best = ledger.improvements(answer)[-1].score
    assert best >= ledger.improvements(None)[-1].score
    assert best == ledger.pair_scores(answer).min()


def test_a_ledger_answers_no_more_than_its_budget(tiny):
    ledger = Ledger(tiny, 84.0, Budget(lookups=2, designs=5))
    distinct = np.unique(tiny.identity)[:3]
    found = ledger.look_up(distinct)
    assert np.isnan(found).tolist() == [False, False, True]
    assert ledger.look_up(distinct[:1])[0] == tiny.accuracy[distinct[0]]
    assert ledger.lookups_left == 0


def plan(**changes) -> Plan:
    given = {"benchmark": "digits-sizes", "schemes": ("enumerate", "joint_evolution"), "seeds": 2}
    return Plan(**(given | {"budget": BUDGET} | changes))


def test_a_resumed_bench_is_an_uninterrupted_one(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(playing.TabularProblem, "of", lambda _: tiny)
    whole = bench(plan(), tmp_path / "whole", resume=False, progress=lambda *_: None)
    bench(plan(), tmp_path / "cut", resume=False, progress=lambda *_: None)
    journal = tmp_path / "cut" / "digits-sizes.jsonl"
    lines = journal.read_text().splitlines()
    journal.write_text("\n".join(lines[:2]) + "\n" + lines[2][:40])  # killed within a line
    played = []
    monkeypatch.setattr(playing, "play", lambda *a: played.append(a[1:3]) or play(*a))
    again = bench(plan(), tmp_path / "cut", resume=True, progress=lambda *_: None)
    assert len(played) == 2
    for result in (whole, again):
        for row in result["runs"]:
            for run in row["runs"]:
                run["seconds"] = 0
        result["schemes"] = {name: row | {"seconds": 0} for name, row in result["schemes"].items()}
    assert again == whole
    with pytest.raises(SettingsError, match="resume"):
        bench(plan(), tmp_path / "cut", resume=False, progress=lambda *_: None)
    with pytest.raises(SettingsError, match="budget"):
        bench(plan(budget=Budget()), tmp_path / "cut", resume=True, progress=lambda *_: None)
    assert json.loads((tmp_path / "cut" / "digits-sizes.json").read_text())["schema"] == 1
    monkeypatch.setattr(playing, "provenance", lambda **_: {"commit": "a later one"})
    assert bench(plan(), tmp_path / "cut", resume=True, progress=lambda *_: None)["provenance"] != {
        "commit": "a later one"
    }


def test_runs_of_what_a_benchmark_was_before_are_refused(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(playing.TabularProblem, "of", lambda _: tiny)
    bench(plan(seeds=1), tmp_path, resume=False, progress=lambda *_: None)
    kept = (tmp_path / "digits-sizes.jsonl").read_bytes()
    for changed in (
        replace(tiny, accuracy=tiny.accuracy + 0.5),
        replace(
            tiny,
            reference=tiny.platform.cost_model(technology="horowitz45").evaluate(
                DesignBatch.of(tiny.platform.default()), tiny.networks.layers
            ),
        ),
    ):
        monkeypatch.setattr(playing.TabularProblem, "of", lambda _, changed=changed: changed)
        with pytest.raises(SettingsError, match="today's problem"):
            bench(plan(seeds=1), tmp_path, resume=True, progress=lambda *_: None)
    assert (tmp_path / "digits-sizes.jsonl").read_bytes() == kept
    assert replace(tiny).fingerprint == tiny.fingerprint


def test_unknown_names_are_answered_with_the_nearest():
    with pytest.raises(SettingsError, match="did you mean macro"):
        benchmark_named("makro")
    with pytest.raises(SettingsError, match="did you mean two_stage"):
        plan(schemes=("twostage",))
    with pytest.raises(SettingsError, match="seeds"):
        plan(seeds=0)


def test_a_missing_or_incomplete_table_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("RHNAS_DATA", str(tmp_path))
    with pytest.raises(DataError, match="NAS-Bench-Macro"):
        BENCHMARKS["macro"].accuracy(network_space("macro"))
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "nas-bench-macro_cifar10.json").write_text('{"00000000": {"mean_acc": 1.0}}')
    with pytest.raises(DataError, match="every network"):
        BENCHMARKS["macro"].accuracy(network_space("macro"))
    np.savez(tmp_path / "tables" / "nasbench201.npz", op_names=np.array(["none"]))
    with pytest.raises(DataError, match="every network"):
        BENCHMARKS["nasbench201"].accuracy(network_space("nasbench201"))


def test_published_tables_are_read_in_the_order_of_the_space():
    if find_data("tables/nas-bench-macro_cifar10.json") is None:
        pytest.skip("RHNAS_DATA has no tables/nas-bench-macro_cifar10.json")
    space = network_space("macro")
    accuracy = BENCHMARKS["macro"].accuracy(space)
    row = json.loads(table_path("tables/nas-bench-macro_cifar10.json").read_text())["21012012"]
    at = np.flatnonzero((all_networks(space) == [2, 1, 0, 1, 2, 0, 1, 2]).all(axis=1))[0]
    assert accuracy[at] == row["mean_acc"]


def test_the_predictor_ranks_networks_it_has_not_seen():
    from scipy.stats import kendalltau

    rows, space = trained_sizes(), network_space("digits-sizes")
    unseen, seen = rows[::4], [row for at, row in enumerate(rows) if at % 4]
    found = SizesPredictor(space, seen).accuracy(np.array([row["options"] for row in unseen]))
    assert kendalltau(found, [np.mean(row["accuracies"]) for row in unseen])[0] > 0.6


def test_hypervolume_of_steps():
    assert hypervolume([(2.0, 1.0), (1.0, 0.5), (0.5, 0.9)], (0.0, 2.0)) == pytest.approx(2 * 1.0 + 1 * 0.5)
    assert hypervolume([(1.0, 5.0)], (0.0, 2.0)) == 0


def test_paired_seeds():
    ours, theirs = np.zeros(20), np.linspace(0.1, 0.3, 20)
    assert paired(ours, theirs) < 1e-3
    assert paired(ours, np.full(20, np.inf)) < 1e-3
    assert paired(ours, theirs[:3]) is None


def journal_of(folder) -> dict[tuple[str, int], dict]:
    """Finished units as they lie on disk, without seconds."""
    rows = map(json.loads, (folder / "digits-sizes.jsonl").read_text().splitlines())
    return {(row["scheme"], row["seed"]): without_seconds(row) for row in rows}


def without_seconds(row: dict) -> dict:
    return row | {"runs": [run | {"seconds": 0} for run in row["runs"]]}


@pytest.fixture
def tiny_workers(tiny, monkeypatch):
    """Worker processes that play the tiny problem; the parent never plays a unit itself."""
    monkeypatch.setattr(playing.TabularProblem, "of", lambda _: tiny)
    monkeypatch.setattr(playing, "_prepare", prepare_tiny)


@pytest.mark.slow
def test_two_workers_give_what_one_gives(tiny_workers, tmp_path):
    serial = bench(plan(), tmp_path / "serial", resume=False, progress=lambda *_: None)
    parallel = bench(plan(), tmp_path / "parallel", workers=2, resume=False, progress=lambda *_: None)
    assert journal_of(tmp_path / "serial") == journal_of(tmp_path / "parallel")
    assert [without_seconds(row) for row in serial["runs"]] == [
        without_seconds(row) for row in parallel["runs"]
    ]


@pytest.mark.slow
def test_a_killed_worker_loses_nothing(tiny_workers, tmp_path, monkeypatch):
    whole = bench(plan(seeds=3), tmp_path / "whole", resume=False, progress=lambda *_: None)
    with monkeypatch.context() as patch:
        patch.setattr(playing, "_play", play_or_die)
        with pytest.raises(RhnasError, match="every worker must live"):
            bench(plan(seeds=3), tmp_path / "cut", workers=2, resume=False, progress=lambda *_: None)
    kept = journal_of(tmp_path / "cut")
    assert 0 < len(kept) < len(whole["runs"])
    again = bench(plan(seeds=3), tmp_path / "cut", resume=True, progress=lambda *_: None)
    for unit, row in kept.items():
        assert journal_of(tmp_path / "cut")[unit] == row
    assert [without_seconds(row) for row in again["runs"]] == [without_seconds(row) for row in whole["runs"]]


def prepare_tiny(_name: str) -> None:
    """What a worker does first, in a process of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(problems, "network_space", lambda _: SPACE)
        playing._problem.append(TabularProblem.of(TINY))


def play_or_die(scheme: str, seed: int, budget: Budget) -> dict:
    """A unit; with the last seed the process ends as if it had been killed."""
    if seed == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return play(playing._problem[0], scheme, seed, budget)
