"""rhnas space and rhnas explain, as a user or a script meets them."""

import json

import pytest

from rhnas.cli.app import main


def run(capsys, *arguments):
    """Exit code, stdout and stderr."""
    with pytest.raises(SystemExit) as caught:
        main(list(arguments))
    return caught.value.code, *capsys.readouterr()


def test_space_prints_the_published_counts(capsys):
    code, out, _ = run(capsys, "space", "vta-intel", "--json")
    assert code == 0
    found = json.loads(out)
    assert (found["points"], found["realizable"]) == (15_680, 6_472)
    assert found["by_rule"]["R4"] == 5_804
    code, out, _ = run(capsys, "space", "vta-intel")
    assert code == 0
    assert "6,472 realizable" in out


def test_an_unknown_space_is_the_users_mistake(capsys):
    code, out, err = run(capsys, "space", "vta-huge", "--json")
    assert code == 2
    assert "vta-intel" in json.loads(out)["error"]["what"]
    assert not err


def test_the_default_is_realizable_and_fits_what_it_fits(capsys):
    code, out, _ = run(capsys, "explain", "--accelerator", "default", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["realizable"]
    assert found["fits"] == {"xc7z020": True, "xczu3eg": True, "LFE5U-85F": False}
    assert found["fpgas"]["LFE5U-85F"]["fpga.bram"] == 208 - 251
    assert all(rule["slack"] >= 0 and rule["fix"] is None for rule in found["rules"])


@pytest.mark.parametrize("space", ["vta-intel", "vta"])
def test_too_large_an_accumulator_is_refused_with_reasons_and_fix(capsys, space):
    arguments = ["explain", "--accelerator", "LOG_ACC_BUFF_SIZE=18", "--space", space]
    code, out, _ = run(capsys, *arguments, "--json")
    found = json.loads(out)
    assert code == 1
    assert not found["realizable"]
    assert not any(found["fits"].values())
    assert found["fix"] == "LOG_ACC_BUFF_SIZE=17"
    broken = {rule["name"]: rule for rule in found["rules"] if rule["slack"] < 0}
    assert set(broken) == {"R2", "R4"}
    for rule in broken.values():
        assert rule["level"] == "structural"
        assert rule["reason"]
        assert rule["source"]
        assert rule["fix"] == "LOG_ACC_BUFF_SIZE=17"
    code, out, _ = run(capsys, *arguments)
    assert code == 1
    assert out.index("not realizable") < out.index("LOG_ACC_BUFF_SIZE=17") < out.index("must hold")


def test_a_part_asked_for_counts(capsys):
    code, out, _ = run(capsys, "explain", "--accelerator", "default", "--fpga", "LFE5U-85F", "--json")
    found = json.loads(out)
    assert code == 1
    assert not found["realizable"]
    [broken] = [rule for rule in found["rules"] if rule["slack"] < 0]
    assert broken["name"] == "fpga.bram"
    assert isinstance(broken["slack"], int)
    key, value = found["fix"].split("=")
    code, out, _ = run(capsys, "explain", "--accelerator", f"{key}={value}", "--fpga", "LFE5U-85F", "--json")
    assert (code, json.loads(out)["realizable"]) == (0, True)


def test_a_network_asks_for_a_mapping_of_every_layer(capsys):
    code, out, _ = run(capsys, "explain", "--accelerator", "default", "--network", "resnet18", "--json")
    found = json.loads(out)
    assert code == 0
    assert any(rule["level"] == "mapping" for rule in found["rules"])


def test_a_layer_without_a_mapping_is_named(capsys):
    tiny = "LOG_INP_BUFF_SIZE=10,LOG_WGT_BUFF_SIZE=10,LOG_ACC_BUFF_SIZE=10,LOG_UOP_BUFF_SIZE=10"
    arguments = ["explain", "--accelerator", tiny, "--space", "vta", "--network", "resnet18"]
    code, out, _ = run(capsys, *arguments, "--json")
    assert code == 1
    broken = [r for r in json.loads(out)["rules"] if r["slack"] < 0 and r["level"] == "mapping"]
    assert broken
    assert "layer" in broken[0]["invariant"]


def test_mistakes_are_told_apart_from_refusals(capsys, tmp_path):
    for text in ("LOG_BLOK_IN=4", "LOG_BATCH=x", str(tmp_path / "absent.json")):
        code, out, _ = run(capsys, "explain", "--accelerator", text, "--json")
        assert code == 2
        assert set(json.loads(out)["error"]) == {"what", "got", "fix"}
    code, _, err = run(capsys, "explain", "--accelerator", "LOG_BLOK_IN=4")
    assert code == 2
    assert "did you mean LOG_BLOCK_IN?" in err


@pytest.mark.parametrize(
    "text",
    [
        "LOG_BLOCK=16,LOG_BATCH=16",
        "LOG_BLOCK=0,LOG_BATCH=0",
        "LOG_UOP_BUFF_SIZE=0,LOG_INP_BUFF_SIZE=0,LOG_WGT_BUFF_SIZE=0,LOG_ACC_BUFF_SIZE=0",
        "LOG_UOP_BUFF_SIZE=30,LOG_INP_BUFF_SIZE=30,LOG_WGT_BUFF_SIZE=30,LOG_ACC_BUFF_SIZE=30",
        "SHL_MEM_AXI_DATA_BITS=96",
    ],
)
def test_far_off_designs_get_numbers_and_a_fix_that_works(capsys, text):
    asked = ["--network", "resnet18", "--fpga", "xczu3eg", "--json"]
    code, out, _ = run(capsys, "explain", "--accelerator", text, *asked)
    found = json.loads(out)
    assert code == 1
    assert all(isinstance(rule["slack"], int | float) for rule in found["rules"])
    fixed = {**found["accelerator"], **dict(part.split("=") for part in found["fix"].split(","))}
    text = ",".join(f"{key}={value}" for key, value in fixed.items())
    code, out, _ = run(capsys, "explain", "--accelerator", text, *asked)
    assert (code, json.loads(out)["fix"]) == (0, None)
