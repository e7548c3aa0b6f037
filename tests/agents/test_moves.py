"""Moves against brute force over the whole space."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rhnas.agents.moves import Asked, nearest, one_factor_moves, two_factor_moves
from rhnas.errors import InfeasibleDesignError
from rhnas.space import FeasibleSet
from tests.agents.toys import sum_below, toy_space

SPACE = toy_space(3, 1, 4, 5)


def rows(array):
    return {tuple(row) for row in array.tolist()}


@st.composite
def feasible_sets(draw):
    bits = draw(st.lists(st.booleans(), min_size=SPACE.points, max_size=SPACE.points).filter(any))
    return FeasibleSet(space=SPACE, allowed=np.array(bits).reshape(SPACE.shape))


@settings(max_examples=30, deadline=None)
@given(feasible_sets(), st.data())
def test_one_factor_moves_are_the_nearest_feasible_ones(designs, data):
    design = designs.all()[data.draw(st.integers(0, designs.count - 1))]
    expected = set()
    for factor in range(4):
        others = [
            row
            for row in designs.all()
            if (np.delete(row, factor) == np.delete(design, factor)).all() and row[factor] != design[factor]
        ]
        below = [row for row in others if row[factor] < design[factor]]
        above = [row for row in others if row[factor] > design[factor]]
        if below:
            expected.add(tuple(max(below, key=lambda row: row[factor]).tolist()))
        if above:
            expected.add(tuple(min(above, key=lambda row: row[factor]).tolist()))
    assert rows(one_factor_moves(designs, design)) == expected


@settings(max_examples=30, deadline=None)
@given(feasible_sets(), st.data())
def test_two_factor_moves_change_two_by_one(designs, data):
    design = designs.all()[data.draw(st.integers(0, designs.count - 1))]
    expected = {
        tuple(row.tolist())
        for row in designs.all()
        if np.abs(row - design).max() == 1 and (row != design).sum() == 2
    }
    assert rows(two_factor_moves(designs, design)) == expected


@settings(max_examples=30, deadline=None)
@given(feasible_sets(), st.data())
def test_nearest_has_the_fewest_steps(designs, data):
    design = np.array([data.draw(st.integers(0, size - 1)) for size in SPACE.shape])
    found = nearest(designs, design)
    assert designs.contains(found[None])[0]
    assert np.abs(found - design).sum() == np.abs(designs.all() - design).sum(axis=1).min()


def test_nearest_of_nothing_is_an_error():
    empty = SPACE.feasible((sum_below(-1),))
    with pytest.raises(InfeasibleDesignError, match="at least one design"):
        nearest(empty, np.zeros(4, dtype=np.int64))


def test_fresh_designs_never_repeat_and_run_out():
    designs = SPACE.feasible((sum_below(5),))
    asked, rng = Asked(SPACE.points), np.random.default_rng(0)
    seen: list[int] = []
    while len(drawn := asked.fresh(designs, 7, rng)):
        seen += drawn.tolist()
        asked.add(drawn)
    assert sorted(seen) == designs.flat.tolist()
    assert asked.state().tolist() == seen
