"""Verify the default accelerator and what searches find for different networks, end to end.

``python benchmarks/verified_designs.py`` searches the best accelerator of a chip for each network, five small
ones and two ResNets at 224 x 224 pixels, compiles the network for it, runs pictures of noise on the golden
model, the simulator and the generated Verilog, and synthesizes the accelerator. It writes
``results/verified/NAME.json`` and goes on where it stopped: a step that has its keys there is skipped.
``--table`` prints the results as a Markdown table; ``--case`` does one.

Networks carry random weights and scales calibrated on noise: what is proved is arithmetic and cycles.
"""

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from rhnas.agents.registry import make_agent
from rhnas.files import read_json, write_json
from rhnas.networks.zoo import NetworkBuilder, load_network
from rhnas.optimize import Question, Task, optimize
from rhnas.platform import Objective
from rhnas.provenance import provenance
from rhnas.quantize import golden
from rhnas.quantized import Int8Array, QuantizedNetwork
from rhnas.seeds import Seeds
from rhnas.vta.fpga import PARTS
from rhnas.vta.platform import VtaPlatform
from rhnas.vta.realize import VtaRealization, VtaToolchain
from rhnas.vta.resources import estimate
from rhnas.vta.spaces import VTA_WIDE
from rhnas.workload import LayerKind, Workload

RESULTS = Path(__file__).parents[1] / "results" / "verified"
TECHNOLOGY = "horowitz45"
CALIBRATION_PICTURES = 8


def plain() -> Workload:
    """A small convolutional network for 8 x 8 grey pictures."""
    net = NetworkBuilder("plain", (1, 8, 8))
    net.conv("conv1", 16, 3)
    net.conv("conv2", 32, 3, stride=2)
    net.conv("conv3", 32, 3)
    net.global_average("pool")
    net.dense("classes", 10)
    return net.workload()


def vgg() -> Workload:
    """Convolutions and maximum pooling for 32 x 32 pictures."""
    net = NetworkBuilder("vgg", (3, 32, 32))
    for stage, channels in enumerate((32, 64, 128)):
        net.conv(f"conv{stage}.0", channels, 3)
        net.conv(f"conv{stage}.1", channels, 3)
        net.pool(f"pool{stage}", LayerKind.MAX_POOL, (2, 2), stride=2)
    net.dense("classes", 10)
    return net.workload()


def bottlenecks() -> Workload:
    """ResNet-50's bottlenecks at 8 x 8 pixels."""
    net = NetworkBuilder("bottlenecks", (64, 8, 8))
    last = net.conv("first", 256, 1)
    for block in range(2):
        net.conv(f"block{block}.conv1", 64, 1)
        net.conv(f"block{block}.conv2", 64, 3)
        end = net.conv(f"block{block}.conv3", 256, 1, relu=False)
        last = net.add(f"block{block}.add", end, last, relu=True)
    net.global_average("pool")
    net.dense("classes", 10)
    return net.workload()


def inverted() -> Workload:
    """MobileNetV2's inverted residuals, depthwise convolution included, at 14 x 14 pixels."""
    net = NetworkBuilder("inverted", (32, 14, 14))
    last = net.conv("first", 32, 1)
    for block in range(2):
        net.conv(f"block{block}.expand", 192, 1)
        net.conv(f"block{block}.depthwise", 192, 3, groups=192)
        end = net.conv(f"block{block}.project", 32, 1, relu=False)
        last = net.add(f"block{block}.add", end, last, relu=False)
    net.global_average("pool")
    net.dense("classes", 10)
    return net.workload()


@dataclass(frozen=True, kw_only=True)
class Case:
    """A network, and what its accelerator is chosen by; without a space it is the default.

    Attributes:
        network: Makes it.
        space: The platform's design space.
        objective: What is minimised.
        limits: The chip's budget.
        part: FPGA that the design must fit.
        agent: That searches it.
    """

    network: Callable[[], Workload]
    space: str | None = "vta"
    objective: Objective = Objective.EDP
    limits: Mapping[str, int] | None = None
    part: str = "xc7z020"
    agent: str = "ppo"


def imagenet(name: str) -> dict[str, Case]:
    """A network of the zoo at 224 x 224 pixels, on the default accelerator and on the best of its chip."""
    network, part = partial(load_network, name), "xczu3eg"
    return {
        f"{name}-default": Case(network=network, space=None, part=part),
        name: Case(network=network, part=part, agent="pretrained"),
    }


CHIP = {"macs": 256, "bus_bits": 64, "sram_kib": 448}
"""The multipliers, bus and, less a little, memory of the default accelerator."""
CASES = {
    "default": Case(network=partial(load_network, "resnet20"), space=None),
    "plain": Case(network=plain, limits={**CHIP, "macs": 64}),
    "resnet20": Case(network=partial(load_network, "resnet20"), limits=CHIP),
    "vgg": Case(network=vgg, limits=CHIP, objective=Objective.LATENCY),
    "bottlenecks": Case(network=bottlenecks, limits={**CHIP, "macs": 512, "bus_bits": 128}),
    "inverted": Case(network=inverted, limits=CHIP, objective=Objective.ENERGY),
    **imagenet("resnet18"),
    **imagenet("resnet50"),
}


