"""The optimum against a plain loop over all designs; the cache against damage and change."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from rhnas.agents import optimum as module
from rhnas.agents.evaluator import DesignCosts
from rhnas.agents.optimum import cached_optimum, exhaustive_scores, find_optimum
from rhnas.errors import InfeasibleDesignError
from rhnas.platform import Objective
from tests.agents.toys import LAYER, ToyModel, sum_below, toy_space

SPACE = toy_space(6, 7, 3)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def costs_of(objective=Objective.EDP, layer=LAYER):
    return DesignCosts(SPACE, ToyModel(), [layer], objective)


@pytest.mark.parametrize("objective", list(Objective))
@pytest.mark.parametrize("limit", [3, 8, 99])
def test_is_the_least_of_all(objective, limit, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 5)
    designs, costs = SPACE.feasible((sum_below(limit),)), costs_of(objective)
    expected = min(score for design in designs.all() if not np.isnan(score := costs(design[None])[0]))
    found = find_optimum(designs, costs)
    assert found.log_objective == expected
    assert costs(found.design[None])[0] == expected
    assert found.costed <= designs.count
    assert np.nanmin(exhaustive_scores(designs, costs, {})) == expected


def test_bounds_save_work_for_latency(monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 5)
    designs = SPACE.feasible()
    assert find_optimum(designs, costs_of(Objective.LATENCY)).costed < designs.count / 2
    assert find_optimum(designs, costs_of(Objective.EDP)).costed == designs.count


def test_no_mapping_at_all_is_an_error():
    unmapped = toy_space(2, 2).feasible((sum_below(1),))
    costs = DesignCosts(unmapped.space, ToyModel(), [LAYER], Objective.EDP)
    only_one = dataclasses.replace(unmapped, allowed=np.array([[False, False], [True, True]]))
    with pytest.raises(InfeasibleDesignError, match="mapping for every layer"):
        find_optimum(only_one, costs)


def test_is_remembered(tmp_path):
    designs = SPACE.feasible()
    first = cached_optimum(designs, costs_of(), {})
    costs = costs_of()
    again = cached_optimum(designs, costs, {})
    assert costs.model.calls == []
    assert again.design.tolist() == first.design.tolist()
    assert again.log_objective == first.log_objective
    assert len(list(tmp_path.rglob("*.json"))) == 1


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"schema": 1}', b'{"schema": 0}', b"\xff"])
def test_a_damaged_entry_is_rewritten(tmp_path, damage):
    designs = SPACE.feasible()
    first = cached_optimum(designs, costs_of(), {})
    (entry,) = tmp_path.rglob("*.json")
    whole = entry.read_bytes()
    entry.write_bytes(damage)
    assert cached_optimum(designs, costs_of(), {}).design.tolist() == first.design.tolist()
    assert entry.read_bytes() == whole


def test_an_entry_of_an_infeasible_design_is_not_believed(tmp_path):
    designs = SPACE.feasible((sum_below(8),))
    cached_optimum(designs, costs_of(), {})
    (entry,) = tmp_path.rglob("*.json")
    entry.write_text('{"schema": 1, "design": [5, 6, 2], "log_objective": 0.0, "costed": 1}')
    assert cached_optimum(designs, costs_of(), {}).log_objective != 0.0


def test_a_killed_sweep_goes_on_where_it_was(monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 20)
    designs = SPACE.feasible((sum_below(9),))
    plain = costs_of()(designs.all())

    def kill(done, total):
        if done >= 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        exhaustive_scores(designs, costs_of(), {}, kill)
    costs = costs_of()
    np.testing.assert_array_equal(exhaustive_scores(designs, costs, {}), plain)
    assert sum(costs.model.calls) == designs.count - 40
    again = costs_of()
    np.testing.assert_array_equal(exhaustive_scores(designs, again, {}), plain)
    assert again.model.calls == []


def test_the_optimum_is_read_off_a_whole_table_only(monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 20)
    designs, costs = SPACE.feasible((sum_below(9),)), costs_of()
    expected = find_optimum(designs, costs_of())
    scores = exhaustive_scores(designs, costs, {})
    costs.model.calls.clear()
    found = cached_optimum(designs, costs, {})
    assert costs.model.calls == []
    assert found.log_objective == expected.log_objective == np.nanmin(scores)
    assert found.design.tolist() == expected.design.tolist()

    other = costs_of(Objective.ENERGY)
    with pytest.raises(ZeroDivisionError):
        exhaustive_scores(designs, other, {}, lambda done, total: 1 // 0)
    assert cached_optimum(designs, other, {}).log_objective == find_optimum(designs, other).log_objective


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY", b"garbage"])
def test_a_damaged_table_is_made_anew(tmp_path, damage):
    designs = SPACE.feasible()
    first = exhaustive_scores(designs, costs_of(), {})
    (entry,) = tmp_path.rglob("*.npy")
    entry.write_bytes(damage)
    np.testing.assert_array_equal(exhaustive_scores(designs, costs_of(), {}), first)


def test_whatever_matters_makes_another_entry(tmp_path):
    other = dataclasses.replace(LAYER, channels=(16, 64))
    for designs, costs, options in (
        (SPACE.feasible(), costs_of(), {}),
        (SPACE.feasible((sum_below(8),)), costs_of(), {}),
        (SPACE.feasible(), costs_of(Objective.ENERGY), {}),
        (SPACE.feasible(), costs_of(layer=other), {}),
        (SPACE.feasible(), costs_of(), {"technology": "horowitz45"}),
    ):
        cached_optimum(designs, costs, options)
    assert len(list(tmp_path.rglob("*.json"))) == 5


def test_a_cache_that_cannot_be_written_costs_only_time(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    assert cached_optimum(SPACE.feasible(), costs_of(), {}).costed == SPACE.points
    assert len(exhaustive_scores(SPACE.feasible(), costs_of(), {})) == SPACE.points
