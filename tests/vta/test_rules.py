"""Structural rules against a plain reading of the ISA and the RTL, on every point of Intel Labs' explorer."""

import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rhnas.errors import SettingsError
from rhnas.space import DesignBatch
from rhnas.vta.rules import (
    CHAINABLE,
    KEYS,
    STRUCTURAL,
    UPSTREAM,
    DerivedDepths,
    limit_rules,
    macs_per_cycle,
)
from rhnas.vta.spaces import DEFAULT, VTA_INTEL, VTA_WIDE, space_named


def plain(batch, k_in, k_out, uop, inp, wgt, acc, bus):
    """Every rule for one design in sizes, not logarithms; what holds, by name."""
    rows, ins, outs = 2**batch, 2**k_in, 2**k_out
    depths = [
        2**uop / 4,
        2**inp / (rows * ins),
        2**wgt / (outs * ins),
        2**acc / (4 * rows * outs),
    ]
    u, i, w, a = (int(np.log2(depth)) for depth in depths)
    store_bits = rows * outs * 8
    return {
        "R1": all(depth >= 2 for depth in depths),
        "R2": w + i + a <= 32,
        "R3": 3 + 4 + 1 + u + (u + 1) + 14 + 14 <= 64,
        "R4": 2 * a + 2 * i + 3 + 1 + 16 <= 64,
        "R7": store_bits <= bus or outs * 8 // bus > 0,
        "R8": ins > 1,
        "R12": bus in (64, 128, 256, 512),
        "R13": all(depth <= 65536 for depth in depths),
    }


EVERY = (*STRUCTURAL, *UPSTREAM)


def all_points(space):
    return list(itertools.product(*(choice.values for choice in space.choices)))


def test_rules_are_those_of_the_plain_reading_on_all_points_of_the_explorer():
    points = all_points(VTA_INTEL)
    slack = VTA_INTEL.slack(VTA_INTEL.at(np.arange(len(points))))
    assert (slack == np.rint(slack)).all()
    for point, row in zip(points, slack >= 0, strict=True):
        assert dict(zip((r.name for r in EVERY), row.tolist(), strict=True)) == plain(*point)


@given(st.tuples(*(st.sampled_from(choice.values) for choice in VTA_WIDE.choices)))
def test_rules_are_those_of_the_plain_reading_in_the_wide_space(point):
    batch = DesignBatch.of(dict(zip(KEYS, point, strict=True)))
    assert {rule.name: bool(rule.slack(batch)[0] >= 0) for rule in EVERY} == plain(*point)


def test_published_counts_of_the_explorers_space():
    points = np.array(all_points(VTA_INTEL))
    assert len(points) == VTA_INTEL.points == 15_680
    feasible = VTA_INTEL.feasible()
    assert feasible.count == 6_472
    assert int(feasible.allowed[0].sum()) == 692

    depths = DerivedDepths.of(VTA_INTEL.at(np.arange(len(points))))
    i, w, a = depths.inp, depths.wgt, depths.acc
    explorer = (i > 0) & (w > 0) & (a > 0) & (i + w + a <= 32) & (points[:, 4:7] >= 15).all(axis=1)
    realizable = feasible.allowed.reshape(-1)
    assert int(explorer.sum()) == 8_736
    assert not (realizable & ~explorer).any()
    assert int((explorer & ~realizable).sum()) == 2_264
    macs = macs_per_cycle(VTA_INTEL.at(np.arange(len(points)))) == 256
    assert [int((macs & s).sum()) for s in (macs, explorer, realizable)] == [1_856, 1_276, 722]


def test_the_documented_counts_are_printed_by_the_benchmark():
    script = Path(__file__).parents[2] / "benchmarks" / "realizability.py"
    printed = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True).stdout
    for figure in (
        "8,736",
        "6,472",
        "2,264 (26%)",
        "1,408 break R7",
        "1,808 of these",
        "1,866,744 realizable",
    ):
        assert figure in printed


def test_counts_of_the_wide_space():
    assert VTA_WIDE.points == 2_571_912
    assert VTA_WIDE.feasible().count == 1_866_744
    assert VTA_WIDE.feasible().restrict(UPSTREAM).count == 1_598_190
    assert VTA_WIDE.violations()["R2"] == 504_360


def test_slacks_of_the_default_are_bits_and_entries():
    batch = DesignBatch.of(DEFAULT)
    slack = {rule.name: float(rule.slack(batch)[0]) for rule in EVERY}
    assert slack == {"R1": 9, "R2": 0, "R3": 1, "R4": 0, "R7": 64, "R8": 14, "R12": 0, "R13": 3}
    larger = DesignBatch.of({**DEFAULT, "LOG_ACC_BUFF_SIZE": 18})
    broken = {rule.name: float(rule.slack(larger)[0]) for rule in STRUCTURAL if rule.slack(larger)[0] < 0}
    assert broken == {"R2": -2, "R4": -2}


@pytest.mark.parametrize(
    ("blocks", "holds"), [((0, 3, 5), True), ((1, 4, 4), True), ((1, 3, 4), False), ((2, 5, 3), False)]
)
def test_networks_chain_where_what_is_stored_can_be_read(blocks, holds):
    row = {**DEFAULT, **dict(zip(KEYS[:3], blocks, strict=True))}
    assert (CHAINABLE.slack(DesignBatch.of(row))[0] >= 0) == holds


def test_limits_are_inclusive_and_counted_in_their_own_units():
    batch = DesignBatch.of(DEFAULT)
    slack = {
        rule.name: float(rule.slack(batch)[0])
        for rule in limit_rules({"macs": 255, "bus_bits": 64, "sram_kib": 450})
    }
    assert slack == {"limit.macs": -1, "limit.bus_bits": 0, "limit.sram_kib": 2}
    tiny = DesignBatch.of({**DEFAULT, **dict.fromkeys(KEYS[3:7], 7)})
    [rule] = limit_rules({"sram_kib": 1})
    assert rule.slack(tiny)[0] == 0, "512 bytes round up to 1 KiB"


@pytest.mark.parametrize("limits", [{"lut": 3}, {"macs": 0}, {"sram_kib": -5}])
def test_nonsense_limits_are_refused(limits):
    with pytest.raises(SettingsError, match=r"limit"):
        limit_rules(limits)


def test_an_unknown_space_is_refused_with_the_list():
    with pytest.raises(SettingsError, match=r"'vta', 'vta-intel'"):
        space_named("vta-wide")
