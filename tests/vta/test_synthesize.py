"""Synthesis counts what closed forms say, tells equal modules from unequal ones, and fails in plain words."""

import shutil

import pytest

pytest.importorskip("amaranth", reason="the hardware extra is not installed")

from rhnas import tools
from rhnas.errors import MissingToolError, SettingsError, ToolFailedError
from rhnas.vta.config import AcceleratorConfig
from rhnas.vta.fpga import LFE5U_85F, XC7Z020
from rhnas.vta.netlist import Unit, instances, units_of
from rhnas.vta.place import place
from rhnas.vta.resources import bram_blocks
from rhnas.vta.rtl.emit import module_verilog
from rhnas.vta.rtl.gemm import DotProducts
from rhnas.vta.rtl.scratchpad import Scratchpad
from rhnas.vta.rtl.target import Target, target_of
from rhnas.vta.rtl.tokens import TokenQueue
from rhnas.vta.synthesize import ModuleUse, Synthesis, module_use, synthesize, synthesize_units
from tests.tools import needs_yosys


def use_of(name, component, family):
    units = units_of(module_verilog(name, component))
    cells = synthesize_units(list(units.values()), family)
    modules = tuple(
        module_use(units[module], number, cells[units[module].key], family)
        for module, number in instances(units, name).items()
    )
    return Synthesis(accelerator={}, family=family, part=None, modules=modules, tool="", seconds=0.0)


CHILD = "module \\{name} (\\{port} );\n  input \\{port} ;\n  wire \\{port} ;\nendmodule\n"


def test_equal_modules_are_one_unit_whatever_their_generated_names():
    top = "module top(clk);\n  input clk;\n"
    for name, port in (("a", "port$1$0"), ("b", "port$27$0"), ("c", "clock")):
        top += f"  \\{name}  {name} (\n    .\\{port} (clk)\n  );\n"
    text = top + "endmodule\n"
    for name, port in (("a", "port$1$0"), ("b", "port$27$0"), ("c", "clock")):
        text += CHILD.format(name=name, port=port)
    units = units_of(text)
    assert units["\\a"].key == units["\\b"].key != units["\\c"].key
    assert instances(units, "top") == {"top": 1, "\\a": 1, "\\b": 1, "\\c": 1}
    assert units["top"].text.count("(* blackbox *)") == 3


@pytest.mark.hardware
@needs_yosys
@pytest.mark.parametrize(
    "family", ["generic", *(pytest.param(family, marks=pytest.mark.slow) for family in ("xc7", "ecp5"))]
)
def test_a_token_queue_has_its_eleven_flip_flops(family):
    use = use_of("tokens", TokenQueue(), family)
    assert (use.flip_flops, use.dsps, use.bram_blocks) == (8 + 3, 0, 0), "count, any, pushed, overflow"
    assert 9 <= use.luts <= 40


@pytest.mark.hardware
@needs_yosys
@pytest.mark.slow
@pytest.mark.parametrize("family", ["xc7", "ecp5"])
@pytest.mark.parametrize(
    ("depth", "tensor", "beat"), [(1024, 64, 64), (2048, 32, 64), (512, 512, 128), (128, 1024, 256)]
)
def test_scratchpads_are_block_ram_of_the_number_their_geometry_says(family, depth, tensor, beat):
    banks = max(1, beat // tensor)
    use = use_of("pad", Scratchpad(depth=depth, tensor_bits=tensor, beat_bits=beat), family)
    slices = max(1, tensor // beat)
    assert use.bram_blocks == banks * bram_blocks(tensor // slices, depth // banks, slices)


@pytest.mark.hardware
@needs_yosys
@pytest.mark.slow
@pytest.mark.parametrize("part", [XC7Z020, LFE5U_85F], ids=lambda part: part.name)
def test_a_multiplier_of_tables_takes_what_the_part_says(part):
    length, outputs = 16, 2
    target = target_of(part)
    lanes = {hard: DotProducts(length, outputs, target, hard) for hard in (0, length)}
    luts = {hard: use_of("dot", lane, part.family).luts for hard, lane in lanes.items()}
    each = (luts[0] - luts[length]) / (length * outputs)
    assert each == pytest.approx(part.luts_per_multiplier, rel=0.02)


@pytest.mark.hardware
@needs_yosys
@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "shared", "dsps"), [("xc7", 2, 6), ("ecp5", 1, 12), ("generic", 1, 0)], ids=str
)
def test_multipliers_hold_the_operands_and_products(family, shared, dsps):
    target = Target(family=family, dsps=99, shared=shared)
    hard, length = (0 if family == "generic" else 6), 8
    use = use_of("dot", DotProducts(length, 2, target, hard), family)
    assert use.dsps == dsps
    # First operand registers of three vectors; second ones and products of what is not in a multiplier.
    operands, soft = 3 * 8 * length, (length - hard) * (3 * 8 + 2 * 16)
    tree = 2 * (2 * 18 + 19)
    assert operands + soft < use.flip_flops <= operands + soft + tree + 8


@pytest.mark.hardware
@needs_yosys
@pytest.mark.slow
def test_a_whole_design_is_counted_lane_by_lane():
    config = AcceleratorConfig(log_block_in=2, log_block_out=2, log_uop_buff_size=10)
    found = synthesize(config)
    by_name = {module.name: module for module in found.modules}
    assert by_name["dot_products"].instances == 2
    assert by_name["alu_lane"].instances == 4
    assert found.dsps == 8
    assert found.fits
    assert found.to_json()["luts"] == sum(m.instances * m.luts for m in found.modules)


@pytest.mark.hardware
@needs_yosys
def test_a_failing_yosys_gives_its_own_last_lines(tmp_path):
    broken = Unit(name="broken", key="0" * 16, text="module u_0(; endmodule\n", children={})
    with pytest.raises(ToolFailedError, match="yosys must succeed") as caught:
        synthesize_units([broken], "generic", cache=tmp_path)
    assert "syntax error" in str(caught.value)
    assert not list(tmp_path.rglob("*.json"))


def test_a_missing_tool_says_how_to_get_it(monkeypatch):
    tools.find_tool.cache_clear()
    monkeypatch.setattr(tools, "find_spec", lambda name: None)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(
        MissingToolError, match=r"nextpnr-ecp5 must be installed; pip install 'rhnas\[hardware\]'"
    ):
        tools.find_tool("nextpnr-ecp5")
    tools.find_tool.cache_clear()


def test_what_no_tool_knows_is_refused():
    with pytest.raises(SettingsError, match="placement must be for one of LFE5U-85F"):
        place(AcceleratorConfig(), "xc7z020")
    with pytest.raises(SettingsError, match="speed grade must be 6, 7 or 8"):
        place(AcceleratorConfig(), speed_grade=9)
    with pytest.raises(SettingsError, match="family must be one of xc7, ecp5, generic"):
        synthesize_units([], "ice40")


@pytest.mark.parametrize(("blocks", "fits"), [(140, True), (141, False)])
def test_a_design_too_large_for_its_part_says_so(blocks, fits):
    use = ModuleUse(name="a", instances=2, luts=7, flip_flops=1, dsps=0, bram_blocks=blocks, srams=0)
    found = Synthesis(accelerator={}, family="xc7", part="xc7z020", modules=(use,), tool="", seconds=0.0)
    assert found.fits is fits
    assert found.budget()["bram_blocks"] == {"used": 2 * blocks, "available": 280}
    assert (found.luts, found.flip_flops) == (14, 2)
