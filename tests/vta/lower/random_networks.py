"""Random small integer networks, with branches, poolings and a classifier, for property tests."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from rhnas.quantized import QuantizedLayer, QuantizedNetwork, weight_shape
from rhnas.workload import PICTURE, Layer, LayerKind


def random_numbers(layer: Layer, rng: np.random.Generator, *, per_channel: bool = False) -> QuantizedLayer:
    """Weights, biases and shifts for a layer."""
    outputs, numbers = layer.channels[1], {}
    pools = layer.kind is LayerKind.MAX_POOL
    count = outputs if per_channel else 1
    shift = np.zeros(1) if pools and rng.integers(2) else rng.integers(0, 18, count)
    if layer.kind in (LayerKind.CONV, LayerKind.DENSE):
        numbers["weight"] = rng.integers(-128, 128, weight_shape(layer)).astype(np.int8)
        numbers["bias"] = rng.integers(-9999, 9999, outputs).astype(np.int32)
    if layer.kind is LayerKind.ADD:
        numbers["left"] = tuple(rng.integers(0, 7, 2).tolist())
    if layer.kind is LayerKind.AVG_POOL:
        numbers["multiplier"] = int(rng.integers(1, 128))
    return QuantizedLayer(layer=layer, fraction_bits=0, shift=shift.astype(np.int32), **numbers)


class Grower:
    """Appends random layers to a network; ``draw`` chooses."""

    def __init__(self, draw, picture: tuple[int, int, int]) -> None:
        self.draw, self.layers = draw, []
        self.last, self.shape = PICTURE, picture

    def add(self, kind: LayerKind, outputs: int, source: str | None = None, **shapes) -> str:
        """Append a layer that reads the last one, or ``source`` beside it."""
        inputs = (self.last,) if source is None else (self.last, source)
        layer = Layer(
            name=f"{kind.name.lower()}{len(self.layers)}",
            kind=kind,
            channels=(self.shape[0], outputs),
            relu=self.draw(st.booleans()),
            inputs=inputs,
            **{"size": self.shape[1:], **shapes},
        )
        self.layers.append(layer)
        self.last, self.shape = layer.name, (outputs, *layer.output_size)
        return self.last

    def conv(self, outputs: int, *, stride: int = 1, kernel: int | None = None, groups: int = 1) -> str:
        """A convolution that keeps the size where its stride is 1."""
        side = kernel or self.draw(st.sampled_from((1, 3)))
        window = {"kernel": (side, side), "padding": (side // 2, side // 2), "stride": (stride, stride)}
        return self.add(LayerKind.CONV, outputs, groups=groups, **window)

    def block(self) -> None:
        """A branch and the sum with what it began from, both strided and projected or neither."""
        start, shape = self.last, self.shape
        stride = self.draw(st.sampled_from((1, 2)))
        width = self.draw(st.sampled_from((shape[0], 5, 24)))
        self.conv(self.draw(st.sampled_from((3, 16, 33))))
        if self.draw(st.booleans()):
            self.conv(self.shape[0], groups=self.shape[0])
        branch = self.conv(width, stride=stride)
        if width == shape[0] and stride == 1:
            self.add(LayerKind.ADD, width, source=start)
            return
        self.last, self.shape = start, shape
        self.conv(width, stride=stride, kernel=1)
        self.add(LayerKind.ADD, width, source=branch)

    def pool(self) -> None:
        """A pooling of one of both kinds."""
        kind = self.draw(st.sampled_from((LayerKind.MAX_POOL, LayerKind.AVG_POOL)))
        side = min(2, *self.shape[1:])
        window = {"kernel": (side, side), "stride": (side, side)}
        self.add(kind, self.shape[0], **window)

    def classifier(self) -> None:
        """A dense layer over all pixels, averaged before or not."""
        if self.draw(st.booleans()):
            self.add(LayerKind.AVG_POOL, self.shape[0], kernel=self.shape[1:])
        channels = self.shape[0] * self.shape[1] * self.shape[2]
        self.shape = (channels, 1, 1)
        self.add(LayerKind.DENSE, self.draw(st.integers(2, 20)))


@st.composite
def networks(draw) -> QuantizedNetwork:
    """A stem, up to three of blocks, poolings and convolutions, a classifier."""
    picture = draw(st.sampled_from((1, 3))), draw(st.integers(4, 8)), draw(st.integers(4, 8))
    grower = Grower(draw, picture)
    grower.conv(draw(st.sampled_from((6, 16, 20))))
    for _ in range(draw(st.integers(0, 2))):
        draw(st.sampled_from((grower.block, grower.pool)))()
    grower.classifier()
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    per_channel = draw(st.booleans())
    layers = tuple(
        random_numbers(layer, rng, per_channel=per_channel and layer.kind is LayerKind.CONV)
        for layer in grower.layers
    )
    pixels = rng.integers(-128, 128, (picture[0], 256)).astype(np.int8)
    return QuantizedNetwork(name="random", layers=layers, picture_bits=0, pixels=pixels)


def small_network(rng: np.random.Generator) -> QuantizedNetwork:
    """Stem, residual block, dense layer over all pixels of 5 channels: the padding of groups matters."""
    stem = Layer(
        name="stem",
        channels=(3, 20),
        size=(6, 6),
        kernel=(3, 3),
        padding=(1, 1),
        relu=True,
        inputs=(PICTURE,),
    )
    conv = replace(stem, name="conv", channels=(20, 20), inputs=("stem",), relu=True)
    add = Layer(name="add", kind=LayerKind.ADD, channels=(20, 20), size=(6, 6), inputs=("conv", "stem"))
    narrow = Layer(name="narrow", channels=(20, 5), size=(6, 6), stride=(2, 2), inputs=("add",))
    dense = Layer(name="fc", kind=LayerKind.DENSE, channels=(45, 10), inputs=("narrow",))
    layers = tuple(random_numbers(layer, rng) for layer in (stem, conv, add, narrow, dense))
    pixels = rng.integers(-128, 128, (3, 256)).astype(np.int8)
    return QuantizedNetwork(name="small", layers=layers, picture_bits=0, pixels=pixels)
