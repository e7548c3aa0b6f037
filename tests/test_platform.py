"""The shared exchange rate against brute force over every combination of mappings."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rhnas.errors import SettingsError
from rhnas.platform import Cost, Objective, load_platform


def lower_hull(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """Reference hull: the points some non-negative mix of cycles and energy prefers, by ascending cycles."""
    kept: list[tuple[int, float]] = []
    for point in sorted(set(points)):
        if kept and point[1] >= kept[-1][1]:
            continue
        while len(kept) > 1:
            (x1, y1), (x2, y2) = kept[-2:]
            if (x2 - x1) * (point[1] - y1) - (y2 - y1) * (point[0] - x1) > 0:
                break
            kept.pop()
        kept.append(point)
    return kept


def cost_of(layers: list[list[tuple[int, float]]], launch: tuple[int, float] = (0, 0.0)) -> Cost:
    hulls = [lower_hull(points) for points in layers]
    width = max(map(len, hulls))
    padded = np.array([hull + hull[-1:] * (width - len(hull)) for hull in hulls], dtype=np.float64)[None]
    return Cost(
        cycles=padded[..., 0].astype(np.int64),
        energy_pj=padded[..., 1],
        mapped=np.ones((1, len(layers)), dtype=np.bool_),
        launch_cycles=np.array([launch[0]]),
        launch_energy_pj=np.array([launch[1]]),
    )


point = st.tuples(st.integers(1, 40), st.integers(1, 40).map(float))


@settings(max_examples=200)
@given(layers=st.lists(st.lists(point, min_size=1, max_size=4), min_size=1, max_size=4), launch=point)
def test_one_mu_for_the_network_is_the_exact_optimum(layers, launch):
    cost = cost_of(layers, launch)
    sums = [
        (launch[0] + sum(c for c, _ in combination), launch[1] + sum(e for _, e in combination))
        for combination in itertools.product(*layers)
    ]
    exact = {
        Objective.LATENCY: min(c for c, _ in sums),
        Objective.ENERGY: min(e for _, e in sums),
        Objective.EDP: min(c * e for c, e in sums),
    }
    for objective, best in exact.items():
        totals = cost.totals(objective)
        found = np.exp(objective.score(totals.cycles, totals.energy_pj))[0]
        assert found == pytest.approx(best, rel=1e-9)


@given(layers=st.lists(st.lists(point, min_size=1, max_size=4), min_size=1, max_size=3), data=st.data())
def test_weights_count_repeated_layers(layers, data):
    repeats = data.draw(st.lists(st.integers(0, 3), min_size=len(layers), max_size=len(layers)).filter(any))
    repeated = [points for points, n in zip(layers, repeats, strict=True) for _ in range(n)]
    weighted = cost_of(layers).totals(Objective.EDP, np.array(repeats, dtype=np.float64))
    plain = cost_of(repeated).totals(Objective.EDP)
    assert weighted.cycles * weighted.energy_pj == pytest.approx(plain.cycles * plain.energy_pj, rel=1e-9)


def test_a_layer_without_mapping_has_no_number():
    cost = cost_of([[(3, 4.0)], [(1, 1.0)]])
    holed = Cost(
        cost.cycles, cost.energy_pj, np.array([[True, False]]), cost.launch_cycles, cost.launch_energy_pj
    )
    for objective in Objective:
        totals = holed.totals(objective)
        assert np.isnan(totals.cycles).all()
        assert np.isnan(totals.energy_pj).all()


def test_an_unknown_platform_is_named_with_those_there_are():
    with pytest.raises(SettingsError, match="vta"):
        load_platform("tpu")


@pytest.mark.parametrize("objective", Objective)
def test_totals_of_many_designs_are_those_of_each(monkeypatch, objective):
    rng = np.random.default_rng(4)
    one = [cost_of([[(int(x), float(y)) for x, y in rng.integers(1, 90, (6, 2))]] * 2) for _ in range(7)]
    width = max(cost.cycles.shape[2] for cost in one)
    cycles, energy = (
        np.concatenate([np.pad(a, ((0, 0), (0, 0), (0, width - a.shape[2])), mode="edge") for a in columns])
        for columns in ([cost.cycles for cost in one], [cost.energy_pj for cost in one])
    )
    many = Cost(cycles, energy, np.ones((7, 2), dtype=np.bool_), np.zeros(7, dtype=np.int64), np.zeros(7))
    monkeypatch.setattr("rhnas.platform.POINTS_AT_ONCE", 5 * width)
    parts = many.totals(objective)
    for row, cost in enumerate(one):
        alone = cost.totals(objective)
        assert parts.cycles[row] == alone.cycles[0]
        assert parts.energy_pj[row] == alone.energy_pj[0]
