"""A network space of one's own: name the places of the network and what may stand there.

Search it like any other: rhnas search digits --set task.space=examples/own_space.py:Pyramid --out runs/own
"""

from __future__ import annotations

from rhnas import Seeds
from rhnas.networks.spaces.slots import Conv, Slot, SlotSpace, mbconv


def choices(width: int) -> dict[str, tuple]:
    """What may stand between two tensors of one width; the identity makes the depth a choice as well."""
    return {
        "identity": (),
        "dense": (Conv(width, 3, relu=True), Conv(width, 3)),
        "grouped": (Conv(width, 3, groups=width // 8, relu=True), Conv(width)),
        "mobile": mbconv((width, width), 3, 3),
    }


class Pyramid(SlotSpace):
    """Two widths, two places to fill at each; the resolution is halved in between."""

    name, picture, classes = "pyramid", (1, 8, 8), 10
    slots = (
        Slot("stem", {"conv": (Conv(32, 3, relu=True),)}),
        *(Slot(f"wide{i}", choices(32), residual=True, relu=True) for i in (1, 2)),
        Slot("down", {"k1": (Conv(64, 1, 2, relu=True),), "k3": (Conv(64, 3, 2, relu=True),)}),
        *(Slot(f"deep{i}", choices(64), residual=True, relu=True) for i in (1, 2)),
    )


if __name__ == "__main__":
    space = Pyramid()
    network = space.sample(Seeds(root=0).numpy())
    print(space.describe(network), space.workload(network).macs)
