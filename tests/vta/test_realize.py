"""Realizations: written, read back by the manifest alone, run; a driver needs nothing but the manifest."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rhnas.errors import InfeasibleDesignError
from rhnas.platform import Objective
from rhnas.quantize import golden
from rhnas.quantized import QuantizedNetwork
from rhnas.vta.config import AcceleratorConfig
from rhnas.vta.program import read_program
from rhnas.vta.realize import VtaToolchain
from rhnas.vta.simulate.run import simulate
from rhnas.workload import LayerKind
from tests.vta.lower.random_networks import small_network

SMALL = {"log_uop_buff_size": 11, "log_inp_buff_size": 13, "log_wgt_buff_size": 13, "log_acc_buff_size": 14}
SHAPES = [
    {},
    {"log_batch": 1, "log_block_in": 3, "log_block_out": 3},
    {"log_block_in": 3, "log_block_out": 5, "shl_mem_axi_data_bits": 128},
    {"log_block_in": 2, "log_block_out": 2, "log_inp_buff_size": 11, "log_acc_buff_size": 13},
]


def realized(config: AcceleratorConfig, folder: Path) -> tuple[QuantizedNetwork, dict]:
    network = small_network(np.random.default_rng(3))
    realization = VtaToolchain().compile(network, config.to_row(), Objective.LATENCY, technology="dosa40")
    pictures = network.read_pixels(pixels(network, realization.batch))
    description = realization.write(folder, pictures, golden.run(network, pictures))
    return network, json.loads(json.dumps(description))


def pixels(network: QuantizedNetwork, count: int) -> np.ndarray:
    stem = network.layers[0].layer
    shape = (count, stem.channels[0], *stem.size)
    return np.random.default_rng(count).integers(0, 256, shape).astype(np.uint8)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_what_is_read_back_runs_any_number_of_pictures(shape, tmp_path):
    config = AcceleratorConfig(**SMALL | shape)
    network, description = realized(config, tmp_path)
    assert simulate(read_program(tmp_path / "program"), strict=True).matches
    realization = VtaToolchain().read(network, tmp_path, description)
    pictures = network.read_pixels(pixels(network, 3))
    run = realization.simulate(pictures)
    np.testing.assert_array_equal(run.scores, golden.run(network, pictures))
    assert len(run.cycles) == -(-3 // config.batch)
    assert set(run.cycles) == {simulate(read_program(tmp_path / "program")).cycles}
    assert sum(run.layer_cycles.values()) == run.cycles[0]
    assert run.layer_cycles.keys() == realization.modelled_cycles().keys()
    assert min(run.layer_cycles.values()) > 0


class Driver:
    """Runs pictures by what the manifest says, and by nothing else."""

    def __init__(self, folder: Path, manifest: dict) -> None:
        self.folder, self.manifest = folder, manifest

    def picture_bytes(self, place: dict, pictures: np.ndarray) -> bytes:
        table = np.fromfile(self.folder / place["pixels"], np.int8).reshape(-1, 256)
        _, rows, columns, _, width = place["shape"]
        memory = np.zeros(place["shape"], np.int8)
        fold = place["folded_columns"] or {"columns": 1, "stride": 1, "padding": 0}
        for channel in range(place["channels"]):
            source, tap = divmod(channel, fold["columns"])
            for row, column, picture in np.ndindex(rows, columns, len(pictures)):
                at = column * fold["stride"] + tap - fold["padding"]
                if 0 <= at < place["picture"][2]:
                    value = table[source, pictures[picture, source, row, at]]
                    memory[channel // width, row, column, picture, channel % width] = value
        assert memory.nbytes == place["bytes"]
        return memory.tobytes()

    def scores(self, memory: bytes, count: int) -> np.ndarray:
        place = self.manifest["scores"]
        tensor = np.frombuffer(memory, np.int8).reshape(place["shape"])
        by_picture = tensor.transpose(3, 0, 4, 1, 2).reshape(tensor.shape[3], -1)
        return by_picture[:count, : place["channels"]]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_manifest_is_all_a_driver_needs(shape, tmp_path):
    config = AcceleratorConfig(**SMALL | shape)
    network, manifest = realized(config, tmp_path)
    driver, some = Driver(tmp_path, manifest), pixels(network, config.batch)[::-1]
    description = json.loads((tmp_path / "program" / "program.json").read_text())
    for place in manifest["pictures"]:
        name = next(s["file"] for s in description["segments"] if s["address"] == place["address"])
        (tmp_path / "program" / name).write_bytes(driver.picture_bytes(place, some))
    done = simulate(read_program(tmp_path / "program"), strict=True)
    left = done.dram.read(manifest["scores"]["address"], manifest["scores"]["bytes"]).tobytes()
    expected = golden.run(network, network.read_pixels(some))
    np.testing.assert_array_equal(driver.scores(left, len(some)), expected)
    assert manifest["registers"]["count"] == manifest["instructions"]
    code = next(r for r in manifest["regions"] if r["name"] == "instructions.bin")
    assert manifest["registers"]["address"] == code["address"]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_shifts_per_channel_get_mappings_that_leave_room_for_them(shape):
    rng = np.random.default_rng(4)
    layers = tuple(
        replace(layer, shift=rng.integers(5, 9, layer.layer.channels[1]).astype(np.int32))
        if layer.layer.kind is LayerKind.CONV
        else layer
        for layer in small_network(rng)
    )
    network = replace(small_network(rng), layers=layers)
    config = AcceleratorConfig(**SMALL | shape)
    realization = VtaToolchain().compile(network, config.to_row(), Objective.LATENCY, technology="dosa40")
    pictures = network.read_pixels(pixels(network, 2))
    np.testing.assert_array_equal(realization.simulate(pictures).scores, golden.run(network, pictures))


def test_an_accelerator_without_room_for_a_layer_is_refused():
    network = small_network(np.random.default_rng(3))
    config = AcceleratorConfig(log_block_in=6, log_block_out=6, log_wgt_buff_size=14)  # four weight tensors
    with pytest.raises(InfeasibleDesignError, match="must have a mapping"):
        VtaToolchain().compile(network, config.to_row(), Objective.EDP, technology="dosa40")
