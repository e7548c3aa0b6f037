"""The space ``digits``: small networks for 8x8 handwritten digits, searched in seconds on one core.

The stem is not narrower than 24 and resolution falls in the first stage: small members then still learn the
task (docs/nas.md), so that cost is compared among networks that work.
"""

from __future__ import annotations

from rhnas.networks.spaces.residual import ResidualSettings, StageSettings

DIGITS = ResidualSettings(
    name="digits",
    picture=(1, 8, 8),
    classes=10,
    stem_widths=(24, 32),
    stages=(
        StageSettings(widths=(24, 32, 48), depths=(1, 2), stride=2),
        StageSettings(widths=(48, 64, 96), depths=(1, 2)),
    ),
    ops=("dense", "bottleneck", "inverted_e3_k3", "grouped"),
)
