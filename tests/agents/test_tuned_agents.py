"""Tuning is fair: equally many candidates, the best by its rule, and a file of runs that goes on."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rhnas.agents.registry import AGENTS, make_agent
from rhnas.seeds import Seeds
from tests.agents.toys import sum_below, toy_space

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
DESIGNS = toy_space(4, 1, 5, 4).feasible((sum_below(6),))


@pytest.fixture
def tuned(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import tuned_agents

    return tuned_agents


def run(tuned, gap, to_optimum):
    return tuned.Run(gap=gap, to_optimum=to_optimum, unrealizable=0, seconds=0.0)


def test_every_agent_but_the_yardstick_has_a_grid(tuned):
    assert set(tuned.GRIDS) == set(AGENTS) - {"exhaustive"}


def test_candidates_are_the_default_and_distinct_points_of_the_grid(tuned):
    for agent, grid in tuned.GRIDS.items():
        drawn = tuned.candidates(agent, 4, draw=0)
        assert drawn[0] == {}
        assert len(drawn) == (4 if grid else 1)
        assert len({json.dumps(options, sort_keys=True) for options in drawn}) == len(drawn)
        assert all(set(options) == set(grid) for options in drawn[1:])
        assert all(value in grid[name] for options in drawn for name, value in options.items())
    assert tuned.candidates("annealing", 4, draw=0) == tuned.candidates("annealing", 4, draw=0)
    assert tuned.candidates("annealing", 4, draw=0) != tuned.candidates("annealing", 4, draw=1)


def test_more_candidates_begin_with_the_fewer(tuned):
    assert tuned.candidates("confuciux", 6, draw=0)[:4] == tuned.candidates("confuciux", 4, draw=0)


def test_agents_accept_the_ends_of_their_grids(tuned):
    for agent, grid in tuned.GRIDS.items():
        for end in (0, -1) if grid else ():
            make_agent(agent, DESIGNS, Seeds(root=0), **{name: values[end] for name, values in grid.items()})


def test_the_least_mean_gap_wins_and_ties_go_to_the_sooner_then_to_the_first(tuned):
    never, late, soon = run(tuned, 0.2, None), run(tuned, 0.0, 60), run(tuned, 0.0, 20)
    assert tuned.best_candidate([[never, soon], [late, late]], 100) == 1
    assert tuned.best_candidate([[late, late], [late, soon]], 100) == 1
    assert tuned.best_candidate([[late, soon], [soon, late]], 100) == 0
    assert tuned.best_candidate([[never, late], [never, soon], [never, never]], 100) == 1


def test_reported_runs_share_neither_network_nor_seed_with_tuning(tuned):
    plan = tuned.Plan(budget=10, candidates=4, tuning_seeds=2)
    games = list(tuned.tuning(plan, list(tuned.GRIDS)))
    assert len(games) == sum(4 * 2 * 2 for grid in tuned.GRIDS.values() if grid)
    assert not {game.network for game in games} & set(tuned.REPORTED)
    assert all(game.seed < tuned.FRESH for game in games)


def test_what_was_played_is_kept_and_not_played_again(tuned, tmp_path, monkeypatch, capsys):
    plan, path, played = tuned.Plan(budget=10, candidates=3, tuning_seeds=1), tmp_path / "tuned.json", []

    def pretend(task, table, agent, seed, *, budget, options):
        played.append((agent, options))
        return run(tuned, 0.0 if options.get("hot") else 0.5, 7)

    monkeypatch.setattr(tuned, "run_once", pretend)
    monkeypatch.setattr(tuned, "problem", lambda network: (None, None))
    agents, never = ["annealing", "random"], float("inf")
    results = tuned.Results(path, plan)
    assert not tuned.play(results, tuned.tuning(plan, agents), until=time.monotonic() - 1)
    with pytest.raises(SystemExit, match="must hold annealing/0/resnet34/0; run again"):
        results.chosen("annealing")
    assert tuned.play(results, tuned.tuning(plan, agents), never)
    again = tuned.Results(path, plan)
    assert again.runs == results.runs
    assert tuned.play(again, tuned.tuning(plan, agents), never)
    assert len(played) == 3 * 2
    assert again.chosen("annealing") == 1
    assert tuned.play(again, tuned.reporting(again, agents, seeds=2), never)
    assert len(played) == 3 * 2 + 2 * 3 * 2
    tuned.print_table(tuned.Results(path))
    printed = capsys.readouterr().out
    assert "10 evaluations" in printed
    assert "|  | `random` | 2 | 100% | 50.00% | 50.00% | 7 | 0 |" in printed
    with pytest.raises(SystemExit, match="give another --json"):
        tuned.Results(path, tuned.Plan(budget=11, candidates=3, tuning_seeds=1))
    monkeypatch.setitem(tuned.GRIDS, "annealing", {"hot": (0.3, 0.4)})
    with pytest.raises(SystemExit, match="grid of annealing"):
        tuned.Results(path, plan)


def test_a_table_of_nothing_is_refused(tmp_path):
    call = [sys.executable, str(BENCHMARKS / "tuned_agents.py"), "--table", "--json", str(tmp_path / "none")]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "run without --table first" in done.stderr