def found(case: Case, budget: int, seed: int) -> dict[str, Any]:
    """The accelerator of a case, and what the search says of it."""
    if case.space is None:
        return {"accelerator": dict(VtaPlatform().default())}
    question = Question(
        network=case.network(),
        space=case.space,
        objective=case.objective,
        fpga=case.part,
        limits=dict(case.limits or {}),
        options={"technology": TECHNOLOGY},
    )
    task = Task(VtaPlatform(), question)
    answer = optimize(
        task, make_agent(case.agent, task.designs, Seeds(root=seed)), budget=budget, yardstick=False
    )
    return {"accelerator": dict(answer.best.accelerator), "evaluations": answer.evaluations}


def calibrated(workload: Workload, seed: int) -> QuantizedNetwork:
    """The network with random weights, calibrated on pictures of noise."""
    import torch

    from rhnas.nas.network import Network
    from rhnas.quantize.calibrate import calibrate, pixel_table, quantize

    network, rng = Network(workload, Seeds(root=seed)), np.random.default_rng(seed)
    stem = workload.layers[0]
    pictures = rng.normal(size=(CALIBRATION_PICTURES, stem.channels[0], *stem.size)).astype(np.float32)
    with torch.no_grad():
        for _ in range(CALIBRATION_PICTURES):  # so that batch norm has seen something
            network.train()(torch.from_numpy(rng.permutation(pictures)))
    layers = network.eval().folded()
    scales = calibrate(layers, pictures)
    pixels = pixel_table([0.5] * stem.channels[0], [0.25] * stem.channels[0], scales.picture)
    return quantize(workload.name, layers, scales, pixels)


def run(realization: VtaRealization, pictures: Int8Array, scores: Int8Array) -> dict[str, Any]:
    """Modelled, simulated and RTL cycles of the first launch, and whether all scores are the golden ones."""
    simulated = realization.simulate(pictures)
    begun = time.perf_counter()
    rtl = realization.run_rtl(pictures)
    return {
        "cycles": {
            "modelled": sum(realization.modelled_cycles().values()),
            "simulated": simulated.cycles[0],
            "rtl": rtl.cycles[0],
        },
        "cycles_equal": simulated.cycles == rtl.cycles,
        "bit_exact": {
            "simulated": bool(np.array_equal(simulated.scores, scores)),
            "rtl": bool(np.array_equal(rtl.scores, scores)),
        },
        "rtl_seconds": round(time.perf_counter() - begun, 1),
    }


def verify(name: str, options: argparse.Namespace) -> None:
    """All steps of one case, each written when it is done."""
    path, case = RESULTS / f"{name}.json", CASES[name]
    result = read_json(path) if path.exists() else {}

    def keep(values: Mapping[str, Any]) -> None:
        result.update(values)
        write_json(path, result)

    if "accelerator" not in result:
        described = {"network": case.network().name, "objective": str(case.objective), "space": case.space}
        chosen = found(case, options.budget, options.seed)
        command = " ".join(["python", "benchmarks/verified_designs.py", *sys.argv[1:]])
        source = provenance(seed=options.seed)
        keep({**described, "limits": case.limits, **chosen, "command": command, "provenance": source})
    row, toolchain = result["accelerator"], VtaToolchain()
    if "cycles" not in result:
        network = calibrated(case.network(), options.seed)
        rng = np.random.default_rng(options.seed)
        shape = (options.images, network.layers[0].layer.channels[0], *network.layers[0].layer.size)
        pictures = rng.integers(-128, 128, shape).astype(np.int8)
        realization = toolchain.compile(network, row, case.objective, technology=TECHNOLOGY)
        keep(run(realization, pictures, golden.run(network, pictures)) | {"images": options.images})
    if "synthesis" not in result:
        keep({"synthesis": toolchain.synthesize(row, case.part)})


def table() -> None:
    """Print what is there as a Markdown table, beside what the model of resources says."""
    columns = "case | network | accelerator | modelled | simulated | RTL | bit-exact"
    print(f"| {columns} | LUT | FF | DSP | BRAM | by the model: LUT | DSP | BRAM |")
    print(f"|{14 * '---|'}")
    for name in CASES:
        path = RESULTS / f"{name}.json"
        if not path.exists():
            continue
        result = read_json(path)
        cycles = result.get("cycles", {})
        told = [f"{cycles[kind]:,}" if cycles else "" for kind in ("modelled", "simulated", "rtl")]
        exact = "yes" if cycles and all(result["bit_exact"].values()) else "no" if cycles else ""
        synthesis = result.get("synthesis", {})
        fields = ("luts", "flip_flops", "dsps", "bram_blocks")
        used = [f"{synthesis[field]:,}" if synthesis else "" for field in fields]
        row = result["accelerator"]
        model = estimate(VTA_WIDE.decode(VTA_WIDE.encode(row)[None]), PARTS[CASES[name].part])
        used += [f"{int(getattr(model, field)[0]):,}" for field in fields if field != "flip_flops"]
        design = VtaPlatform().label(row)
        print(f"| {' | '.join([name, result['network'], design, *told, exact, *used])} |")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", choices=CASES, action="append")
    parser.add_argument("--images", type=int, default=2)
    parser.add_argument("--budget", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    if not options.table:
        for name in options.case or CASES:
            verify(name, options)
    table()


if __name__ == "__main__":
    main()
