"""The spaces ``cifar`` and ``cifar-full``: residual networks for 32x32 colour pictures.

They differ in one layer: ``cifar`` pools after the stem, so that its networks train four times faster;
``cifar-full`` keeps all pixels, which is worth two points of accuracy and takes a GPU.

Every operation is the cheapest of all on some realizable design (tests/networks/test_operations.py prints
which), so none is there for decoration. A depthwise kernel of 5 is not in it: at equal expansion it costs
more than a kernel of 3 on every machine, and expanding by 2 it was the cheaper one on every design tried.
"""

from __future__ import annotations

from dataclasses import replace

from rhnas.networks.spaces.residual import ResidualSettings, StageSettings

CIFAR = ResidualSettings(
    name="cifar",
    picture=(3, 32, 32),
    classes=10,
    stem_widths=(16, 24, 32),
    stem_pool=True,
    stages=tuple(
        StageSettings(
            widths=tuple(scale * width for width in (16, 24, 32, 48, 64)), depths=(1, 2, 3, 4), stride=stride
        )
        for scale, stride in ((1, 1), (2, 2), (4, 2))
    ),
    ops=("dense", "bottleneck", "fused_e2", "inverted_e3_k3", "grouped"),
)

CIFAR_FULL = replace(CIFAR, name="cifar-full", stem_pool=False)
