"""The cost model against numbers that others measured: a public simulator and two boards.

Run ``RHNAS_DATA=DIR python benchmarks/fidelity.py``; ``DIR/tables/vta_boards.csv`` holds the boards' seconds
per convolution with the tilings used (AutoTVM logs of tlc-pack/tophub). Without it only the simulator's
number is compared.
"""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.stats import kendalltau

from rhnas.networks.zoo import load_network
from rhnas.platform import Objective
from rhnas.pricing import LAUNCH, price_network
from rhnas.space import DesignBatch
from rhnas.vta.cost import VtaCostModel
from rhnas.vta.mapping import Mapping
from rhnas.vta.mapping_nest import FORM_NAMES, ORDER_NAMES
from rhnas.vta.platform import VtaPlatform
from rhnas.workload import Layer

SIMULATED_CYCLES = 7_729_601
"""ResNet-18 on the default, pipelined GEMM, cycles of the part that is offloaded (apache/tvm-vta#30)."""
NOT_OFFLOADED = ("conv1", "maxpool", "avgpool", "fc", LAUNCH)
"""What TVM leaves to the CPU."""
CONVOLUTIONS = 19
"""Convolutions of ResNet-18 but the first."""
BOARDS = {"pynq": (100.0, 64), "ultra96": (333.0, 128)}
"""Clock in MHz and bus in bits (upstream ``pkg_config.py``)."""
SHAPE = re.compile(r"N1 C(\d+) H(\d+) W(\d+) K(\d+) R(\d+) S(\d+) st(\d+) pad(\d+)")


def public_model() -> VtaCostModel:
    """Upstream's schedule under the laws of the published RTL."""
    return VtaCostModel(schedule="upstream", timing="public")


def resnet18_cycles() -> int:
    """Cycles of the offloaded layers of ResNet-18 on the default."""
    platform = VtaPlatform()
    network = load_network("resnet18")
    priced = price_network(platform, platform.default(), network, public_model(), Objective.LATENCY)
    return sum(row.cycles for row in priced.layers if row.name not in NOT_OFFLOADED)


def read_table() -> list[dict[str, str]] | None:
    """The rows of the boards' table, or None where ``RHNAS_DATA`` has none."""
    for folder in filter(None, os.environ.get("RHNAS_DATA", "").split(":")):
        path = Path(folder) / "tables" / "vta_boards.csv"
        if path.exists():
            with path.open(newline="") as file:
                return list(csv.DictReader(file))
    return None


def layer_of(text: str) -> Layer:
    """The convolution that a row's workload column describes."""
    found = SHAPE.fullmatch(text)
    if found is None:
        raise ValueError(text)
    channels, height, width, out, rows, columns, stride, pad = map(int, found.groups())
    return Layer(
        name=text,
        channels=(channels, out),
        size=(height, width),
        kernel=(rows, columns),
        stride=(stride, stride),
        padding=(pad, pad),
    )


def mapping_of(text: str) -> Mapping:
    """The mapping of a row's tiling column: the inner factors, in blocks."""
    knobs = json.loads(text)
    return Mapping(
        form=FORM_NAMES[0],
        tile_h=knobs["tile_h"][1],
        tile_w=knobs["tile_w"][1],
        tile_ci=knobs["tile_ci"][1],
        tile_co=knobs["tile_co"][1],
        order=ORDER_NAMES[0],
        threads=knobs["oc_nthread"] * knobs["h_nthread"],
    )


def priced_rows(rows: list[dict[str, str]], board: str) -> Iterator[tuple[str, float, float]]:
    """(workload, measured seconds, modelled seconds) of a board's rows."""
    clock_mhz, bus_bits = BOARDS[board]
    design = DesignBatch.of({**VtaPlatform().default(), "SHL_MEM_AXI_DATA_BITS": bus_bits})
    for row in rows:
        if row["board"].startswith(board):
            done = public_model().breakdown(design, layer_of(row["workload"]), mapping_of(row["tiling"]))
            yield row["workload"], float(row["seconds"]), done.cycles / clock_mhz / 1e6


def resnet18_as_tuned(rows: list[dict[str, str]], fastest: int) -> int:
    """Cycles of the same layers where convolutions have the Pynq's tilings, from the ``fastest``'s."""
    design = DesignBatch.of(VtaPlatform().default())
    tilings = {
        layer_of(row["workload"]).shape: mapping_of(row["tiling"])
        for row in rows
        if row["board"].startswith("pynq")
    }
    model, cycles, found = public_model(), fastest, 0
    for layer in load_network("resnet18"):
        tiling = tilings.get(replace(layer, relu=False).shape)
        if tiling is not None:
            best = model.best_mapping(design, layer, 0.0)
            assert best is not None
            cycles += model.breakdown(design, layer, tiling).cycles - best[1].cycles
            found += 1
    assert found == CONVOLUTIONS
    return cycles


def main() -> None:
    """Print both comparisons."""
    cycles = resnet18_cycles()
    print(
        f"resnet18, offloaded part: {cycles:,} cycles modelled, {SIMULATED_CYCLES:,} published, "
        f"{cycles / SIMULATED_CYCLES - 1:+.1%}"
    )
    rows = read_table()
    if rows is None:
        print("boards: RHNAS_DATA has no tables/vta_boards.csv")
        return
    tuned = resnet18_as_tuned(rows, cycles)
    print(f"  with the tilings tuned on the Pynq: {tuned:,} cycles, {tuned / SIMULATED_CYCLES - 1:+.1%}")
    for board in BOARDS:
        names, measured, modelled = zip(*priced_rows(rows, board), strict=True)
        ratios = np.array(modelled) / np.array(measured)
        for name, seconds, ratio in zip(names, measured, ratios, strict=True):
            print(f"  {board:8} {name:44} {seconds * 1e3:7.3f} ms measured, modelled {ratio:5.2f} of it")
        tau = kendalltau(measured, modelled).statistic
        error = np.median(np.abs(ratios - 1))
        print(f"{board}: Kendall's tau {tau:.2f}, median relative error {error:.0%}, {len(names)} layers")


if __name__ == "__main__":
    main()
