"""Layers and workloads: what a network asks of an accelerator, without weights and without torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import cached_property

import numpy as np
import numpy.typing as npt

from rhnas.errors import UnsupportedNetworkError

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

PICTURE = ""
"""The name by which layers refer to the network's input picture."""


class LayerKind(IntEnum):
    """What a layer computes; the value stands in the first column of a layer table."""

    CONV = 0
    DENSE = 1
    ADD = 2
    MAX_POOL = 3
    AVG_POOL = 4


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One layer with its shapes; bias, ReLU and requantization belong to it.

    Sizes are (height, width) in pixels, ``channels`` is (in, out). A dense layer is a 1x1 convolution on
    a 1x1 picture. ``ADD`` reads two tensors of its output's shape.

    Attributes:
        name: Unique within the workload, torchvision's names where the network is torchvision's.
        kind: The operation.
        channels: (input channels, output channels).
        size: Input (height, width).
        kernel: Kernel (height, width).
        stride: Stride (vertical, horizontal).
        padding: Zeros (for max pooling: minus infinity) added on (both vertical, both horizontal) sides.
        groups: Groups of a convolution; ``channels[0]`` for a depthwise one.
        relu: Whether a ReLU follows.
        inputs: Names of the layers it reads; ``PICTURE`` is the network's input.

    Raises:
        UnsupportedNetworkError: The shapes contradict each other.

    Example:
        >>> Layer(name="conv", channels=(16, 32), size=(8, 8), kernel=(3, 3), padding=(1, 1)).macs
        294912
    """

    name: str
    kind: LayerKind = LayerKind.CONV
    channels: tuple[int, int]
    size: tuple[int, int] = (1, 1)
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    groups: int = 1
    relu: bool = False
    inputs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        numbers = (*self.channels, *self.size, *self.kernel, *self.stride, self.groups)
        if min(numbers) < 1 or min(self.padding) < 0:
            raise UnsupportedNetworkError(f"layer {self.name!r} must have positive sizes", got=self)
        if self.channels[0] % self.groups or self.channels[1] % self.groups:
            raise UnsupportedNetworkError(
                f"the channels of layer {self.name!r} must divide into its groups",
                got=f"channels {self.channels}, groups {self.groups}",
            )
        if min(self.output_size) < 1:
            raise UnsupportedNetworkError(
                f"layer {self.name!r} must have an output of at least one pixel", got=self
            )
        if self.kind not in (LayerKind.CONV, LayerKind.DENSE) and self.channels[0] != self.channels[1]:
            raise UnsupportedNetworkError(f"layer {self.name!r} must keep its channels", got=self.channels)

    @property
    def output_size(self) -> tuple[int, int]:
        """Output (height, width)."""
        height, width = (
            (size + 2 * padding - kernel) // stride + 1
            for size, padding, kernel, stride in zip(
                self.size, self.padding, self.kernel, self.stride, strict=True
            )
        )
        return height, width

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one picture; 0 for pooling and addition, as published counts have it."""
        if self.kind not in (LayerKind.CONV, LayerKind.DENSE):
            return 0
        pixels = self.output_size[0] * self.output_size[1]
        return pixels * self.channels[1] * self.kernel[0] * self.kernel[1] * self.channels[0] // self.groups

    @property
    def parameters(self) -> int:
        """Weights, without bias and batch norm."""
        if self.kind not in (LayerKind.CONV, LayerKind.DENSE):
            return 0
        return self.channels[1] * self.kernel[0] * self.kernel[1] * self.channels[0] // self.groups

    @property
    def reads_picture(self) -> bool:
        """Whether the layer reads the network's input, whose memory layout the driver may choose."""
        return self.inputs == (PICTURE,)

    @property
    def shape(self) -> tuple[int, ...]:
        """Everything that can matter to a cost, and nothing else: layers of equal shape cost the same."""
        numbers = (*self.channels, *self.size, *self.kernel, *self.stride, *self.padding)
        return (int(self.kind), *numbers, self.groups, int(self.relu), int(self.reads_picture))


SHAPE_FIELDS = (
    "kind",
    "in_channels",
    "out_channels",
    "in_height",
    "in_width",
    "kernel_height",
    "kernel_width",
    "stride_vertical",
    "stride_horizontal",
    "pad_vertical",
    "pad_horizontal",
    "groups",
    "relu",
    "reads_picture",
)
"""Columns of a layer table, in order."""


