"""The space ``digits-sizes``: widths down to 8 and three operations, for the co-design benchmark.

Widths that are not multiples of 16 and operations that pull against each other (dense convolutions fill a
large array, depthwise and grouped ones a small array) let the order of two networks' costs flip between
accelerators; so it matters for which accelerator a network was searched.
"""

from __future__ import annotations

from rhnas.networks.spaces.residual import ResidualSettings, StageSettings

DIGITS_SIZES = ResidualSettings(
    name="digits-sizes",
    picture=(1, 8, 8),
    classes=10,
    stem_widths=(8, 24),
    stages=(
        StageSettings(widths=(8, 16, 24, 40), depths=(1, 2)),
        StageSettings(widths=(16, 24, 40, 56), depths=(1, 2), stride=2),
    ),
    ops=("dense", "inverted_e3_k3", "grouped"),
)
