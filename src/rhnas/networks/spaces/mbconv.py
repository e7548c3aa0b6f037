"""The space ``mbconv``: mobile inverted bottlenecks for 224x224 pictures and 1,000 classes.

The skeleton is MobileNetV2's (Sandler et al., CVPR 2018): its stem, five stages, a 1x1 convolution to 1,280
channels. Widths, depths, expansions and depthwise kernels are searched around it. MobileNetV2 without its
last block (320 channels, where no addition carries a gate's scale) is a member.
"""

from __future__ import annotations

from rhnas.networks.spaces.residual import ResidualSettings, StageSettings

MBCONV = ResidualSettings(
    name="mbconv",
    picture=(3, 224, 224),
    classes=1000,
    stem_widths=(16,),
    stem_stride=2,
    stem_separable=32,
    stages=tuple(
        StageSettings(widths=widths, depths=(2, 3, 4), stride=stride)
        for widths, stride in (
            ((16, 24, 32), 2),
            ((24, 32, 40), 2),
            ((48, 64, 80), 2),
            ((80, 96, 112), 1),
            ((128, 160, 192), 2),
        )
    ),
    ops=("inverted_e3_k3", "inverted_e6_k3", "inverted_e3_k5", "inverted_e6_k5"),
    linear=True,
    head_width=1280,
)
