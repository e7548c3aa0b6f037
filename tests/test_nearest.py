"""Nearest fixes against a plain search over every point."""

from hypothesis import given, settings
from hypothesis import strategies as st

from rhnas.nearest import describe_change, nearest_design, single_change
from rhnas.vta.spaces import DEFAULT, VTA_INTEL
from tests.test_space import brute, linear_rule, realizable, spaces


def steps(space, a, b):
    return sum(abs(c.values.index(a[c.name]) - c.values.index(b[c.name])) for c in space.choices)


def rows_of(space, wanted=True):
    return [
        {c.name: c.values[i] for c, i in zip(space.choices, indices, strict=True)}
        for indices, holds in brute(space).items()
        if holds or not wanted
    ]


def rank(space, start, prefer, row):
    changed = sum(row[name] != start[name] for name in space.names)
    unusual = sum(row[name] != prefer[name] for name in space.names)
    return steps(space, start, row), changed, unusual, tuple(row[name] for name in space.names)


@settings(max_examples=80, deadline=None)
@given(space=spaces(), data=st.data())
def test_the_nearest_design_is_the_first_by_steps_keys_and_likeness(space, data):
    everything, good = rows_of(space, wanted=False), rows_of(space)
    start, prefer = data.draw(st.sampled_from(everything)), data.draw(st.sampled_from(everything))
    found = nearest_design(space, start, space.rules, prefer)
    if not good:
        assert found is None
    else:
        assert found == min(good, key=lambda row: rank(space, start, prefer, row))
        assert realizable(space, found)


@settings(max_examples=80, deadline=None)
@given(space=spaces(), bound=st.integers(-5, 20), data=st.data())
def test_a_single_change_is_the_smallest_that_satisfies_the_rule(space, bound, data):
    everything = rows_of(space, wanted=False)
    start, prefer = data.draw(st.sampled_from(everything)), data.draw(st.sampled_from(everything))
    rule = linear_rule("r", dict.fromkeys(space.names, 1), bound, declare=True)
    candidates = [
        row
        for row in everything
        if sum(row[name] != start[name] for name in space.names) == 1 and sum(row.values()) <= bound
    ]
    found = single_change(space, start, rule, prefer)
    if not candidates:
        assert found is None
    else:
        assert found == min(candidates, key=lambda row: rank(space, start, prefer, row))


def test_values_outside_the_space_stay_unless_a_rule_forbids_them():
    row = {**DEFAULT, "LOG_UOP_BUFF_SIZE": 12, "LOG_ACC_BUFF_SIZE": 18}
    found = nearest_design(VTA_INTEL, row, VTA_INTEL.rules, DEFAULT)
    assert describe_change(row, found) == "LOG_ACC_BUFF_SIZE=17"
    too_deep = {**DEFAULT, "LOG_UOP_BUFF_SIZE": 17}
    found = nearest_design(VTA_INTEL, too_deep, VTA_INTEL.rules, DEFAULT)
    assert describe_change(too_deep, found) == "LOG_UOP_BUFF_SIZE=15"


def test_nothing_is_found_where_nothing_meets_the_rules():
    never = linear_rule("never", {"LOG_BATCH": 0}, -1, declare=True)
    assert nearest_design(VTA_INTEL, DEFAULT, (never,), DEFAULT) is None
    assert single_change(VTA_INTEL, DEFAULT, never, DEFAULT) is None
