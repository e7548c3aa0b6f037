"""Builds of finished searches: complete, current, whole after a kill, and clear about what is missing."""

import hashlib
import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from rhnas.build import OPTIONAL, SCHEMES, Design, build
from rhnas.codesign.schemes.table import FURTHER
from rhnas.codesign.schemes.table import SCHEMES as SEARCHED
from rhnas.errors import (
    CheckpointError,
    DataError,
    InfeasibleDesignError,
    MissingToolError,
    RhnasError,
    SettingsError,
)
from rhnas.platform import load_platform
from rhnas.quantize import golden
from rhnas.quantized import QuantizedNetwork


def change_json(path: Path, **changes) -> None:
    value = json.loads(path.read_text())
    path.write_text(json.dumps(value | changes))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_schemes_are_those_of_a_search():
    assert set(SCHEMES) == {scheme.key for scheme in (*SEARCHED, *FURTHER.values())}


def test_a_build_is_complete_and_its_program_right(built: Path):
    folder, result = built / "build", json.loads((built / "result.json").read_text())["found"]
    manifest = json.loads((folder / "manifest.json").read_text())
    written = {name: hashlib.sha256(content).hexdigest() for name, content in contents(folder).items()}
    assert written.pop("manifest.json")
    assert {name: file["sha256"] for name, file in manifest["files"].items()} == written
    run = load_platform().simulate(folder / "program", strict=True)
    assert run.matches
    assert run.cycles == result["cycles_simulated"], "the program is the one that the search timed"
    assert manifest["cycles"]["modelled"] == pytest.approx(result["cycles"], rel=0.1)
    *layers, launch = result["layers"]
    assert [row["name"] for row in manifest["layers"]] == [row["name"] for row in layers]
    modelled = sum(row["modelled_cycles"] for row in manifest["layers"])
    assert manifest["cycles"]["modelled"] == modelled + launch["cycles"]
    assert json.loads((folder / "vta_config.json").read_text()).items() >= result["accelerator"].items()
    missing = {name for name, modules in OPTIONAL.items() if not all(map(find_spec, modules))}
    assert set(manifest["skipped"]) == missing
    assert (folder / "rtl" / "accelerator.v").exists() == ("rtl" not in missing)
    begin = 0
    for row in manifest["layers"]:
        assert row["first_instruction"] == begin
        begin += row["instructions"]
    assert begin + 1 == manifest["instructions"]


def test_the_onnx_model_gives_the_golden_scores(built: Path):
    pytest.importorskip("onnxruntime", reason="the onnx extra is not installed")
    from rhnas.quantize.export import onnx_scores

    design = Design.of(built)
    expected = golden.run(design.network, design.network.read_pixels(design.test.pixels))
    got = onnx_scores((built / "build" / "network.onnx").read_bytes(), design.test.pixels)
    np.testing.assert_array_equal(got, expected)


def test_what_is_current_is_left_and_what_is_not_is_made_again(building: Path, no_generator):
    told: list[str] = []
    before = contents(building / "build")
    build(Design.of(building), told.append)
    assert told == [f"{building / 'build'} is up to date"]
    assert contents(building / "build") == before
    weights = building / "build" / "program" / "weights.bin"
    weights.write_bytes(weights.read_bytes()[:-1])
    manifest = build(Design.of(building), told.append)
    assert weights.read_bytes() == before["program/weights.bin"]
    assert list(manifest["skipped"]) == ["rtl"]
    assert "Amaranth must be installed" in manifest["skipped"]["rtl"]
    assert not (building / "build" / "rtl").exists(), "nothing of the old build is left"


def test_schemes_lie_beside_each_other(search: Path, no_generator):
    build(Design.of(search, "baseline"))
    baseline = contents(search / "build" / "baseline")
    build(Design.of(search))
    assert contents(search / "build" / "baseline") == baseline
    assert load_platform().simulate(search / "build" / "baseline" / "program").matches
    assert load_platform().simulate(search / "build" / "program").matches


def test_a_scheme_asked_for_beside_the_four_is_built_like_them(search: Path, no_generator):
    assert set(Design.schemes_in(search)) == {scheme.key for scheme in SEARCHED}
    with pytest.raises(CheckpointError, match="search again with --overwrite and --schemes exact"):
        Design.of(search, "exact")
    shutil.copytree(search / "found", search / "exact")
    change_json(search / "result.json", exact=json.loads((search / "result.json").read_text())["found"])
    assert Design.schemes_in(search)[-1] == "exact"
    build(Design.of(search, "exact"))
    build(Design.of(search))
    assert load_platform().simulate(search / "build" / "exact" / "program").matches


