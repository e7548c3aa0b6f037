"""The spaces ``cifar``, ``cifar-large`` and ``cifar-wide``: residual networks for 32x32 colour pictures.

``cifar`` pools after the stem, so that two cores can train its networks; ``cifar-large`` keeps all pixels and
begins where ``cifar``'s widths and depths are half through, for accuracies that take a GPU. ``cifar-wide``
pools and has widths from 96, which the last stage no longer doubles: fewer pixels at more multiplications
each, so that it trains in less time and its layers fill an array of any size.

Every operation is the cheapest of all on some realizable design (tests/networks/test_operations.py prints
which), so none is there for decoration. A depthwise kernel of 5 is not in it: at equal expansion it costs
more than a kernel of 3 on every machine, and expanding by 2 it was the cheaper one on every design tried.
"""

from __future__ import annotations

from rhnas.networks.spaces.residual import ResidualSettings, StageSettings

OPS = ("dense", "bottleneck", "fused_e2", "inverted_e3_k3", "grouped")


def _stages(
    widths: tuple[int, ...], depths: tuple[int, ...], scales: tuple[int, int, int] = (1, 2, 4)
) -> tuple[StageSettings, ...]:
    """Three stages of scaled widths; each halves the picture, but for the first."""
    return tuple(
        StageSettings(widths=tuple(scale * width for width in widths), depths=depths, stride=stride)
        for scale, stride in zip(scales, (1, 2, 2), strict=True)
    )


CIFAR = ResidualSettings(
    name="cifar",
    picture=(3, 32, 32),
    classes=10,
    stem_widths=(16, 24, 32),
    stem_pool=True,
    stages=_stages((16, 24, 32, 48, 64), (1, 2, 3, 4)),
    ops=OPS,
)

CIFAR_LARGE = ResidualSettings(
    name="cifar-large",
    picture=(3, 32, 32),
    classes=10,
    stem_widths=(16, 24, 32),
    stages=_stages((32, 40, 48, 56, 64), (2, 3, 4)),
    ops=OPS,
)

CIFAR_WIDE = ResidualSettings(
    name="cifar-wide",
    picture=(3, 32, 32),
    classes=10,
    stem_widths=(32, 48, 64),
    stem_pool=True,
    stages=_stages((96, 112, 128, 144, 160), (2, 3, 4), scales=(1, 2, 2)),
    ops=OPS,
)
