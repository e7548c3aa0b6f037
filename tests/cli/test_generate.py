"""rhnas generate writes what its manifest says, or nothing."""

import hashlib
import json
import re
import sys

import pytest

from rhnas.cli.app import main
from rhnas.errors import SettingsError
from rhnas.platform import Platform, load_platform

TINY = (
    "LOG_BLOCK=1,LOG_UOP_BUFF_SIZE=10,LOG_INP_BUFF_SIZE=10,LOG_WGT_BUFF_SIZE=10,LOG_ACC_BUFF_SIZE=10,"
    "SHL_MEM_AXI_DATA_BITS=128"
)


def run(capsys, *arguments):
    """Exit code and what was printed as JSON."""
    with pytest.raises(SystemExit) as caught:
        main(["generate", *map(str, arguments), "--json"])
    return caught.value.code, json.loads(capsys.readouterr().out)


@pytest.mark.hardware
def test_the_manifest_describes_the_files_beside_it(capsys, tmp_path):
    pytest.importorskip("amaranth", reason="the hardware extra is not installed")
    code, manifest = run(capsys, "--accelerator", TINY, "--out", tmp_path / "rtl")
    assert code == 0
    written = json.loads((tmp_path / "rtl" / "manifest.json").read_text())
    assert written == manifest
    assert {path.name for path in (tmp_path / "rtl").iterdir()} == {*manifest["files"], "manifest.json"}
    for name, file in manifest["files"].items():
        content = (tmp_path / "rtl" / name).read_bytes()
        assert (file["sha256"], file["bytes"]) == (hashlib.sha256(content).hexdigest(), len(content))
    row = load_platform().parse(str(tmp_path / "rtl" / "vta_config.json"))
    assert row == load_platform().parse(TINY) == manifest["accelerator"]
    verilog = (tmp_path / "rtl" / "accelerator.v").read_text()
    top = verilog[verilog.index(f"module {manifest['module']}(") :].partition("endmodule")[0]
    declared = {
        name: (direction, int(high or 0) + 1)
        for direction, high, name in re.findall(r"\n  (input|output) (?:\[(\d+):0\] )?(\w+);", top)
    }
    assert declared == {port["name"]: (port["direction"], port["bits"]) for port in manifest["ports"]}
    assert declared["m_axi_wdata"] == ("output", 128)
    assert manifest["registers"]["status"] == 0x24
    assert manifest["timing"]["name"] == "rhnas"


@pytest.mark.hardware
@pytest.mark.parametrize(
    ("part", "primitive"), [("xc7z020", "DSP48E1"), ("xczu3eg", "DSP48E1"), ("LFE5U-85F", "MULT18X18D")]
)
def test_verilog_for_a_part_has_its_multipliers_and_models_of_them_apart(capsys, tmp_path, part, primitive):
    pytest.importorskip("amaranth", reason="the hardware extra is not installed")
    out = tmp_path / "rtl"
    code, manifest = run(capsys, "--accelerator", TINY, "--fpga", part.lower(), "--out", out)
    assert code == 0
    assert manifest["fpga"] == part
    assert manifest["simulation_only"] == ["primitives.v"]
    assert {path.name for path in out.iterdir()} == {*manifest["files"], "manifest.json"}
    verilog, models = ((out / name).read_text() for name in ("accelerator.v", "primitives.v"))
    assert re.search(rf"\b{primitive}\b", verilog)
    assert f"module {primitive}" not in verilog, "tools bring their own"
    assert f"module {primitive}" in models
    _, generic = run(capsys, "--accelerator", TINY, "--out", out)
    assert (generic["fpga"], generic["simulation_only"]) == (None, [])
    assert not (out / "primitives.v").exists()
    assert primitive not in (out / "accelerator.v").read_text()
    assert generic["ports"] == manifest["ports"]
    configurations = {told["provenance"]["configuration"] for told in (generic, manifest)}
    assert len(configurations) == 2


def test_a_design_that_does_not_fit_the_part_is_refused_with_its_slack(capsys, tmp_path):
    code, answer = run(capsys, "--accelerator", "default", "--fpga", "LFE5U-85F", "--out", tmp_path / "rtl")
    assert code == 2
    assert re.search(
        r"must keep .*fpga\.bram: within the 208 block RAMs .* \(slack -\d+\)", answer["error"]["what"]
    )
    assert answer["error"]["fix"].startswith("nearest realizable: LOG_")
    assert not (tmp_path / "rtl").exists()


def test_an_unknown_part_is_refused_with_those_there_are(capsys, tmp_path):
    code, answer = run(capsys, "--accelerator", TINY, "--fpga", "ice40", "--out", tmp_path / "rtl")
    assert code == 2
    assert answer["error"]["what"] == "--fpga must be one of xc7z020, xczu3eg, LFE5U-85F"


def test_an_unrealizable_accelerator_is_refused_by_its_rule_and_nothing_is_written(capsys, tmp_path):
    code, answer = run(capsys, "--accelerator", "LOG_ACC_BUFF_SIZE=18", "--out", tmp_path / "rtl")
    assert code == 2
    assert "R2" in answer["error"]["what"]
    assert "LOG_ACC_BUFF_SIZE=17" in answer["error"]["fix"]
    assert not (tmp_path / "rtl").exists()


def test_without_amaranth_it_says_which_extra_to_install(capsys, tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.startswith(("amaranth", "rhnas.vta.rtl"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "amaranth", None)
    code, answer = run(capsys, "--accelerator", "default", "--out", tmp_path / "rtl")
    assert code == 3
    assert "rhnas[hardware]" in answer["error"]["fix"]
    assert not (tmp_path / "rtl").exists()


def test_a_platform_without_a_generator_says_so(tmp_path):
    with pytest.raises(SettingsError, match="must have a generator"):
        Platform.generate(load_platform(), {}, tmp_path)