KILLED = """
import os, signal, sys
from pathlib import Path
import rhnas.build, rhnas.nas.data.load, rhnas.vta.realize
rhnas.build.write_onnx = lambda *given: os.kill(os.getpid(), signal.SIGKILL)
for scheme in sys.argv[2:]:
    child = os.fork()
    if not child:
        rhnas.build.build(rhnas.build.Design.of(Path(sys.argv[1]), scheme))
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != -signal.SIGKILL:
        sys.exit("the build was to be killed")
"""


def test_a_kill_leaves_no_half_build(building: Path, no_generator):
    before = contents(building / "build")
    (building / "build" / "vta_config.json").write_text("{}")
    subprocess.run([sys.executable, "-c", KILLED, str(building), "found", "baseline"], check=True)
    assert contents(building / "build").keys() - before.keys() <= {
        name for name in contents(building / "build") if name.startswith(".baseline.new/")
    }
    assert not (building / "build" / "baseline").exists()
    assert (building / "build" / "vta_config.json").read_text() == "{}", "the build before is as it was"
    build(Design.of(building))
    build(Design.of(building, "baseline"))
    assert not [p for p in building.rglob(".*") if p.name.endswith((".new", ".old"))]
    assert load_platform().simulate(building / "build" / "program").matches


def test_a_write_that_fails_keeps_the_build_before(building: Path, monkeypatch, no_generator):
    (building / "build" / "vta_config.json").write_text("{}")
    before = contents(building / "build")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("rhnas.build.write_onnx", full)
    with pytest.raises(RhnasError, match="must be replaceable; got No space left on device"):
        build(Design.of(building))
    assert contents(building / "build") == before
    assert not [p for p in building.iterdir() if p.name.startswith(".")]


def test_what_is_no_finished_search_is_named(search: Path, tmp_path: Path):
    with pytest.raises(RhnasError, match="needs the directory of a search"):
        Design.of(tmp_path)
    with pytest.raises(SettingsError, match="must be one of found, baseline"):
        Design.of(search, "foun")
    (search / "result.json").unlink()
    with pytest.raises(RhnasError, match="needs a finished search") as caught:
        Design.of(search)
    assert "--resume" in caught.value.fix


def test_a_network_that_is_not_the_results_is_refused(search: Path):
    path = search / "found" / "network.npz"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"network\.npz must hold a quantized network"):
        Design.of(search)
    path.unlink()
    with pytest.raises(DataError, match="No such file"):
        Design.of(search)
    path.write_bytes(whole)
    network = QuantizedNetwork.load(path)
    QuantizedNetwork(
        name="shorter", layers=network.layers[:-1], picture_bits=network.picture_bits, pixels=network.pixels
    ).save(path)
    with pytest.raises(DataError, match=r"must hold the network that result\.json names"):
        Design.of(search)


def test_a_result_of_other_settings_is_refused(search: Path):
    config = search / "config.toml"
    config.write_text(config.read_text().replace("seed = 0", "seed = 1"))
    with pytest.raises(CheckpointError, match=r"must hold 'found' as found with config\.toml"):
        Design.of(search)


def test_an_accelerator_that_cannot_be_built_is_refused(search: Path):
    result = json.loads((search / "result.json").read_text())
    row = result["found"]["accelerator"] | {"LOG_INP_BUFF_SIZE": 2}
    change_json(search / "result.json", found=result["found"] | {"accelerator": row})
    with pytest.raises(InfeasibleDesignError):
        build(Design.of(search))
    assert not (search / "build").exists()


def test_without_data_the_program_has_a_picture_of_zeros(search: Path, monkeypatch, no_generator):
    def gone(*_: object) -> None:
        raise DataError("the pictures must be there")

    monkeypatch.setattr("rhnas.nas.data.load.task_data", gone)
    manifest = build(Design.of(search))
    assert manifest["picture"] == "zeros: the pictures must be there"
    assert load_platform().simulate(search / "build" / "program").matches


def test_a_platform_says_what_it_lacks(toolless):
    with pytest.raises(MissingToolError, match="synthesis must be available"):
        toolless.synthesize({}, None)
    with pytest.raises(MissingToolError, match="placement must be available"):
        toolless.place({}, print)
