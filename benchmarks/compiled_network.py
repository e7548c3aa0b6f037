"""Where the cycles of a compiled network go, and how fast compiler and simulator are.

Run ``python benchmarks/compiled_network.py [--network resnet18] [--accelerator default] [--calibrated]
[--schedule best|upstream]``. The table gives each layer's cycles and what the machine did in them:
multiplying (gemm), ALU, filling scratchpads of compute (fill); where none of these runs, waiting for a load,
a store or the instruction fetch, or idle. The shifts are those of ``rhnas.vta.retime``; ``--calibrated``
takes a network with random weights and scales from random pictures instead. ``--speed`` measures the
simulator, functional and timed, on ResNet-20.
"""

from __future__ import annotations

import argparse
import resource
from time import process_time

import numpy as np

from rhnas.networks.zoo import load_network
from rhnas.platform import Objective
from rhnas.quantized import QuantizedNetwork
from rhnas.seeds import Seeds
from rhnas.vta.config import AcceleratorConfig
from rhnas.vta.cost import SCHEDULES, VtaCostModel
from rhnas.vta.isa import Memory, Opcode
from rhnas.vta.lower.network import CompiledNetwork, compile_network
from rhnas.vta.mapping import Mapping
from rhnas.vta.platform import VtaPlatform
from rhnas.vta.retime import network_mappings, numberless_network
from rhnas.vta.simulate.clock import Machine
from rhnas.vta.simulate.port import COMPUTE, LOAD
from rhnas.vta.simulate.run import simulate, time

NOT_OFFLOADED = ("conv1", "maxpool", "avgpool", "fc")
"""Layers of ResNet-18 that TVM leaves to the CPU."""
PARTS = ("gemm", "alu", "fill", "load", "store", "fetch", "idle")
SEED = 0


def parts(machine: Machine) -> np.ndarray:
    """What the machine does in each cycle, index into ``PARTS``, uint8 (cycles + 1,)."""
    opcode, memory = machine.table["opcode"], machine.table["memory_type"]
    line = machine.timeline
    doing = np.full(int(machine.control[0]["cycles"]) + 1, PARTS.index("idle"), np.uint8)
    for module in range(3):
        mine = line[line["module"] == module]
        before = np.concatenate([[0], mine["end"][:-1]])
        _paint(doing, before + 1, mine["visible"] - 1, "fetch")
    in_compute = (opcode == Opcode.LOAD) & (line["module"] == COMPUTE)
    _paint_rows(doing, line[opcode == Opcode.STORE], "store")
    _paint_rows(doing, line[line["module"] == LOAD], "load")
    _paint_rows(doing, line[in_compute & (memory != Memory.ACC_8BIT)], "fill")
    _paint_rows(doing, line[in_compute & (memory == Memory.ACC_8BIT)], "load")
    _paint_rows(doing, line[opcode == Opcode.ALU], "alu")
    _paint_rows(doing, line[opcode == Opcode.GEMM], "gemm")
    return doing


def _paint_rows(doing: np.ndarray, rows: np.ndarray, part: str) -> None:
    _paint(doing, rows["start"], rows["end"], part)


def _paint(doing: np.ndarray, first: np.ndarray, last: np.ndarray, part: str) -> None:
    for start, end in zip(first.tolist(), last.tolist(), strict=True):
        doing[start : end + 1] = PARTS.index(part)


def table(compiled: CompiledNetwork, config: AcceleratorConfig) -> None:
    """Print a line per layer, and the offloaded part of ResNet-18."""
    machine = time(compiled.program)
    doing = parts(machine)
    ends = np.maximum.accumulate(machine.timeline["end"])[compiled.first_instruction[1:] - 1]
    print(f"{'':24} {'cycles':>9} {'MAC bound':>9} {'':>6}" + "".join(f"{part:>9}" for part in PARTS))
    start, bound, spent = 0, 0, np.zeros(len(PARTS) + 1, np.int64)
    for lowered, end in zip(compiled.layers, ends.tolist(), strict=True):
        layer = lowered.quantized.layer
        counts = np.bincount(doing[start + 1 : end + 1], minlength=len(PARTS))
        least = -(-layer.macs // config.macs_per_cycle)
        _print(layer.name, end - start, least, counts)
        if layer.name not in NOT_OFFLOADED:
            bound += least
            spent += [end - start, *counts]
        start = end
    _print("without conv1, pools, fc", int(spent[0]), bound, spent[1:])
    print(f"whole program: {int(machine.control[0]['cycles']):,} cycles")


def _print(name: str, cycles: int, bound: int, counts: np.ndarray) -> None:
    print(f"{name:24} {cycles:>9,} {bound:>9,} {bound / cycles:>6.1%}" + "".join(f"{n:>9,}" for n in counts))


def calibrated(name: str) -> QuantizedNetwork:
    """A network of the zoo with random weights, calibrated on two pictures of noise."""
    import torch

    from rhnas.nas.network import Network
    from rhnas.quantize.calibrate import calibrate, pixel_table, quantize

    network = Network(load_network(name), Seeds(root=SEED))
    stem, rng = network.workload.layers[0], np.random.default_rng(SEED)
    pictures = rng.normal(size=(2, stem.channels[0], *stem.size)).astype(np.float32)
    with torch.no_grad():
        for _ in range(8):  # so that batch norm has seen something
            network.train()(torch.from_numpy(rng.normal(size=pictures.shape).astype(np.float32)))
    layers = network.eval().folded()
    scales = calibrate(layers, pictures)
    pixels = pixel_table([0.5] * stem.channels[0], [0.25] * stem.channels[0], scales.picture)
    return quantize(name, layers, scales, pixels)


def speed(config: AcceleratorConfig, mappings: list[Mapping]) -> None:
    """Simulate ResNet-20 on 32 x 32 noise, functional and timed, and compare the memory used."""
    compiled = compile_network(numberless_network(load_network("resnet20")), mappings, config)
    noise = np.random.default_rng(SEED).integers(-128, 128, (config.batch, 3, 32, 32)).astype(np.int8)
    program = compiled.reading(noise)
    simulate(program)  # compiles the kernels
    begun = process_time()
    cycles = simulate(program, strict=True).cycles
    seconds = process_time() - begun
    print(
        f"resnet20: {cycles:,} cycles in {seconds:.2f} s of one core, {cycles / seconds / 1e6:.1f} M a second"
    )


def main() -> None:
    """Compile, print the table, measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", default="resnet18")
    parser.add_argument("--accelerator", default="default")
    parser.add_argument("--calibrated", action="store_true")
    parser.add_argument("--schedule", default="best", help="best or upstream")
    parser.add_argument("--candidates", type=int, default=8, help="mappings timed per layer")
    parser.add_argument("--speed", action="store_true")
    arguments = parser.parse_args()
    config = AcceleratorConfig.from_row(VtaPlatform().parse(arguments.accelerator))
    model, workload = VtaCostModel(schedule=arguments.schedule), load_network(arguments.network)
    network = calibrated(arguments.network) if arguments.calibrated else numberless_network(workload)
    begun = process_time()
    mappings = network_mappings(model, config, workload, Objective.LATENCY, arguments.candidates)
    chosen, begun = process_time() - begun, process_time()
    compiled = compile_network(network, mappings, config, SCHEDULES[arguments.schedule])
    print(f"mappings in {chosen:.1f} s, compiled in {process_time() - begun:.1f} s of one core")
    table(compiled, config)
    if arguments.speed:
        small = load_network("resnet20")
        speed(config, network_mappings(VtaCostModel(), config, small, Objective.LATENCY))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"peak memory {peak / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
