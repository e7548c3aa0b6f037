"""The resource estimate against geometry worked out by hand and the few syntheses there are."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rhnas.vta
from rhnas.errors import SettingsError
from rhnas.files import read_json
from rhnas.space import DesignBatch
from rhnas.vta.fpga import LFE5U_85F, PARTS, XC7Z020, XCZU3EG, fpga_named
from rhnas.vta.luts import PRICES, terms
from rhnas.vta.resources import (
    BRAM_SHAPES,
    Memories,
    bram_blocks,
    estimate,
    fpga_rules,
    hard_multipliers,
    lut_ram_luts,
    with_margin,
)
from rhnas.vta.rules import KEYS, macs_per_cycle
from rhnas.vta.spaces import DEFAULT, VTA_INTEL, VTA_WIDE

SYNTHESES = Path(__file__).parents[2] / "results" / "synthesis"
LUT_PRICES = Path(rhnas.vta.__file__).parent / PRICES
SMALLER = {**DEFAULT, "LOG_UOP_BUFF_SIZE": 13, "LOG_WGT_BUFF_SIZE": 17}


def blocks(row):
    return int(Memories.of(DesignBatch.of(row)).bram_blocks()[0])


def test_block_ram_of_the_default_worked_out_by_hand():
    # Banks are 64 bits wide: 1024 x 64 takes 4 blocks of 1024 x 18, 2048 x 64 takes 8 of 2048 x 9.
    # Outputs are written whole: 2048 x 128 takes 15.
    uop, inp, wgt, acc, out = 16, 2 * 8, 32 * 4, 8 * 8, 15
    queues = 3 * 4
    assert blocks(DEFAULT) == uop + inp + wgt + acc + out + queues == 251


def test_block_ram_of_a_small_design_is_what_synthesis_gave():
    """Yosys 0.70 for ECP5: 34 DP16KD; a beat of int8 accumulators fills two banks of 128 x 256."""
    row = {**DEFAULT, "LOG_BLOCK_IN": 2, "LOG_BLOCK_OUT": 2}
    row |= dict.fromkeys([key for key in KEYS if key.endswith("BUFF_SIZE")], 13)
    uop, inp, wgt, acc, out, queues = 2 * 2, 2 * 2, 4, 2 * 4, 2 * 1, 3 * 4
    assert blocks(row) == uop + inp + wgt + acc + out + queues == 34


def test_the_default_takes_251_of_the_280_blocks_of_xc7z020():
    assert blocks(DEFAULT) == 251
    assert XC7Z020.bram_blocks == 280


def fits(row, part):
    return {rule.name: float(rule.slack(DesignBatch.of(row))[0]) for rule in fpga_rules(part)}


def test_which_parts_the_default_fits():
    assert min(fits(DEFAULT, XC7Z020).values()) >= 0
    assert min(fits(DEFAULT, XCZU3EG).values()) >= 0
    assert [name for name, slack in fits(DEFAULT, LFE5U_85F).items() if slack < 0] == ["fpga.bram"]
    assert min(fits(SMALLER, LFE5U_85F).values()) >= 0


def test_a_design_that_the_model_alone_would_let_in_does_not_fit():
    """Yosys counts 71,227 tables of 70,560."""
    tight = dict(zip(KEYS, (0, 6, 4, 12, 17, 18, 17, 128), strict=True))
    luts = int(estimate(DesignBatch.of({**DEFAULT, **tight}), XCZU3EG).luts[0])
    assert luts <= XCZU3EG.luts < 71_227 <= with_margin(np.array([luts]))[0]
    assert [name for name, slack in fits({**DEFAULT, **tight}, XCZU3EG).items() if slack < 0] == ["fpga.lut"]


def test_two_products_share_a_multiplier_where_they_can():
    batch = DesignBatch.of(DEFAULT, {**DEFAULT, "LOG_BLOCK_IN": 6, "LOG_BLOCK_OUT": 0})
    assert hard_multipliers(batch, XC7Z020).tolist() == [128, 64]
    assert hard_multipliers(batch, LFE5U_85F).tolist() == [144, 64], (
        "too narrow to share; 9 of 16 in every lane"
    )


def test_multipliers_beyond_the_hard_ones_are_made_of_tables():
    larger = DesignBatch.of({**DEFAULT, "LOG_BLOCK_IN": 5, "LOG_BLOCK_OUT": 5})
    used = estimate(larger, XC7Z020)
    assert int(used.dsps[0]) == 16 * (220 // 16)
    soft = 1024 - 2 * 16 * (220 // 16)
    assert int(used.luts[0]) > soft * XC7Z020.luts_per_multiplier


def test_the_parts_of_the_default_counted_by_hand():
    found = {name: float(count[0]) for name, count in terms(DesignBatch.of(DEFAULT)).items()}
    assert found["vector lane"] == 16
    assert found["adder tree bit"] == 16 * (8 * 17 + 4 * 18 + 2 * 19 + 20)
    assert found["rotated bit"] == 64, "a beat brings two micro-ops; all other tensors fill one or more"
    narrow = {**DEFAULT, "LOG_BLOCK_IN": 1, "LOG_BLOCK_OUT": 0}
    # A beat brings 2 micro-ops, 4 inputs, 4 weights, 8 accumulators of 8 bits and 8 outputs.
    bits = 64 * (1 + 2 + 2 + 3) + 256 * 3
    assert float(terms(DesignBatch.of(narrow))["rotated bit"][0]) == bits


def test_tables_are_told_within_a_tenth_of_what_synthesis_gave():
    designs = [read_json(path) for path in SYNTHESES.glob("xc7z020*/*.json")]
    batch = DesignBatch.of(*(design["accelerator"] for design in designs))
    real = np.array([design["luts"] for design in designs])
    error = np.abs(estimate(batch, XC7Z020).luts / real - 1)
    assert len(designs) >= 60
    assert (with_margin(estimate(batch, XC7Z020).luts) >= real).all()
    assert error.mean() < 0.03
    assert error.max() < 0.1
    assert read_json(LUT_PRICES)["designs"] == len(
        {tuple(design["accelerator"].items()) for design in designs}
    )


def test_memory_bandwidth_bounds_the_bus():
    for bus, holds in ((64, True), (128, True), (256, False), (512, False)):
        assert (fits({**DEFAULT, "SHL_MEM_AXI_DATA_BITS": bus}, LFE5U_85F)["fpga.dram"] >= 0) == holds
    assert fits({**DEFAULT, "SHL_MEM_AXI_DATA_BITS": 256}, XC7Z020)["fpga.dram"] == 4_264 - 3_200


@given(st.integers(1, 600), st.integers(65, 40_000))
def test_a_memory_is_covered_by_its_blocks_and_no_shape_does_with_fewer(bits, depth):
    found = bram_blocks(bits, depth)
    assert found * 18 * 1024 >= bits * depth
    by_shape = [-(-bits // width) * -(-depth // words) for words, width in BRAM_SHAPES]
    assert found == min(by_shape)


@given(st.integers(1, 600), st.integers(65, 40_000), st.integers(1, 16))
def test_parts_of_a_word_may_share_blocks_but_not_what_a_block_enables_at_once(bits, depth, parts):
    found = bram_blocks(bits, depth, parts)
    assert bram_blocks(parts * bits, depth) <= found <= parts * bram_blocks(bits, depth)
    if bits % 9 == 0:
        assert found == bram_blocks(parts * bits, depth)


def test_shallow_memories_are_made_of_tables():
    assert bram_blocks(512, 64) == 0
    assert lut_ram_luts(512, 64, XC7Z020) == 171 * 4, "RAM64M: 3 bits in 4 tables"
    assert lut_ram_luts(64, 64, LFE5U_85F) == 4 * 16 * 6, "16 x 4 bits in 6 tables"
    assert lut_ram_luts(64, 65, LFE5U_85F) == 0


def test_a_wider_bus_makes_wider_banks_of_the_same_bits():
    rows = [{**DEFAULT, "SHL_MEM_AXI_DATA_BITS": bus} for bus in (64, 128, 256, 512)]
    memories = Memories.of(DesignBatch.of(*rows))
    bits = (1 << (memories.banks + memories.parts + memories.bits + memories.depth)).sum(axis=0)
    assert bits.tolist() == 4 * [480 * 1024 * 8]


@pytest.mark.parametrize("part", PARTS.values(), ids=lambda part: part.name)
def test_more_of_anything_never_takes_less(part):
    rng = np.random.default_rng(0)
    start = VTA_WIDE.feasible().sample(300, rng)
    for axis, key in enumerate(KEYS[:7]):
        more = start.copy()
        more[:, axis] = np.minimum(more[:, axis] + 1, VTA_WIDE.shape[axis] - 1)
        kept = VTA_WIDE.feasible().contains(more)
        before, after = (estimate(VTA_WIDE.decode(i[kept]), part) for i in (start, more))
        # Lanes are alike, so that an array larger than the part may leave more of its multipliers unused.
        enough = macs_per_cycle(VTA_WIDE.decode(more[kept])) <= part.dsps
        assert (after.dsps >= before.dsps)[enough].all()
        assert (after.dsps <= part.dsps).all()
        if key in KEYS[3:7]:
            assert (after.bram_blocks >= before.bram_blocks).all(), key
            assert (after.dsps == before.dsps).all()


def test_no_part_is_free_of_a_source_and_names_are_forgiving():
    for part in PARTS.values():
        assert part.source
        assert fpga_named(part.name.upper()) is part
    with pytest.raises(SettingsError, match="LFE5U-85F"):
        fpga_named("xc7z010")


def test_every_part_can_hold_some_design_of_every_space():
    for part in PARTS.values():
        assert VTA_INTEL.feasible(fpga_rules(part)).count > 0
