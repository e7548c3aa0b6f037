"""The space ``digits``: small networks for 8x8 handwritten digits, searched in seconds on one core."""

from __future__ import annotations

from rhnas.networks.spaces.residual import ResidualSettings, StageSettings

DIGITS = ResidualSettings(
    name="digits",
    picture=(1, 8, 8),
    classes=10,
    stem_widths=(8, 16),
    stages=(
        StageSettings(widths=(16, 24, 32), depths=(1, 2)),
        StageSettings(widths=(32, 48, 64), depths=(1, 2), stride=2),
    ),
    ops=("dense", "bottleneck", "fused_e2", "inverted_e3_k3", "grouped"),
)
