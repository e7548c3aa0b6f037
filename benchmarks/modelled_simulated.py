"""Cycles of the cost model against those of compiled programs in the simulator.

Run ``python benchmarks/modelled_simulated.py``: random layers on random realizable designs; resnet18 and
mobilenet_v2 layer by layer and as whole programs; designs that searches end with. It prints the spread of the
differences and the rank correlation, and draws ``docs/images/modelled_simulated.svg``. ``--worst N`` lists
the largest differences. What programs compute is compared in ``tests/vta/lower``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from math import log10
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import kendalltau

from rhnas.networks.zoo import load_network
from rhnas.optimize import Question, Task, optimize
from rhnas.platform import Objective
from rhnas.space import DesignBatch
from rhnas.vta.config import AcceleratorConfig
from rhnas.vta.cost import VtaCostModel
from rhnas.vta.platform import VtaPlatform
from rhnas.vta.retime import compile_numberless, cycles_by_layer, layer_cycles, stored_shapes
from rhnas.vta.rules import CHAINABLE, STRUCTURAL
from rhnas.vta.spaces import VTA_WIDE
from rhnas.workload import PICTURE, Layer, LayerKind, Workload

PAIRS = 200
SEED = 0
BUDGET = 24
"""Distinct evaluations of each search."""
DESIGNS = ("default", "LOG_BLOCK_IN=5,SHL_MEM_AXI_DATA_BITS=128", "LOG_BATCH=1,SHL_MEM_AXI_DATA_BITS=256",
           "LOG_BLOCK_IN=3,LOG_BLOCK_OUT=5,LOG_INP_BUFF_SIZE=13")  # fmt: skip
NETWORKS = ("resnet18", "mobilenet_v2")
SEARCHES: tuple[dict[str, Any], ...] = (
    {"space": "vta-intel"},
    {"space": "vta", "fpga": "xczu3eg"},
    {"space": "vta", "fpga": "xc7z020"},
    {"space": "vta", "limits": {"macs": 256, "bus_bits": 64, "sram_kib": 448}},
)
SEARCHED = ("resnet18", "mobilenet_v2", "resnet20")
PLOT = Path(__file__).parents[1] / "docs" / "images" / "modelled_simulated.svg"
MODEL = VtaCostModel()


@dataclass
class Sample:
    """Pairs of modelled and simulated cycles.

    Attributes:
        name: Of the sample.
        colour: In the plot.
        pairs: (modelled, simulated, what was timed).
    """

    name: str
    colour: str
    pairs: list[tuple[int, int, str]] = field(default_factory=list)

    @property
    def differences(self) -> np.ndarray:
        """Modelled / simulated - 1, (N,)."""
        modelled, simulated = np.array([pair[:2] for pair in self.pairs], dtype=np.float64).T
        return np.asarray(modelled / simulated - 1)

    def report(self, worst: int) -> None:
        """One line, and the largest differences."""
        size = np.abs(self.differences)
        tau = kendalltau(*zip(*(pair[:2] for pair in self.pairs), strict=True)).statistic
        print(
            f"{self.name:44} {len(size):>4} {np.median(size):>7.1%} {np.quantile(size, 0.95):>7.1%} "
            f"{size.max():>7.1%} {tau:>7.3f}",
            flush=True,
        )
        for index in np.argsort(-size)[:worst]:
            modelled, simulated, what = self.pairs[index]
            print(f"    {self.differences[index]:+.1%} {modelled:>10,} {simulated:>10,} {what}", flush=True)


def random_layer(rng: np.random.Generator) -> Layer:
    """Shapes as networks have them: powers of two and their halves, sizes from 4 to 56."""
    kind = LayerKind(int(rng.choice(5, p=(0.64, 0.08, 0.12, 0.08, 0.08))))
    width = int(rng.choice([8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256]))
    if kind is LayerKind.DENSE:
        return Layer(name="dense", kind=kind, channels=(width, int(rng.integers(10, 257))))
    side = int(rng.choice([4, 7, 8, 14, 16, 28, 32, 56]))
    if kind is LayerKind.ADD:
        return Layer(name="add", kind=kind, channels=(width, width), size=(side, side), relu=True)
    kernel, stride = (
        int(rng.choice([1, 3, 3, 5] if kind is LayerKind.CONV else [2, 3])),
        int(rng.integers(1, 3)),
    )
    pad = kernel // 2 if kind is LayerKind.CONV else 0
    shapes: dict[str, Any] = {
        "size": (side, side),
        "kernel": (kernel, kernel),
        "stride": (stride, stride),
        "padding": (pad, pad),
    }
    if kind is not LayerKind.CONV:
        return Layer(name="pool", kind=kind, channels=(width, width), **shapes)
    form = rng.integers(8)
    channels = (3 if form == 0 else width, int(rng.choice([16, 24, 32, 64, 96, 128, 256])))
    groups = 1
    if form == 1:
        channels, groups = (width, width), width
    inputs = (PICTURE,) if form == 0 else ("before",)
    return Layer(
        name="conv", channels=channels, groups=groups, relu=bool(rng.integers(2)), inputs=inputs, **shapes
    )


def random_rows(rng: np.random.Generator) -> Iterator[dict[str, int]]:
    """Realizable designs of the wide space, drawn evenly."""
    while True:
        batch = DesignBatch({c.name: rng.choice(np.array(c.values), 1) for c in VTA_WIDE.choices})
        if all(rule.slack(batch)[0] >= 0 for rule in STRUCTURAL):
            yield batch.row(0)


def random_pairs() -> Sample:
    """Random layers on random designs, under the fastest mapping."""
    sample, rng = Sample("random layers, random designs", "#2a6fb0"), np.random.default_rng(SEED)
    for row in random_rows(rng):
        layer, config = random_layer(rng), AcceleratorConfig.from_row(row)
        best = MODEL.best_mapping(DesignBatch.of(row), layer, 0.0)
        if best is None:
            continue
        modelled = best[1].cycles + MODEL.timing.launch_cycles(config.bus_bits)
        what = f"{config.name} {layer.kind.name} {layer.channels} {layer.size} k{layer.kernel} {best[0]}"
        sample.pairs.append((modelled, layer_cycles(layer, best[0], config), what))
        if len(sample.pairs) == PAIRS:
            return sample
    raise AssertionError


def add_network(
    network: Workload, row: dict[str, int], objective: Objective, samples: tuple[Sample, Sample], whose: str
) -> None:
    """A network on a design: its distinct layers alone, and all of it as one program where that can be."""
    config, batch = AcceleratorConfig.from_row(row), DesignBatch.of(row)
    launch, (layers, whole) = MODEL.timing.launch_cycles(config.bus_bits), samples
    stored = stored_shapes(network, config)
    mu = float(MODEL.evaluate(batch, stored).totals(objective).mu[0])
    best, known = [], {}
    for layer in stored:
        if layer.shape not in known:
            found = MODEL.best_mapping(batch, layer, mu)
            assert found is not None
            known[layer.shape] = found
            cycles = layer_cycles(layer, found[0], config)
            what = f"{whose} {config.name} {layer.name} {found[0]}"
            layers.pairs.append((found[1].cycles + launch, cycles, what))
        best.append(known[layer.shape])
    modelled = launch + sum(breakdown.cycles for _, breakdown in best)
    if CHAINABLE.slack(batch)[0] >= 0:
        simulated = int(cycles_by_layer(compile_numberless(network, [m for m, _ in best], config)).sum())
    else:
        alone = (layer_cycles(layer, m, config) - launch for layer, (m, _) in zip(stored, best, strict=True))
        simulated = launch + sum(alone)
    whole.pairs.append((modelled, simulated, f"{whose} {config.name} {network.name}"))


def networks() -> tuple[Sample, Sample]:
    """Known networks on known designs."""
    layers = Sample(f"layers of {', '.join(NETWORKS)}", "#2f9e6e")
    whole = Sample("the same networks as whole programs", "#111111")
    for name, design in product(NETWORKS, DESIGNS):
        row = VtaPlatform().parse(design)
        add_network(load_network(name), row, Objective.LATENCY, (layers, whole), "")
    return layers, whole


def searched() -> tuple[Sample, Sample]:
    """What local search ends with, for every network, objective and set of rules."""
    layers, whole = Sample("layers on searched designs", "#c8792b"), Sample("searched designs", "#b3263e")
    for name, search, objective in product(SEARCHED, SEARCHES, Objective):
        network = load_network(name)
        task = Task(VtaPlatform(), Question(network=network, objective=objective, **search))
        answer = optimize(task, task.agent("local_search", SEED), budget=BUDGET, yardstick=False)
        row = dict(answer.best.accelerator)
        add_network(network, row, objective, (layers, whole), f"{search} {objective}")
    return layers, whole


def draw(samples: list[Sample]) -> str:
    """A scatter plot of all pairs on logarithmic axes, as SVG."""
    low, high, size, margin = 2.5, 8.0, 560, 64

    def place(cycles: float) -> float:
        return (log10(cycles) - low) / (high - low) * size

    marks = [
        f'<circle cx="{margin + place(s):.1f}" cy="{20 + size - place(m):.1f}" r="2.6" '
        f'fill="{sample.colour}" fill-opacity="0.65"/>'
        for sample in samples
        for m, s, _ in sample.pairs
    ]
    lines = []
    for power in range(3, int(high) + 1):
        at = (power - low) / (high - low) * size
        x, y = margin + at, 20 + size - at
        lines.append(f'<path d="M{x:.1f} 20V{20 + size}M{margin} {y:.1f}H{margin + size}" stroke="#ddd"/>')
        lines.append(f'<text x="{x:.1f}" y="{size + 38}" text-anchor="middle">1e{power}</text>')
        lines.append(f'<text x="{margin - 6}" y="{y + 4:.1f}" text-anchor="end">1e{power}</text>')
    legend = [
        f'<circle cx="{margin + 16}" cy="{36 + 18 * i}" r="4" fill="{sample.colour}"/>'
        f'<text x="{margin + 26}" y="{40 + 18 * i}">{sample.name} ({len(sample.pairs)})</text>'
        for i, sample in enumerate(samples)
    ]
    width, height = size + margin + 20, size + 74
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            'font-family="sans-serif" font-size="12">',
            "<title>Modelled against simulated cycles</title>",
            f'<rect width="{width}" height="{height}" fill="#fff"/>',
            *lines,
            f'<path d="M{margin} {20 + size}L{margin + size} 20" stroke="#999" stroke-dasharray="4 4"/>',
            *marks,
            *legend,
            f'<text x="{margin + size / 2}" y="{size + 62}" text-anchor="middle">simulated cycles</text>',
            f'<text x="14" y="{20 + size / 2}" text-anchor="middle" '
            f'transform="rotate(-90 14 {20 + size / 2})">modelled cycles</text>',
            "</svg>\n",
        ]
    )


def main() -> None:
    """Time everything, report, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worst", type=int, default=0)
    arguments = parser.parse_args()
    print(f"{'':44} {'':>4} {'median':>7} {'95th':>7} {'largest':>7} {'tau':>7}")
    samples: list[Sample] = []
    for made in (lambda: (random_pairs(),), networks, searched):
        for sample in made():
            sample.report(arguments.worst)
            samples.append(sample)
    PLOT.write_text(draw(samples), encoding="utf-8")


if __name__ == "__main__":
    main()
