"""The space ``macro``: NAS-Bench-Macro (Su et al., CVPR 2021), 6,561 networks for CIFAR-10.

Eight layers choose among an identity, MBConv with expansion 3 and kernel 3, and MBConv with expansion 6 and
kernel 5. Where width and resolution change there is no addition, and the identity is a 1x1 convolution.
"""

from __future__ import annotations

from functools import cached_property

from rhnas.networks.spaces.base import Architecture
from rhnas.networks.spaces.slots import Conv, Slot, SlotSpace, mbconv

STEM = 32
HEAD = 1280
STAGES = ((64, 2), (128, 3), (256, 3))
"""(width, layers) of each stage; the first layer halves the resolution."""


class Macro(SlotSpace):
    """NAS-Bench-Macro.

    Example:
        >>> Macro().workload((1,) * 8).macs  # "11111111" in the published table
        53246464
    """

    name = "macro"
    picture = (3, 32, 32)
    classes = 10

    @cached_property
    def slots(self) -> tuple[Slot, ...]:
        """Stem, eight layers, a 1x1 convolution."""
        found = [Slot("stem", {"conv": (Conv(STEM, 3, relu=True),)})]
        before = STEM
        for width, count in STAGES:
            for index in range(count):
                stride = 2 if index == 0 else 1
                options = {
                    "identity": (Conv(width, 1, stride),) if index == 0 else (),
                    "mbconv_e3_k3": mbconv((before, width), 3, 3, stride),
                    "mbconv_e6_k5": mbconv((before, width), 6, 5, stride),
                }
                found.append(Slot(f"layer{len(found)}", options, residual=index > 0))
                before = width
        return (*found, Slot("head", {"conv": (Conv(HEAD, relu=True),)}))

    def key(self, architecture: Architecture) -> str:
        """The network's name in the published table: one digit per layer.

        Example:
            >>> Macro().key((0, 1, 2, 0, 0, 0, 0, 0))
            '01200000'
        """
        return "".join(map(str, self.check(architecture)))
