"""The spaces ``cifar`` and ``cifar-large``: residual networks for 32x32 colour pictures.

``cifar`` pools after the stem, so that two cores can train its networks; ``cifar-large`` keeps all pixels and
begins where ``cifar``'s widths and depths are half through, for accuracies that take a GPU.

Every operation is the cheapest of all on some realizable design (tests/networks/test_operations.py prints
which), so none is there for decoration. A depthwise kernel of 5 is not in it: at equal expansion it costs
more than a kernel of 3 on every machine, and expanding by 2 it was the cheaper one on every design tried.
"""

from __future__ import annotations

from rhnas.networks.spaces.residual import ResidualSettings, StageSettings

OPS = ("dense", "bottleneck", "fused_e2", "inverted_e3_k3", "grouped")


def _stages(widths: tuple[int, ...], depths: tuple[int, ...]) -> tuple[StageSettings, ...]:
    """Three stages; each halves the picture, but for the first, and doubles the widths."""
    return tuple(
        StageSettings(widths=tuple(scale * width for width in widths), depths=depths, stride=stride)
        for scale, stride in ((1, 1), (2, 2), (4, 2))
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
