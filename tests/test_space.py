"""Spaces against brute force over every point of small ones."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rhnas.errors import InfeasibleDesignError, SettingsError
from rhnas.space import Choice, DesignBatch, FeasibleSet, Rule, Space


def linear_rule(name: str, weights: dict[str, int], bound: int, declare: bool) -> Rule:
    """weights . values <= bound."""

    def slack(batch: DesignBatch) -> np.ndarray:
        total = sum((weight * batch[key] for key, weight in weights.items()), np.int64(0))
        return np.asarray(bound - total, dtype=np.float64)

    return Rule(
        name=name,
        level="structural",
        invariant=f"{weights} <= {bound}",
        reason="test",
        source="test",
        slack=slack,
        reads=tuple(weights) if declare else None,
    )


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    values = st.lists(st.integers(0, 9), min_size=1, max_size=4, unique=True).map(sorted)
    choices = tuple(Choice(name=f"c{i}", values=tuple(draw(values))) for i in range(draw(st.integers(1, 4))))
    names = [choice.name for choice in choices]
    weights = st.dictionaries(st.sampled_from(names), st.integers(-3, 3), min_size=1)
    rules = tuple(
        linear_rule(f"r{i}", draw(weights), draw(st.integers(-9, 18)), draw(st.booleans()))
        for i in range(draw(st.integers(0, 3)))
    )
    return Space(name="random", choices=choices, rules=rules)


def realizable(space: Space, row: dict[str, int]) -> bool:
    """One design at a time, with nothing of the sweep."""
    return all(float(rule.slack(DesignBatch.of(row))[0]) >= 0 for rule in space.rules)


def brute(space: Space) -> dict[tuple[int, ...], bool]:
    found = {}
    for indices in itertools.product(*(range(size) for size in space.shape)):
        row = {c.name: c.values[i] for c, i in zip(space.choices, indices, strict=True)}
        found[indices] = realizable(space, row)
    return found


@settings(max_examples=60, deadline=None)
@given(space=spaces())
def test_counts_and_members_are_those_of_brute_force(space):
    truth, feasible = brute(space), space.feasible()
    assert feasible.count == sum(truth.values())
    assert feasible.all().tolist() == [list(i) for i, holds in truth.items() if holds]
    points = np.array(list(truth))
    assert feasible.contains(points).tolist() == list(truth.values())
    assert ((space.slack(space.decode(points)) >= 0).all(axis=1)).tolist() == list(truth.values())


@settings(max_examples=60, deadline=None)
@given(space=spaces())
def test_a_mask_tells_which_values_still_have_a_completion(space):
    truth, feasible = brute(space), space.feasible()
    for depth in range(len(space.choices)):
        prefixes = list(itertools.product(*(range(size) for size in space.shape[:depth])))
        masks = feasible.mask(np.array(prefixes, dtype=np.int64).reshape(len(prefixes), depth))
        for prefix, mask in zip(prefixes, masks, strict=True):
            for value, allowed in enumerate(mask):
                want = any(h for i, h in truth.items() if i[: depth + 1] == (*prefix, value))
                assert allowed == want


@settings(max_examples=60, deadline=None)
@given(space=spaces())
def test_violations_count_every_point_that_breaks_a_rule(space):
    batch = space.at(np.arange(space.points))
    want = {rule.name: int((space.slack(batch, [rule]) < 0).sum()) for rule in space.rules}
    assert space.violations() == want


@settings(max_examples=60, deadline=None)
@given(space=spaces(), data=st.data())
def test_rows_indices_and_positions_round_trip(space, data):
    flat = np.array(data.draw(st.lists(st.integers(0, space.points - 1), min_size=1)), dtype=np.int64)
    indices = space.unravel(flat)
    assert (space.ravel(indices) == flat).all()
    batch = space.decode(indices)
    assert len(batch) == len(flat)
    for position, row in enumerate(indices):
        assert (space.encode(batch.row(position)) == row).all()
        assert batch.row(position) == space.at(flat).row(position)


@settings(max_examples=40, deadline=None)
@given(space=spaces(), seed=st.integers(0, 99))
def test_samples_are_feasible_and_depend_on_the_generator_alone(space, seed):
    feasible = space.feasible()
    if not feasible.count:
        with pytest.raises(InfeasibleDesignError, match="at least one design"):
            feasible.sample(3, np.random.default_rng(seed))
        return
    drawn = feasible.sample(7, np.random.default_rng(seed))
    assert drawn.shape == (7, len(space.choices))
    assert feasible.contains(drawn).all()
    assert (drawn == feasible.sample(7, np.random.default_rng(seed))).all()


@settings(max_examples=40, deadline=None)
@given(space=spaces())
def test_extra_rules_narrow_a_set_whether_given_at_once_or_later(space):
    extra = (linear_rule("x", {"c0": 1}, 4, declare=True), linear_rule("y", {"c0": -1}, -1, declare=False))
    at_once = space.feasible(extra)
    assert (at_once.allowed == space.feasible().restrict(extra).allowed).all()
    wider = Space(name="all", choices=space.choices, rules=(*space.rules, *extra))
    assert (at_once.allowed == wider.feasible().allowed).all()


def test_a_rule_gets_only_the_columns_it_declares():
    liar = Rule(
        name="liar",
        level="structural",
        invariant="",
        reason="",
        source="",
        slack=lambda batch: batch["b"].astype(np.float64),
        reads=("a",),
    )
    choices = (Choice(name="a", values=(0, 1)), Choice(name="b", values=(0, 1)))
    with pytest.raises(KeyError, match="b"):
        Space(name="toy", choices=choices, rules=(liar,)).feasible()


def test_sampling_is_uniform_over_the_feasible_designs():
    space = Space(
        name="toy",
        choices=(Choice(name="a", values=(0, 1, 2)), Choice(name="b", values=(0, 1, 2))),
        rules=(linear_rule("r", {"a": 1, "b": 1}, 2, declare=True),),
    )
    drawn = space.ravel(space.feasible().sample(6000, np.random.default_rng(0)))
    counts = np.bincount(drawn, minlength=9)
    assert (counts > 0).sum() == 6
    assert (abs(counts[counts > 0] - 1000) < 150).all()


def test_wrong_shapes_values_and_orders_are_refused():
    space = Space(name="toy", choices=(Choice(name="a", values=(0, 2)),), rules=())
    with pytest.raises(SettingsError, match=r"shape \(B, 1\)"):
        space.decode(np.zeros((1, 2), dtype=np.int64))
    with pytest.raises(SettingsError, match="lie within"):
        space.decode(np.array([[2]]))
    with pytest.raises(InfeasibleDesignError, match="a must be one of"):
        space.encode({"a": 1})
    with pytest.raises(SettingsError, match="ascend"):
        Choice(name="a", values=(1, 1))
    empty = FeasibleSet(space=space, allowed=np.zeros(2, dtype=np.bool_))
    with pytest.raises(InfeasibleDesignError, match="loosen a --limit"):
        empty.require_some()
