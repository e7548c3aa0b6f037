"""Configurations: exist only if realizable, and speak the other tools' vta_config.json."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rhnas.errors import InfeasibleDesignError, RhnasError, SettingsError
from rhnas.vta.config import AcceleratorConfig, home_space, parse_accelerator, row_name
from rhnas.vta.rules import KEYS
from rhnas.vta.spaces import DEFAULT, VTA_INTEL, VTA_WIDE

UPSTREAM = {
    "TARGET": "pynq",
    "HW_VER": "0.0.2",
    "LOG_INP_WIDTH": 3,
    "LOG_WGT_WIDTH": 3,
    "LOG_ACC_WIDTH": 5,
    "LOG_BATCH": 0,
    "LOG_BLOCK": 4,
    "LOG_UOP_BUFF_SIZE": 15,
    "LOG_INP_BUFF_SIZE": 15,
    "LOG_WGT_BUFF_SIZE": 18,
    "LOG_ACC_BUFF_SIZE": 17,
}
"""The sample configuration that upstream's boards and simulators share."""

SHIPPED = {
    "1x16x16_15_15_18_17_64": {},
    "1x32x8_15_15_18_17_64": {"LOG_BLOCK_IN": 5, "LOG_BLOCK_OUT": 3},
    "1x8x32_15_15_18_17_64": {"LOG_BLOCK_IN": 3, "LOG_BLOCK_OUT": 5},
    "4x8x8_11_16_16_18_64": dict(zip(KEYS, (2, 3, 3, 11, 16, 16, 18, 64), strict=True)),
    "1x16x16_12_13_13_13_128": dict(zip(KEYS, (0, 4, 4, 12, 13, 13, 13, 128), strict=True)),
    "1x32x32_12_15_15_15_256": dict(zip(KEYS, (0, 5, 5, 12, 15, 15, 15, 256), strict=True)),
    "1x64x64_12_17_17_17_512": dict(zip(KEYS, (0, 6, 6, 12, 17, 17, 17, 512), strict=True)),
}
"""Configurations Intel Labs ship and build; all of them have to be realizable here."""


@pytest.mark.parametrize("name", SHIPPED)
def test_what_intel_labs_ship_is_realizable(name):
    assert AcceleratorConfig.from_json(SHIPPED[name]).name == name


def test_upstreams_file_is_the_default():
    config = AcceleratorConfig.from_json(UPSTREAM)
    assert config.to_row() == DEFAULT
    assert config.carried == (("TARGET", "pynq"), ("HW_VER", "0.0.2"))
    assert config.to_json()["TARGET"] == "pynq"
    assert AcceleratorConfig.from_json(config.to_json()) == config


def test_sizes_of_the_default():
    config = AcceleratorConfig()
    assert (config.batch, config.block_in, config.block_out, config.macs_per_cycle) == (1, 16, 16, 256)
    depths = (config.uop_depth, config.inp_depth, config.wgt_depth, config.acc_depth, config.out_depth)
    assert depths == (8192, 2048, 1024, 2048, 2048)
    bits = (config.uop_index_bits, config.inp_index_bits, config.wgt_index_bits, config.acc_index_bits)
    assert bits == (13, 11, 10, 11)
    assert config.sram_kib == 448
    assert (config.bus_bits, config.bus_bytes) == (64, 8)


designs = st.integers(0, VTA_INTEL.feasible().count - 1).map(
    lambda i: VTA_INTEL.at(VTA_INTEL.feasible().flat[i : i + 1]).row(0)
)


@given(designs)
def test_depth_times_tensor_is_the_scratchpad(row):
    config = AcceleratorConfig.from_row(row)
    assert config.uop_depth * 4 == 2 ** row["LOG_UOP_BUFF_SIZE"]
    assert config.inp_depth * config.inp_tensor_bytes == 2 ** row["LOG_INP_BUFF_SIZE"]
    assert config.wgt_depth * config.wgt_tensor_bytes == 2 ** row["LOG_WGT_BUFF_SIZE"]
    assert config.acc_depth * config.acc_tensor_bytes == 2 ** row["LOG_ACC_BUFF_SIZE"]
    assert config.acc_tensor_bytes == 4 * config.out_tensor_bytes
    assert config.macs_per_cycle == config.batch * config.block_in * config.block_out


@given(designs)
def test_rows_and_json_round_trip(row):
    config = AcceleratorConfig.from_row(row)
    assert config.to_row() == row
    assert AcceleratorConfig.from_json(json.loads(json.dumps(config.to_json()))) == config
    assert parse_accelerator(",".join(f"{key}={value}" for key, value in row.items())) == row
    assert config.name == row_name(row)


