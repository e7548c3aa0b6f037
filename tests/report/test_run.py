"""Reading a run directory: what is there, nothing else, and clear errors."""

import json

import pytest

from rhnas.build import SCHEMES as BUILT
from rhnas.errors import CheckpointError, RhnasError
from rhnas.platform import load_platform
from rhnas.report.run import ORDER, SCHEMES, TITLES, Chip, Run, number
from tests.report.runs import VERIFY, computed, trials, write_run


def test_chip_of_the_default_accelerator_has_the_published_sizes():
    chip = Chip.of(load_platform("vta").default())
    assert (chip.macs, chip.sram_bytes, chip.bus_bits) == (256, 448 * 1024, 64)
    assert chip.array == "1×16×16"


@pytest.mark.parametrize("lost", ["LOG_BATCH", "LOG_ACC_BUFF_SIZE", "SHL_MEM_AXI_DATA_BITS"])
def test_a_chip_with_a_key_missing_is_no_chip(lost):
    row = load_platform("vta").default()
    del row[lost]
    assert Chip.of(row) is None


@pytest.mark.parametrize("value", [True, None, "12", float("nan"), float("inf"), [1]])
def test_only_finite_numbers_are_numbers(value):
    assert number({"a": {"b": value}}, "a", "b") is None
    assert number({"a": value}, "a", "b") is None


def test_a_page_knows_every_scheme_that_is_built():
    assert set(ORDER) == set(BUILT) == set(TITLES)


def test_everything_of_a_finished_run_is_read(run_directory, result):
    run = Run.load(run_directory)
    assert list(run.schemes) == list(SCHEMES)
    assert run.schemes["found"].number("by_technology", "horowitz45", "energy_uj") is not None
    assert run.schemes["found"].how("cycles") == "modelled"
    assert run.schemes["found"].architecture == result["found"]["architecture"]
    assert run.verify == VERIFY
    assert run.clock_mhz == 100
    assert list(run.series("search")) == ["baseline", "hardware_only", "found"]
    assert list(run.series("hardware")) == ["hardware_only", "two_stage", "found"]
    total = sum(len(rows) for stage in ("search", "hardware") for rows in run.series(stage).values())
    assert total == len(trials()) - 1  # all but the training record


def test_how_is_taken_from_the_nearest_place(tmp_path, result):
    result["how"] = {"cycles": "simulated"}
    result["found"]["how"] = {"cycles": "rtl"}
    schemes = Run.load(write_run(tmp_path, result)).schemes
    assert schemes["found"].how("cycles") == "rtl"
    assert schemes["baseline"].how("cycles") == "simulated"
    assert schemes["baseline"].how("energy_uj") is None


def test_an_empty_directory_is_not_a_run(tmp_path):
    with pytest.raises(RhnasError, match="directory of a search"):
        Run.load(tmp_path)


def test_a_torn_last_trial_is_left_out_and_a_broken_one_before_it_is_named(run_directory):
    path = run_directory / "trials.jsonl"
    whole = path.read_text()
    path.write_text(whole + '{"step": 12, "be')
    assert len(Run.load(run_directory).trials) == whole.count("\n")
    path.write_text("nonsense\n" + whole)
    with pytest.raises(CheckpointError, match="line 1"):
        Run.load(run_directory)


@pytest.mark.parametrize("name", ["result.json", "verify.json", "config.toml"])
def test_a_broken_file_is_named(run_directory, name):
    (run_directory / name).write_text("{ broken")
    with pytest.raises(RhnasError, match=name):
        Run.load(run_directory)


@pytest.mark.slow
def test_the_recorded_costs_are_still_those_of_the_cost_model(result):
    now = computed()
    for name in SCHEMES:
        for key in ("cycles", "energy_uj", "macs"):
            assert now[name][key] == pytest.approx(result[name][key], rel=0.25), json.dumps([name, key])
