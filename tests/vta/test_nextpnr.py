"""A placed design is routed for a clock it can reach, and what has no room says so in nextpnr's words."""

import pytest

pytest.importorskip("amaranth", reason="the hardware extra is not installed")

from rhnas.errors import ToolFailedError
from rhnas.files import read_json
from rhnas.vta import nextpnr
from rhnas.vta.fpga import LFE5U_85F
from rhnas.vta.nextpnr import FIRST_PATIENCE, MANY, PATIENCE, TOO_LARGE, place_netlist, route_placed
from rhnas.vta.place import critical_path
from rhnas.vta.rtl.emit import module_verilog
from rhnas.vta.rtl.tokens import TokenQueue
from rhnas.vta.yosys import run_tool
from tests.tools import needs_nextpnr


def netlist_of(verilog, folder):
    """An ECP5 netlist of a module ``design``."""
    (folder / "design.v").write_text(verilog)
    (folder / "flow.ys").write_text("read_verilog design.v\nsynth_ecp5 -top design -json netlist.json\n")
    run_tool("yosys", ["-q", "flow.ys"], folder)
    return folder / "netlist.json"


@pytest.fixture
def placed(tmp_path):
    netlist = netlist_of(module_verilog("design", TokenQueue()), tmp_path)
    place_netlist(netlist, tmp_path / "placed.report.json", LFE5U_85F.name, [], lambda doing: None)
    return tmp_path / "placed.report.json"


@pytest.mark.hardware
@needs_nextpnr
def test_a_placed_design_has_a_clock_before_and_after_it_is_routed(placed, tmp_path):
    kept, told = tmp_path / "routed.report.json", []
    assert (tmp_path / "placed.json").exists()
    route_placed(placed, kept, LFE5U_85F.name, [], told.append)
    for path in (placed, kept):
        report = read_json(path)
        assert [100 < clock["achieved"] < 1500 for clock in report["fmax"].values()] == [True]
        assert report["utilization"]["TRELLIS_FF"]["used"] > 0
        assert bool(critical_path(report)) is (path == kept)
    assert read_json(kept)["seconds"] > read_json(placed)["seconds"]
    assert not (tmp_path / "placed.json").exists()
    assert [line.partition(",")[0] for line in told] == ["routing for 103.0 MHz"]


@pytest.mark.hardware
@needs_nextpnr
def test_a_clock_out_of_reach_is_given_up_for_a_lower_one(placed, tmp_path, monkeypatch):
    estimate, told = read_json(placed)["fmax"]["clk"]["achieved"], []
    monkeypatch.setattr(nextpnr, "MARGIN", 100)
    monkeypatch.setattr(nextpnr, "REACHES", (3.0, 0.5))
    route_placed(placed, tmp_path / "routed.report.json", LFE5U_85F.name, [], told.append)
    reached = [line.removeprefix("routing for ").partition(" MHz")[0] for line in told]
    assert reached == [f"{part * estimate:.1f}" for part in (3.0, 0.5)]


def rounds_before_stop(conflicts):
    """How many rounds of so many conflicts the router may do."""
    watch = nextpnr.patience()
    for number, count in enumerate(conflicts, 1):
        try:
            watch(f"Info:     iter={number} wires=7 overused={count} overuse=8 tmgfail=1 archfail=NA")
            watch("Info: another line")
        except nextpnr.StuckError:
            return number
    return None


def test_the_router_is_stopped_when_conflicts_do_not_become_fewer():
    assert rounds_before_stop([9, 5, *[5, 7] * PATIENCE]) == 2 + PATIENCE
    assert rounds_before_stop([9, 5, *[5, 7] * 15, 4, *[4] * PATIENCE]) == 33 + PATIENCE
    assert rounds_before_stop([9, 5, *[5, 7] * 15, 4, *[4] * 30, 3, 0]) is None


def test_many_conflicts_must_become_fewer_soon():
    many = [70_000 * 0.8**number for number in range(20)]
    assert rounds_before_stop([int(count) for count in many]) is None
    assert rounds_before_stop([int(count) for count in many[:12]] + [6_000] * 20) == 12 + FIRST_PATIENCE
    assert rounds_before_stop([MANY - 1] * PATIENCE) is None


@pytest.mark.hardware
@needs_nextpnr
def test_a_design_of_too_many_multipliers_does_not_fit(tmp_path):
    one = "MULT18X18D m{i}(.A0(a), .B0(a), .P0(p[{i}]), .CLK0(clk));"
    multipliers = "\n".join(one.format(i=i) for i in range(LFE5U_85F.dsps + 1))
    ports = f"input clk, input a, output [{LFE5U_85F.dsps}:0] p"
    netlist = netlist_of(f"module design({ports});\n{multipliers}\nendmodule\n", tmp_path)
    with pytest.raises(ToolFailedError, match="the design must fit LFE5U-85F; got of nextpnr") as caught:
        place_netlist(netlist, tmp_path / "report.json", LFE5U_85F.name, [], lambda doing: None)
    assert "no BELs remaining to implement cell type 'MULT18X18D'" in str(caught.value)
    assert not (tmp_path / "report.json").exists()


@pytest.mark.hardware
@needs_nextpnr
def test_another_failure_of_nextpnr_is_not_one_of_size(tmp_path):
    (tmp_path / "broken.json").write_text("nonsense")
    with pytest.raises(ToolFailedError, match="nextpnr-ecp5 must succeed; got exit") as caught:
        place_netlist(
            tmp_path / "broken.json", tmp_path / "report.json", LFE5U_85F.name, [], lambda doing: None
        )
    assert "Failed to parse JSON file" in str(caught.value)
    assert "must fit" not in str(caught.value)


@pytest.mark.parametrize(
    ("said", "too_large"),
    [
        (
            "ERROR: Unable to find legal placement for all cells, design is probably at utilisation limit.",
            True,
        ),
        ("ERROR: Unable to find legal placement for cell 'a' of type 'b' after 9 attempts, check", True),
        ("ERROR: failed to place cell 'a' after relative constraint legalisation", True),
        ("ERROR: Failed to find a route for arc 0 of net clk.", False),
        ("ERROR: unable to create ECP5 cell of type DSP48E1", False),
        ("Info: Unable to place cell 'a' at once, no BELs remaining near", False),
    ],
)
def test_only_some_of_nextpnrs_words_mean_too_large(said, too_large):
    assert (TOO_LARGE.search(f"exit 125:\n{said}\n0 warnings, 1 error") is not None) is too_large
