"""Blocks of the residual family: operations, and the layers of one block.

Every operation is a sequence of convolutions that turns one width into another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import gcd

from rhnas.workload import Layer, LayerKind

GROUP_WIDTH = 8
"""Channels per group that a grouped block aims for; every width of a space is a multiple of it."""


@dataclass(frozen=True, kw_only=True)
class BlockShape:
    """Where a block stands: its name, what it reads, and the shapes it must turn into one another.

    Attributes:
        name: Prefix of its layers' names.
        source: Name of the layer it reads.
        channels: (in, out).
        size: Input (height, width).
        stride: Of the block, both directions.
    """

    name: str
    source: str
    channels: tuple[int, int]
    size: tuple[int, int]
    stride: int

    @property
    def output_size(self) -> tuple[int, int]:
        """Output (height, width)."""
        return -(-self.size[0] // self.stride), -(-self.size[1] // self.stride)


@dataclass(frozen=True)
class _Conv:
    """One convolution of a residual branch."""

    out: int
    kernel: int
    stride: int = 1
    groups: int = 1


def _dense(cin: int, cout: int, stride: int) -> tuple[_Conv, ...]:
    return (_Conv(cout, 3, stride),)


def _bottleneck(cin: int, cout: int, stride: int) -> tuple[_Conv, ...]:
    middle = cout // 2
    return _Conv(middle, 1), _Conv(middle, 3, stride), _Conv(cout, 1)


def _fused(cin: int, cout: int, stride: int) -> tuple[_Conv, ...]:
    return _Conv(2 * cin, 3, stride), _Conv(cout, 1)


def _inverted(expansion: int, kernel: int, cin: int, cout: int, stride: int) -> tuple[_Conv, ...]:
    middle = expansion * cin
    return _Conv(middle, 1), _Conv(middle, kernel, stride, middle), _Conv(cout, 1)


def _grouped(cin: int, cout: int, stride: int) -> tuple[_Conv, ...]:
    return _Conv(cout, 3, stride, gcd(cin, cout) // GROUP_WIDTH), _Conv(cout, 1)


BRANCHES: dict[str, Callable[[int, int, int], tuple[_Conv, ...]]] = {
    "dense": _dense,
    "bottleneck": _bottleneck,
    "fused_e2": _fused,
    "inverted_e3_k3": partial(_inverted, 3, 3),
    "inverted_e3_k5": partial(_inverted, 3, 5),
    "inverted_e6_k3": partial(_inverted, 6, 3),
    "inverted_e6_k5": partial(_inverted, 6, 5),
    "grouped": _grouped,
}
"""Block operations: (input width, output width, stride) to the convolutions of the residual branch.

``e`` is the expansion over the input width, ``k`` the depthwise kernel. A ReLU follows every convolution
but the last, whose ReLU follows the residual addition.
"""


def block_layers(op: str, shape: BlockShape, *, linear: bool = False) -> tuple[Layer, ...]:
    """The layers of one residual block: the branch, the shortcut where shapes differ, the addition.

    Args:
        op: A key of ``BRANCHES``.
        shape: Where the block stands.
        linear: Whether a block that changes the shape is its branch alone, and no ReLU follows an addition.

    Example:
        >>> shape = BlockShape(name="b", source="stem", channels=(16, 32), size=(8, 8), stride=2)
        >>> [layer.name for layer in block_layers("fused_e2", shape)]
        ['b.conv1', 'b.conv2', 'b.shortcut', 'b.add']
        >>> [layer.name for layer in block_layers("fused_e2", shape, linear=True)]
        ['b.conv1', 'b.conv2']
    """
    cin, cout = shape.channels
    layers = _branch(op, shape)
    shortcut = shape.source
    if cin != cout or shape.stride != 1:
        if linear:
            return tuple(layers)
        shortcut = f"{shape.name}.shortcut"
        layers.append(
            Layer(
                name=shortcut,
                channels=(cin, cout),
                size=shape.size,
                stride=(shape.stride, shape.stride),
                inputs=(shape.source,),
            )
        )
    addition = Layer(
        name=f"{shape.name}.add",
        kind=LayerKind.ADD,
        channels=(cout, cout),
        size=shape.output_size,
        relu=not linear,
        inputs=(f"{shape.name}.conv{len(BRANCHES[op](cin, cout, 1))}", shortcut),
    )
    return (*layers, addition)


def _branch(op: str, shape: BlockShape) -> list[Layer]:
    convs = BRANCHES[op](*shape.channels, shape.stride)
    layers: list[Layer] = []
    source, channels, size = shape.source, shape.channels[0], shape.size
    for index, conv in enumerate(convs, start=1):
        layer = Layer(
            name=f"{shape.name}.conv{index}",
            channels=(channels, conv.out),
            size=size,
            kernel=(conv.kernel, conv.kernel),
            stride=(conv.stride, conv.stride),
            padding=(conv.kernel // 2, conv.kernel // 2),
            groups=conv.groups,
            relu=index < len(convs),
            inputs=(source,),
        )
        layers.append(layer)
        source, channels, size = layer.name, conv.out, layer.output_size
    return layers


def separable_layers(name: str, channels: tuple[int, int], size: tuple[int, int]) -> list[Layer]:
    """A 3x3 depthwise convolution with a ReLU and a linear 1x1: an inverted bottleneck that expands nothing.

    Args:
        name: Of the layer read, and the prefix of both.
        channels: (in, out).
        size: (height, width) of both.
    """
    depthwise = Layer(
        name=f"{name}.depthwise",
        channels=(channels[0], channels[0]),
        size=size,
        kernel=(3, 3),
        padding=(1, 1),
        groups=channels[0],
        relu=True,
        inputs=(name,),
    )
    return [depthwise, Layer(name=f"{name}.project", channels=channels, size=size, inputs=(depthwise.name,))]
