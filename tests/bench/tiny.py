"""A space small enough to enumerate."""

from rhnas.networks.spaces.residual import ResidualSettings, ResidualSpace, StageSettings

SPACE = ResidualSpace(
    ResidualSettings(
        name="tiny",
        picture=(1, 8, 8),
        classes=10,
        stem_widths=(8, 16),
        stages=(
            StageSettings(widths=(8, 16, 24), depths=(1, 2)),
            StageSettings(widths=(16, 40), depths=(1,)),
        ),
        ops=("dense", "grouped"),
    )
)