def test_the_unrealizable_cannot_exist_by_any_way():
    bad = {**DEFAULT, "LOG_ACC_BUFF_SIZE": 18}
    message = r"R2.*slack -2.*R4.*slack -2.*nearest realizable: LOG_ACC_BUFF_SIZE=17"
    with pytest.raises(InfeasibleDesignError, match=message):
        AcceleratorConfig.from_row(bad)
    with pytest.raises(InfeasibleDesignError, match=message):
        AcceleratorConfig.from_json(bad)
    with pytest.raises(InfeasibleDesignError, match=message):
        dataclasses.replace(AcceleratorConfig(), log_acc_buff_size=18)
    with pytest.raises(dataclasses.FrozenInstanceError):
        AcceleratorConfig().log_acc_buff_size = 18


def test_the_named_fix_is_realizable():
    rng = np.random.default_rng(5)
    for flat in rng.integers(VTA_INTEL.points, size=40):
        row = VTA_INTEL.at(np.array([flat])).row(0)
        try:
            AcceleratorConfig.from_row(row)
        except InfeasibleDesignError as error:
            fixed = dict(
                part.split("=") for part in error.fix.removeprefix("nearest realizable: ").split(",")
            )
            AcceleratorConfig.from_row({**row, **{key: int(value) for key, value in fixed.items()}})


def test_upstreams_block_sets_both():
    config = AcceleratorConfig.from_json({"LOG_BLOCK": 5})
    assert (config.block_in, config.block_out) == (32, 32)
    with pytest.raises(SettingsError, match="must agree with LOG_BLOCK=5"):
        AcceleratorConfig.from_json({"LOG_BLOCK": 5, "LOG_BLOCK_IN": 4})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"LOG_BLOK_IN": 4}, "did you mean LOG_BLOCK_IN"),
        ({"LOG_ACC": 4}, "did you mean LOG_ACC_BUFF_SIZE"),
        ({"LOG_INP_WIDTH": 4}, "LOG_INP_WIDTH must be 3"),
        ({"LOG_INP_FACTOR_RESTRICT": 1}, "must be 0"),
        ({"LOG_BATCH": -1}, "between 0 and 16"),
        ({"LOG_ACC_BUFF_SIZE": 31}, "between 0 and 30"),
        ({"LOG_BATCH": 1.0}, "whole number"),
        ({"LOG_BATCH": True}, "whole number"),
        ({"LOG_BATCH": "1"}, "whole number"),
        ({"SHL_MEM_AXI_DATA_BITS": 0}, "between 1 and"),
        ({"SHL_MEM_AXI_DATA_BITS": 64, "DPI_DATA_BITS": 128}, "must agree"),
    ],
)
def test_wrong_keys_and_values_are_named(given, message):
    with pytest.raises(SettingsError, match=message):
        AcceleratorConfig.from_json(given)


def test_keys_of_other_tools_are_kept():
    given = {"VTA_CORE_BLOCK_OUT_SPLIT_FACTOR": 1, "DPI_DELAY": 16, "DPI_DATA_BITS": 128}
    config = AcceleratorConfig.from_json(given)
    assert config.bus_bits == 128
    assert dict(config.carried) == {"VTA_CORE_BLOCK_OUT_SPLIT_FACTOR": 1, "DPI_DELAY": 16}


def test_accelerators_are_parsed_from_words_files_and_changes(tmp_path):
    assert parse_accelerator("default") == DEFAULT
    path = tmp_path / "my_vta_config.json"
    path.write_text(json.dumps(UPSTREAM | {"LOG_BLOCK": 5}))
    assert parse_accelerator(str(path))["LOG_BLOCK_OUT"] == 5
    assert parse_accelerator(" LOG_BATCH = 1 , LOG_BLOCK_IN=3")["LOG_BLOCK_IN"] == 3
    assert parse_accelerator("LOG_ACC_BUFF_SIZE=18")["LOG_ACC_BUFF_SIZE"] == 18, "may be unrealizable"


@pytest.mark.parametrize("text", ["LOG_BATCH=x", "LOG_BATCH=", "LOG_BATCH=1,LOG_BATCH=2", "LOG_BATCH=1,"])
def test_accelerators_that_cannot_be_parsed_are_refused(text):
    with pytest.raises(SettingsError):
        parse_accelerator(text)


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(RhnasError, match="nowhere"):
        parse_accelerator(str(tmp_path / "nowhere.json"))


def test_a_row_belongs_to_the_narrowest_space_that_has_it():
    assert home_space(DEFAULT) is VTA_INTEL
    assert home_space({**DEFAULT, "LOG_UOP_BUFF_SIZE": 12}) is VTA_WIDE
    assert home_space({**DEFAULT, "LOG_UOP_BUFF_SIZE": 7}) is VTA_WIDE