def layer_table(layers: Sequence[Layer]) -> IntArray:
    """Layers as numbers, one row each.

    Returns:
        int64 (L, len(SHAPE_FIELDS)).
    """
    return np.array([layer.shape for layer in layers], dtype=np.int64).reshape(len(layers), len(SHAPE_FIELDS))


def compulsory(layer: Layer) -> tuple[int, int, int]:
    """(MACs, bytes read, bytes written) that no schedule avoids.

    Example:
        >>> compulsory(Layer(name="fc", channels=(512, 1000)))
        (512000, 512512, 1000)
    """
    rows, columns = (
        _pixels_read(size, kernel, stride, pad)
        for size, kernel, stride, pad in zip(
            layer.size, layer.kernel, layer.stride, layer.padding, strict=True
        )
    )
    operands = 2 if layer.kind is LayerKind.ADD else 1
    read = rows * columns * layer.channels[0] * operands + layer.parameters
    return layer.macs, read, layer.output_size[0] * layer.output_size[1] * layer.channels[1]


def _pixels_read(size: int, kernel: int, stride: int, pad: int) -> int:
    outputs = (size + 2 * pad - kernel) // stride + 1
    starts = range(-pad, -pad + outputs * stride, stride)
    return len({pixel for start in starts for pixel in range(start, start + kernel) if 0 <= pixel < size})


@dataclass(frozen=True, kw_only=True)
class Workload:
    """A network as layers in execution order.

    Raises:
        UnsupportedNetworkError: A name repeats, an input is unknown, or shapes do not chain.

    Example:
        >>> stem = Layer(name="stem", channels=(3, 16), size=(8, 8), inputs=(PICTURE,))
        >>> Workload(name="tiny", layers=(stem,)).macs
        3072
    """

    name: str
    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        if not self.layers:
            raise UnsupportedNetworkError("a workload must have at least one layer", got=self.name)
        known: dict[str, Layer] = {}
        for layer in self.layers:
            if layer.name in known or layer.name == PICTURE:
                raise UnsupportedNetworkError(
                    "layer names must be unique and not empty", got=repr(layer.name)
                )
            for source in layer.inputs:
                self._check_edge(known, source, layer)
            known[layer.name] = layer

    def _check_edge(self, known: dict[str, Layer], source: str, layer: Layer) -> None:
        if source == PICTURE:
            return
        if source not in known:
            raise UnsupportedNetworkError(f"layer {layer.name!r} must read earlier layers", got=repr(source))
        given = (known[source].channels[1], *known[source].output_size)
        flattened = (given[0] * given[1] * given[2], 1, 1)
        wanted = (layer.channels[0], *layer.size)
        if given != wanted and not (layer.kind is LayerKind.DENSE and flattened == wanted):
            raise UnsupportedNetworkError(
                f"layer {layer.name!r} must read what {source!r} writes (channels, height, width)",
                got=f"{given} written, {wanted} read",
            )

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one picture."""
        return sum(layer.macs for layer in self.layers)

    @property
    def parameters(self) -> int:
        """Weights, without biases."""
        return sum(layer.parameters for layer in self.layers)

    @cached_property
    def unique(self) -> tuple[tuple[Layer, ...], IntArray]:
        """Layers of distinct shape, and for each layer the index of its representative.

        Returns:
            ``(distinct layers, int64 (L,))``: equal shapes cost the same, so costs are asked for once.
        """
        first: dict[tuple[int, ...], int] = {}
        distinct: list[Layer] = []
        inverse = np.empty(len(self.layers), dtype=np.int64)
        for index, layer in enumerate(self.layers):
            if layer.shape not in first:
                first[layer.shape] = len(distinct)
                distinct.append(layer)
            inverse[index] = first[layer.shape]
        return tuple(distinct), inverse

    def without(self, names: Sequence[str]) -> Workload:
        """The workload less some layers; what read a dropped layer keeps its shape and loses that edge."""
        dropped = set(names)
        kept = tuple(
            replace(layer, inputs=tuple(source for source in layer.inputs if source not in dropped))
            for layer in self.layers
            if layer.name not in dropped
        )
        return Workload(name=self.name, layers=kept)
