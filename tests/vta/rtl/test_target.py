"""Lanes with an FPGA family's multipliers are the lanes of plain arithmetic, bit for bit."""

import ctypes
import re

import numpy as np
import pytest

pytest.importorskip("amaranth", reason="the hardware extra is not installed")

from rhnas.vta.config import AcceleratorConfig
from rhnas.vta.fpga import LFE5U_85F, PARTS, XC7Z020
from rhnas.vta.resources import hard_multipliers
from rhnas.vta.rtl.emit import module_verilog, verilog_of
from rhnas.vta.rtl.gemm import DOT_CYCLES, DotProducts, array_lane, dot_bits
from rhnas.vta.rtl.target import GENERIC, Target, primitive_models, target_of
from rhnas.vta.spaces import VTA_WIDE
from rhnas.vta.verilate import RtlModel, build_model
from tests.tools import needs_verilator

from .test_accelerator import SMALL, compare

LENGTH = 4
HARNESS = """
#include "Vaccelerator.h"
#include "verilated.h"
double sc_time_stamp() { return 0; }
typedef unsigned long long wide;
extern "C" void run(unsigned steps, const unsigned *shared, const wide *others, wide *sums) {
    Vaccelerator model;
    for (unsigned step = 0; step < steps; step++) {
        model.shared = shared[step];
        model.others = others[step];
        model.clk = 0; model.eval();
        model.clk = 1; model.eval();
        sums[step] = model.sums;
    }
}
"""


def run_lane(target, hard, shared, others, folder):
    """Sums of every step, int64 (steps, 2)."""
    lane = DotProducts(LENGTH, 2, target, hard)
    sums = run_text(module_verilog("accelerator", lane) + primitive_models(), shared, others, folder)
    bits = dot_bits(LENGTH)
    fields = np.stack([sums & (1 << bits) - 1, sums >> np.uint64(bits)], axis=1).astype(np.int64)
    return np.where(fields >> (bits - 1), fields - (1 << bits), fields)


def run_text(text, shared, others, folder):
    """The output of every step, uint64 (steps,)."""
    library = ctypes.CDLL(str(build_model(text, 8, folder, harness=HARNESS)))
    sums = np.zeros(len(shared), dtype=np.uint64)
    packed = shared.view(np.uint32).reshape(-1)
    pairs = others.reshape(len(others), -1).view(np.uint64).reshape(-1)
    pointers = [array.ctypes.data_as(ctypes.c_void_p) for array in (packed, pairs, sums)]
    library.run(ctypes.c_uint(len(shared)), *pointers)
    return sums


@pytest.mark.hardware
@needs_verilator
@pytest.mark.parametrize(
    ("target", "hard"),
    [
        pytest.param(Target(family="xc7", dsps=99, shared=2), 3, id="xc7", marks=pytest.mark.slow),
        pytest.param(Target(family="ecp5", dsps=99), 4, id="ecp5", marks=pytest.mark.slow),
        pytest.param(Target(family="ecp5"), 0, id="tables"),
    ],
)
def test_a_lane_of_multipliers_gives_the_dot_products(target, hard, tmp_path):
    rng = np.random.default_rng(0)
    shared = rng.integers(-128, 128, (300, LENGTH), dtype=np.int8)
    others = rng.integers(-128, 128, (300, 2, LENGTH), dtype=np.int8)
    shared[:8], others[:8] = -128, rng.choice([-128, 127], (8, 2, LENGTH))
    found = run_lane(target, hard, shared, others, tmp_path)
    expected = np.einsum("ti,toi->to", shared.astype(np.int64), others.astype(np.int64))
    assert np.array_equal(found[DOT_CYCLES - 1 :], expected[: 1 - DOT_CYCLES])


SETTING = re.compile(r"""\.(?!C\()\w+\((?:\d+'[hd]([0-9a-f]+)|"(\w+)")\)""")
"""A parameter or pin of an instance that is a constant, but for the adder's operand, which goes nowhere."""
BESIDE = """
module accelerator(input clk, input [31:0] shared, input [63:0] others, output [63:0] sums);
  wire [{bits}:0] of [0:{last}];
  genvar k;
  for (k = 0; k <= {last}; k = k + 1) assign sums[k] = of[k] == of[0];
{lanes}
endmodule
"""


