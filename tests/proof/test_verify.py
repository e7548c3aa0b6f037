"""Proofs: what is equal, what is not, what is kept, and what a missing tool leaves."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from rhnas.build import Design
from rhnas.cli.app import main
from rhnas.errors import ProgramError, SettingsError
from rhnas.platform import load_platform
from rhnas.quantize import golden
from rhnas.quantized import QuantizedNetwork
from rhnas.toolchain import Toolchain
from rhnas.verify import Checks, proven, verify
from rhnas.vta.realize import VtaRealization, VtaToolchain
from tests.tools import needs_verilator

FEW = Checks(images=3)


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict]:
    with pytest.raises(SystemExit) as end:
        main([*arguments, "--json"])
    return int(end.value.code or 0), json.loads(capsys.readouterr().out)


def test_a_build_is_proven(building: Path, capsys):
    result = (building / "result.json").read_bytes()
    code, said = call(capsys, "verify", str(building), "--images", "3")
    assert code == 0
    assert said == json.loads((building / "verify.json").read_text())
    found = json.loads(result)["found"]
    assert said["bit_exact"] is True
    assert said["accuracy_int8"] == found["accuracy_int8"]
    assert said["test_images"] == 64
    cycles = said["cycles"]
    assert cycles["simulated"] == load_platform().simulate(building / "build" / "program").cycles
    assert cycles["simulated"] == found["cycles_simulated"], "the search timed this very program"
    manifest = json.loads((building / "build" / "manifest.json").read_text())
    assert cycles["modelled"] == manifest["cycles"]["modelled"]
    assert cycles["modelled"] == pytest.approx(found["cycles"], rel=0.1), "timing prefers near mappings"
    assert cycles["rtl"] is None
    assert said["synthesis"] is None
    assert said["fmax_mhz"] is None
    assert "error" not in said, "that key is a failure's"
    assert said["cycles_error"] == pytest.approx(cycles["modelled"] / cycles["simulated"] - 1)
    for how in ("modelled", "simulated"):
        assert sum(row[how] for row in said["layers"]) == cycles[how]
    assert [row["name"] for row in said["layers"]] == [row["name"] for row in found["layers"]]
    assert said["schemes"]["found"].items() <= said.items()
    assert (building / "result.json").read_bytes() == result
    page = (building / "report.html").read_text()
    assert f"{cycles['simulated']:,}".replace(",", "\u202f") in page


def test_a_network_is_judged_once_and_again_where_it_or_the_pictures_change(
    building: Path, monkeypatch: pytest.MonkeyPatch, no_generator
):
    judged, count = [], golden.accuracy

    def counted(*given):
        judged.append(given)
        return count(*given)

    monkeypatch.setattr(golden, "accuracy", counted)
    first = verify(building, ["found"], FEW)
    assert verify(building, ["found"], FEW)["accuracy_int8"] == first["accuracy_int8"]
    before = len(judged)
    path = building / "verify.json"
    for times, key in enumerate(("judged", "build"), start=1):
        path.write_text(path.read_text().replace(first[key], "0" * 64))
        assert verify(building, ["found"], FEW)[key] == first[key]
        assert len(judged) == before + times


def test_another_schedule_is_proved_beside_the_search_s(building: Path, capsys, no_generator):
    ours = verify(building, ["found"], FEW)
    code, said = call(capsys, "verify", str(building), "--images", "2", "--schedule", "upstream")
    assert code == 0
    assert said["bit_exact"] is True
    assert said == json.loads((building / "verify-upstream.json").read_text())
    assert said["cycles"]["simulated"] > ours["cycles"]["simulated"]
    assert said["cycles_error"] == pytest.approx(0, abs=0.1)
    assert json.loads((building / "verify.json").read_text()) == ours
    assert json.loads((building / "build-upstream" / "manifest.json").read_text())["schedule"] == "upstream"
    with pytest.raises(SettingsError, match=r"schedule must be one of \['best', 'upstream'\]; got fastest"):
        Design.of(building, schedule="fastest")


def test_other_schemes_are_kept_until_they_change(building: Path, no_generator):
    verify(building, ["baseline"], FEW)
    only = json.loads((building / "verify.json").read_text())
    assert only["bit_exact"] is None, "the top level is the found design's"
    both = verify(building, ["found"], FEW)
    assert both["schemes"]["baseline"] == only["schemes"]["baseline"]
    path = building / "baseline" / "network.npz"
    network = QuantizedNetwork.load(path)
    pixels = network.pixels.copy()
    pixels[0, 0] ^= 1
    QuantizedNetwork(
        name=network.name, layers=network.layers, picture_bits=network.picture_bits, pixels=pixels
    ).save(path)
    assert list(verify(building, ["found"], FEW)["schemes"]) == ["found"]


def test_a_program_that_computes_something_else_is_found_out(building: Path, capsys):
    path = building / "build" / "program" / "constants.bin"
    content = bytearray(path.read_bytes())
    content[::4] = bytes(value ^ 0x40 for value in content[::4])
    path.write_bytes(content)
    code, said = call(capsys, "verify", str(building), "--images", "2")
    assert code == 1
    assert said["bit_exact"] is False
    assert said["accuracy_int8_equal"] is True, "the integer network itself is as it was"


def test_a_truncated_program_is_named(building: Path):
    path = building / "build" / "program" / "instructions.bin"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ProgramError, match="must hold whole instructions of 16 bytes"):
        verify(building, ["found"], FEW)


def test_a_program_for_another_accelerator_is_named(building: Path):
    config = building / "build" / "program" / "vta_config.json"
    value = json.loads(config.read_text())
    config.write_text(json.dumps(value | {"LOG_ACC_BUFF_SIZE": value["LOG_ACC_BUFF_SIZE"] - 1}))
    with pytest.raises(ProgramError, match="the program must be made for"):
        verify(building, ["found"], FEW)


def test_a_manifest_of_other_layers_or_without_them_is_named(building: Path):
    path = building / "build" / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(manifest | {"layers": manifest["layers"][1:]}))
    with pytest.raises(ProgramError, match="the program must be made for the layers of"):
        verify(building, ["found"], FEW)
    del manifest["regions"]
    path.write_text(json.dumps(manifest))
    with pytest.raises(ProgramError, match="must describe its program; got KeyError"):
        verify(building, ["found"], FEW)


def test_another_network_than_the_searchs_is_found_out(building: Path, capsys, no_generator):
    path = building / "found" / "network.npz"
    network = QuantizedNetwork.load(path)
    QuantizedNetwork(
        name=network.name, layers=network.layers, picture_bits=network.picture_bits, pixels=~network.pixels
    ).save(path)
    code, said = call(capsys, "verify", str(building), "--images", "2")
    assert said["bit_exact"] is True, "the build follows the network"
    assert said["accuracy_int8_equal"] is (
        said["accuracy_int8"] == Design.of(building).result["accuracy_int8"]
    )
    assert code == (0 if said["accuracy_int8_equal"] else 1)


def test_a_missing_tool_leaves_what_was_finished(building: Path, capsys, monkeypatch):
    monkeypatch.setattr(VtaToolchain, "synthesize", Toolchain.synthesize)
    code, said = call(capsys, "verify", str(building), "--images", "2", "--synthesize")
    assert code == 3
    assert "synthesis must be available" in said["error"]["what"]
    kept = json.loads((building / "verify.json").read_text())
    assert kept["bit_exact"] is True
    assert kept["synthesis"] is None
    assert "Proof" in (building / "report.html").read_text()


def test_measurements_of_a_build_are_kept_and_those_of_another_program_dropped(building: Path, monkeypatch):
    monkeypatch.setattr(VtaToolchain, "synthesize", lambda self, row, part: {"LUT": 7})
    placement = {"fmax_mhz": 50.0, "part": "a part", "critical_modules": ["compute.alu"]}
    monkeypatch.setattr(VtaToolchain, "place", lambda self, row, tell: placement)
    verify(building, ["found"], Checks(images=1, synthesize=True, place=True))
    kept = verify(building, ["found"], FEW)
    assert kept["synthesis"] == {"LUT": 7}
    assert kept["placement"] == placement
    assert kept["fmax_mhz"] == 50
    assert kept["latency_ms_at_fmax"] == pytest.approx(2 * kept["latency_ms"])
    pictures = building / "build" / "program" / "padding.bin"
    pictures.write_bytes(pictures.read_bytes() + b"\0")
    dropped = verify(building, ["found"], FEW)
    assert dropped["synthesis"] is dropped["placement"] is dropped["fmax_mhz"] is None


def test_the_latency_at_fmax_is_of_the_verilogs_cycles_where_it_ran(building: Path, monkeypatch, capsys):
    def twice(self, pictures):
        run = self.simulate(pictures)
        return replace(run, cycles=tuple(2 * cycles for cycles in run.cycles))

    monkeypatch.setattr(VtaRealization, "run_rtl", twice)
    placement = {"fmax_mhz": 50.0, "part": "a part", "critical_modules": ["compute", "compute.alu"]}
    monkeypatch.setattr(VtaToolchain, "place", lambda self, row, tell: placement)
    verify(building, ["found"], Checks(images=1, place=True))
    verified = verify(building, ["found"], Checks(images=1, rtl=True))
    assert verified["latency_ms_at_fmax"] == pytest.approx(4 * verified["latency_ms"])
    with pytest.raises(SystemExit):
        main(["verify", str(building), "--images", "1"])
    said = capsys.readouterr().out
    assert "found: 50.0 MHz on a part, limited by compute > compute.alu; a launch takes" in said
    assert "limited by the path through compute → compute.alu" in (building / "report.html").read_text()


def test_schemes_that_ended_with_one_design_share_its_verilog(
    building: Path, monkeypatch: pytest.MonkeyPatch, no_generator
):
    result = json.loads((building / "result.json").read_text())
    result["two_stage"] = {**result["found"], "scheme": "two_stage"}
    (building / "result.json").write_text(json.dumps(result))
    shutil.copyfile(building / "found" / "network.npz", building / "two_stage" / "network.npz")
    ran, synthesized, placed = [], [], []

    def run_rtl(self, pictures):
        ran.append(len(pictures))
        return self.simulate(pictures)

    def synthesize(self, row, part):
        synthesized.append(row)
        return {"LUT": 7}

    monkeypatch.setattr(VtaRealization, "run_rtl", run_rtl)

    def place(self, row, tell):
        placed.append(row)
        return {"fmax_mhz": 50.0}

    monkeypatch.setattr(VtaToolchain, "synthesize", synthesize)
    monkeypatch.setattr(VtaToolchain, "place", place)
    asked = Checks(images=2, rtl=True, synthesize=True, place=True)
    found, twin = (verify(building, [key], asked)["schemes"][key] for key in ("found", "two_stage"))
    assert (len(ran), len(synthesized), len(placed)) == (1, 1, 1)
    alike = ("exact", "bit_exact", "cycles", "cycles_equal", "images_rtl", "synthesis", "fmax_mhz")
    assert {key: twin[key] for key in alike} == {key: found[key] for key in alike}
    verify(building, ["two_stage"], replace(asked, images=3))
    assert ran == [2, 3], "found ran on fewer pictures"
    verify(building, ["baseline"], asked)
    assert (len(ran), len(synthesized), len(placed)) == (3, 2, 2), "another accelerator"


TOO_LARGE = {
    "part": "xc7z020",
    "budget": {"luts": {"used": 9, "available": 53200}, "bram_blocks": {"used": 1489, "available": 280}},
    "fits": False,
}


@pytest.mark.parametrize(("fpga", "fits", "code"), [("xc7z020", False, 1), (None, None, 0)])
def test_a_design_too_large_for_the_runs_part_is_a_no(building: Path, monkeypatch, capsys, fpga, fits, code):
    monkeypatch.setattr(VtaToolchain, "synthesize", lambda self, row, part: TOO_LARGE)
    chosen, built = Design.of, json.loads((building / "build" / "manifest.json").read_text())

    def with_part(*given):
        design = chosen(*given)
        platform = design.settings.platform.model_copy(update={"fpga": fpga})
        return replace(design, settings=design.settings.model_copy(update={"platform": platform}))

    monkeypatch.setattr(Design, "of", with_part)
    monkeypatch.setattr(Design, "identity", built["identity"])
    with pytest.raises(SystemExit) as end:
        main(["verify", str(building), "--images", "1", "--synthesize"])
    assert int(end.value.code or 0) == code
    kept = json.loads((building / "verify.json").read_text())
    assert (kept["synthesis"], kept["fits"], kept["bit_exact"]) == (TOO_LARGE, fits, True)
    complaint = "found: the synthesized design does not fit xc7z020: 1,209 bram blocks too many"
    said = capsys.readouterr().out
    assert (complaint in said) is (code == 1)
    assert "found: 9 of 53,200 luts, 1,489 of 280 bram blocks of xc7z020, synthesized" in said


def test_checks_without_pictures_are_refused():
    with pytest.raises(SettingsError, match="--images must be at least 1; got 0"):
        Checks(images=0)


def test_proven_means_everything_compared_is_equal():
    good = {"bit_exact": True, "cycles_equal": True, "accuracy_int8_equal": True, "fits": True}
    assert proven(good)
    for key in good:
        assert not proven(good | {key: False})
    assert not proven(good | {"bit_exact": None})


def tiny_accelerator(directory: Path) -> None:
    """Have the search find the small machine of the RTL's tests, so that Verilator compiles it once."""
    changes = {"LOG_BATCH": 0, "LOG_BLOCK_IN": 1, "LOG_BLOCK_OUT": 1, "SHL_MEM_AXI_DATA_BITS": 64}
    changes |= {f"LOG_{memory}_BUFF_SIZE": 10 for memory in ("UOP", "INP", "WGT", "ACC")}
    result = json.loads((directory / "result.json").read_text())
    result["found"]["accelerator"] |= changes
    (directory / "result.json").write_text(json.dumps(result))


@pytest.mark.hardware
@needs_verilator
def test_the_generated_verilog_gives_the_same_scores_in_the_same_cycles(search: Path, capsys):
    pytest.importorskip("amaranth", reason="the hardware extra is not installed")
    tiny_accelerator(search)
    code, said = call(capsys, "verify", str(search), "--images", "2", "--rtl")
    assert code == 0
    assert said["exact"] == {"simulated": True, "rtl": True}
    assert said["cycles"]["rtl"] == said["cycles"]["simulated"]
    assert said["cycles_equal"] is True
