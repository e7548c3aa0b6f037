"""Random networks of realistic shapes: what an agent is trained on before it meets a real one."""

from __future__ import annotations

import numpy as np

from rhnas.networks.zoo import NetworkBuilder, basic_block, bottleneck, inverted_residual
from rhnas.workload import LayerKind, Workload

PICTURES = (32, 48, 64, 96, 128, 160, 192, 224)
"""Sides of the input in pixels."""

WIDTHS = (8, 12, 16, 24, 32, 40, 48, 64)
"""Channels of the stem; many are no multiple of an array's side."""

CLASSES = (10, 100, 1000)

WIDEST = 640
"""Channels at which a network stops growing."""

LARGE = 64
"""Side in pixels from which the stem halves the picture, and then often pools it as well."""


def random_network(rng: np.random.Generator) -> Workload:
    """A stem, two to five stages of residual, bottleneck or inverted residual blocks, and a classifier.

    Half of them have blocks of one kind, as published networks do; in the others every stage has its own.

    Args:
        rng: Where shapes come from.

    Example:
        >>> first, again = (random_network(np.random.default_rng(3)) for _ in range(2))
        >>> first.layers == again.layers
        True
    """
    side = int(rng.choice(PICTURES))
    width = int(rng.choice(WIDTHS))
    net = NetworkBuilder("random", (3, side, side))
    net.conv("stem", width, int(rng.choice((3, 5, 7))), stride=2 if side >= LARGE else 1)
    if side >= LARGE and rng.random() < 1 / 2:
        net.pool("maxpool", LayerKind.MAX_POOL, (3, 3), stride=2, padding=1)
    kinds = rng.integers(3, size=5) if rng.random() < 1 / 2 else np.full(5, rng.integers(3))
    for stage in range(int(rng.integers(2, 6))):
        _stage(net, f"stage{stage}", int(kinds[stage]), width, rng)
        width = min(WIDEST, 4 * round(width * rng.uniform(1.2, 2.2) / 4))
    if rng.random() < 1 / 2:
        net.conv("last", 4 * width, 1)
    net.global_average("average")
    net.dense("classifier", int(rng.choice(CLASSES)))
    return net.workload()


def _stage(net: NetworkBuilder, name: str, kind: int, width: int, rng: np.random.Generator) -> None:
    expansion = int(rng.choice((1, 3, 4, 6)))
    stride = 1 if rng.random() < 1 / 4 else 2
    for index in range(int(rng.integers(1, 4))):
        block = f"{name}.{index}"
        if kind == 0:
            basic_block(net, block, width, stride)
        elif kind == 1:
            bottleneck(net, block, width, stride)
        else:
            inverted_residual(net, block, expansion, width, stride)
        stride = 1