def changed(text):
    """A lane's Verilog with each setting of its first instance changed in turn."""
    begin = text.index(" #(")
    for found in SETTING.finditer(text, begin, text.index(");", text.index(") at", begin))):
        group = 1 if found[1] else 2
        other = f"{int(found[1], 16) ^ 1:x}" if found[1] else "OTHER"
        yield found[0], text[: found.start(group)] + other + text[found.end(group) :]


@pytest.mark.slow
@pytest.mark.hardware
@needs_verilator
@pytest.mark.parametrize(
    ("target", "settings"),
    [
        pytest.param(Target(family="xc7", dsps=9, shared=2), 34, id="xc7"),
        pytest.param(Target(family="ecp5", dsps=9), 10, id="ecp5"),
    ],
)
def test_a_multiplier_that_is_set_otherwise_gives_other_products(target, settings, tmp_path):
    text = module_verilog("lane", DotProducts(1, 2, target, 1))
    others = list(changed(text))
    assert len(others) == settings
    texts = [text, *(other for _, other in others)]
    lanes = [
        f"lane_{k} m{k}(.clk(clk), .rst(1'b0), .shared(shared[7:0]), .others(others[15:0]), .sums(of[{k}]));"
        for k in range(len(texts))
    ]
    top = BESIDE.format(bits=2 * dot_bits(1) - 1, last=settings, lanes="\n".join(lanes))
    modules = [each.replace("module lane(", f"module lane_{k}(") for k, each in enumerate(texts)]
    rng = np.random.default_rng(0)
    shared = rng.integers(-128, 128, (100, LENGTH), dtype=np.int8)
    vectors = rng.integers(-128, 128, (100, 2, LENGTH), dtype=np.int8)
    equal = run_text("\n".join([top, *modules, primitive_models()]), shared, vectors, tmp_path)
    always = np.bitwise_and.reduce(equal)
    unseen = [setting for k, (setting, _) in enumerate(others, 1) if int(always) >> k & 1]
    assert not unseen


@pytest.mark.slow
@pytest.mark.hardware
@pytest.mark.timeout(3_600)
@needs_verilator
@pytest.mark.parametrize("part", [XC7Z020, LFE5U_85F], ids=lambda part: part.family)
def test_a_machine_of_multipliers_is_the_simulator_too(part):
    config = AcceleratorConfig(log_block_in=1, log_block_out=1, **SMALL)
    target = target_of(part)
    assert array_lane(config, target).hard == config.block_in
    compare(RtlModel(config, target=target), programs=4)


def test_multipliers_go_as_far_as_the_part_has_them():
    config = AcceleratorConfig()
    assert array_lane(config, GENERIC).hard == 0
    assert array_lane(config, target_of(XC7Z020)).hard == 16, "8 lanes of 16 DSP48 are 128 of 220"
    assert array_lane(config, target_of(LFE5U_85F)).hard == 9, "8 lanes of 9 x 2 MULT18 are 144 of 156"


@pytest.mark.parametrize("part", PARTS.values(), ids=lambda part: part.name)
def test_the_resource_model_counts_the_multipliers_of_the_lanes(part):
    rows = VTA_WIDE.decode(VTA_WIDE.feasible().sample(200, np.random.default_rng(0)))
    counted = hard_multipliers(rows, part)
    target = target_of(part)
    for index, dsps in enumerate(counted):
        config = AcceleratorConfig.from_row(rows.row(index))
        lane = array_lane(config, target)
        lanes = config.batch * config.block_out // lane.outputs
        assert dsps == lanes * lane.hard * target.per_position(lane.outputs), config.name


def test_one_lane_is_emitted_and_instantiated():
    text = verilog_of(AcceleratorConfig(log_uop_buff_size=10), target_of(XC7Z020))
    assert text.count("module dot_products(") == text.count("module alu_lane(") == 1
    assert text.count("  dot_products lane_") == 8
    assert text.count("  alu_lane lane_") == 16
    assert text.count("  DSP48E1 #(") == 16
