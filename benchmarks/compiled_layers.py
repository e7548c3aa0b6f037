"""Cycles of single layers: the cost model's against those of the compiled program in the simulator.

Run ``python benchmarks/compiled_layers.py``. Every layer is compiled under the mapping that the model finds
fastest; the simulator times it alone, launch and FINISH included on both sides. What it computes is compared
in ``tests/vta/lower``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rhnas.space import DesignBatch
from rhnas.vta.config import AcceleratorConfig
from rhnas.vta.cost import VtaCostModel
from rhnas.vta.lower.layer import compile_layer
from rhnas.vta.retime import numberless
from rhnas.vta.simulate.run import time
from rhnas.workload import PICTURE, Layer, LayerKind

DESIGNS = {
    "default": AcceleratorConfig(),
    "1x32x16, 128-bit bus": AcceleratorConfig(log_block_in=5, shl_mem_axi_data_bits=128),
}


def square(side: int, kernel: int, stride: int, pad: int) -> dict[str, Any]:
    """Shapes alike in both directions."""
    sizes = {"size": side, "kernel": kernel, "stride": stride, "padding": pad}
    return {name: (value, value) for name, value in sizes.items()}


def conv(
    name: str, channels: tuple[int, int], side: int, *, kernel: int = 3, stride: int = 1, groups: int = 1
) -> Layer:
    """A square convolution that keeps its size, or divides it by the stride."""
    source = (PICTURE,) if channels[0] == 3 else ("before",)
    shapes = square(side, kernel, stride, kernel // 2)
    return Layer(name=name, channels=channels, groups=groups, relu=True, inputs=source, **shapes)


def pool(name: str, kind: LayerKind, channels: int, shapes: dict[str, Any]) -> Layer:
    """A pooling."""
    return Layer(name=name, kind=kind, channels=(channels, channels), **shapes)


LAYERS = (
    conv("resnet18 conv1", (3, 64), 224, kernel=7, stride=2),
    pool("resnet18 maxpool", LayerKind.MAX_POOL, 64, square(112, 3, 2, 1)),
    conv("resnet18 C2", (64, 64), 56),
    Layer(name="resnet18 layer1 add", kind=LayerKind.ADD, channels=(64, 64), size=(56, 56), relu=True),
    conv("resnet18 C3", (64, 128), 56, kernel=3, stride=2),
    conv("resnet18 C4", (64, 128), 56, kernel=1, stride=2),
    conv("resnet18 C5", (128, 128), 28),
    conv("resnet18 C6", (128, 256), 28, kernel=3, stride=2),
    conv("resnet18 C8", (256, 256), 14),
    conv("resnet18 C9", (256, 512), 14, kernel=3, stride=2),
    conv("resnet18 C11", (512, 512), 7),
    pool("resnet18 avgpool", LayerKind.AVG_POOL, 512, square(7, 7, 1, 0)),
    Layer(name="resnet18 fc", kind=LayerKind.DENSE, channels=(512, 1000)),
    conv("mobilenet_v2 expand", (24, 144), 56, kernel=1),
    conv("mobilenet_v2 depthwise", (144, 144), 56, groups=144),
    conv("mobilenet_v2 depthwise /2", (144, 144), 56, kernel=3, stride=2, groups=144),
    conv("mobilenet_v2 project", (144, 24), 56, kernel=1),
    conv("cifar stem", (3, 16), 32),
    conv("cifar stage 1", (16, 16), 32),
    conv("cifar stage 2", (32, 32), 16),
    conv("cifar stage 3", (64, 64), 8),
)


def main() -> None:
    """Print a line per layer and design, and the spread of the differences."""
    model = VtaCostModel()
    for name, config in DESIGNS.items():
        batch = DesignBatch.of(config.to_row())
        differences = []
        print(f"{name:26} {'modelled':>10} {'simulated':>10} {'difference':>10} {'MAC bound':>10} threads")
        for layer in LAYERS:
            best = model.best_mapping(batch, layer, 0.0)
            if best is None:
                print(f"  {layer.name:24} has no mapping")
                continue
            mapping, breakdown = best
            modelled = breakdown.cycles + model.timing.launch_cycles(config.bus_bits)
            program = compile_layer(numberless(layer), mapping, config).program
            simulated = int(time(program).control[0]["cycles"])
            differences.append(modelled / simulated - 1)
            bound = -(-layer.macs // config.macs_per_cycle)
            print(
                f"  {layer.name:24} {modelled:>10,} {simulated:>10,} {differences[-1]:>+10.1%} "
                f"{bound:>10,} {mapping.threads}, {mapping.order}"
            )
        sizes = np.abs(differences)
        print(f"  median {np.median(sizes):.1%}, 95th percentile {np.quantile(sizes, 0.95):.1%}")


if __name__ == "__main__":
    main()
