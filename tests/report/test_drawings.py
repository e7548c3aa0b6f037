"""Drawings: areas measured back from the SVG equal the numbers they stand for."""

import re
import xml.etree.ElementTree as ET
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rhnas.networks.spaces.registry import network_space
from rhnas.report.chips import BUS_PX_PER_BIT, draw_chips
from rhnas.report.networks import draw_networks, stages
from rhnas.report.run import Chip

chips = st.builds(
    Chip,
    batch=st.sampled_from([1, 2, 4]),
    block_in=st.sampled_from([1, 8, 16, 64]),
    block_out=st.sampled_from([1, 8, 16, 64]),
    uop_bytes=st.integers(10, 15).map(lambda k: 1 << k),
    inp_bytes=st.integers(10, 18).map(lambda k: 1 << k),
    wgt_bytes=st.integers(10, 18).map(lambda k: 1 << k),
    acc_bytes=st.integers(10, 18).map(lambda k: 1 << k),
    bus_bits=st.sampled_from([64, 128, 256, 512]),
)


def areas(svg: str, style: str) -> list[float]:
    found = [n for n in ET.fromstring(svg).iter() if n.get("class") == style]
    return [float(n.get("width")) * float(n.get("height")) for n in found]


@settings(max_examples=60, deadline=None)
@given(chips, chips)
def test_areas_of_both_chips_are_proportional_to_what_they_show(one, other):
    svg = draw_chips({"a": one, "b": other})
    arrays = areas(svg, "array")
    assert arrays[0] * other.macs == pytest.approx(arrays[1] * one.macs, rel=0.02)
    for pad in ("wgt", "acc", "inp"):
        sizes = [getattr(chip, f"{pad}_bytes") for chip in (one, other)]
        drawn = areas(svg, f"pad {pad}")
        if min(drawn) > 96 * 1.6:  # below, a line stands so that the scratchpad does not vanish
            assert drawn[0] * sizes[1] == pytest.approx(drawn[1] * sizes[0], rel=0.02)


@settings(max_examples=40, deadline=None)
@given(chips, chips)
def test_nothing_is_drawn_outside_of_the_picture_and_labels_do_not_touch(one, other):
    root = ET.fromstring(draw_chips({"a": one, "b": other}))
    width, height = (float(x) for x in root.get("viewBox").split()[2:])
    assert width > height
    for node in root.iter("rect"):
        assert min(float(node.get("x")), float(node.get("y"))) >= 0
        assert float(node.get("y")) + float(node.get("height")) <= height
    for panel in root.findall("g"):
        labels = [float(n.get("y")) for n in panel.iter("text") if n.find("tspan") is not None]
        gaps = [a - b for a, b in pairwise(labels)]
        assert len(labels) == 4
        assert all(gap >= 14 for gap in gaps)


def test_the_arrow_is_as_thick_as_the_bus_is_wide():
    base = {"batch": 1, "block_in": 16, "block_out": 16, "uop_bytes": 1024, "inp_bytes": 1024}
    base |= {"wgt_bytes": 1024, "acc_bytes": 1024}
    svg = draw_chips({str(bits): Chip(**base, bus_bits=bits) for bits in (64, 512)})
    shafts = [n.get("d") for n in ET.fromstring(svg).iter() if n.get("class") == "bus"]
    for bits, path in zip((64, 512), shafts, strict=True):
        head = float(re.search(r"l([\d.]+) 9", path)[1])
        step = float(re.search(r"9h(-?[\d.]+)V", path)[1])
        assert 2 * (head + step) == pytest.approx(bits * BUS_PX_PER_BIT)


def test_only_blocks_that_run_are_drawn():
    words = {"stem.width": "16", "stage1.width": "32", "stage1.depth": "2"}
    words |= {f"stage1.block{i}.op": op for i, op in enumerate(("dense", "grouped", "fused_e2"), 1)}
    assert [stage.ops for stage in stages(words)] == [("conv 3×3",), ("dense", "grouped")]


@pytest.mark.parametrize("name", ["digits", "cifar"])
def test_every_network_of_the_spaces_can_be_drawn_to_one_scale(name):
    space, rng = network_space(name), np.random.default_rng(0)
    for _ in range(20):
        pair = {title: space.describe(space.sample(rng)) for title in ("found", "baseline")}
        root = ET.fromstring(draw_networks(pair))
        blocks = [n for n in root.iter("rect") if n.get("class", "").startswith("block")]
        expected = [(s.width, op) for words in pair.values() for s in stages(words) for op in s.ops]
        assert len(blocks) == len(expected)
        scales = {round(float(n.get("height")) / w, 3) for n, (w, _) in zip(blocks, expected, strict=True)}
        assert max(scales) - min(scales) < 0.002


def test_a_network_of_an_unknown_space_is_not_drawn():
    assert draw_networks({"found": {"cell": "nor_conv_3x3"}}) == ""
