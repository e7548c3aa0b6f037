"""rhnas doctor tells what is there, from the machine itself, and never fails."""

import json
import os
import stat
from importlib.metadata import version

import pytest

from rhnas import tools
from rhnas.cli import app, doctor


def diagnose(capsys, *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        app.main(["doctor", *arguments])
    assert ended.value.code == 0
    return capsys.readouterr().out


def found(capsys) -> dict[str, dict]:
    return {check["name"]: check for check in json.loads(diagnose(capsys, "--json"))["checks"]}


def test_versions_are_those_of_the_installed_distributions(capsys):
    checks = found(capsys)
    for name in ("torch", "numba", "plotly"):
        assert checks[name]["present"]
        assert checks[name]["version"] == version(name)
        assert checks[name]["fix"] is None


def test_an_absent_library_says_which_extra_brings_it():
    check = doctor.library("no-such-thing", "no_such_thing", "onnx", "nothing")
    assert (check.present, check.version) == (False, None)
    assert check.fix == "pip install 'rhnas[onnx]'"


def test_data_sets_are_found_along_the_search_path_in_order(capsys, monkeypatch, tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    (second / "tables").mkdir(parents=True)
    (first / "cifar-10-batches-bin").mkdir(parents=True)
    (second / "cifar-10-batches-bin").mkdir(parents=True)
    monkeypatch.setenv("RHNAS_DATA", os.pathsep.join(map(str, (first, second))))
    checks = found(capsys)
    assert checks["CIFAR-10"]["where"] == str(first / "cifar-10-batches-bin")
    assert checks["tables"]["where"] == str(second / "tables")
    assert not checks["Tiny ImageNet 32"]["present"]
    assert checks["Tiny ImageNet 32"]["fix"]


def test_a_program_tells_its_own_version(tmp_path):
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\necho 'Tool (vendor 7) release 12.3.1'\n")
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    check = doctor.program("tool", str(tool), "things", "get it")
    assert (check.present, check.version, check.fix) == (True, "12.3.1", None)
    assert doctor.program("tool", None, "things", "get it").fix == "get it"


def test_a_program_that_breaks_is_reported_not_raised(tmp_path):
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(broken.stat().st_mode | stat.S_IXUSR)
    assert doctor.program("broken", str(broken), "things", "get it").version is None


@pytest.fixture
def no_wheels(monkeypatch):
    tools.find_tool.cache_clear()
    monkeypatch.setattr(tools, "find_spec", lambda module: None)
    yield
    tools.find_tool.cache_clear()


def put(folder, name, text):
    tool = folder / name
    tool.write_text(f"#!/bin/sh\n{text}\n")
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    return str(tool)


@pytest.mark.usefixtures("no_wheels")
def test_tools_of_the_path_are_found_where_the_wheels_are_not(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CXX", "other-cc")
    names = {
        "yosys": "yosys",
        "nextpnr-ecp5": "nextpnr-ecp5",
        "Verilator": "verilator",
        "C++ compiler": "other-cc",
    }
    paths = {name: put(tmp_path, file, "echo Tool 1.2.3") for name, file in names.items()}
    checks = found(capsys)
    for name, path in paths.items():
        assert (checks[name]["where"], checks[name]["version"]) == (path, "1.2.3")


def test_only_the_compiler_that_models_are_built_with_counts(monkeypatch, tmp_path):
    put(tmp_path, "clang++", "echo clang 1.2.3")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    assert not doctor.compiler().present
    monkeypatch.setenv("CXX", "clang++")
    assert doctor.compiler().where == tools.find_compiler()
    put(tmp_path, "g++", "echo g++ 1.2.3")
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert not doctor.compiler().present


@pytest.mark.usefixtures("no_wheels")
def test_a_tool_that_does_not_run_says_why(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    put(tmp_path, "yosys", "echo no libreadline; exit 1")
    put(tmp_path, "verilator", "exit 2")
    checks = found(capsys)
    assert "no libreadline" in checks["yosys"]["fix"]
    assert "exit 2" in checks["Verilator"]["fix"]
    assert checks["nextpnr-ecp5"]["fix"] == "pip install 'rhnas[hardware]'"


def test_an_empty_machine_still_gets_an_answer(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.delenv("RHNAS_DATA", raising=False)
    checks = found(capsys)
    absent = {"C++ compiler", "Chromium", "GPU", "CIFAR-10"}
    assert not any(checks[name]["present"] for name in absent)
    assert all(checks[name]["fix"] for name in absent)


def test_the_table_shows_every_part_and_the_extras_by_name(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(doctor, "find_spec", lambda module: None)
    text = diagnose(capsys)
    for check in doctor.checks():
        assert check.name in text
    assert "rhnas[hardware]" in text
